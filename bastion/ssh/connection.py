"""asyncssh's server connection, with the checks and the audit that it leaves to us.

The only file that overrides asyncssh's own packet handlers. Three things need it: a certificate is
judged whole, not by its CA key alone; every message that asks for something leaves an audit line,
also the unknown ones (invariant 11); and the transport's back-pressure reaches the channels, for
asyncssh does nothing with it (a client with a huge window and a stalled TCP would fill memory).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, ClassVar, Protocol

import asyncssh
from asyncssh.constants import (
    MSG_CHANNEL_CLOSE,
    MSG_CHANNEL_OPEN,
    MSG_CHANNEL_REQUEST,
    MSG_GLOBAL_REQUEST,
)
from asyncssh.packet import SSHPacket

from bastion.identity.certificates import VerifiedCertificate
from bastion.model import visible

REPLY_LIMIT = 4 * 1024 * 1024
"""Unsent bytes at which a client is not read any more: it asks for answers and takes none."""

NAME_LIMIT = 100
"""Characters of a request's name that are kept: a client may send 256 KB of it."""

_QUIET = frozenset({"keepalive@openssh.com", "window-change"})
"""Asked every few seconds: a window change is in the cast, a keepalive asks for nothing."""


def _peek_name(packet: SSHPacket) -> str:
    """The name a request starts with, as text fit to be shown; the packet stays unread."""
    copy = SSHPacket(packet.get_remaining_payload())
    return visible(copy.get_string().decode("utf-8", "surrogateescape"), limit=NAME_LIMIT)


class Owner(Protocol):
    """What the connection asks of its BastionServer."""

    auth_tries: int

    def judge_certificate(self, cert: asyncssh.SSHCertificate) -> VerifiedCertificate | None:
        """Everything about a certificate but its holder's signature."""

    def note(self, kind: str, **fields: object) -> None:
        """An audit line."""


class BastionConnection(asyncssh.SSHServerConnection):
    """One connection of a client; `owner` is the BastionServer made for it."""

    _owner: Any
    """An `Owner`."""
    _transport: asyncio.Transport

    def __init__(self, *args: Any, **arguments: Any) -> None:
        super().__init__(*args, **arguments)
        self._stalled_listeners: set[Callable[[bool], None]] = set()
        self.stalled = False
        self._proven: object = None
        self._tries = 0

    # --- who ----------------------------------------------------------------------------------

    async def _validate_openssh_certificate(
        self, username: str, cert: asyncssh.SSHCertificate
    ) -> asyncssh.SSHKey | None:
        """Judge a certificate; what it says counts only once its key has signed (see below)."""
        verified = self._owner.judge_certificate(cert)
        if verified is None:
            return None
        self._offered: object = verified
        self._key_options = {}
        self._cert_options = (
            None  # its extensions are enforced in `permits`, where a refusal is told
        )
        return cert.key

    async def _validate_client_public_key(
        self, username: str, key_data: bytes
    ) -> asyncssh.SSHKey | None:
        """A bare key proves nothing but its possession; only the login channel has use for that."""
        key = await super()._validate_client_public_key(username, key_data)
        self._offered = key
        return key

    async def validate_public_key(
        self, username: str, key_data: bytes, msg: bytes, signature: bytes
    ) -> bool:
        """Accept a key; `proven` is set only after its signature held, never for an offer."""
        self._tries += 1
        self._proven = None
        self._offered = None
        if self._tries > self._owner.auth_tries:
            raise asyncssh.DisconnectError(
                asyncssh.DISC_NO_MORE_AUTH_METHODS_AVAILABLE, "Too many authentication failures"
            )
        accepted = await super().validate_public_key(username, key_data, msg, signature)
        if accepted and msg:
            self._proven = self._offered
        return accepted

    @property
    def proven(self) -> object:
        """What the last public-key authentication proved: a VerifiedCertificate, a key, or None."""
        return self._proven

    # --- every message leaves an event -----------------------------------------------------------

    def _audited_global_request(self, pkttype: int, pktid: int, packet: SSHPacket) -> None:
        name = _peek_name(packet)
        if name not in _QUIET:
            self._owner.note("global-request", name=name)
        super()._process_global_request(pkttype, pktid, packet)

    def _audited_channel_open(self, pkttype: int, pktid: int, packet: SSHPacket) -> None:
        self._owner.note("channel-open", type=_peek_name(packet))
        super()._process_channel_open(pkttype, pktid, packet)

    _packet_handlers: ClassVar[Any] = {  # type: ignore[misc]
        **asyncssh.SSHServerConnection._packet_handlers,
        MSG_GLOBAL_REQUEST: _audited_global_request,
        MSG_CHANNEL_OPEN: _audited_channel_open,
    }

    # --- back-pressure ----------------------------------------------------------------------------

    def watch(self, listener: Callable[[bool], None]) -> Callable[[], None]:
        """Tell `listener` when the client's connection stops or starts taking bytes."""
        self._stalled_listeners.add(listener)
        return lambda: self._stalled_listeners.discard(listener)

    def pause_writing(self) -> None:
        """The transport's buffer is full."""
        self._set_stalled(True)

    def resume_writing(self) -> None:
        """The transport's buffer is empty again."""
        self._set_stalled(False)

    def _set_stalled(self, stalled: bool) -> None:
        self.stalled = stalled
        for listener in tuple(self._stalled_listeners):
            listener(stalled)

    def data_received(self, data: bytes, datatype: int | None = None) -> None:
        """Take bytes of the client, unless it does not take ours."""
        super().data_received(data, datatype)
        transport = self._transport
        if transport and self.stalled and transport.get_write_buffer_size() > REPLY_LIMIT:
            self.abort()


