"""Brings a screen to any event of a cast, from the nearest place it remembers."""

from __future__ import annotations

import math
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

KEYFRAME_SECONDS: Final = 0.03
"""Seconds of emulation between two remembered screens, where characters are dear."""

KEYFRAME_SHARE: Final = 16
"""Times its own size that a remembered screen must be apart from the next: huge ones are rare."""


class Events(Protocol):
    """What is played."""

    def event(self, number: int) -> CastEvent:
        """Read one event."""


@dataclass(frozen=True, slots=True)
class Keyframe:
    """A screen that is remembered: after `count` events, of whose last `fed` characters were shown
    (all of them where it is -1)."""

    count: int
    fed: int
    size: tuple[int, int]
    dump: str


class Stage:
    """A screen, and how many events it has seen.

    Two stages may share `keyframes`: one runs ahead and remembers, the other jumps.
    """

    def __init__(
        self,
        events: Events,
        screen: Screen,
        total: int,
        clock: Callable[[], float] = time.perf_counter,
        keyframes: list[Keyframe] | None = None,
    ) -> None:
        """`total` is how many events there are."""
        self.screen = screen
        self.count = 0
        self.limit = total
        """How many events can be shown; fewer than there are after a `fault`."""
        self.fault = ""
        self.changes = 0
        """Grows whenever the screen may look different."""
        self.changed: set[int] = set()
        """Rows that may look different since whoever cares emptied this."""
        self._events = events
        self._clock = clock
        self._rest = ""
        self._fed = 0
        self._since = 0
        self._spent = 0.0
        self.keyframes = keyframes if keyframes is not None else []
        if not self.keyframes:
            self.keyframes.append(Keyframe(0, -1, screen.size, screen.dump()))

    def show(self, count: int, seconds: float) -> bool:
        """Go towards the state after `count` events; False if `seconds` of work did not do.

        Time is what is bounded, for no count of characters says what they cost an emulator.
        """
        until = self._clock() + seconds
        self._jump(min(count, self.limit))
        while self._rest or self.count < min(count, self.limit):
            began = self._clock()
            self._step()
            now = self._clock()
            self._spent += now - began
            if now >= until:
                break
        return not self._rest and self.count >= min(count, self.limit)

    def extend(self, total: int) -> None:
        """There are more events now; after a fault none of them can be shown."""
        if not self.fault:
            self.limit = total

    def _jump(self, count: int) -> None:
        """Take the nearest remembered screen, where that is nearer than going on from here."""
        place = bisect_right(self.keyframes, count, key=lambda keyframe: keyframe.count) - 1
        keyframe = self.keyframes[place]
        here = _order(self.count, self._fed if self._rest else -1)
        if count < self.count or _order(keyframe.count, keyframe.fed) > here:
            self._restore(keyframe)

    def _restore(self, keyframe: Keyframe) -> None:
        self.screen.restore(keyframe.size, keyframe.dump)
        self.changes += 1
        self.changed.update(range(keyframe.size[1]))
        self.count, self._rest, self._fed = keyframe.count, "", 0
        self._since, self._spent = 0, 0.0
        if keyframe.fed >= 0:
            try:
                self._rest = self._events.event(keyframe.count - 1).data
            except CastFault:
                self._restore(self.keyframes[0])  # the way from there meets the fault, and tells it
            else:
                self._fed = keyframe.fed

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
            self._rest = ""
            self._jump(self.limit)

    def _begin_next(self) -> None:
        self.count += 1
        event = self._events.event(self.count - 1)
        if event.code == asciicast.OUTPUT:
            self._rest = event.data
            self._fed = 0
        elif event.code == asciicast.RESIZE:
            self.screen.resize(*asciicast.parse_resize(event.data))
            self.changed.update(range(self.screen.size[1]))

    def _feed_piece(self) -> None:
        piece = self._rest[self._fed : self._fed + PIECE]
        self.changed.update(self.screen.feed(piece))
        self._fed += PIECE
        self._since += len(piece)
        if self._fed >= len(self._rest):
            self._rest, self._fed = "", 0
        self._remember()

    def _remember(self) -> None:
        """A keyframe, after so many characters or so much work since the last."""
        latest = self.keyframes[-1]
        apart = KEYFRAME_EVERY + KEYFRAME_SHARE * len(latest.dump)
        dear = self._spent > KEYFRAME_SECONDS and self._since > KEYFRAME_SHARE * len(latest.dump)
        fed = self._fed if self._rest else -1
        is_new = _order(self.count, fed) > _order(latest.count, latest.fed)
        if is_new and (self._since >= apart or dear):
            self._since, self._spent = 0, 0.0
            self.keyframes.append(Keyframe(self.count, fed, self.screen.size, self.screen.dump()))


def _order(count: int, fed: int) -> tuple[int, float]:
    """Where a screen lies on the way: an event that is shown in part comes before it is whole."""
    return count, math.inf if fed < 0 else fed
