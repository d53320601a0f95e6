"""Seals what is recorded while it is recorded: one thread waits for the disks, nobody else does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from bastion.store.recording import Recording

T = TypeVar("T")

EVERY: Final = 5.0
"""Seconds between two checkpoints of a recording that grows: what a power cut can take from it."""

EVERY_LINES: Final = 50_000
"""Lines between two checkpoints: each leaves four bytes in the seal's line and in memory."""

TICK: Final = 0.5

OnSealed = Callable[[Recording, str, float], None]
"""Gets the recording, the hash of its seal's last line, and when it ended."""

OnUnsealed = Callable[[Recording, OSError], None]
"""Gets the recording that could not be sealed, and why."""


class Sealer:
    """Keeps the recordings of one event loop. `start` it there, and `stop` it after them."""

    def __init__(
        self, clock: Callable[[], float], on_sealed: OnSealed, on_unsealed: OnUnsealed
    ) -> None:
        self._clock = clock
        self._on_sealed = on_sealed
        self._on_unsealed = on_unsealed
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="seal")
        self._live: set[Recording] = set()
        self._busy: set[Recording] = set()
        self._work: set[asyncio.Task[None]] = set()
        self._ticking: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look for what is due."""
        self._ticking = asyncio.get_running_loop().create_task(self._tick())

    async def stop(self) -> None:
        """Wait until all that ended is sealed."""
        if self._ticking is not None:
            self._ticking.cancel()
        while self._work:
            await asyncio.wait(self._work)
        self._pool.shutdown()

    def opened(self, recording: Recording) -> None:
        """A recording begins."""
        self._live.add(recording)

    def closed(self, recording: Recording, at: float) -> None:
        """A recording has got its last line; its seal follows as soon as the disk has them."""
        self._live.discard(recording)
        self._begin(self._seal_end(recording, at))

    def seal_due(self) -> None:
        """Begin a checkpoint of everything that is due for one."""
        now = self._clock()
        for recording in self._live - self._busy:
            lines = recording.unsealed_lines
            if lines and (now - recording.sealed_at >= EVERY or lines >= EVERY_LINES):
                self._busy.add(recording)
                self._begin(self._seal(recording, now))

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            self.seal_due()

    def _begin(self, sealing: Coroutine[None, None, None]) -> None:
        work = asyncio.get_running_loop().create_task(sealing)
        self._work.add(work)
        work.add_done_callback(self._work.discard)

    async def _seal(self, recording: Recording, at: float) -> None:
        snapshot = recording.snapshot(at)
        try:
            await self._in_thread(lambda: recording.seal(snapshot))
        except OSError as error:
            self._on_unsealed(recording, error)
            recording.fail(error, at)
        finally:
            self._busy.discard(recording)

    async def _seal_end(self, recording: Recording, at: float) -> None:
        """The one thread takes work in order, so no checkpoint comes after the end."""
        snapshot = recording.snapshot(at)
        try:
            digest = await self._in_thread(lambda: recording.seal_end(snapshot))
        except OSError as error:
            self._on_unsealed(recording, error)
        else:
            self._on_sealed(recording, digest, at)
        finally:
            recording.release()

    async def _in_thread(self, step: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, step)
