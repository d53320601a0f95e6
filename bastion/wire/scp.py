"""The protocol of rcp, as legacy scp speaks it: records, and the answers to them.

One side sends records (`T` times, `C` a file, `D` a directory, `E` its end) and content, the other
answers each with one byte: 0, or 1 (a warning) or 2 (the end) and a line. There is no other source
than OpenSSH's scp.c, whose checks of names and sizes are followed (CVE-2018-20685, CVE-2019-6111).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from bastion.errors import ProtocolFault

LINE_LIMIT: Final = 8192
"""Bytes of a record or a message: a line that never ends must not be waited for."""
SIZE_LIMIT: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Times:
    """`T`: the times of what comes next."""


@dataclass(frozen=True, slots=True)
class File:
    """`C`: a file of `size` bytes, whose content follows once the record is answered."""

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Directory:
    """`D`: what follows lies in it, until its `End`."""

    name: str


@dataclass(frozen=True, slots=True)
class End:
    """`E`: back to the directory above."""


@dataclass(frozen=True, slots=True)
class Message:
    """A warning, or with `fatal` the end, from either side; in place of a record or an answer."""

    text: str
    fatal: bool


Record = Times | File | Directory | End | Message

_TIMES: Final = re.compile(rb"T[0-9]{1,20} [0-9]{1,6} [0-9]{1,20} [0-9]{1,6}\n")
_ENTRY: Final = re.compile(rb"([CD])([0-7]{4}) ([0-9]{1,19}) ([^/\x00-\x1f\x7f]+)\n")


class Lines:
    """Cuts one direction of a stream into lines, answers and content, as they are asked for."""

    def __init__(self, fault: type[ProtocolFault]) -> None:
        self._fault = fault
        self._buffer = bytearray()

    def __len__(self) -> int:
        """Bytes that wait."""
        return len(self._buffer)

    def add(self, data: bytes) -> None:
        """Append what arrived; the caller bounds how much may wait."""
        self._buffer += data

    def content(self, limit: int) -> bytes:
        """Up to `limit` bytes of what is there."""
        data = bytes(self._buffer[:limit])
        del self._buffer[:limit]
        return data

    def answer(self) -> bytes | None:
        """The next answer: one zero byte, or 1 or 2 and a line. None until it is whole."""
        if self._buffer.startswith(b"\0"):
            return self.content(1)
        if self._buffer and not self._buffer.startswith((b"\1", b"\2")):
            raise self._fault("something that is no answer of scp was sent")
        return self.line()

    def line(self) -> bytes | None:
        """The next line with its newline, or None until it is whole."""
        end = self._buffer.find(b"\n", 0, LINE_LIMIT)
        if end < 0:
            if len(self._buffer) >= LINE_LIMIT:
                raise self._fault("a line of scp's protocol does not end")
            return None
        return self.content(end + 1)


def decode_record(line: bytes, fault: type[ProtocolFault]) -> Record:
    """Read a record. Raises `fault` for anything that is none, and for names that could escape."""
    if line[:1] in {b"\1", b"\2"}:
        return decode_message(line)
    if line == b"E\n":
        return End()
    if _TIMES.fullmatch(line):
        return Times()
    entry = _ENTRY.fullmatch(line)
    if entry is None:
        raise fault("something that is no record of scp was sent")
    name, size = entry[4].decode("utf-8", "surrogateescape"), int(entry[3])
    if name in {".", ".."} or size > SIZE_LIMIT:
        raise fault("a record of scp holds no possible name or size")
    return File(name, size) if entry[1] == b"C" else Directory(name)


def decode_message(answer: bytes) -> Message:
    """Read a warning or a fatal message: 1 or 2, then a line."""
    return Message(answer[1:-1].decode("utf-8", "replace"), fatal=answer[:1] == b"\2")


def encode_warning(text: str) -> bytes:
    """Says on the sender's side that what it wanted to send is not taken."""
    line = text.replace("\n", " ").encode("utf-8", "replace")
    return b"\1" + line[: LINE_LIMIT - 2] + b"\n"
