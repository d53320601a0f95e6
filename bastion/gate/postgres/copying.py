"""The masked columns of what COPY … TO STDOUT sends, so that it stays a file of its format.

A stream: lines and tuples may be cut anywhere, and are as long as they like. Of a masked field
nothing is kept but its first bytes, by which NULL is known. What stands for it is a value of its
type where there is one (`instead`), else NULL.

The formats are those of the manual's page on COPY, "File Formats".
"""

from __future__ import annotations

import re
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from bastion.errors import TargetFault
from bastion.gate.postgres.mask import Masks, instead
from bastion.model import SqlCopy
from bastion.wire.postgres import Column

_SIGNATURE: Final = b"PGCOPY\n\xff\r\n\0"
_HEADER: Final = len(_SIGNATURE) + 8
_NULL: Final = b"\xff\xff\xff\xff"
_PAIRED: Final = {
    "sjis": b"\x81-\x9f\xe0-\xfc", "shiftjis2004": b"\x81-\x9f\xe0-\xfc",
    "big5": b"\x81-\xfe", "gbk": b"\x81-\xfe", "gb18030": b"\x81-\xfe", "uhc": b"\x81-\xfe",
    "johab": b"\x84-\xf9",
}  # fmt: skip
"""Encodings in which the second byte of a letter may be a backslash, and the bytes that begin one.
Letters of four bytes in GB18030 are two such pairs."""
_ALIASES: Final = {
    "shiftjis": "sjis", "mskanji": "sjis", "win932": "sjis", "windows932": "sjis",
    "win950": "big5", "windows950": "big5", "win936": "gbk", "windows936": "gbk",
    "win949": "uhc", "windows949": "uhc",
}  # fmt: skip


class Masker(ABC):
    """Masks one copy."""

    @abstractmethod
    def feed(self, data: bytes) -> bytes:
        """Give what the client gets for the next bytes."""

    @abstractmethod
    def finish(self) -> None:
        """The copy is over; TargetFault where a line is not."""


@dataclass(slots=True, eq=False)
class Copy:
    """One COPY TO STDOUT of what may hold masked columns."""

    form: SqlCopy
    columns: tuple[Column, ...] | None = None
    """As the server described them for the same query."""
    masker: Masker | None = None

    def begin(self, masks: Masks, count: int, *, binary: bool) -> None:
        """The server begins to send lines of so many fields."""
        columns = self.columns
        if columns is None or binary != (self.form.format == "binary"):
            raise TargetFault("the database copies out what it did not describe.")
        if len(columns) != count:  # `COPY t` leaves generated columns out
            kept = (one for one in columns if one.number not in masks.generated.get(one.table, ()))
            columns = tuple(kept)
        at = masks.hidden(columns)
        if len(columns) == count or not at:
            hidden = {one: instead(columns[one]) for one in at}
        else:  # which field is which is not known
            hidden = dict.fromkeys(range(count))
        if hidden and binary:
            self.masker = BinaryMasker(hidden, count)
        elif hidden:
            self.masker = TextMasker(self.form, hidden, count)


