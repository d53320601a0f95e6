"""The recorder's pure half: what a channel shows, as lines of an asciicast.

A character whose bytes arrive in two pieces is written when its last byte is there, so up to three
bytes of each stream may wait here; `close` writes what never became a character as U+FFFD.
"""

from __future__ import annotations

import codecs
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bastion.events import Stream
from bastion.model import visible
from bastion.wire import asciicast

MAX_LABEL: Final = 500
"""Characters of a marker: a command of 256 KiB must not drown the timeline."""


@dataclass(frozen=True, slots=True)
class StreamTotals:
    """What one stream carried: exact bytes, before any was replaced."""

    size: int
    sha256: str
    replaced: int
    """How many U+FFFD stand in the cast for bytes that were not UTF-8."""


@dataclass(frozen=True, slots=True)
class CastTotals:
    """The sums of a finished cast."""

    events: int
    stdout: StreamTotals
    stderr: StreamTotals

    @property
    def size(self) -> int:
        """Bytes of both streams."""
        return self.stdout.size + self.stderr.size


class CastTap:
    """Turns what happens on one channel into cast lines; one object a channel.

    Every method takes `at` (seconds since the epoch) and gives whole lines, or nothing.
    """

    def __init__(self, started_at: float) -> None:
        self._started_at = started_at
        self._time = 0.0
        self._events = 0
        self._stdout = _StreamText()
        self._stderr = _StreamText()

    def header(
        self,
        *,
        columns: int,
        rows: int,
        title: str = "",
        env: Mapping[str, str] | None = None,
        facts: Mapping[str, asciicast.Fact] | None = None,
    ) -> bytes:
        """The first line; text that came from outside is made visible."""
        width, height = asciicast.clamp_size(columns, rows)
        return asciicast.encode_header(
            asciicast.Header(
                width=width,
                height=height,
                timestamp=int(self._started_at),
                title=visible(title, limit=MAX_LABEL),
                env={name: visible(value) for name, value in (env or {}).items()},
                bastion={
                    name: visible(value) if isinstance(value, str) else value
                    for name, value in (facts or {}).items()
                },
            )
        )

    def output(self, at: float, data: bytes, stream: Stream = Stream.STDOUT) -> bytes:
        """What the channel shows. Input is never recorded: STDIN raises ValueError."""
        text = self._decoder(stream).feed(data)
        return self._event(at, asciicast.OUTPUT, text) if text else b""

    def resize(self, at: float, columns: int, rows: int) -> bytes:
        """The window changed its size."""
        return self._event(at, asciicast.RESIZE, asciicast.resize_text(columns, rows))

    def marker(self, at: float, label: str) -> bytes:
        """A place to jump to in a player."""
        return self._event(at, asciicast.MARKER, visible(label, limit=MAX_LABEL))

    def close(self, at: float) -> bytes:
        """The last lines: bytes that waited for the rest of their character."""
        tails = (self._stdout.flush(), self._stderr.flush())
        return b"".join(self._event(at, asciicast.OUTPUT, text) for text in tails if text)

    def totals(self) -> CastTotals:
        """The sums so far."""
        return CastTotals(self._events, self._stdout.totals(), self._stderr.totals())

    def _decoder(self, stream: Stream) -> _StreamText:
        if stream is Stream.STDOUT:
            return self._stdout
        if stream is Stream.STDERR:
            return self._stderr
        raise ValueError("input is not recorded")

    def _event(self, at: float, code: str, text: str) -> bytes:
        # The system clock may be set back; a player needs time that never runs backwards.
        self._time = max(self._time, at - self._started_at)
        self._events += 1
        return asciicast.encode_event(self._time, code, text)


class _StreamText:
    """UTF-8 of one stream, however it is cut into pieces."""

    __slots__ = ("_pending", "_replaced", "_sha256", "_size")

    def __init__(self) -> None:
        self._pending = b""
        self._replaced = 0
        self._size = 0
        self._sha256 = hashlib.sha256()

    def feed(self, data: bytes) -> str:
        self._size += len(data)
        self._sha256.update(data)
        return self._decode(self._pending + data if self._pending else data, final=False)

    def flush(self) -> str:
        return self._decode(self._pending, final=True)

    def totals(self) -> StreamTotals:
        return StreamTotals(self._size, self._sha256.hexdigest(), self._replaced)

    def _decode(self, data: bytes, *, final: bool) -> str:
        try:
            text, used = codecs.utf_8_decode(data, "strict", final)
        except UnicodeDecodeError:
            text, used = codecs.utf_8_decode(data, "replace", final)
            # EF BF BD is always one whole character: UTF-8 synchronises itself.
            self._replaced += text.count("\ufffd") - data[:used].count(b"\xef\xbf\xbd")
        self._pending = bytes(data[used:])
        return text
