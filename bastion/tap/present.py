"""A channel's screen as it stands, kept as a terminal in memory: what a late follower begins with.

It is fed what was shown, masked already, and drawn as one sequence that leads a fresh terminal of
the same kind to the same state.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable
from typing import Final

import avt

from bastion.tap.budget import Budget

MOST_COLUMNS: Final = 500
MOST_ROWS: Final = 200
"""The emulator moves every cell at a scroll; followers emulate no larger window either."""

STEP: Final = 128
"""Characters fed between two looks at the clock: of a hostile target's they can cost 100 ms."""

SLACK: Final = 0.02
"""Seconds of work that may be owed at once."""

EARNED: Final = 1e-6
EARNED_BY_CELL: Final = 0.1e-9
"""Seconds of work that a character may cost, and more for each cell of the window: many times what
those of ordinary programs do. Whoever joins late is worth less than everybody's sessions."""

RESIZE_EARNED: Final = 5e-4
"""Seconds of work that a resize may cost: a few hundred times that of an ordinary window."""


class Present:
    """One screen. Methods raise TooDear; after that it is of no use any more."""

    def __init__(self, columns: int, rows: int, work: Callable[[], float]) -> None:
        """`work` is a clock of this thread's work, in seconds."""
        self._vt = avt.Vt(*_clamped(columns, rows), scrollback_limit=0)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._budget = Budget(work, SLACK)

    def feed(self, data: bytes) -> bytes:
        """Show it; gives back the bytes of a last character that is not whole yet."""
        text = self._decoder.decode(data)
        columns, rows = self._vt.size
        earned = EARNED + EARNED_BY_CELL * columns * rows
        for start in range(0, len(text), STEP):
            piece = text[start : start + STEP]
            self._budget.spend(lambda: self._vt.feed_str(piece), len(piece) * earned)  # noqa: B023
        begun, _ = self._decoder.getstate()
        self._decoder.reset()
        return begun

    def resize(self, columns: int, rows: int) -> None:
        """The window has a new size."""
        self._budget.spend(lambda: self._vt.resize(*_clamped(columns, rows)), RESIZE_EARNED)

    def drawn(self) -> bytes:
        """What leads an empty terminal of this size here; for an emulator, never for a terminal."""
        dump: str = self._vt.dump()
        return dump.encode()


def _clamped(columns: int, rows: int) -> tuple[int, int]:
    """The emulator breaks on a window one column wide."""
    return max(2, min(columns, MOST_COLUMNS)), max(1, min(rows, MOST_ROWS))
