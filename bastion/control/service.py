"""The control socket: operators list, follow, grant, kill and lock through it.

Anybody who can reach the socket may connect; who is no operator is told so, audited, and let go.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from bastion.control.calls import Calls, SessionDirectory
from bastion.control.peer import Peer, find_operator, identify
from bastion.errors import BastionError, ControlError, StoreError
from bastion.policy.approvals import Approval, Operator
from bastion.store.approvals import Approvals
from bastion.store.audit import AuditLog
from bastion.store.ledger import Ledger
from bastion.wire import control as wire

MAX_CLIENTS: Final = 64
"""Connections at once: descriptors are few, and sessions need them."""

IDLE: Final = 60.0
"""Seconds between two calls of one connection: a caller that hangs holds a descriptor."""

STALL: Final = 10.0
"""Seconds that a caller may take to read an answer."""

MAX_BEHIND: Final = 1000
"""Events that wait for a watcher who does not read."""


class ControlService:
    """Serves one socket. `operators` come from the configuration; root and our own user are in."""

    def __init__(
        self,
        path: Path,
        board: Approvals,
        ledger: Ledger,
        audit: AuditLog,
        operators: Sequence[Operator],
        sessions: SessionDirectory,
        *,
        mode: int = 0o600,
        clock: Callable[[], float] = time.time,
        idle: float = IDLE,
    ) -> None:
        self._path = path
        self._board = board
        self._audit = audit
        self._operators = tuple(operators)
        self._calls = Calls(board, ledger, audit, sessions, clock)
        self._mode = mode
        self._clock = clock
        self._idle = idle
        self._server: asyncio.Server | None = None
        self._clients: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._queues: set[asyncio.Queue[dict[str, Any] | None]] = set()
        self._stop_watching: Callable[[], None] | None = None

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
        self._stop_watching = self._board.watch(self._publish_approval)

    async def stop(self) -> None:
        """Hang up on everybody and take the socket away."""
        if self._server is None:
            return
        if self._stop_watching is not None:
            self._stop_watching()
        server, self._server = self._server, None
        server.close()
        clients = dict(self._clients)
        for client, writer in clients.items():
            client.cancel()
            writer.transport.abort()
        await asyncio.gather(*clients, return_exceptions=True)
        await server.wait_closed()
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()

    def publish(self, kind: str, fields: dict[str, Any]) -> None:
        """Tell every watcher; one who is too far behind is hung up on instead."""
        event = {"kind": kind, "at": self._clock(), **fields}
        for queue in tuple(self._queues):
            if queue.qsize() < MAX_BEHIND:
                queue.put_nowait(event)
            else:
                self._queues.discard(queue)
                queue.put_nowait(None)

    def _publish_approval(self, approval: Approval, what: str) -> None:
        held = msgspec.to_builtins(wire.HeldRequest.of(approval))
        self.publish(f"approval-{what}", {"approval": held})

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._server is None:
            # It was accepted before the stop, and is met after it.
            writer.transport.abort()
            return
        client = asyncio.get_running_loop().create_task(self._attend(reader, writer))
        self._clients[client] = writer
        client.add_done_callback(self._clients.pop)

    async def _attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with _hang_up(writer):
            await self._serve(reader, writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = identify(writer.get_extra_info("socket"))
        operator = find_operator(peer, self._operators)
        if operator is None or len(self._clients) > MAX_CLIENTS:
            await self._turn_away(peer, operator, writer)
            return
        while line := await self._read_line(reader, peer, writer):
            try:
                request = wire.decode_request(line)
            except ControlError as error:
                await self._reject(peer, writer, str(error))
                return
            async with self._watching(isinstance(request.call, wire.Watch)) as queue:
                reply = self._reply(operator, request)
                await _send(writer, reply)
                if queue is not None and not reply.error:
                    await _follow(queue, reader, writer)
                    return

    async def _read_line(
        self, reader: asyncio.StreamReader, peer: Peer, writer: asyncio.StreamWriter
    ) -> bytes:
        """One whole line; nothing at the end, after a long silence, or after too long a line."""
        try:
            async with asyncio.timeout(self._idle):
                line = await reader.readline()
        except TimeoutError:
            return b""
        except ValueError:
            await self._reject(peer, writer, "A control message is too long.")
            return b""
        return line if line.endswith(b"\n") else b""

    def _reply(self, operator: Operator, request: wire.Request) -> wire.Reply:
        try:
            result = self._calls.answer(operator, request.call)
        except BastionError as error:
            with contextlib.suppress(StoreError):
                self._audit.append(
                    "control-refused", self._clock(), operator=operator.id, why=str(error)
                )
            return wire.Reply(wire.VERSION, request.id, error=str(error))
        return wire.Reply(wire.VERSION, request.id, result=result)

    async def _turn_away(
        self, peer: Peer, operator: Operator | None, writer: asyncio.StreamWriter
    ) -> None:
        if operator is None:
            await self._reject(peer, writer, f"{peer.user} is no operator of this bastion.")
        else:
            await self._reject(peer, writer, "Too many control connections; close some.")

    async def _reject(self, peer: Peer, writer: asyncio.StreamWriter, why: str) -> None:
        with contextlib.suppress(StoreError):
            self._audit.append(
                "control-rejected", self._clock(), user=peer.user, uid=peer.uid, why=why
            )
        await _send(writer, wire.Reply(wire.VERSION, 0, error=why))

    @contextlib.asynccontextmanager
    async def _watching(
        self, wanted: bool
    ) -> AsyncIterator[asyncio.Queue[dict[str, Any] | None] | None]:
        """A queue of events from this moment on, so that none is lost between reply and stream."""
        if not wanted:
            yield None
            return
        queue: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self._queues.add(queue)
        try:
            yield queue
        finally:
            self._queues.discard(queue)


async def _follow(
    queue: asyncio.Queue[dict[str, Any] | None],
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    """Send events until the watcher hangs up, says anything at all, or is too far behind."""
    gone = asyncio.create_task(reader.read(1))
    coming = asyncio.create_task(queue.get())
    try:
        while True:
            await asyncio.wait({gone, coming}, return_when=asyncio.FIRST_COMPLETED)
            if gone.done() or (event := coming.result()) is None:
                return
            coming = asyncio.create_task(queue.get())
            await _send(writer, wire.Reply(wire.VERSION, 0, event=event))
    finally:
        gone.cancel()
        coming.cancel()


async def _send(writer: asyncio.StreamWriter, reply: wire.Reply) -> None:
    # Without a limit, drain waits for the last byte: what is sent here is not lost at the close.
    writer.transport.set_write_buffer_limits(high=0)
    async with asyncio.timeout(STALL):
        writer.write(wire.encode(reply))
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
