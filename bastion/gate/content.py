"""The SHA-256 of a file that travels in pieces, which may come out of order."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final, Protocol

REORDER_LIMIT: Final = 4 * 1024 * 1024
"""Bytes that may wait for an earlier piece, over all files of a channel: a peer that never sends
the first piece would otherwise fill the memory."""

_PIECE_COST: Final = 256
"""What keeping a piece costs beside its bytes: a million pieces of a byte are no megabyte."""


class Scanner(Protocol):
    """Looks at a file's content on its way."""

    blocks: bool
    """Whether a file with something in it must not pass."""

    def feed(self, data: bytes) -> None:
        """Look at a piece before it is passed on; ContentBlocked where it must not be."""

    def found(self) -> tuple[str, ...]:
        """Kinds of what was found."""


NewScanner = Callable[[], Scanner | None]


def no_scanner() -> None:
    """For channels whose files are not looked at."""


class ReorderWindow:
    """What is left of the channel's allowance for pieces that came too early."""

    def __init__(self, limit: int = REORDER_LIMIT) -> None:
        self.left = limit


class Content:
    """One file's content in one direction. `size` counts the bytes that travelled."""

    def __init__(self, window: ReorderWindow, scan: NewScanner = no_scanner) -> None:
        self._scanner = scan()
        self.size = 0
        self.end = 0
        """Bytes from the beginning that are hashed without a gap."""
        self._window = window
        self._hash = hashlib.sha256()
        self._early: dict[int, bytes] = {}
        self._doubt = ""

    def add(self, offset: int, data: bytes) -> None:
        """Take a piece that stands at `offset` bytes from the file's beginning."""
        self.size += len(data)
        if self._scanner is not None:
            # In the order it travels, for what waits for its turn here was passed on already.
            self._scanner.feed(data)
        if self._doubt or not data:
            return
        if offset == self.end:
            self._append(data)
            while self._early and (piece := self._early.pop(self.end, None)) is not None:
                self._window.left += len(piece) + _PIECE_COST
                self._append(piece)
        elif offset < self.end or offset in self._early:
            self.doubt("parts of it travelled more than once")
        elif len(data) + _PIECE_COST > self._window.left:
            self.doubt("it did not travel from the beginning, or too much out of order")
        else:
            self._window.left -= len(data) + _PIECE_COST
            self._early[offset] = data

    def doubt(self, reason: str) -> None:
        """Give the hash up: what travelled is not, in order, what is in the file."""
        self._doubt = self._doubt or reason
        self._window.left += sum(len(piece) + _PIECE_COST for piece in self._early.values())
        self._early.clear()

    def close(self) -> tuple[str, str]:
        """`(sha256 in hex, note)`; the hash is empty where a note says why. Frees the window."""
        if self._early:
            self.doubt("parts of it did not travel")
        return ("", self._doubt) if self._doubt else (self._hash.hexdigest(), "")

    def holds(self) -> str:
        """What was found in it, in words; empty where that is nothing."""
        found = self._scanner.found() if self._scanner is not None else ()
        return f"holds secrets: {', '.join(found)}" if found else ""

    def _append(self, data: bytes) -> None:
        self._hash.update(data)
        self.end += len(data)
