"""Where a player stands on its timeline: pure, fed with the time that has passed."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from typing import Final

SPEEDS: Final = (1, 2, 4, 8, 16)


class Playback:
    """Plays events that lie at `times` (seconds, never falling).

    `idle_limit` > 0 shortens every longer pause to that many seconds; all positions are on the
    shortened timeline.
    """

    def __init__(
        self, times: Sequence[float], *, speed: float = 1.0, idle_limit: float = 0.0
    ) -> None:
        self._times = _shorten(times, idle_limit)
        self.speed = speed
        self.position = 0.0
        self.playing = True

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

    def advance(self, elapsed: float) -> None:
        """Let seconds of real time pass; at the end the player pauses."""
        if self.playing:
            self.seek(self.position + max(0.0, elapsed) * self.speed)
            self.playing = not self.ended

    def seek(self, position: float) -> None:
        """Go to a position, clamped to the timeline."""
        self.position = min(max(0.0, position), self.duration)

    def seek_event(self, number: int) -> None:
        """Go where an event has just happened."""
        self.seek(self._times[number])

    def toggle(self) -> None:
        """Play or pause; played from the end, it begins again."""
        if not self.playing and self.ended:
            self.position = 0.0
        self.playing = not self.playing

    def change_speed(self, steps: int) -> None:
        """Go up or down the list of speeds."""
        place = bisect_right(SPEEDS, self.speed) - 1 + steps
        self.speed = SPEEDS[min(max(0, place), len(SPEEDS) - 1)]


def next_marker(markers: Sequence[tuple[int, str]], count: int) -> tuple[int, str] | None:
    """The first marker that has not happened when `count` events have."""
    for number, label in markers[bisect_right(markers, (count, "")) :]:
        if number >= count:
            return number, label
    return None


def clock(seconds: float) -> str:
    """A position as people read it: `1:02`, `1:00:05`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def bar(position: float, duration: float, width: int, marks: Sequence[float] = ()) -> str:
    """A timeline of `width` characters: what has passed, what comes, and markers."""
    if width <= 0:
        return ""

    def cell(moment: float) -> int:
        return min(width - 1, int(moment / duration * width)) if duration else width - 1

    here = cell(position)
    cells = ["━" if place < here else "─" for place in range(width)]
    for mark in marks:
        cells[cell(mark)] = "◆"
    cells[here] = "●"
    return "".join(cells)


def _shorten(times: Sequence[float], idle_limit: float) -> array[float]:
    shortened = array("d")
    position = previous = 0.0
    for time in times:
        gap = time - previous
        position += min(gap, idle_limit) if idle_limit > 0 else gap
        previous = time
        shortened.append(position)
    return shortened
