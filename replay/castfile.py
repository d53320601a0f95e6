"""A cast on disk, indexed once and read event by event, so that its size does not matter."""

from __future__ import annotations

from array import array
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from bastion.errors import CastFault
from bastion.wire import asciicast
from bastion.wire.asciicast import CastEvent, Header

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

    def __init__(self, path: Path) -> None:
        """Open and index; CastFault if there is not even a header."""
        self.times = array("d")
        self.markers: list[tuple[int, str]] = []
        """Event numbers of the markers, and their labels."""
        self.fault = ""
        self._offsets = array("Q")
        try:
            if path.exists() and not path.is_file():
                raise CastFault(f"{path} is no file that can be read in any order.")
            self._file = path.open("rb")
        except OSError as error:
            raise CastFault(f"{path} cannot be opened: {error.strerror}.") from None
        try:
            self.header = self._index(path.name)
        except OSError as error:
            self.close()
            raise CastFault(f"{path} cannot be read: {error.strerror}.") from None
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

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def event(self, number: int) -> CastEvent:
        """Read one event; CastFault if the file was changed since it was indexed."""
        self._file.seek(self._offsets[number])
        return asciicast.decode_event(self._file.readline(asciicast.MAX_LINE + 1))

    def _index(self, name: str) -> Header:
        try:
            header = asciicast.decode_header(self._file.readline(asciicast.MAX_LINE + 1))
        except CastFault as fault:
            raise CastFault(f"{name}:1: {fault}.") from None
        offset, latest = self._file.tell(), 0.0
        while line := self._file.readline(asciicast.MAX_LINE + 1):
            try:
                event = self._check(line)
            except CastFault as fault:
                self.fault = f"{name}:{len(self) + 2}: {fault}; the recording is shown up to there"
                break
            latest = max(latest, event.time)
            if event.code == asciicast.MARKER:
                self._add_marker(event.data)
            self.times.append(latest)
            self._offsets.append(offset)
            offset += len(line)
        return header

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
