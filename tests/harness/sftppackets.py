"""SFTP packets, made by hand from the draft, so that the codec is not tested against itself."""

from __future__ import annotations

import struct

INIT, OPEN, CLOSE, READ, WRITE, LSTAT, FSTAT = 1, 3, 4, 5, 6, 7, 8
SETSTAT, FSETSTAT, OPENDIR, READDIR, REMOVE, MKDIR, RMDIR = 9, 10, 11, 12, 13, 14, 15
REALPATH, STAT, RENAME, READLINK, SYMLINK, EXTENDED = 16, 17, 18, 19, 20, 200
VERSION, STATUS, HANDLE, DATA, NAME, ATTRS, EXTENDED_REPLY = 2, 101, 102, 103, 104, 105, 201

R, W, APPEND, CREAT, TRUNC, EXCL = 1, 2, 4, 8, 16, 32


class Long(int):
    """A number of eight bytes; plain ones have four."""


def packet(kind: int, *fields: int | bytes) -> bytes:
    """Numbers and strings, framed."""
    body = bytes([kind])
    for field in fields:
        if isinstance(field, Long):
            body += struct.pack(">Q", field)
        elif isinstance(field, int):
            body += struct.pack(">I", field)
        else:
            body += struct.pack(">I", len(field)) + field
    return struct.pack(">I", len(body)) + body


def attributes(**values: int) -> tuple[int, ...]:
    """ATTRS with a size and permissions, if given."""
    flags = (1 if "size" in values else 0) | (4 if "permissions" in values else 0)
    fields: list[int] = [flags]
    if "size" in values:
        fields.append(Long(values["size"]))
    if "permissions" in values:
        fields.append(values["permissions"])
    return tuple(fields)


def status(ident: int, code: int = 0, message: bytes = b"") -> bytes:
    """A STATUS reply."""
    return packet(STATUS, ident, code, message, b"en")


def names(ident: int, *entries: bytes) -> bytes:
    """A NAME reply."""
    fields: list[int | bytes] = []
    for entry in entries:
        fields += [entry, entry, 0]
    return packet(NAME, ident, len(entries), *fields)
