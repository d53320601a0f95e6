"""asyncssh's server connection, with the checks and the audit that it leaves to us.

With `bastion.target.bounded` the only place that overrides asyncssh's own packet handlers. Two
things need it: a certificate is judged whole, not by its CA key alone; and every message that asks
for something leaves an audit line, also the unknown ones (invariant 11).
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar, Final, Protocol

import asyncssh
from asyncssh.constants import (
    MSG_CHANNEL_CLOSE,
    MSG_CHANNEL_OPEN,
    MSG_CHANNEL_REQUEST,
    MSG_GLOBAL_REQUEST,
    MSG_USERAUTH_REQUEST,
)
from asyncssh.packet import SSHPacket

from bastion.identity.certificates import VerifiedCertificate
from bastion.model import visible
from bastion.target.bounded import BoundedConnection

NAME_LIMIT: Final = 100
"""Characters of a request's name that are kept: a client may send 256 KB of it."""

QUEUE_LIMIT: Final = 100
"""Requests that may wait on one channel: a client that asks on while people decide is cut off."""

ENVIRONMENT_LIMIT: Final = 64 * 1024
"""Bytes of environment that a channel keeps: a client may send 256 KB in each of any number."""

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

    def no_room(self) -> str:
        """Why no further channel may be opened, or ""."""


LAST_WORDS: Final = 0.4
"""Seconds in which a client that is let go may take what it was shown last. OpenSSH's drops what
it has not written when it reads a disconnect: the reason, and what puts a screen away."""


class BastionConnection(BoundedConnection, asyncssh.SSHServerConnection):
    """One connection of a client; `owner` is the BastionServer made for it."""

    _owner: Any
    """An `Owner`."""

    def __init__(self, *args: Any, **arguments: Any) -> None:
        super().__init__(*args, **arguments)
        self._proven: object = None
        self._tries = 0
        self._last_words: asyncio.TimerHandle | None = None
        self._why = ""

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
        self._proven = None
        self._offered = None
        accepted = await super().validate_public_key(username, key_data, msg, signature)
        if accepted and msg:
            self._proven = self._offered
        return accepted

    @property
    def proven(self) -> object:
        """What the last public-key authentication proved: a VerifiedCertificate, a key, or None."""
        return self._proven

    def _counted_userauth(self, pkttype: int, pktid: int, packet: SSHPacket) -> Any:
        """Whatever the method: each try costs the provider or us something."""
        self._tries += 1
        if not self._auth_complete and self._tries > self._owner.auth_tries:
            raise asyncssh.DisconnectError(
                asyncssh.DISC_NO_MORE_AUTH_METHODS_AVAILABLE, "Too many authentication failures"
            )
        return super()._process_userauth_request(pkttype, pktid, packet)

    # --- every message leaves an event -----------------------------------------------------------

    def _audited_global_request(self, pkttype: int, pktid: int, packet: SSHPacket) -> None:
        name = _peek_name(packet)
        if name not in _QUIET:
            self._owner.note("global-request", name=name)
        super()._process_global_request(pkttype, pktid, packet)

    def _audited_channel_open(self, pkttype: int, pktid: int, packet: SSHPacket) -> None:
        self._owner.note("channel-open", type=_peek_name(packet))
        self._check_open(pkttype, pktid, packet)

    def _process_channel_open(self, pkttype: int, pktid: int, packet: SSHPacket) -> None:
        full = self._owner.no_room()
        if full:
            packet.get_string()
            number = packet.get_uint32()
            self.send_channel_open_failure(number, asyncssh.OPEN_RESOURCE_SHORTAGE, full, "")
        else:
            super()._process_channel_open(pkttype, pktid, packet)

    _packet_handlers: ClassVar[Any] = {  # type: ignore[misc]
        **BoundedConnection._packet_handlers,
        MSG_GLOBAL_REQUEST: _audited_global_request,
        MSG_CHANNEL_OPEN: _audited_channel_open,
        MSG_USERAUTH_REQUEST: _counted_userauth,
    }

    # --- the end ------------------------------------------------------------------------------

    @property
    def channel_count(self) -> int:
        """Channels that are open or being opened, of every kind."""
        return len(self._channels)

    def part(self, reason: str) -> None:
        """Disconnect as soon as the client has closed its channels, or after LAST_WORDS."""
        if self._last_words is not None:
            return
        self._why = reason
        self._last_words = self._loop.call_later(LAST_WORDS, self._part_now)
        if not self._channels:
            self._part_now()

    def remove_channel(self, recv_chan: int) -> None:
        """A channel is closed on both sides."""
        super().remove_channel(recv_chan)
        if self._last_words is not None and not self._channels:
            self._loop.call_soon(self._part_now)

    def _part_now(self) -> None:
        assert self._last_words is not None
        if not self._last_words.cancelled():
            self._last_words.cancel()
            if not self.is_closed():
                self.disconnect(asyncssh.DISC_BY_APPLICATION, self._why)


class AuditedChannel(asyncssh.SSHServerChannel[bytes]):
    """A session channel that tells of every request and lets policy decide agent and X11."""

    _session: Any

    def _audited_request(self, pkttype: int, pktid: int, packet: SSHPacket) -> None:
        name = _peek_name(packet)
        if name not in _QUIET and self._session is not None:
            self._session.requested(name)
        if len(self._request_queue) >= QUEUE_LIMIT:
            raise asyncssh.ProtocolError("Too many requests wait on one channel")
        super()._process_request(pkttype, pktid, packet)

    def _process_eow_at_openssh_dot_com_request(self, packet: SSHPacket) -> bool:
        """OpenSSH's client has nobody left to read (`ssh … | head`); its PROTOCOL, section 2.1."""
        packet.check_end()
        if self._session is not None:
            self._session.nobody_reads()
        return True

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

    def _process_env_request(self, packet: SSHPacket) -> bool:
        """Kept within bounds; which of it reaches the target is decided later."""
        self._environment_bytes += len(packet.get_remaining_payload())
        if self._environment_bytes > ENVIRONMENT_LIMIT:
            return False
        return super()._process_env_request(packet)

    _environment_bytes = 0

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
