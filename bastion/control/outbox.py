"""What waits to be sent to one caller: answers wait for room, events never do."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

STALL: Final = 10.0
"""Seconds that a caller may take to read what is sent."""

MAX_BEHIND: Final = 1000
"""Lines that wait for a caller who does not read."""

MAX_BYTES: Final = 4 * 1024 * 1024
"""Bytes that wait: a thousand events of the longest kind would be fifty times as much."""


class Outbox:
    """Lines on their way to one caller. `run` sends them; it ends when the caller stalls."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._lines: deque[bytes] = deque()
        self._size = 0
        self._sending = False
        self._gone = False
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        # Without a limit, drain waits for the last byte: what is sent is not lost at the close.
        writer.transport.set_write_buffer_limits(high=0)

    @property
    def idle(self) -> bool:
        """Whether all was sent."""
        return not self._lines and not self._sending

    def put(self, line: bytes) -> bool:
        """Queue an event; False where the caller is too far behind."""
        if len(self._lines) >= MAX_BEHIND or self._size + len(line) > MAX_BYTES:
            return False
        self._put(line)
        return True

    async def put_answer(self, line: bytes) -> None:
        """Queue an answer, however long, once everything before it was sent."""
        await self.flush()
        self._put(line)

    async def flush(self) -> None:
        """Wait until all is sent; TimeoutError where the caller stalls, OSError where it left."""
        while not self.idle:
            if self._gone:
                raise ConnectionResetError
            self._room.clear()
            async with asyncio.timeout(STALL):
                await self._room.wait()

    async def run(self) -> None:
        """Send for ever; OSError and TimeoutError end it."""
        try:
            await self._send_all()
        finally:
            self._gone = True
            self._room.set()

    async def _send_all(self) -> None:
        while True:
            while not self._lines:
                self._changed.clear()
                await self._changed.wait()
            line = self._lines.popleft()
            self._size -= len(line)
            self._sending = True
            async with asyncio.timeout(STALL):
                self._writer.write(line)
                await self._writer.drain()
            self._sending = False
            self._room.set()

    def _put(self, line: bytes) -> None:
        self._lines.append(line)
        self._size += len(line)
        self._changed.set()
