"""SFTP version 3 as values: what a client asks, what a target answers.

Sources: draft-ietf-secsh-filexfer-02, and OpenSSH's PROTOCOL file (section 4) for the extensions
and for the order of SYMLINK's arguments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Final

VERSION: Final = 3


class Kind(IntEnum):
    """Packet types."""

    INIT = 1
    VERSION = 2
    OPEN = 3
    CLOSE = 4
    READ = 5
    WRITE = 6
    LSTAT = 7
    FSTAT = 8
    SETSTAT = 9
    FSETSTAT = 10
    OPENDIR = 11
    READDIR = 12
    REMOVE = 13
    MKDIR = 14
    RMDIR = 15
    REALPATH = 16
    STAT = 17
    RENAME = 18
    READLINK = 19
    SYMLINK = 20
    STATUS = 101
    HANDLE = 102
    DATA = 103
    NAME = 104
    ATTRS = 105
    EXTENDED = 200
    EXTENDED_REPLY = 201


class Code(IntEnum):
    """Status codes that are given or looked at here."""

    OK = 0
    EOF = 1
    PERMISSION_DENIED = 3
    FAILURE = 4
    OP_UNSUPPORTED = 8


class OpenFlag(IntFlag):
    """Flags of OPEN."""

    READ = 1
    WRITE = 2
    APPEND = 4
    CREATE = 8
    TRUNCATE = 16
    EXCLUSIVE = 32


EXTENSIONS: Final[Mapping[bytes, bytes]] = {
    b"posix-rename@openssh.com": b"1",
    b"statvfs@openssh.com": b"2",
    b"fstatvfs@openssh.com": b"2",
    b"hardlink@openssh.com": b"1",
    b"fsync@openssh.com": b"1",
    b"lsetstat@openssh.com": b"1",
    b"limits@openssh.com": b"1",
    b"expand-path@openssh.com": b"1",
    b"copy-data": b"1",
    b"home-directory": b"1",
    b"users-groups-by-id@openssh.com": b"1",
}
"""The extensions that are understood, each in the version that is."""


# --- what a client sends ----------------------------------------------------------------------
# `verb` is the Kind's name in small letters, or the extension's name without its domain.


@dataclass(frozen=True, slots=True)
class Init:
    """The client's greeting."""

    version: int


@dataclass(frozen=True, slots=True)
class Open:
    """OPEN. `flags` may hold bits that OpenFlag does not know."""

    id: int
    path: bytes
    flags: int


@dataclass(frozen=True, slots=True)
class Read:
    """READ of `length` bytes from `offset`."""

    id: int
    handle: bytes
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Write:
    """WRITE of `data` at `offset`."""

    id: int
    handle: bytes
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class OnHandle:
    """CLOSE, FSTAT, READDIR, FSETSTAT, fsync, fstatvfs. `size` is the one that is set, if any."""

    id: int
    verb: str
    handle: bytes
    size: int | None = None


@dataclass(frozen=True, slots=True)
class OnPath:
    """Whatever names one path: LSTAT … READLINK, SETSTAT, lsetstat, statvfs, expand-path, …"""

    id: int
    verb: str
    path: bytes
    size: int | None = None


@dataclass(frozen=True, slots=True)
class OnTwoPaths:
    """RENAME, SYMLINK, posix-rename, hardlink: `first` exists, `second` is made.

    SYMLINK in OpenSSH's order, which the clients in use follow too: first what the link says.
    """

    id: int
    verb: str
    first: bytes
    second: bytes


@dataclass(frozen=True, slots=True)
class CopyData:
    """copy-data: the target copies from one open file into another."""

    id: int
    source: bytes
    sink: bytes


@dataclass(frozen=True, slots=True)
class Enquiry:
    """limits, users-groups-by-id: asks something that touches no file."""

    id: int
    verb: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """A packet type or extension that is not understood."""

    id: int
    verb: str


Identified = Open | Read | Write | OnHandle | OnPath | OnTwoPaths | CopyData | Enquiry | Unknown
"""Every request that has an id, and so an answer."""


# --- what a target sends ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Version:
    """The target's greeting, with the extensions it offers."""

    version: int
    extensions: tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class Status:
    """How a request ended."""

    id: int
    code: int
    message: bytes = b""


@dataclass(frozen=True, slots=True)
class Handle:
    """An opened file or directory."""

    id: int
    handle: bytes


@dataclass(frozen=True, slots=True)
class Data:
    """Content of a file."""

    id: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Names:
    """Entries of a directory, or one resolved path."""

    id: int
    names: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Attributes:
    """A file's attributes; their values are of no interest here."""

    id: int


@dataclass(frozen=True, slots=True)
class ExtendedReply:
    """The answer to an extension, in its own format."""

    id: int


Reply = Version | Status | Handle | Data | Names | Attributes | ExtendedReply
