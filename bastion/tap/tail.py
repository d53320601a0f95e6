"""The end of what a channel has shown, kept for whoever looks on: followers, and approvers.

It stands behind the masker like the recording does, and gets the same bytes (invariant 7). What a
terminal shows depends on all that it was ever sent, so where there is one, bytes that are not kept
any more are not forgotten: a terminal in memory has been shown them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from bastion.tap.budget import TooDear
from bastion.tap.present import Present

KEPT: Final = 32 * 1024
"""Bytes kept a channel, so that thousands of busy channels stay within some tens of megabytes."""

Watcher = Callable[[bytes], None]
"""Gets what was shown, or nothing at all where only the size changed."""


@dataclass(frozen=True, slots=True)
class Seen:
    """The size of a terminal, and the bytes that lead an empty one to what it shows.

    `cut` says that bytes before these are lost; `raw` that there is no terminal, which would have
    made CR LF of LF.
    """

    columns: int
    rows: int
    data: bytes
    cut: bool = False
    raw: bool = False


class Tail:
    """The last bytes of one channel, and who watches it grow.

    `work`, where there is a terminal, is a clock of this thread's work in seconds.
    """

    def __init__(self, columns: int, rows: int, *, work: Callable[[], float] | None = None) -> None:
        self._columns, self._rows = columns, rows
        self._work = work
        self.raw = work is None
        """Whether there is no terminal."""
        self._before: Present | None = None
        """The screen before the kept bytes, once there are others than those."""
        self._kept = bytearray()
        self._cut = False
        self._watchers: list[Watcher] = []

    def feed(self, data: bytes) -> None:
        """Bytes are shown, masked already."""
        self._kept += data
        if len(self._kept) > 2 * KEPT:
            self._let_go(len(self._kept) - KEPT)
        self._tell(data)

    def resize(self, columns: int, rows: int) -> None:
        """The window has a new size: what was shown before was shown in the old one."""
        changed = (columns, rows) != self.size
        if changed and self._kept:
            self._let_go(len(self._kept))
        self._columns, self._rows = columns, rows
        if changed and self._before is not None:
            self._emulate(lambda screen: screen.resize(columns, rows))
        self._tell(b"")

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows."""
        return self._columns, self._rows

    def seen(self) -> Seen:
        """What leads to what is shown now; where that is lost, all from the first whole line on."""
        data = bytes(self._kept)
        if self._before is not None:
            data = self._before.drawn() + data
        elif self._cut:
            data = data[data.find(b"\n") + 1 :]
        return Seen(self._columns, self._rows, data, self._cut, self.raw)

    def watch(self, watcher: Watcher) -> Callable[[], None]:
        """Tell `watcher` what is shown from now on; call what is returned to stop."""
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher) if watcher in self._watchers else None

    def _let_go(self, size: int) -> None:
        """Keep so many bytes less; without a terminal those that are kept are all there is."""
        gone = bytes(self._kept[:size])
        begun = self._emulate(lambda screen: screen.feed(gone))
        if begun is not None:
            self._kept[:size] = begun
        elif len(self._kept) > KEPT:
            self._cut = True
            del self._kept[: len(self._kept) - KEPT]

    def _emulate(self, step: Callable[[Present], bytes | None]) -> bytes | None:
        """None where no terminal is kept, or not any more."""
        if self._work is None:
            return None
        if self._before is None:
            self._before = Present(self._columns, self._rows, self._work)
        try:
            return step(self._before)
        except TooDear:
            # For good: a target that does it once does it again.
            self._before, self._work = None, None
            self._cut = True
            return None

    def _tell(self, data: bytes) -> None:
        for watcher in tuple(self._watchers):
            watcher(data)
