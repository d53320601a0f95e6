"""A server that speaks PostgreSQL's protocol as a test tells it to, well or not."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from bastion.wire import postgres as wire
from tests.harness.postgres import make_certificates

LOGGED_IN = wire.encode(b"R", b"\0\0\0\0")
GREETING = (
    LOGGED_IN
    + wire.setting("client_encoding", "UTF8")
    + wire.setting("TimeZone", "UTC")
    + wire.backend_key(4711, b"real")
    + wire.ready("I")
)
COLUMN = wire.encode(b"T", b"\0\1" + b"a\0" + struct.pack(">IhIhih", 0, 0, 25, -1, -1, 0))


@dataclass(eq=False)
class Peer:
    """The bastion's side of one connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    sent: int = 0

    async def say(self, *data: bytes) -> None:
        """Send, and wait until it is on its way."""
        for one in data:
            self.writer.write(one)
            self.sent += len(one)
        await self.writer.drain()

    async def packet(self) -> bytes:
        """What a connection begins with; a request to cancel is closed, as by any server."""
        body = await self._body()
        if body[:4] == wire.CANCEL_REQUEST.to_bytes(4, "big"):
            raise asyncio.IncompleteReadError(b"", None)
        return body

    async def _body(self) -> bytes:
        size = int.from_bytes(await self.reader.readexactly(4), "big")
        return await self.reader.readexactly(size - 4)

    async def message(self) -> tuple[bytes, bytes]:
        """Type and body of the next message."""
        kind = await self.reader.readexactly(1)
        return kind, await self._body()

    async def greet(self) -> None:
        """A login without a password, then ready."""
        await self.packet()
        await self.say(GREETING)

    async def query(self) -> None:
        """Wait for the next Query."""
        while (await self.message())[0] != b"Q":
            continue

    async def gone(self) -> None:
        """Wait until the bastion has closed."""
        while await self.reader.read(65536):
            continue


@dataclass(eq=False)
class Hostile:
    """Behaves as `behave` says, on every connection."""

    port: int = 0
    ca: Path = Path()
    context: ssl.SSLContext | None = None
    behave: Callable[[Peer], Awaitable[None]] = Peer.greet
    peers: list[Peer] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        peer = Peer(reader, writer)
        self.peers.append(peer)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, ssl.SSLError):
                await self.behave(peer)
        finally:
            writer.close()


@contextlib.asynccontextmanager
async def hostile(directory: Path) -> AsyncIterator[Hostile]:
    """Listen on 127.0.0.1; `directory` gets the certificate that its TLS would show."""
    make_certificates(directory)
    found = Hostile(ca=directory / "ca.pem")
    found.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    found.context.load_cert_chain(directory / "server.pem", directory / "server.key")
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        server.close()
        for peer in found.peers:
            peer.writer.close()
