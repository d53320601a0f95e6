"""SFTP version 3, as OpenSSH speaks it: bytes ⇄ packets (see `sftp_packets` for the sources).

Decoding is strict: a packet with a byte too few or too many is a fault, for two readers that skip
differently see different requests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from bastion.errors import ClientFault, ProtocolFault, TargetFault
from bastion.wire.sftp_packets import (
    EXTENSIONS,
    VERSION,
    Attributes,
    Code,
    CopyData,
    Data,
    Enquiry,
    ExtendedReply,
    Handle,
    Identified,
    Init,
    Kind,
    Names,
    OnHandle,
    OnPath,
    OnTwoPaths,
    Open,
    Read,
    Reply,
    Status,
    Unknown,
    Version,
    Write,
)

PACKET_LIMIT: Final = 256 * 1024 + 1024
"""OpenSSH's own limit and some slack: a length of 4 GB must not make anybody buffer it."""
NAMES_LIMIT: Final = 65536
"""Entries of one NAME reply: more cannot fit into a packet, a larger count is a lie."""
HANDLE_LIMIT: Final = 256
"""The draft's limit for a handle, in bytes."""


class Frames:
    """Cuts one direction of a stream into packets. Nothing is decoded until `next` is asked."""

    def __init__(self, fault: type[ProtocolFault]) -> None:
        self._fault = fault
        self._buffer = bytearray()

    def __len__(self) -> int:
        """Bytes that wait."""
        return len(self._buffer)

    def add(self, data: bytes) -> None:
        """Append what arrived; the caller bounds how much may wait."""
        self._buffer += data

    def next(self) -> bytes | None:
        """The next whole packet, its length in front, or None until more arrives."""
        if len(self._buffer) < 4:
            return None
        length = int.from_bytes(self._buffer[:4], "big")
        if not 1 <= length <= PACKET_LIMIT:
            raise self._fault(f"an SFTP packet of {length} bytes was announced")
        if len(self._buffer) < 4 + length:
            return None
        frame = bytes(self._buffer[: 4 + length])
        del self._buffer[: 4 + length]
        return frame


class _Cursor:
    """Reads a frame's fields from left to right."""

    def __init__(self, frame: bytes, fault: type[ProtocolFault]) -> None:
        self._frame = frame
        self._fault = fault
        self._at = 5

    def take(self, count: int) -> bytes:
        if count > len(self._frame) - self._at:
            raise self._fault("an SFTP packet ends in the middle of a field")
        self._at += count
        return self._frame[self._at - count : self._at]

    def number(self) -> int:
        return int.from_bytes(self.take(4), "big")

    def long(self) -> int:
        return int.from_bytes(self.take(8), "big")

    def string(self) -> bytes:
        return self.take(self.number())

    def handle(self) -> bytes:
        handle = self.string()
        if len(handle) > HANDLE_LIMIT:
            raise self._fault(f"an SFTP handle of {len(handle)} bytes")
        return handle

    def attributes(self) -> int | None:
        """Skip over ATTRS; give the size it sets or tells, if it holds one."""
        flags = self.number()
        if flags & ~0x8000000F:
            raise self._fault(f"unknown SFTP attributes 0x{flags:x}")
        size = self.long() if flags & 1 else None
        self.take(8 * bool(flags & 2) + 4 * bool(flags & 4) + 8 * bool(flags & 8))
        if flags & 0x80000000:
            for _ in range(self.number()):
                self.string()
                self.string()
        return size

    @property
    def left(self) -> int:
        return len(self._frame) - self._at

    def end(self) -> None:
        if self.left:
            raise self._fault(f"an SFTP packet has {self.left} bytes too many")


_VERBS: Final[Mapping[int, str]] = {kind: kind.name.lower() for kind in Kind}
_ON_HANDLE: Final = {Kind.CLOSE, Kind.FSTAT, Kind.READDIR}
_ON_PATH: Final = frozenset(
    (Kind.LSTAT, Kind.STAT, Kind.OPENDIR, Kind.REMOVE, Kind.RMDIR, Kind.REALPATH, Kind.READLINK)
)
_ON_PATH_WITH_ATTRIBUTES: Final = {Kind.SETSTAT, Kind.MKDIR}
_ON_TWO_PATHS: Final = {Kind.RENAME, Kind.SYMLINK}


def decode_request(frame: bytes) -> Init | Identified:
    """Read a client's packet. Raises ClientFault; what is only unknown comes back as Unknown."""
    cursor = _Cursor(frame, ClientFault)
    if frame[4] == Kind.INIT:
        return Init(cursor.number())  # extensions may follow; none is known, and none is passed on
    ident = cursor.number()
    packet = _decode_identified(frame[4], ident, cursor)
    if not isinstance(packet, Unknown):
        cursor.end()
    return packet


def _decode_identified(kind: int, ident: int, cursor: _Cursor) -> Identified:
    verb = _VERBS.get(kind, f"packet type {kind}")
    if kind in _ON_PATH:
        return OnPath(ident, verb, cursor.string())
    if kind in _ON_PATH_WITH_ATTRIBUTES:
        return OnPath(ident, verb, cursor.string(), cursor.attributes())
    if kind in _ON_HANDLE:
        return OnHandle(ident, verb, cursor.handle())
    if kind in _ON_TWO_PATHS:
        return OnTwoPaths(ident, verb, cursor.string(), cursor.string())
    decode = _DECODERS.get(kind)
    return decode(ident, cursor) if decode else Unknown(ident, verb)


def _decode_open(ident: int, cursor: _Cursor) -> Identified:
    path, flags = cursor.string(), cursor.number()
    cursor.attributes()
    return Open(ident, path, flags)


