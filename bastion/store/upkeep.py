"""Tidies recordings up in a program of its own, so that no live session waits for an index."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

log = logging.getLogger(__name__)

AFTER: Final = 30.0
"""Seconds from the end of a recording until it is looked after: many end together."""

EVERY: Final = 3600.0
"""Seconds without any end until it is looked whether something is old enough now."""

LONGEST: Final = 6 * 3600.0
"""Seconds that one run may take: one that hangs must not be the last."""

MAX_TOLD: Final = 8192


class Upkeep:
    """Runs a command now and then; one at a time. `wake` says that there is something to do."""

    def __init__(self, words: Sequence[str], *, after: float = AFTER, every: float = EVERY) -> None:
        self._words = tuple(words)
        self._after = after
        self._every = every
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """A recording has ended."""
        self._woken.set()

    async def run(self) -> None:
        """For ever; cancelled with the bastion, and the command with it."""
        while True:
            try:
                async with asyncio.timeout(self._every):
                    await self._woken.wait()
            except TimeoutError:
                pass
            await asyncio.sleep(self._after)
            self._woken.clear()
            try:
                await self._run_once()
            except OSError as error:
                log.error("recordings cannot be tidied up: %s", error)

    async def _run_once(self) -> None:
        running = await asyncio.create_subprocess_exec(
            *self._words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(LONGEST):
                _, told = await running.communicate()
        except TimeoutError:
            told = b"it took too long and was ended"
        finally:
            if running.returncode is None:
                running.kill()
                await running.wait()
        if running.returncode:
            log.error(
                "recordings were not tidied up: %s", told[-MAX_TOLD:].decode("utf-8", "replace")
            )