class AuditedChannel(asyncssh.SSHServerChannel[bytes]):
    """A session channel that tells of every request and lets policy decide agent and X11."""

    _session: Any

    def _audited_request(self, pkttype: int, pktid: int, packet: SSHPacket) -> None:
        name = _peek_name(packet)
        if name not in _QUIET and self._session is not None:
            self._session.requested(name)
        super()._process_request(pkttype, pktid, packet)

    def _patient_close(self, pkttype: int, pktid: int, packet: SSHPacket) -> None:
        """Take the client's close, but not before the exit status was sent.

        OpenSSH's client closes as soon as it has seen both EOFs; its own server still sends the
        status then, and the client still takes it.
        """
        waits = self._send_state == "eof" and self._session is not None
        if waits and self._session.awaits_exit():
            self._late_close = (pkttype, pktid, packet)
        else:
            super()._process_close(pkttype, pktid, packet)

    _late_close: tuple[int, int, SSHPacket] | None = None

    def close(self) -> None:
        """Close our side; then the client's close that came first is due."""
        super().close()
        if self._late_close is not None:
            late, self._late_close = self._late_close, None
            super()._process_close(*late)

    _packet_handlers: ClassVar[Any] = {  # type: ignore[misc]
        **asyncssh.SSHServerChannel._packet_handlers,
        MSG_CHANNEL_REQUEST: _audited_request,
        MSG_CHANNEL_CLOSE: _patient_close,
    }

    def _process_exec_request(self, packet: SSHPacket) -> bool:
        """Bytes that are not UTF-8 reach the gate as what they are, and it says no."""
        command = packet.get_string().decode("utf-8", "surrogateescape")
        packet.check_end()
        return bool(self._start_session(command=command))

    def _process_x11_req_request(self, packet: SSHPacket) -> bool | None:
        """X11 waits for its verdict before asyncssh makes a listener."""
        single = packet.get_boolean()
        protocol, cookie, screen = packet.get_string(), packet.get_string(), packet.get_uint32()
        packet.check_end()

        async def finish() -> None:
            if not await self._session.permit_x11(single):
                self._report_response(False)
                return
            try:
                data = bytes.fromhex(cookie.decode("ascii"))
            except ValueError:
                self._report_response(False)
                return
            await self._finish_x11_req_request(protocol, data, screen)

        self._conn.create_task(finish(), self.logger)
        return None

    async def _finish_agent_req_request(self) -> None:
        """So does the agent."""
        if not await self._session.permit_agent():
            self._report_response(False)
            return
        await super()._finish_agent_req_request()


def new_channel(connection: BastionConnection) -> AuditedChannel:
    """A session channel of `connection`, in bytes, with asyncssh's default window."""
    return AuditedChannel(
        connection,
        asyncio.get_running_loop(),
        True,
        False,
        False,
        0,
        0,
        None,
        "strict",
        WINDOW,
        PACKET,
    )


WINDOW = 2 * 1024 * 1024
PACKET = 32768