class TextMasker(Masker):
    """The formats text and csv."""

    def __init__(self, form: SqlCopy, hidden: Mapping[int, bytes | None], count: int) -> None:
        self._hidden = hidden
        self._count = count
        self._csv = form.format == "csv"
        self._null = form.null.encode()
        self._quote = form.quote.encode() if self._csv else b""
        self._escape = form.escape.encode() if self._csv else b"\\"
        self._delimiter = form.delimiter.encode()
        self._ends = self._delimiter + b"\n"
        self._in_header = form.header
        encoding = "".join(letter for letter in form.encoding.lower() if letter.isalnum())
        lead = _PAIRED.get(_ALIASES.get(encoding, encoding), b"")
        self._outside = self._signs(self._ends + self._quote, lead, b"" if self._csv else b"\\")
        paired = self._escape if self._escape != self._quote else b""
        self._inside = self._signs(self._quote, lead, paired) if self._csv else self._outside
        self._index = 0
        self._in_quotes = self._was_quoted = False
        self._head = b""
        """Of a masked field as much as tells whether it is NULL."""
        self._size = 0
        self._cut = b""
        """The first byte of two that belong together."""

    @staticmethod
    def _signs(single: bytes, lead: bytes, escape: bytes) -> re.Pattern[bytes]:
        """What is looked for: single bytes that mean something, and pairs that are content."""
        first = lead + re.escape(escape)
        pair = b"[" + first + rb"](?:.|\Z)|" if first else b""
        return re.compile(pair + b"[" + re.escape(single) + b"]", re.DOTALL)

    def feed(self, data: bytes) -> bytes:
        data, self._cut = self._cut + data, b""
        out: list[bytes] = []
        at = begin = 0
        while sign := (self._inside if self._in_quotes else self._outside).search(data, at):
            found, at = sign[0], sign.end()
            if len(found) == 2:
                continue
            if found == self._quote and self._csv:
                self._in_quotes = not self._in_quotes  # twice for one that is doubled
                self._was_quoted = True
            elif found in self._ends and not self._in_quotes:
                self._content(data[begin : sign.start()], out)
                self._end_field(out, found)
                begin = at
            else:
                self._cut = found
        self._content(data[begin : len(data) - len(self._cut)], out)
        return b"".join(out)

    def _content(self, content: bytes, out: list[bytes]) -> None:
        if not content:
            return
        if self._index not in self._hidden or self._in_header:
            out.append(content)
            return
        self._size += len(content)
        if len(self._head) <= len(self._null):
            self._head += content[: len(self._null) + 1]

    def _end_field(self, out: list[bytes], end: bytes) -> None:
        if self._index in self._hidden and not self._in_header:
            out.append(self._field(self._hidden[self._index]))
        self._head, self._size, self._was_quoted = b"", 0, False
        out.append(end)
        self._index += 1
        if end == b"\n":
            if self._index != self._count:
                raise TargetFault("the database sent a line of another shape than it described.")
            self._index, self._in_header = 0, False

    def _field(self, value: bytes | None) -> bytes:
        """What stands for the masked field that has ended."""
        null = self._size == len(self._null) and self._head == self._null and not self._was_quoted
        if null or value is None:
            return self._null
        if not self._csv:
            special = re.escape(b"\\" + self._delimiter)
            return re.sub(b"[" + special + b"]", lambda one: b"\\" + one[0], value)
        special = re.escape(self._quote + self._escape)
        escaped = re.sub(b"[" + special + b"]", lambda one: self._escape + one[0], value)
        quoted = self._was_quoted or value == self._null or escaped != value
        quoted = quoted or self._delimiter in value
        return self._quote + escaped + self._quote if quoted else value

    def finish(self) -> None:
        if self._index or self._cut or self._in_quotes or self._size:
            raise TargetFault("the database ended a copy within a line.")


class BinaryMasker(Masker):
    """The binary format."""

    def __init__(self, hidden: Mapping[int, bytes | None], count: int) -> None:
        self._hidden = hidden
        self._count = count
        self._step: Callable[[bytes], bytes] = self._header
        self._lacking = _HEADER
        self._begun = b""
        self._index = 0
        self._passing: bool | None = None
        """Within a field: whether it is shown."""

    def feed(self, data: bytes) -> bytes:
        out: list[bytes] = []
        at = 0
        while at < len(data):
            step = data[at : at + self._lacking]
            at += len(step)
            self._lacking -= len(step)
            if self._passing is None:
                self._begun += step
            elif self._passing:
                out.append(step)
            if self._lacking == 0:
                begun, self._begun = self._begun, b""
                out.append(self._step(begun))
        return b"".join(out)

    def _next(self, step: Callable[[bytes], bytes], lacking: int) -> None:
        self._step, self._lacking = step, lacking

    def _header(self, begun: bytes) -> bytes:
        flags, size = (int.from_bytes(begun[at : at + 4], "big") for at in (11, 15))
        if not begun.startswith(_SIGNATURE) or flags or size:
            raise TargetFault("the database sent a binary copy of a kind that is unknown here.")
        self._next(self._tuple, 2)
        return begun

    def _tuple(self, begun: bytes) -> bytes:
        if begun == b"\xff\xff":  # the end: nothing may follow
            self._next(self._beyond, 1)
        elif int.from_bytes(begun, "big") != self._count:
            raise TargetFault("the database sent a tuple of another shape than it described.")
        else:
            self._index = 0
            self._next(self._length, 4)
        return begun

    def _length(self, begun: bytes) -> bytes:
        size = int.from_bytes(begun, "big", signed=True)
        if size < -1:
            raise TargetFault("the database sent a field of less than no bytes.")
        index = self._index
        shown = index not in self._hidden
        if size > 0:
            self._passing = shown
            self._next(self._value, size)
        else:
            self._over()
        value = None if shown or size < 0 else self._hidden[index]
        return begun if shown else _NULL if value is None else struct.pack(">i", len(value)) + value

    def _value(self, _: bytes) -> bytes:
        self._passing = None
        self._over()
        return b""

    def _over(self) -> None:
        self._index += 1
        if self._index < self._count:
            self._next(self._length, 4)
        else:
            self._next(self._tuple, 2)

    def _beyond(self, _: bytes) -> bytes:
        raise TargetFault("the database went on after the end of a copy.")

    def finish(self) -> None:
        if self._begun or self._passing is not None or self._step == self._length:
            raise TargetFault("the database ended a copy within a tuple.")
