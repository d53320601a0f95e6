"""The end of what a channel has shown, kept for whoever looks on: followers, and approvers.

It stands behind the masker like the recording does, and gets the same bytes (invariant 7).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

KEPT: Final = 32 * 1024
"""Bytes kept a channel, so that thousands of busy channels stay within some tens of megabytes.
A full-screen program that drew its frame longer ago shows in parts until it draws again."""

Watcher = Callable[[bytes], None]
"""Gets what was shown, or nothing at all where only the size changed."""


@dataclass(frozen=True, slots=True)
class Seen:
    """The size of a terminal, and the bytes that led to what it shows.

    `cut` says that bytes before these are not kept any more.
    """

    columns: int
    rows: int
    data: bytes
    cut: bool = False


class Tail:
    """The last bytes of one channel, and who watches it grow."""

    def __init__(self, columns: int, rows: int) -> None:
        self._columns, self._rows = columns, rows
        self._kept = bytearray()
        self._cut = False
        self._watchers: list[Watcher] = []

    def feed(self, data: bytes) -> None:
        """Bytes are shown, masked already."""
        self._kept += data[-KEPT:]
        if len(self._kept) > 2 * KEPT or len(data) > KEPT:
            self._cut = True
            del self._kept[: len(self._kept) - KEPT]
        self._tell(data)

    def resize(self, columns: int, rows: int) -> None:
        """The window has a new size."""
        self._columns, self._rows = columns, rows
        self._tell(b"")

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows."""
        return self._columns, self._rows

    def seen(self) -> Seen:
        """All that is kept; where the beginning is cut, from the first whole line on."""
        data = bytes(self._kept)
        if self._cut:
            data = data[data.find(b"\n") + 1 :]
        return Seen(self._columns, self._rows, data, self._cut)

    def watch(self, watcher: Watcher) -> Callable[[], None]:
        """Tell `watcher` what is shown from now on; call what is returned to stop."""
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher) if watcher in self._watchers else None

    def _tell(self, data: bytes) -> None:
        for watcher in tuple(self._watchers):
            watcher(data)
