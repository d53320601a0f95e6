"""A cast on disk, indexed once and read event by event, so that its size does not matter."""

from __future__ import annotations

import math
import os
import time
from array import array
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from bastion.errors import CastFault
from bastion.wire import asciicast
from bastion.wire.asciicast import CastEvent, Header
from replay.spool import check_regular

MAX_EVENTS: Final = 5_000_000
"""Lines that are indexed (16 bytes each): a file of empty events must not fill the memory."""

MAX_MARKERS: Final = 10_000
"""Markers that are jumped to: the timeline draws them all, thirty times a second."""

MAX_TIME: Final = 10 * 366 * 86400.0
"""Seconds; an event after ten years is damage, and a timeline up to it would show nothing."""


class CastFile:
    """An open cast. What is damaged ends it: `fault` says where, all before it is there.

    `times[n]` are seconds since the start, never falling; `event(n)` reads the event itself.
    """

    def __init__(
        self, path: Path, *, live: bool = False, whole: bool = True, name: str = ""
    ) -> None:
        """Open, and index unless `whole` is false; CastFault if there is not even a header.

        `live`: it is still written, so its end is where reading goes on, not damage. `name`: what
        faults call it.
        """
        self.times = array("d")
        self.markers: list[tuple[int, str]] = []
        """Event numbers of the markers, and their labels."""
        self.fault = ""
        self._offsets = array("Q")
        self._latest = 0.0
        self._live = live
        self._name = name or path.name
        try:
            check_regular(path)
            self._file = path.open("rb")
        except OSError as error:
            raise CastFault(f"{path} cannot be opened: {error.strerror}.") from None
        except CastFault as fault:
            raise CastFault(f"{self._name}: {fault}.") from None
        try:
            self.header = self._read_header()
            if whole:
                self.read_on()
        except CastFault:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self.times)

    @property
    def live(self) -> bool:
        """Whether it may still grow."""
        return self._live

    def reopened(self) -> CastFile:
        """The same file once more, for another thread; also where its name is gone."""
        return CastFile(Path(f"/proc/self/fd/{self._file.fileno()}"), live=self._live, whole=False)

    def lines(self) -> Iterator[str]:
        """The file as it is, as far as it is whole: what any player of casts takes."""
        self._file.seek(0)
        left = self._end
        while left and (line := self._file.readline(min(left, asciicast.MAX_LINE + 1))):
            left -= len(line)
            yield line.decode("utf-8", "replace")

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def event(self, number: int) -> CastEvent:
        """Read one event; CastFault if the file was changed since it was indexed."""
        self._file.seek(self._offsets[number])
        return asciicast.decode_event(self._file.readline(asciicast.MAX_LINE + 1))

    @property
    def progress(self) -> float:
        """How much of the file is indexed, from 0 to 1."""
        size = os.fstat(self._file.fileno()).st_size
        return min(1.0, self._end / size) if size else 1.0

    def read_on(self, seconds: float = math.inf) -> bool:
        """Index lines not seen yet; False if there is more than `seconds` were enough for."""
        until = time.perf_counter() + seconds
        try:
            self._file.seek(self._end)
            while not self.fault and (line := self._file.readline(asciicast.MAX_LINE + 1)):
                if self._live and not line.endswith(b"\n") and len(line) <= asciicast.MAX_LINE:
                    break
                self._take(line)
                if time.perf_counter() >= until:
                    return False
        except OSError as error:
            raise CastFault(f"{self._name} cannot be read: {error.strerror}.") from None
        return True

    def _read_header(self) -> Header:
        try:
            line = self._file.readline(asciicast.MAX_LINE + 1)
            self._end = len(line)
            return asciicast.decode_header(line)
        except OSError as error:
            raise CastFault(f"{self._name} cannot be read: {error.strerror}.") from None
        except CastFault as fault:
            raise CastFault(f"{self._name}:1: {fault}.") from None

    def _take(self, line: bytes) -> None:
        try:
            event = self._check(line)
        except CastFault as fault:
            where = f"{self._name}:{len(self) + 2}"
            self.fault = f"{where}: {fault}; the recording is shown up to there"
            return
        self._latest = max(self._latest, event.time)
        if event.code == asciicast.MARKER:
            self._add_marker(event.data)
        self.times.append(self._latest)
        self._offsets.append(self._end)
        self._end += len(line)

    def _check(self, line: bytes) -> CastEvent:
        event = asciicast.decode_event(line)
        if not line.endswith(b"\n"):
            raise CastFault("this line is not whole")
        if event.time > MAX_TIME:
            raise CastFault("this event comes after years")
        if event.code == asciicast.RESIZE:
            asciicast.parse_resize(event.data)
        if len(self) >= MAX_EVENTS:
            raise CastFault(f"there are more than {MAX_EVENTS} events")
        return event

    def _add_marker(self, label: str) -> None:
        if len(self.markers) < MAX_MARKERS:
            self.markers.append((len(self), label))


def has_raw_newlines(cast: CastFile) -> bool:
    """Whether the recording had no terminal (our own exec channels): its LF starts a new line."""
    return bool(cast.header.bastion) and not cast.header.env.get("TERM")
