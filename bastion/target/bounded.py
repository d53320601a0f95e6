"""An asyncssh connection, of either side, whose peer cannot pile up memory or time here.

asyncssh leaves four things to its users. The transport's back-pressure goes nowhere (a peer with a
huge window that stops reading TCP would be sent all there is). What is sent while a key exchange is
under way is kept in a list, and a peer may begin one and never finish it. What arrives while a
packet waits for its handler is kept too, also before anybody logged in. And the maximum packet
size is the peer's to choose, though every packet costs us the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, ClassVar, Final

import asyncssh
from asyncssh.constants import MSG_CHANNEL_OPEN, MSG_CHANNEL_OPEN_CONFIRMATION
from asyncssh.packet import SSHPacket

from bastion.target.quick import QuickConnection

REPLY_LIMIT: Final = 4 * 1024 * 1024
"""Unsent bytes at which a peer that goes on asking is cut off: it takes no answers."""

DEFERRED_LIMIT: Final = 20_000
"""Packets kept for the end of a key exchange: a peer that asks on and never ends it is cut off."""

INPUT_LIMIT: Final = 1024 * 1024
"""Received bytes that may wait for a handler; beyond them the transport is not read. Above the
largest packet (256 KB), so that every packet arrives."""

EXCHANGE_SECONDS: Final = 60.0
"""How long a peer may take to finish a key exchange of a live connection."""

SMALLEST_PACKET: Final = 512
"""Bytes that a peer must take in one packet: at one byte each, 2 MB of a window are two million
packets, and the event loop would serve nobody else meanwhile. RFC 4254 names no lower bound."""


class BoundedConnection(QuickConnection):
    """What a bastion's connections have in common, whichever side they play."""

    _transport: asyncio.Transport
    _deferred_packets: list[tuple[int, Any]]
    _inpbuf: bytes

    def __init__(self, *args: Any, **arguments: Any) -> None:
        super().__init__(*args, **arguments)
        self._watchers: set[Callable[[bool], None]] = set()
        self._carrier: BoundedConnection | None = None
        self._unwatch_carrier: Callable[[], None] = lambda: None
        self._full = False
        self._input_held = False
        self._exchange: asyncio.TimerHandle | None = None

    # --- back-pressure ----------------------------------------------------------------------------

    @property
    def stalled(self) -> bool:
        """Whether the peer takes no bytes at the moment, for whatever reason."""
        exchanging = self._auth_complete and not self._kex_complete
        return self._full or exchanging or (self._carrier is not None and self._carrier.stalled)

    def watch(self, listener: Callable[[bool], None]) -> Callable[[], None]:
        """Tell `listener` whenever `stalled` may have changed; gives the way out."""
        self._watchers.add(listener)
        return lambda: self._watchers.discard(listener)

    def ride_on(self, carrier: BoundedConnection) -> None:
        """This connection runs inside another: it is stalled whenever that one is."""
        self._carrier = carrier
        self._unwatch_carrier = carrier.watch(lambda _stalled: self._tell())

    def pause_writing(self) -> None:
        """The transport's buffer is full."""
        self._full = True
        self._tell()

    def resume_writing(self) -> None:
        """The transport's buffer is empty again."""
        self._full = False
        self._tell()

    def _tell(self) -> None:
        stalled = self.stalled
        for listener in tuple(self._watchers):
            listener(stalled)

    # --- key exchange -----------------------------------------------------------------------------

    def _send_kexinit(self) -> None:
        super()._send_kexinit()
        if self._auth_complete and self._exchange is None:
            loop = asyncio.get_running_loop()
            self._exchange = loop.call_later(EXCHANGE_SECONDS, self.abort)
        self._tell()

    def _send_deferred_packets(self) -> None:
        super()._send_deferred_packets()
        if self._kex_complete:
            if self._exchange is not None:
                self._exchange.cancel()
                self._exchange = None
            self._tell()

    # --- what the peer sends ----------------------------------------------------------------------

    def data_received(self, data: bytes, datatype: int | None = None) -> None:
        """Take bytes of the peer, unless it does not take ours."""
        super().data_received(data, datatype)
        if not self._transport:
            return
        unsent = self._transport.get_write_buffer_size()
        if (self.stalled and unsent > REPLY_LIMIT) or len(self._deferred_packets) > DEFERRED_LIMIT:
            self.abort()
        elif len(self._inpbuf) > INPUT_LIMIT and not self._input_held:
            self._input_held = True
            self._transport.pause_reading()

    def _finish_recv_packet(self, *args: Any, **arguments: Any) -> None:
        super()._finish_recv_packet(*args, **arguments)
        if self._input_held and len(self._inpbuf) <= INPUT_LIMIT:
            self._input_held = False
            if self._transport:
                self._transport.resume_reading()

    def _check_open(self, pkttype: int, pktid: int, packet: SSHPacket) -> None:
        copy = SSHPacket(packet.get_remaining_payload())
        if pkttype == MSG_CHANNEL_OPEN:
            copy.get_string()
        else:
            copy.get_uint32()
        copy.get_uint32()
        copy.get_uint32()
        if copy.get_uint32() < SMALLEST_PACKET:
            raise asyncssh.ProtocolError("Maximum packet size too small")
        if pkttype == MSG_CHANNEL_OPEN:
            self._process_channel_open(pkttype, pktid, packet)
        else:
            self._process_channel_open_confirmation(pkttype, pktid, packet)

    _packet_handlers: ClassVar[Any] = {  # type: ignore[misc]
        **QuickConnection._packet_handlers,
        MSG_CHANNEL_OPEN: _check_open,
        MSG_CHANNEL_OPEN_CONFIRMATION: _check_open,
    }

    def _cleanup(self, exc: Exception | None) -> None:
        if self._exchange is not None:
            self._exchange.cancel()
            self._exchange = None
        self._unwatch_carrier()
        self._deferred_packets = []
        super()._cleanup(exc)
