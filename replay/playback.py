"""Where a player stands on its timeline: pure, fed with the time that has passed."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

SPEEDS: Final = (0.5, 1, 2, 4, 8, 16)


class Playback:
    """Plays events that lie at `times` (seconds, never falling).

    `idle_limit` > 0 shortens every longer pause to that many seconds; all positions are on the
    shortened timeline.
    """

    def __init__(
        self, times: Sequence[float], *, speed: float = 1.0, idle_limit: float = 0.0
    ) -> None:
        self._times = array("d")
        self._idle_limit = idle_limit
        self._latest = 0.0
        self.extend(times)
        self.speed = speed
        self.position = 0.0
        self.playing = True

    def __len__(self) -> int:
        return len(self._times)

    @property
    def idle_limit(self) -> float:
        """The longest pause, in seconds; 0 where none is shortened."""
        return self._idle_limit

    def extend(self, times: Iterable[float]) -> None:
        """More events have come, none before the last."""
        position = self._times[-1] if self._times else 0.0
        for time in times:
            gap = max(0.0, time - self._latest)
            position += min(gap, self._idle_limit) if self._idle_limit > 0 else gap
            self._latest = max(self._latest, time)
            self._times.append(position)

    def limit_idle(self, times: Sequence[float], idle_limit: float) -> None:
        """Shorten pauses otherwise, and stay at the same event."""
        count = self.count
        self._idle_limit, self._latest = idle_limit, 0.0
        self._times = array("d")
        self.extend(times)
        self.position = self._times[count - 1] if count else 0.0

    @property
    def duration(self) -> float:
        """When the last event happens."""
        return self._times[-1] if self._times else 0.0

    @property
    def count(self) -> int:
        """How many events have happened at the position: those at it exactly are in."""
        return bisect_right(self._times, self.position)

    @property
    def ended(self) -> bool:
        """Whether everything has happened."""
        return self.position >= self.duration

    def at(self, number: int) -> float:
        """The position of an event."""
        return self._times[number]

    def position_of(self, times: Sequence[float], moment: float) -> float:
        """Where a moment lies, given the times as they were: pauses may be shortened."""
        before = bisect_right(times, moment) - 1
        if before < 0:
            return min(moment, self._times[0]) if self._times else 0.0
        after = self._times[before + 1] if before + 1 < len(self._times) else math.inf
        return min(self._times[before] + moment - times[before], after, self.duration)

    def advance(self, elapsed: float) -> None:
        """Let seconds of real time pass; at the end the player pauses."""
        if self.playing:
            self.seek(self.position + max(0.0, elapsed) * self.speed)
            self.playing = not self.ended

    def seek(self, position: float) -> None:
        """Go to a position, clamped to the timeline."""
        self.position = min(max(0.0, position), self.duration)

    def step(self, count: int) -> None:
        """Go to the next event (1) or to the one before (-1) that shows at another time."""
        self.playing = False
        here = self.count
        if count > 0:
            self.seek(self._times[here] if here < len(self._times) else self.duration)
        elif here:
            before = bisect_left(self._times, self._times[here - 1])
            self.seek(self._times[before - 1] if before else 0.0)

    def toggle(self) -> None:
        """Play or pause; played from the end, it begins again."""
        if not self.playing and self.ended:
            self.position = 0.0
        self.playing = not self.playing

    def change_speed(self, steps: int) -> None:
        """Go up or down the list of speeds."""
        place = bisect_right(SPEEDS, self.speed) - 1 + steps
        self.speed = SPEEDS[min(max(0, place), len(SPEEDS) - 1)]


def parse_place(text: str, duration: float) -> float | None:
    """`45%`, `90`, `1:02`, `1:00:05` as seconds; None where it is none of them."""
    text = text.strip()
    try:
        if text.endswith("%"):
            return duration * min(100.0, max(0.0, float(text[:-1]))) / 100
        seconds = 0.0
        for part in text.split(":"):
            seconds = seconds * 60 + float(part)
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def clock(seconds: float) -> str:
    """A position as people read it: `1:02`, `1:00:05`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def cell_of(moment: float, duration: float, width: int) -> int:
    """Where on a timeline of `width` cells a position lies."""
    return min(width - 1, int(moment / duration * width)) if duration else width - 1


def bar(position: float, duration: float, width: int, marks: Mapping[int, str]) -> str:
    """A timeline of `width` characters: what has passed, what comes, and marks in their cells."""
    if width <= 0:
        return ""
    here = cell_of(position, duration, width)
    cells = ["━" if place < here else "─" for place in range(width)]
    for cell, mark in marks.items():
        cells[cell] = mark
    cells[here] = "●"
    return "".join(cells)
