"""Whatever both sides send, an observer between gate and target sees nothing that was denied."""

from __future__ import annotations

import posixpath
import struct
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bastion.events import Event, FromClient, FromTarget, Opened, ToTarget
from bastion.gate.sftp import SftpGate
from bastion.model import SubsystemRequest
from tests.harness.filerules import FileRules
from tests.harness.sftppackets import (
    CLOSE,
    EXTENDED,
    FSETSTAT,
    HANDLE,
    INIT,
    OPEN,
    OPENDIR,
    READ,
    READDIR,
    REMOVE,
    RENAME,
    SETSTAT,
    SYMLINK,
    VERSION,
    WRITE,
    Long,
    R,
    W,
    names,
    packet,
    status,
)

PATHS = st.sampled_from([b"/srv/f", b"f", b"/etc/x", b"../../etc/x", b"/srv/../etc/x", b"/etc"])
HANDLES = st.sampled_from([b"h0", b"h1"])
ZERO = st.just(Long(0))


def _packets(kind: int, *fields: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    """A packet of the client without its id."""
    return st.tuples(st.just(kind), *fields)


CLIENT = st.one_of(
    _packets(OPEN, st.just(b"/srv/f"), st.sampled_from([R, W, R | W, 0, 8, 63]), st.just(0)),
    _packets(OPEN, PATHS, st.integers(0, 63), st.just(0)),
    _packets(OPENDIR, PATHS),
    _packets(REMOVE, PATHS),
    _packets(RENAME, PATHS, PATHS),
    _packets(SYMLINK, PATHS, PATHS),
    _packets(READ, HANDLES, ZERO, st.integers(0, 9)),
    _packets(WRITE, HANDLES, ZERO, st.binary(max_size=3)),
    _packets(READDIR, HANDLES),
    _packets(CLOSE, HANDLES),
    _packets(FSETSTAT, HANDLES, st.just(0)),
    _packets(SETSTAT, PATHS, st.just(0)),
    _packets(EXTENDED, st.just(b"hardlink@openssh.com"), PATHS, PATHS),
    _packets(EXTENDED, st.just(b"copy-data"), HANDLES, ZERO, ZERO, HANDLES, ZERO),
    _packets(EXTENDED, st.sampled_from([b"evil", b"posix-rename@openssh.com"]), PATHS, PATHS),
)
ANSWER = st.one_of(HANDLES, st.none())
"""The target answers the oldest request: with a handle if that fits, or with STATUS."""


class Observer:
    """Reads what passes the gate with a reader of its own, and remembers what was granted."""

    def __init__(self) -> None:
        self.waiting: dict[int, tuple[int, int]] = {}
        self.granted: dict[bytes, tuple[int, int]] = {}

    def answer(self, handle: bytes | None) -> bytes:
        """What the target says next."""
        ident = next(iter(self.waiting), 12345)
        kind, flags = self.waiting.pop(ident, (0, 0))
        if handle is None or kind not in {OPEN, OPENDIR} or handle in self.granted:
            return status(ident)
        self.granted[handle] = (kind, flags)
        return packet(HANDLE, ident, handle)

    def see(self, data: bytes) -> None:
        """Check what goes to the target."""
        kind, ident = data[4], _fields(data, "n")[0]
        self.waiting[ident] = (kind, _fields(data, "nbn")[2] if kind == OPEN else 0)
        if kind in {OPEN, OPENDIR, REMOVE, SETSTAT}:
            _check(_fields(data, "nb")[1])
        elif kind in {RENAME, SYMLINK}:
            _check(*_fields(data, "nbb")[1:])
        elif kind == EXTENDED:
            self._extended(data)
        else:
            self._on_handle(kind, _fields(data, "nb")[1])

    def _extended(self, data: bytes) -> None:
        name = _fields(data, "nb")[1]
        if name == b"copy-data":
            *_, source, _, _, sink = _fields(data, "nbbllb")
            self._on_handle(READ, source)
            self._on_handle(WRITE, sink)
            return
        assert name != b"evil"
        _check(*_fields(data, "nbbb")[2:])

    def _on_handle(self, kind: int, handle: bytes) -> None:
        opened, flags = self.granted[handle]  # a KeyError is the failure
        if kind == READDIR:
            assert opened == OPENDIR
        if kind == READ:
            assert opened == OPEN
            assert flags & R or not flags & W
        if kind == WRITE:
            assert opened == OPEN
            assert flags & (W | 4 | 8 | 16)
        if kind == CLOSE:
            del self.granted[handle]


def _check(*paths: bytes) -> None:
    for path in paths:
        whole = posixpath.normpath(posixpath.join(b"/home/me", path))
        assert not (whole + b"/").startswith(b"/etc/")


def _fields(data: bytes, shape: str) -> list[Any]:
    """`n` a number, `l` a long, `b` bytes; whatever follows is left."""
    found: list[Any] = []
    at = 5
    for letter in shape:
        if letter == "n":
            found.append(struct.unpack_from(">I", data, at)[0])
            at += 4
        elif letter == "l":
            found.append(struct.unpack_from(">Q", data, at)[0])
            at += 8
        else:
            size = struct.unpack_from(">I", data, at)[0]
            found.append(data[at + 4 : at + 4 + size])
            at += 4 + size
    return found


@settings(max_examples=300)
@given(st.lists(st.one_of(CLIENT, CLIENT, ANSWER), max_size=50))
def test_nothing_denied_passes_whatever_both_sides_send(steps: list[Any]) -> None:
    gate = SftpGate(FileRules(rules=[("deny", "no-etc", "*", "/etc")]))
    gate.feed(Opened(0, SubsystemRequest("sftp")))
    gate.feed(FromClient(0, packet(INIT, 3)))
    gate.feed(FromTarget(0, packet(VERSION, 3)))
    assert gate.feed(FromTarget(0, names(0, b"/home/me"))) == []
    observer = Observer()
    for ident, step in enumerate(steps):
        if isinstance(step, tuple):
            event: Event = FromClient(0, packet(step[0], ident, *step[1:]))
        else:
            event = FromTarget(0, observer.answer(step))
        for effect in gate.feed(event):
            if isinstance(effect, ToTarget):
                observer.see(effect.data)
