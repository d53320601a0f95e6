"""Brings a screen to any event of a cast, from the nearest place it remembers."""

from __future__ import annotations

from bisect import bisect_right
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

EVENT_COST: Final = 50
"""What an event costs beside its characters: a million empty ones must not hold the screen up."""


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

    def __init__(self, events: Events, screen: Screen, total: int) -> None:
        """`total` is how many events there are."""
        self.screen = screen
        self.count = 0
        self.limit = total
        """How many events can be shown; fewer than there are after a `fault`."""
        self.fault = ""
        self._events = events
        self.changes = 0
        """Grows whenever the screen may look different."""
        self._rest = ""
        self._since = 0
        self._keyframes = [_Keyframe(0, screen.size, screen.dump())]

    def show(self, count: int, budget: int) -> bool:
        """Go towards the state after `count` events; False if `budget` characters did not do."""
        if min(count, self.limit) < self.count:
            self._go_back(min(count, self.limit))
        while self._rest or self.count < min(count, self.limit):
            if budget <= 0:
                return False
            budget -= self._step()
        return True

    def _go_back(self, count: int) -> None:
        place = bisect_right(self._keyframes, count, key=lambda keyframe: keyframe.count) - 1
        keyframe = self._keyframes[place]
        self.screen.restore(keyframe.size, keyframe.dump)
        self.changes += 1
        self.count, self._rest, self._since = keyframe.count, "", 0

    def _step(self) -> int:
        """Feed a piece of the event at hand, or begin the next; give what it cost."""
        self.changes += 1
        try:
            return self._feed_piece() if self._rest else self._begin_next()
        except CastFault as fault:
            self.fault = f"line {self.count + 1}: {fault}"
            self.limit = max(0, self.count - 1)
            self._go_back(self.limit)
            return EVENT_COST

    def _begin_next(self) -> int:
        self.count += 1
        event = self._events.event(self.count - 1)
        if event.code == asciicast.OUTPUT:
            self._rest = event.data
        elif event.code == asciicast.RESIZE:
            columns, rows = asciicast.parse_resize(event.data)
            self.screen.resize(columns, rows)
            # The emulator moves every cell: a thousand great windows are a bomb.
            return EVENT_COST + columns * rows
        return EVENT_COST

    def _feed_piece(self) -> int:
        piece, self._rest = self._rest[:PIECE], self._rest[PIECE:]
        self.screen.feed(piece)
        self._since += len(piece)
        latest = self._keyframes[-1]
        apart = KEYFRAME_EVERY + KEYFRAME_SHARE * len(latest.dump)
        if self._since >= apart and not self._rest and self.count > latest.count:
            self._since = 0
            self._keyframes.append(_Keyframe(self.count, self.screen.size, self.screen.dump()))
        return len(piece)
