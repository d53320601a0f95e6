"""All channels of a session on one timeline: what is played, however many casts that are."""

from __future__ import annotations

import time
from array import array
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from bastion.errors import CastFault
from replay.castfile import CastFile, has_raw_newlines
from replay.happenings import Happening, HappeningsFile, of_marker
from replay.screen import AvtScreen, Screen
from replay.stage import Keyframe, Stage

MAX_TRACKS: Final = 200
"""Channels of one session that are played; each holds a file and a terminal in memory."""


@dataclass(eq=False)
class Track:
    """One channel: its cast, its happenings (on the cast's clock), its screen."""

    name: str
    cast: CastFile
    events: HappeningsFile | None = None
    happenings: list[Happening] = field(default_factory=list)
    offset: float = 0.0
    """Seconds from the beginning of the tape to that of the cast."""
    keyframes: list[Keyframe] = field(default_factory=list)
    stage: Stage = field(init=False)
    ahead: Stage = field(init=False)
    """Runs through once, so that `stage` can jump."""

    def __post_init__(self) -> None:
        self.stage, self.ahead = (
            Stage(self.cast, self.new_screen(), len(self.cast), keyframes=self.keyframes)
            for _ in range(2)
        )

    def new_screen(self) -> Screen:
        """An empty screen, as this channel's was in the beginning."""
        header = self.cast.header
        return AvtScreen(header.width, header.height, raw_newlines=has_raw_newlines(self.cast))

    def read_events(self) -> bool:
        """Take in what has happened since the last look; whether there was anything."""
        fresh = self.events.read_new() if self.events else []
        self.happenings += fresh
        return bool(fresh)

    @property
    def title(self) -> str:
        """What the channel is, as its recording says."""
        return self.cast.header.title or self.name

    @property
    def ungated(self) -> bool:
        """Whether it was a shell in which nothing was decided."""
        return any(one.ungated for one in self.happenings)

    @property
    def fault(self) -> str:
        """Why not all of it can be shown, or nothing."""
        return self.stage.fault or self.cast.fault


class Tape:
    """Tracks on one timeline. `times` are seconds since the first track's beginning, never falling.

    An event of the tape is one of a track; `count` of them have happened at a place.
    """

    def __init__(self, tracks: Sequence[Track]) -> None:
        """CastFault where there is none."""
        if not tracks:
            raise CastFault("There is no recording here.")
        self.tracks = sorted(tracks, key=lambda track: track.cast.header.timestamp)[:MAX_TRACKS]
        start = self.tracks[0].cast.header.timestamp
        for track in self.tracks:
            begun = track.cast.header.timestamp
            # A cast of somebody else's may have no time of its own.
            track.offset = max(0.0, begun - start) if begun and start else 0.0
        self.times = array("d")
        self.ready = False
        """Whether all that is there is indexed, and can be jumped to."""
        self.live = any(track.cast.live for track in self.tracks)
        self.at_close: list[Callable[[], object]] = []
        """What is to be done when nobody plays it any more."""
        self.news = 0
        """Grows whenever there are more happenings."""
        self._places = [array("Q") for _ in self.tracks]
        """For each track, which events of the tape are its own."""
        self._taken = [0] * len(self.tracks)
        self._clock: Callable[[], float] = time.perf_counter

    def close(self) -> None:
        """Let go of the files."""
        for track in self.tracks:
            track.cast.close()
        for step in self.at_close:
            step()

    @property
    def progress(self) -> float:
        """How much of it is indexed and remembered, from 0 to 1."""
        read = sum(track.cast.progress for track in self.tracks)
        seen = sum(track.ahead.count / max(1, len(track.cast)) for track in self.tracks)
        return (read + seen) / (2 * len(self.tracks))

    def read_on(self, seconds: float) -> bool:
        """Index what is new, then run ahead through it; False where the time was not enough."""
        until = self._clock() + seconds
        for track in self.tracks:
            if not track.cast.read_on(max(0.0, until - self._clock())):
                return False
        self._take_new()
        for track in self.tracks:
            self.news += track.read_events()
            track.ahead.extend(len(track.cast))
            if not track.ahead.show(len(track.cast), max(0.0, until - self._clock())):
                return False
        self.ready = True
        return True

    def count_of(self, number: int, count: int) -> int:
        """How many events of track `number` have happened when `count` of the tape have."""
        return bisect_left(self._places[number], count)

    def latest(self, count: int) -> int:
        """The track that has shown something last."""
        found = [bisect_left(places, count) for places in self._places]
        when = [places[n - 1] if n else -1 for places, n in zip(self._places, found, strict=True)]
        return max(range(len(when)), key=lambda number: when[number])

    def place_of(self, number: int, event: int) -> int:
        """Which event of the tape an event of a track is."""
        return self._places[number][event]

    def happenings(self) -> list[tuple[float, int, Happening]]:
        """All happenings with their place in seconds and their track, in order."""
        found: list[tuple[float, int, Happening]] = []
        for number, track in enumerate(self.tracks):
            own = track.happenings or _of_markers(track.cast)
            found += [(one.time + track.offset, number, one) for one in own]
        return sorted(found, key=lambda entry: entry[:2])

    def _take_new(self) -> None:
        """Put the events that were indexed since the last look onto the timeline."""
        fresh: list[tuple[float, int]] = []
        for number, track in enumerate(self.tracks):
            times = track.cast.times[self._taken[number] :]
            self._taken[number] = len(track.cast)
            track.stage.extend(len(track.cast))
            fresh += [(time + track.offset, number) for time in times]
        if len(self.tracks) > 1:
            fresh.sort()
        latest = self.times[-1] if self.times else 0.0
        for moment, number in fresh:
            latest = max(latest, moment)
            self._places[number].append(len(self.times))
            self.times.append(latest)


def _of_markers(cast: CastFile) -> list[Happening]:
    return [of_marker(cast.times[number], label) for number, label in cast.markers]
