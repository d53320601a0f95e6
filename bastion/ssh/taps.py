"""The way of every byte that is shown: mask, record, then show (invariants 6 and 7).

One object a channel. Whatever a person sees of a channel passes here: the target's output, and the
sentences of the bastion itself.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, Protocol

from bastion.events import Stream
from bastion.model import Secret
from bastion.ssh.record import Record
from bastion.ssh.services import Clock
from bastion.tap.detect import Detectors
from bastion.tap.known import Known
from bastion.tap.marks import Masked
from bastion.tap.mask import Masker, Masking, mask_text
from bastion.tap.screen import ScreenGuard
from bastion.tap.stream import StreamMasker

HOLD_SECONDS: Final = 0.05
"""How long what could be the start of a secret is kept back, so that a prompt shows."""


class Shows(Protocol):
    """Where shown bytes go."""

    def show(self, data: bytes, stream: Stream) -> None:
        """Send bytes to the client."""


class Taps:
    """Masks, records and shows one channel. Methods raise RecordingFailed.

    `window` is the terminal's columns and rows, zeros without one.
    `guarded` runs what the timer brings, and ends the channel where that fails.
    """

    def __init__(
        self,
        *,
        masking: Masking,
        record: Record,
        client: Shows,
        clock: Clock,
        guarded: Callable[[Callable[[], None]], None],
        window: tuple[int, int] = (0, 0),
    ) -> None:
        self._masking = masking
        self._record = record
        self._client = client
        self._clock = clock
        self._guarded = guarded
        self._columns = window[0]
        self._guard = (
            ScreenGuard(masking, Known(), *window, time.thread_time) if all(window) else None
        )
        """Of a terminal's screen; none where there is no terminal."""
        self._secrets: Sequence[Secret] = ()
        self._maskers: dict[Stream, StreamMasker] = {}
        self._since: dict[Stream, tuple[int, float]] = {}
        """Of each stream that waits, from which byte on and since when."""
        self._timer: asyncio.TimerHandle | None = None
        self._clear: dict[Stream, tuple[Masker, bytearray]] | None = {} if masking.clear else None
        """Where secrets are shown: what masks our own credentials alone, and what still waits."""

    def know(self, secrets: Sequence[Secret]) -> None:
        """Mask these exact values too: what the bastion brought to the target."""
        self._secrets = secrets
        if self._guard is not None:
            self._guard.known = Known(secrets)
        for masker in self._maskers.values():
            masker.know(secrets)
        for bare, _ in (self._clear or {}).values():
            bare.know(secrets)

    def resized(self, columns: int, rows: int) -> None:
        """The client's window has a new size. TargetFault where its screen cannot be followed."""
        self._columns = columns
        if self._guard is not None:
            self._guard.resize(columns, rows)
        for masker in self._maskers.values():
            masker.columns = columns

    def show(self, data: bytes, stream: Stream) -> None:
        """Show bytes of the channel; packets, which are no text, are not masked, but what a
        program says beside them is."""
        if not self._record.text and stream is not Stream.STDERR:
            self._pass(data, stream)
            return
        masker = self._masker(stream)
        self._pass(masker.feed(data), stream, masker.masked)
        if self._record.text:
            self._show_clear(data, stream, masker.held)
        self._wait(stream, masker)

    def flush(self) -> None:
        """Show what waits, as if its time were over."""
        for stream, masker in self._maskers.items():
            self._pass(masker.flush(), stream, masker.masked)
            self._show_clear(b"", stream, 0)

    def finish(self) -> None:
        """Show what waits: nothing more will come."""
        for stream, masker in self._maskers.items():
            self._pass(masker.finish(), stream, masker.masked)
            self._show_clear(b"", stream, 0)

    def text(self, text: str) -> str:
        """A sentence as it may be shown."""
        return mask_text(text, self._masking, self._secrets)[0]

    def close(self) -> None:
        """Forget the timer."""
        if self._timer is not None:
            self._timer.cancel()

    def _masker(self, stream: Stream) -> StreamMasker:
        masker = self._maskers.get(stream)
        if masker is None:
            masker = StreamMasker(self._masking, self._secrets, columns=self._columns)
            self._maskers[stream] = masker
        return masker

    def _pass(self, data: bytes, stream: Stream, masked: Sequence[Masked] = ()) -> None:
        if data and self._guard is not None:
            data = self._guard.show(data)
            masked = [*masked, *self._guard.masked]
        if data:
            self._record.output(self._clock(), data, stream)
            if self._clear is None or not self._record.text:
                self._client.show(data, stream)
        if masked:
            self._record.masked(self._clock(), stream, masked)

    def _show_clear(self, data: bytes, stream: Stream, held: int) -> None:
        """Show all but the last `held` bytes as they are, but for the bastion's own credentials."""
        if self._clear is None:
            return
        if stream not in self._clear:
            bare = replace(self._masking, detectors=Detectors(()), json=None)
            self._clear[stream] = Masker(bare, self._secrets), bytearray()
        masker, waiting = self._clear[stream]
        waiting += data
        settled = max(0, len(waiting) - held)
        shown = masker.feed(bytes(waiting[:settled]))
        del waiting[:settled]
        shown += b"" if held else masker.flush()
        if shown:
            self._client.show(shown, stream)

    # --- time -----------------------------------------------------------------------------------

    def _wait(self, stream: Stream, masker: StreamMasker) -> None:
        """Start the clock of what waits anew only where something else waits than before."""
        if not masker.held:
            self._since.pop(stream, None)
            return
        known = self._since.get(stream)
        if known is None or known[0] != masker.held_from:
            now = asyncio.get_running_loop().time()
            self._since[stream] = (masker.held_from, now)
        if self._timer is None:
            self._set_timer()

    def _set_timer(self) -> None:
        loop = asyncio.get_running_loop()
        first = min(since for _, since in self._since.values())
        self._timer = loop.call_at(first + HOLD_SECONDS, self._guarded, self._time_over)

    def _time_over(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        for stream, (_, since) in tuple(self._since.items()):
            if now >= since + HOLD_SECONDS:
                del self._since[stream]
                masker = self._maskers[stream]
                self._pass(masker.flush(), stream, masker.masked)
                self._show_clear(b"", stream, 0)
        if self._since:
            self._set_timer()
