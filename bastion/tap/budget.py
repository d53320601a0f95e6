"""What emulating a channel's terminal may cost: no count of bytes says it, so work is measured.

A few bytes can be dear: `CSI 65535 b` writes 65535 characters, and in a window of two columns every
second one scrolls. A target that sends such would hold up everybody's sessions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class TooDear(Exception):
    """The budget is used up, or the emulator broke; it is of no use any more."""


class Budget:
    """Seconds of work that are earned by what was to be done, and spent by doing it."""

    def __init__(self, work: Callable[[], float], slack: float) -> None:
        """`work` is a clock of this thread's work, in seconds; `slack` may be owed at once."""
        self._work = work
        self._slack = self._credit = slack

    def spend(self, step: Callable[[], T], earned: float) -> T:
        """Do a step that may cost `earned` seconds; TooDear where that was too much."""
        began = self._work()
        try:
            done = step()
        except BaseException as error:
            # A panic of the emulator is no Exception.
            if type(error).__name__ != "PanicException":
                raise
            raise TooDear from None
        self._credit = min(self._slack, self._credit + earned) - (self._work() - began)
        if self._credit < 0:
            raise TooDear
        return done
