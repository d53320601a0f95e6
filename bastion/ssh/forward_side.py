"""The client's side of a forwarded connection, and where a forward comes from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import asyncssh

from bastion.events import EndReason, Exit, Stream
from bastion.model import ForwardRequest, Target, visible
from bastion.ssh.client_side import ClientSide
from bastion.ssh.connection import BastionConnection
from bastion.ssh.services import Services
from bastion.ssh.session import Place, Session


@dataclass(frozen=True, slots=True)
class Origin:
    """Who opens a forward, and through which target (None on a connection to the bastion)."""

    services: Services
    session: Session
    connection: BastionConnection
    place: Place | None
    inner: Callable[[Target], asyncssh.SSHServer]
    """Makes the server of an inner connection to a target."""


class ForwardSide(ClientSide):
    """The client's side of a forwarded connection: asyncssh's callbacks and the drive's calls."""

    _chan: asyncssh.SSHTCPChannel[bytes] | None

    def __init__(self, origin: Origin) -> None:
        super().__init__(origin.session, origin.connection)
        self._origin = origin
        self.request: ForwardRequest | None = None

    def connection_made(self, chan: asyncssh.SSHTCPChannel[bytes]) -> None:
        """The channel is open on the client's side."""
        self._chan = chan

    def session_started(self) -> None:
        """Now dial."""
        assert self.drive is not None
        assert self.request is not None
        self.watch_pace()
        self.drive.start(self.request)

    def data_received(self, data: bytes, datatype: int | None) -> None:
        """Bytes of the client."""
        if self.drive is not None:
            self.drive.from_client(data)

    # the drive's ClientEnd

    def show(self, data: bytes, stream: Stream) -> None:
        """Bytes of the target; a forward has no stderr to speak on."""
        if self._chan is not None and stream is Stream.STDOUT:
            try:
                self._chan.write(data)
            except BrokenPipeError:
                return

    def phrase(self, text: str) -> bytes:
        """For the recording alone."""
        return f"bastion: {visible(text)}\n".encode()

    def exit(self, ended: Exit) -> None:
        """Close; a forward has no status."""
        if self._chan is not None:
            if ended.reason is EndReason.FINISHED:
                self._chan.close()
            else:
                self._chan.abort()


class TcpForwardSide(ForwardSide, asyncssh.SSHTCPSession[bytes]):
    """direct-tcpip and forwarded-tcpip."""


class UnixForwardSide(ForwardSide, asyncssh.SSHUNIXSession[bytes]):  # type: ignore[misc]
    """direct-streamlocal."""
