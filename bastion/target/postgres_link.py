"""A TCP connection to a database, first for the login, then for the drive."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Final, Protocol

from bastion.errors import DialError, ProtocolFault
from bastion.wire import postgres as wire

WRITE_HIGH: Final = 256 * 1024
"""Unsent bytes at which the client is not read any more."""
CLOSE_SECONDS: Final = 5.0
"""How long a database may take the last bytes; then the connection is cut."""
LOGIN_MESSAGE: Final = 1024 * 1024
"""Bytes of one message during a login or a question of our own."""


class Listener(Protocol):
    """What hears of the connection once it is attached (the drive)."""

    def from_target(self, data: bytes) -> None:
        """Bytes arrived."""

    def target_lost(self) -> None:
        """It broke off."""

    def target_eof(self) -> None:
        """It was closed by the other side."""

    def target_stalled(self, stalled: bool) -> None:
        """It takes no bytes, or does again."""


class Link(asyncio.Protocol):
    """One connection. Until `attach`, messages are awaited one by one; then bytes flow."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._listener: Listener | None = None
        self._buffer = bytearray()
        self._frames = wire.Frames(b"", LOGIN_MESSAGE)
        self._messages: list[wire.Message] = []
        self._arrived = asyncio.Event()
        self._lost = False
        self._ended = False
        self._raw = True
        """Before the first message: the answer to SSLRequest is a single byte."""

    # --- asyncio's callbacks --------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Small messages leave at once: without it every statement waits for an acknowledgement."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=WRITE_HIGH)
        raw = transport.get_extra_info("socket")
        if raw is not None and raw.family in {socket.AF_INET, socket.AF_INET6}:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def data_received(self, data: bytes) -> None:
        """Bytes of the database."""
        if self._listener is not None:
            self._listener.from_target(data)
            return
        self._buffer += data
        self._arrived.set()
        if len(self._buffer) > LOGIN_MESSAGE:  # sent while nobody waits: during SCRAM's rounds
            self.hold(True)

    def eof_received(self) -> bool:
        """It closed its side; so does ours."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Gone."""
        self._lost = True
        self._arrived.set()
        if self._listener is not None and not self._ended:
            self._ended = True
            self._listener.target_lost()

    def pause_writing(self) -> None:
        """The database does not read."""
        if self._listener is not None:
            self._listener.target_stalled(True)

    def resume_writing(self) -> None:
        """It does again."""
        if self._listener is not None:
            self._listener.target_stalled(False)

    # --- the login ------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send."""
        if self._transport is not None and not self._lost:
            self._transport.write(data)

    async def byte(self) -> bytes:
        """What answers SSLRequest; more than a byte was not encrypted (CVE-2021-23222)."""
        while not self._buffer:
            await self._more()
        found = bytes(self._buffer)
        self._buffer.clear()
        if len(found) != 1:
            raise DialError("the database sent more than an answer before encryption began.")
        return found

    async def start_tls(self, context: ssl.SSLContext, name: str) -> None:
        """Encrypt from here on."""
        assert self._transport is not None
        loop = asyncio.get_running_loop()
        transport = await loop.start_tls(self._transport, self, context, server_hostname=name)
        assert transport is not None
        self._transport = transport
        transport.set_write_buffer_limits(high=WRITE_HIGH)

    @property
    def tls(self) -> ssl.SSLObject | None:
        """The encryption, where there is one."""
        found = self._transport.get_extra_info("ssl_object") if self._transport else None
        return found if isinstance(found, ssl.SSLObject) else None

    async def message(self) -> wire.Message:
        """The next message; a DialError where the database breaks off or makes no sense."""
        while not self._messages:
            while not self._buffer:
                await self._more()
            data = bytes(self._buffer)
            self._buffer.clear()
            try:
                self._messages += self._frames.feed(data)
            except ProtocolFault:
                raise DialError("it does not speak PostgreSQL's protocol.") from None
        return self._messages.pop(0)

    async def _more(self) -> None:
        if self._lost:
            raise DialError("it closed the connection.")
        self._arrived.clear()
        self.hold(False)
        await self._arrived.wait()

    async def gone(self) -> None:
        """Wait until the other side has closed."""
        while not self._lost:
            self._buffer.clear()
            await self._more()

    # --- the drive's TargetEnd --------------------------------------------------------------------

    def attach(self, listener: Listener) -> bytes:
        """Bytes go to `listener` from here on; gives those that had arrived already."""
        self._listener = listener
        left = b"".join(one.raw for one in self._messages) + self._frames.rest + self._buffer
        self._messages.clear()
        self._buffer.clear()
        self.hold(False)
        return left

    def attached(self) -> None:
        """What was lost meanwhile is told now."""
        if self._lost and not self._ended and self._listener is not None:
            self._ended = True
            self._listener.target_lost()

    def send(self, data: bytes) -> None:
        """Send decided bytes."""
        self.write(data)

    def eof(self) -> None:
        """A database is left with Terminate; there is no half-close in its protocol."""

    def hold(self, held: bool) -> None:
        """Stop or go on reading."""
        if self._transport is None or self._transport.is_closing():
            return
        if held:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def close(self) -> None:
        """End it; what was sent still leaves, for a while."""
        self._ended = True
        if self._transport is not None and not self._lost:
            self._transport.close()
            asyncio.get_running_loop().call_later(CLOSE_SECONDS, self._transport.abort)


async def connect(host: str, port: int, link: Callable[[], Link] = Link) -> Link:
    """Open a connection; a DialError says why not."""
    loop = asyncio.get_running_loop()
    try:
        if host.startswith("/"):
            _, made = await loop.create_unix_connection(link, host)
        else:
            _, made = await loop.create_connection(link, host, port)
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise DialError(f"it cannot be reached: {why}.") from None
    return made
