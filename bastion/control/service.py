"""The control socket: operators list, follow, grant, kill and lock through it.

Anybody who can reach the socket may connect; who is no operator is told so, audited, and let go.
Somebody who came over SSH gets a connection of their own (`attach`), bound to that identity.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Final

from bastion.control.calls import Calls, Parts
from bastion.control.connection import Connection
from bastion.control.outbox import STALL
from bastion.control.peer import Peer, find_operator, identify
from bastion.errors import ControlError, StoreError
from bastion.policy.approvals import Operator
from bastion.store.feed import Happening
from bastion.wire import control as wire

MAX_CLIENTS: Final = 64
"""Connections at once by the socket: descriptors are few, and sessions need them."""

MAX_ATTACHED: Final = 64
"""Connections at once of people who came over SSH: each is a program of its own here."""

MAX_ATTACHED_EACH: Final = 8
"""Of these, one identity's: nobody keeps the approvers out."""

IDLE: Final = 60.0
"""Seconds between two calls of a connection that watches nothing: it holds a descriptor."""


class ControlService:
    """Serves one socket. `operators` come from the configuration; root and our own user are in."""

    def __init__(
        self,
        path: Path,
        parts: Parts,
        operators: Sequence[Operator],
        *,
        mode: int = 0o600,
        idle: float = IDLE,
    ) -> None:
        self._path = path
        self._parts = parts
        self._operators = tuple(operators)
        self._calls = Calls(parts)
        self._mode = mode
        self._idle = idle
        self._server: asyncio.Server | None = None
        self._tasks: dict[asyncio.Task[None], asyncio.StreamWriter | None] = {}
        self._attached: Counter[str] = Counter()
        self._connections: set[Connection] = set()
        self._stop_listening: Callable[[], None] = lambda: None

    async def start(self) -> None:
        """Listen; StoreError if the socket cannot be made. The caller holds the state's lock."""
        try:
            self._server = await asyncio.start_unix_server(
                self._accept, path=self._path, limit=wire.MAX_CALL
            )
            self._path.chmod(self._mode)
        except OSError as error:
            raise StoreError(
                f"{self._path} cannot be listened on: {error.strerror or error}."
            ) from error
        self._stop_listening = self._parts.feed.listen(self._happened)

    async def stop(self) -> None:
        """Hang up on everybody and take the socket away."""
        if self._server is None:
            return
        self._stop_listening()
        server, self._server = self._server, None
        server.close()
        tasks = dict(self._tasks)
        for task, writer in tasks.items():
            task.cancel()
            if writer is not None:
                writer.transport.abort()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()

    def answer(self, operator: Operator, call: wire.AnyCall) -> object:
        """Answer one call of somebody who came over SSH; BastionError says why not."""
        return self._calls.answer(operator, call)

    def attach(self, operator: Callable[[], Operator]) -> socket.socket:
        """Serve a connection that is `operator`, whoever they are at each call."""
        who = operator().id
        if self._server is None or self._attached.total() >= MAX_ATTACHED:
            raise ControlError("Too many consoles are open; try again when others have left.")
        if self._attached[who] >= MAX_ATTACHED_EACH:
            raise ControlError("You have too many consoles open; close some.")
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        ours.setblocking(False)
        self._attached[who] += 1
        task = self._begin(self._attend_attached(ours, operator), None)

        def release(_: asyncio.Task[None]) -> None:
            # Not in the task: one that is cancelled before its first step never gets there.
            ours.close()
            self._attached[who] -= 1

        task.add_done_callback(release)
        return theirs

    def _happened(self, happening: Happening) -> None:
        for connection in tuple(self._connections):
            if not connection.watches:
                continue
            operator = connection.operator()
            if self._calls.sees(operator, happening):
                connection.tell(self._calls.told(operator, happening))

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._server is None:
            # It was accepted before the stop, and is met after it.
            writer.transport.abort()
            return
        self._begin(self._attend(reader, writer), writer)

    def _begin(
        self, attending: Coroutine[None, None, None], writer: asyncio.StreamWriter | None
    ) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(attending)
        self._tasks[task] = writer
        task.add_done_callback(self._tasks.pop)
        return task

    async def _attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with _hang_up(writer):
            peer = identify(writer.get_extra_info("socket"))
            operator = find_operator(peer, self._operators)
            if operator is None:
                await self._turn_away(peer, writer, f"{peer.user} is no operator of this bastion.")
            elif len(self._tasks) - self._attached.total() > MAX_CLIENTS:
                await self._turn_away(peer, writer, "Too many control connections; close some.")
            else:
                await self._serve(reader, writer, lambda: operator, peer.user, self._idle)

    async def _attend_attached(self, ours: socket.socket, operator: Callable[[], Operator]) -> None:
        reader, writer = await asyncio.open_unix_connection(sock=ours, limit=wire.MAX_CALL)
        async with _hang_up(writer):
            # It ends with the screen's channel, however long somebody only looks.
            await self._serve(reader, writer, operator, operator().id, None)

    async def _serve(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        operator: Callable[[], Operator],
        user: str,
        idle: float | None,
    ) -> None:
        connection = Connection(self._calls, self._parts, operator, user, writer)
        self._connections.add(connection)
        try:
            await connection.serve(reader, idle)
        finally:
            self._connections.discard(connection)

    async def _turn_away(self, peer: Peer, writer: asyncio.StreamWriter, why: str) -> None:
        with contextlib.suppress(StoreError):
            self._parts.audit.append(
                "control-rejected", self._parts.clock(), user=peer.user, uid=peer.uid, why=why
            )
        writer.write(wire.encode(wire.Reply(wire.VERSION, 0, error=why)))
        async with asyncio.timeout(STALL):
            await writer.drain()


@contextlib.asynccontextmanager
async def _hang_up(writer: asyncio.StreamWriter) -> AsyncIterator[None]:
    """Close the connection whatever happens; a caller that left or stalled is no error of ours."""
    try:
        with contextlib.suppress(OSError, TimeoutError):
            yield
    finally:
        # What a stalled reader did not take would keep the connection open for ever.
        if writer.transport.get_write_buffer_size():
            writer.transport.abort()
        else:
            writer.close()