def _decode_extended(ident: int, cursor: _Cursor) -> Identified:
    name = cursor.string()
    decode = _EXTENDED_DECODERS.get(name)
    verb = name[:64].decode("utf-8", "replace")
    return decode(ident, verb.partition("@")[0], cursor) if decode else Unknown(ident, verb)


_DECODERS: Final[Mapping[int, Callable[[int, _Cursor], Identified]]] = {
    Kind.OPEN: _decode_open,
    Kind.READ: lambda ident, c: Read(ident, c.handle(), c.long(), c.number()),
    Kind.WRITE: lambda ident, c: Write(ident, c.handle(), c.long(), c.string()),
    Kind.FSETSTAT: lambda ident, c: OnHandle(ident, "fsetstat", c.handle(), c.attributes()),
    Kind.EXTENDED: _decode_extended,
}


def _decode_copy_data(ident: int, _: str, cursor: _Cursor) -> Identified:
    source = cursor.handle()
    cursor.take(16)  # from where, how much
    sink = cursor.handle()
    cursor.take(8)  # to where
    return CopyData(ident, source, sink)


def _decode_users_groups(ident: int, verb: str, cursor: _Cursor) -> Identified:
    cursor.string()
    cursor.string()
    return Enquiry(ident, verb)


def _two_paths(ident: int, verb: str, cursor: _Cursor) -> Identified:
    return OnTwoPaths(ident, verb, cursor.string(), cursor.string())


def _one_path(ident: int, verb: str, cursor: _Cursor) -> Identified:
    return OnPath(ident, verb, cursor.string())


def _one_handle(ident: int, verb: str, cursor: _Cursor) -> Identified:
    return OnHandle(ident, verb, cursor.handle())


_EXTENDED_DECODERS: Final[Mapping[bytes, Callable[[int, str, _Cursor], Identified]]] = {
    b"posix-rename@openssh.com": _two_paths,
    b"statvfs@openssh.com": _one_path,
    b"fstatvfs@openssh.com": _one_handle,
    b"hardlink@openssh.com": _two_paths,
    b"fsync@openssh.com": _one_handle,
    b"lsetstat@openssh.com": lambda i, verb, c: OnPath(i, verb, c.string(), c.attributes()),
    b"limits@openssh.com": lambda ident, verb, _: Enquiry(ident, verb),
    b"expand-path@openssh.com": _one_path,
    b"copy-data": _decode_copy_data,
    b"home-directory": _one_path,
    b"users-groups-by-id@openssh.com": _decode_users_groups,
}
assert _EXTENDED_DECODERS.keys() == EXTENSIONS.keys()


def decode_reply(frame: bytes) -> Reply:
    """Read a target's packet. Raises TargetFault."""
    cursor = _Cursor(frame, TargetFault)
    decode = _REPLY_DECODERS.get(frame[4])
    if decode is None:
        raise TargetFault(f"the target sent an SFTP packet of type {frame[4]}")
    reply = decode(cursor)
    if not isinstance(reply, ExtendedReply):
        cursor.end()
    return reply


def _decode_version(cursor: _Cursor) -> Reply:
    version, extensions = cursor.number(), []
    while cursor.left:
        extensions.append((cursor.string(), cursor.string()))
    return Version(version, tuple(extensions))


def _decode_status(cursor: _Cursor) -> Reply:
    ident, code = cursor.number(), cursor.number()
    if not cursor.left:  # some servers leave the texts out
        return Status(ident, code)
    message = cursor.string()
    cursor.string()
    return Status(ident, code, message)


def _decode_names(cursor: _Cursor) -> Reply:
    ident, count = cursor.number(), cursor.number()
    if count > NAMES_LIMIT:
        raise TargetFault(f"the target announced {count} names in one SFTP packet")
    names = []
    for _ in range(count):
        names.append(cursor.string())
        cursor.string()
        cursor.attributes()
    return Names(ident, tuple(names))


def _decode_attributes(cursor: _Cursor) -> Reply:
    ident = cursor.number()
    cursor.attributes()
    return Attributes(ident)


_REPLY_DECODERS: Final[Mapping[int, Callable[[_Cursor], Reply]]] = {
    Kind.VERSION: _decode_version,
    Kind.STATUS: _decode_status,
    Kind.HANDLE: lambda cursor: Handle(cursor.number(), cursor.handle()),
    Kind.DATA: lambda cursor: Data(cursor.number(), cursor.string()),
    Kind.NAME: _decode_names,
    Kind.ATTRS: _decode_attributes,
    Kind.EXTENDED_REPLY: lambda cursor: ExtendedReply(cursor.number()),
}


# --- what the bastion says itself -------------------------------------------------------------


def encode_init() -> bytes:
    """A greeting for version 3, and nothing beside it."""
    return _frame(Kind.INIT, _number(VERSION))


def encode_version(extensions: tuple[tuple[bytes, bytes], ...]) -> bytes:
    """The answer to a greeting."""
    pairs = b"".join(_string(name) + _string(value) for name, value in extensions)
    return _frame(Kind.VERSION, _number(VERSION) + pairs)


def encode_status(ident: int, code: Code, message: str) -> bytes:
    """The end of a request, with a sentence for the person."""
    text = message.encode("utf-8", "replace")
    return _frame(Kind.STATUS, _number(ident) + _number(code) + _string(text) + _string(b"en"))


def encode_realpath(ident: int, path: bytes) -> bytes:
    """Asks the target to make a path absolute."""
    return _frame(Kind.REALPATH, _number(ident) + _string(path))


def _number(value: int) -> bytes:
    return value.to_bytes(4, "big")


def _string(value: bytes) -> bytes:
    return _number(len(value)) + value


def _frame(kind: Kind, body: bytes) -> bytes:
    return _number(1 + len(body)) + bytes((kind,)) + body
