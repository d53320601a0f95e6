"""Whatever both sides send, an observer between gate and target sees nothing that was denied."""

from __future__ import annotations

import posixpath
import struct
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bastion.events import Effect, Event, Exit, FromClient, FromTarget, Opened, ToClient, ToTarget
from bastion.gate.sftp import SftpGate
from bastion.model import SubsystemRequest
from tests.harness.filerules import FileRules
from tests.harness.sftppackets import (
    CLOSE,
    DATA,
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
    attributes,
    names,
    packet,
    status,
)

IDS = st.integers(0, 3)
PATHS = st.sampled_from([b"/srv/f", b"f", b"/etc/x", b"../../etc/x", b"/srv/../etc/x", b"/etc"])
HANDLES = st.sampled_from([b"h0", b"h1", b"h2", b""])
FLAGS = st.integers(0, 63)


def _packets(kind: int, *fields: st.SearchStrategy[object]) -> st.SearchStrategy[bytes]:
    return st.tuples(IDS, *fields).map(lambda values: packet(kind, *values))


ZERO = st.just(Long(0))
CLIENT = st.one_of(
    _packets(OPEN, PATHS, FLAGS, st.just(0)),
    _packets(OPEN, st.just(b"/srv/f"), FLAGS, st.just(0)),
    _packets(OPENDIR, PATHS),
    _packets(REMOVE, PATHS),
    _packets(RENAME, PATHS, PATHS),
    _packets(SYMLINK, PATHS, PATHS),
    _packets(READ, HANDLES, ZERO, st.integers(0, 9)),
    _packets(WRITE, HANDLES, ZERO, st.binary(max_size=3)),
    _packets(READDIR, HANDLES),
    _packets(CLOSE, HANDLES),
    _packets(FSETSTAT, HANDLES, st.just(0)),
    st.builds(lambda i, p: packet(SETSTAT, i, p, *attributes(size=0)), IDS, PATHS),
    _packets(EXTENDED, st.just(b"hardlink@openssh.com"), PATHS, PATHS),
    _packets(EXTENDED, st.just(b"copy-data"), HANDLES, ZERO, ZERO, HANDLES, ZERO),
    _packets(EXTENDED, st.sampled_from([b"evil", b"posix-rename@openssh.com"]), PATHS, PATHS),
    st.binary(max_size=9),
).map(lambda data: FromClient(0, data))
TARGET = st.one_of(
    _packets(HANDLE, HANDLES),
    _packets(HANDLE, HANDLES),
    IDS.map(status),
    _packets(DATA, st.binary(max_size=9)),
    IDS.map(lambda ident: names(ident, b"x")),
    st.binary(max_size=9),
).map(lambda data: FromTarget(0, data))


class Observer:
    """Reads what passes the gate with a reader of its own, and remembers what was granted."""

    def __init__(self) -> None:
        self.asked: dict[int, tuple[int, int]] = {}
        self.granted: dict[bytes, tuple[int, int]] = {}

    def see(self, effect: Effect) -> None:
        if isinstance(effect, ToTarget):
            self._to_target(effect.data)
        elif isinstance(effect, ToClient) and effect.data[4] == HANDLE:
            ident, handle = _fields(effect.data, "nb")
            self.granted[handle] = self.asked[ident]

    def _to_target(self, data: bytes) -> None:
        kind = data[4]
        if kind == OPEN:
            ident, path, flags = _fields(data, "nbn")
            self.asked[ident] = (kind, flags)
            _check(path)
        elif kind in {OPENDIR, REMOVE, SETSTAT}:
            ident, path = _fields(data, "nb")
            self.asked[ident] = (kind, 0)
            _check(path)
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


@settings(max_examples=400)
@given(st.lists(st.one_of(CLIENT, CLIENT, TARGET), max_size=40))
def test_nothing_denied_passes_whatever_both_sides_send(events: list[Event]) -> None:
    gate = SftpGate(FileRules(rules=[("deny", "no-etc", "*", "/etc")]))
    gate.feed(Opened(0, SubsystemRequest("sftp")))
    gate.feed(FromClient(0, packet(INIT, 3)))
    gate.feed(FromTarget(0, packet(VERSION, 3)))
    assert gate.feed(FromTarget(0, names(0, b"/home/me"))) == []
    observer = Observer()
    ended = False
    for event in events:
        for effect in gate.feed(event):
            assert not ended
            observer.see(effect)
            ended = isinstance(effect, Exit)
