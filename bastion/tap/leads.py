"""What stands before each line of a text that was set off: line numbers, `| `, a log's time.

The lines of a key may come as `cat -n`, `grep -n`, `diff`, `docker compose logs` or syslog show
them. Whatever stands before the first line is expected before the others: numbers may differ.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import Final, NamedTuple

LONGEST: Final = 200
"""Bytes before a line: what is longer is no lead, but a line of something else."""

PART: Final = -1
"""A line that may become one with the lead, when more of it comes."""

_TOKEN: Final = re.compile(rb" *[0-9]+|[^0-9 ]+| +")
_EITHER: Final = frozenset(b":-")
"""`grep` writes `file:1:` before the lines that match and `file-2-` before those around them."""


class Lead:
    """What a line must begin with to belong to the first one."""

    def __init__(self, before: bytes) -> None:
        self._tokens = _TOKEN.findall(before) if len(before) <= LONGEST else []

    def __bool__(self) -> bool:
        return bool(self._tokens)

    def ends(self, line: bytes) -> int | None:
        """How much of `line` is lead; PART where it ends too soon to tell; None: it has none."""
        at = 0
        for token in self._tokens:
            match = _number(line, at) if token[-1:].isdigit() else _literal(line, at, token)
            if match is None or match == PART:
                return match
            at = match
        return at if at < len(line) or not self._tokens else PART


def _number(line: bytes, at: int) -> int | None:
    end = at
    while line[end : end + 1] == b" ":
        end += 1
    start = end
    while line[end : end + 1].isdigit():
        end += 1
    if end == len(line):
        return PART
    return end if end > start else None


def _literal(line: bytes, at: int, token: bytes) -> int | None:
    for byte in token:
        if at == len(line):
            return PART
        if line[at] != byte and not {line[at], byte} <= _EITHER:
            return None
        at += 1
    return at


class Unled(NamedTuple):
    """Lines without their leads, and where they stood."""

    data: bytes
    starts: list[int]
    """Where in `data` a piece begins …"""
    places: list[int]
    """… and where it stood."""

    def place(self, at: int) -> int:
        """Where the byte at `at` of the data stood."""
        index = bisect_right(self.starts, at) - 1
        return self.places[index] + at - self.starts[index]
