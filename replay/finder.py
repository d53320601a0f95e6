"""Finds text on the screens of a tape: what could be read there, not what bytes were sent."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Final

from bastion.wire import asciicast
from replay.screen import Transcript, plain
from replay.stage import Stage
from replay.tape import Tape

MAX_HITS: Final = 10_000
"""Places that are found: the timeline has no room for more, and nobody looks at them."""

MAX_NEEDLE: Final = 200


class Finder:
    """Looks for one text, a little at a time. Only capitals tell capitals and small letters apart.

    A hit is an event of the tape after which a line holds the text that held it on no line before.
    """

    def __init__(
        self, tape: Tape, needle: str, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        """`needle` is plain text; lines are looked at whole, however they were wrapped."""
        self.hits: list[int] = []
        self._tape = tape
        self._clock = clock
        flags = 0 if needle != needle.lower() else re.IGNORECASE
        self._pattern = re.compile(re.escape(needle[:MAX_NEEDLE]), flags)
        self._track = 0
        self._stage: Stage | None = None
        self._shown: set[str] = set()

    @property
    def done(self) -> bool:
        """Whether all was looked through."""
        return self._track >= len(self._tape.tracks) or len(self.hits) >= MAX_HITS

    @property
    def progress(self) -> float:
        """How much was looked through, from 0 to 1."""
        stage = self._stage
        part = stage.count / max(1, stage.limit) if stage else 0.0
        return min(1.0, (self._track + part) / len(self._tape.tracks))

    def read_on(self, seconds: float) -> bool:
        """Look on; False where the time was not enough. Hits are in order when it is done."""
        until = self._clock() + seconds
        while not self.done:
            if not self._look_through(until):
                return False
            self._track += 1
            self._stage = None
        self.hits.sort()
        return True

    def _look_through(self, until: float) -> bool:
        track = self._tape.tracks[self._track]
        if self._stage is None:
            self._stage = Stage(track.cast, track.new_screen(), len(track.cast))
            self._shown = set()
        stage = self._stage
        while stage.count < stage.limit and len(self.hits) < MAX_HITS:
            target = stage.count + 1
            if not stage.show(target, max(0.0, until - self._clock())):
                return False
            self._look_at(stage)
            if self._clock() >= until:
                return False
        return True

    def _look_at(self, stage: Stage) -> None:
        changed, stage.changed = stage.changed, set()
        if not changed or not stage.count:
            return
        lines = {line for line in stage.screen.text() if self._pattern.search(line)}
        if lines - self._shown or self._passed(stage.count - 1, lines):
            self.hits.append(self._tape.place_of(self._track, stage.count - 1))
        self._shown = lines

    def _passed(self, number: int, lines: set[str]) -> bool:
        """Whether one event showed the text and scrolled it away again."""
        if lines:
            return False
        event = self._tape.tracks[self._track].cast.event(number)
        if event.code != asciicast.OUTPUT or event.data.count("\n") < 2:
            return False
        transcript = Transcript(500, 2, raw_newlines=True)
        found = [*transcript.feed(event.data), *transcript.flush()]
        return any(self._pattern.search(plain(line)) for line in found)
