"""Brings a screen to any event of a cast, from the nearest place it remembers."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from bastion.errors import CastFault
from bastion.wire import asciicast
from bastion.wire.asciicast import CastEvent
from replay.screen import PIECE, Screen

KEYFRAME_EVERY: Final = 1024 * 1024
"""Characters between two remembered screens: avt plays as many in about 15 ms."""


KEYFRAME_SHARE: Final = 16
"""Times its own size that a remembered screen must be apart from the next: huge ones are rare."""


class Events(Protocol):
    """What is played."""

    def event(self, number: int) -> CastEvent:
        """Read one event."""


@dataclass(frozen=True, slots=True)
class _Keyframe:
    count: int
    size: tuple[int, int]
    dump: str


class Stage:
    """A screen, and how many events it has seen."""

    def __init__(
        self,
        events: Events,
        screen: Screen,
        total: int,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """`total` is how many events there are."""
        self.screen = screen
        self.count = 0
        self.limit = total
        """How many events can be shown; fewer than there are after a `fault`."""
        self.fault = ""
        self._events = events
        self.changes = 0
        """Grows whenever the screen may look different."""
        self._clock = clock
        self._rest = ""
        self._fed = 0
        self._since = 0
        self._keyframes = [_Keyframe(0, screen.size, screen.dump())]

    def show(self, count: int, seconds: float) -> bool:
        """Go towards the state after `count` events; False if `seconds` of work did not do.

        Time is what is bounded, for no count of characters says what they cost an emulator.
        """
        until = self._clock() + seconds
        if min(count, self.limit) < self.count:
            self._go_back(min(count, self.limit))
        while self._rest or self.count < min(count, self.limit):
            self._step()
            if self._clock() >= until:
                break
        return not self._rest and self.count >= min(count, self.limit)

    def extend(self, total: int) -> None:
        """There are more events now; after a fault none of them can be shown."""
        if not self.fault:
            self.limit = total

    def _go_back(self, count: int) -> None:
        place = bisect_right(self._keyframes, count, key=lambda keyframe: keyframe.count) - 1
        keyframe = self._keyframes[place]
        self.screen.restore(keyframe.size, keyframe.dump)
        self.changes += 1
        self.count, self._rest, self._since = keyframe.count, "", 0

    def _step(self) -> None:
        """Feed a piece of the event at hand, or begin the next."""
        self.changes += 1
        try:
            if self._rest:
                self._feed_piece()
            else:
                self._begin_next()
        except CastFault as fault:
            self.fault = f"line {self.count + 1}: {fault}"
            self.limit = max(0, self.count - 1)
            self._go_back(self.limit)

    def _begin_next(self) -> None:
        self.count += 1
        event = self._events.event(self.count - 1)
        if event.code == asciicast.OUTPUT:
            self._rest = event.data
            self._fed = 0
        elif event.code == asciicast.RESIZE:
            self.screen.resize(*asciicast.parse_resize(event.data))

    def _feed_piece(self) -> None:
        piece = self._rest[self._fed : self._fed + PIECE]
        self.screen.feed(piece)
        self._fed += PIECE
        self._since += len(piece)
        if self._fed < len(self._rest):
            return
        self._rest = ""
        latest = self._keyframes[-1]
        apart = KEYFRAME_EVERY + KEYFRAME_SHARE * len(latest.dump)
        if self._since >= apart and self.count > latest.count:
            self._since = 0
            self._keyframes.append(_Keyframe(self.count, self.screen.size, self.screen.dump()))
