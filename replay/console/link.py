"""The console's connection to the bastion: calls, pushed events, and a new connection when it ends.

One task reads; answers are matched to calls by their number. A connection that was handed over (a
console over SSH) cannot be made again: when it ends, the console ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, TypeVar

from bastion.errors import ControlError
from bastion.wire import control as wire

T = TypeVar("T")
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

ANSWER: Final = 15.0
"""Seconds for one answer."""

LONGEST_PAUSE: Final = 5.0
"""Seconds between two tries to connect: a bastion that restarts is back within a few."""


class Link:
    """Keeps connected. `on_event` gets every event, `on_change` a Welcome, or why there is none."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[Streams]],
        on_event: Callable[[dict[str, Any]], None],
        on_change: Callable[[wire.Welcome | str], None],
        *,
        again: bool,
    ) -> None:
        self._connect = connect
        self._on_event = on_event
        self._on_change = on_change
        self._again = again
        self._number = 0
        self._waiting: dict[int, asyncio.Future[wire.Reply]] = {}
        self._writer: asyncio.StreamWriter | None = None

    @property
    def connected(self) -> bool:
        """Whether calls can be made."""
        return self._writer is not None

    async def run(self) -> None:
        """Connect, watch, and connect again; ends only where it cannot be connected again."""
        pause = 0.2
        while True:
            try:
                await self._attend()
                pause = 0.2
            except (OSError, ControlError) as error:
                self._on_change(str(error))
            finally:
                self._lose()
            if not self._again:
                return
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE, pause * 2)

    async def call(self, call: wire.AnyCall, shape: type[T]) -> T:
        """Make a call; ControlError says in one sentence why there is no answer."""
        if self._writer is None:
            raise ControlError("The bastion is not connected; wait until it is back.")
        self._number += 1
        number = self._number
        answer: asyncio.Future[wire.Reply] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            self._writer.write(wire.encode(wire.Request(wire.VERSION, number, call)))
            async with asyncio.timeout(ANSWER):
                await self._writer.drain()
                reply = await answer
        except (OSError, TimeoutError):
            raise ControlError("The bastion did not answer.") from None
        finally:
            self._waiting.pop(number, None)
        if reply.error:
            raise ControlError(reply.error)
        return wire.convert(reply.result, shape)

    async def _attend(self) -> None:
        reader, self._writer = await self._connect()
        watching = asyncio.get_running_loop().create_task(self._watch())
        try:
            while line := await reader.readline():
                self._take(wire.decode_reply(line))
        except ValueError:
            raise ControlError("The bastion sent a line that is too long.") from None
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        self._on_change("The bastion hung up.")

    async def _watch(self) -> None:
        try:
            self._on_change(await self.call(wire.Watch(), wire.Welcome))
        except ControlError as error:
            self._on_change(str(error))

    def _take(self, reply: wire.Reply) -> None:
        if reply.event is not None:
            self._on_event(reply.event)
        elif reply.id == 0 and reply.error:
            raise ControlError(reply.error)
        elif (waiting := self._waiting.get(reply.id)) is not None and not waiting.done():
            waiting.set_result(reply)

    def _lose(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(ConnectionResetError())


def by_path(path: Path) -> Callable[[], Awaitable[Streams]]:
    """Connect to a socket of this machine."""

    async def connect() -> Streams:
        try:
            return await asyncio.open_unix_connection(path, limit=wire.MAX_REPLY)
        except OSError as error:
            raise ControlError(
                f"The bastion does not answer at {path}: {error.strerror}."
            ) from None

    return connect


def by_descriptor(number: int) -> Callable[[], Awaitable[Streams]]:
    """Use a connection that was handed over; it can be used once."""

    async def connect() -> Streams:
        handed = socket.socket(fileno=number)
        handed.setblocking(False)
        with contextlib.suppress(OSError):
            handed.set_inheritable(False)
        return await asyncio.open_unix_connection(sock=handed, limit=wire.MAX_REPLY)

    return connect
