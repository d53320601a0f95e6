"""The client's side of a forwarded connection, and where a forward comes from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import asyncssh

from bastion.events import EndReason, Exit, Stream
from bastion.model import ForwardRequest, Target, visible
from bastion.ssh.connection import BastionConnection
from bastion.ssh.drive import Drive
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


class ForwardSide:
    """The client's side of a forwarded connection: asyncssh's callbacks and the drive's calls."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._chan: asyncssh.SSHTCPChannel[bytes] | None = None
        self._full = False
        self._unwatch: Callable[[], None] = lambda: None
        self.drive: Drive | None = None
        self.request: ForwardRequest | None = None

    def connection_made(self, chan: asyncssh.SSHTCPChannel[bytes]) -> None:
        """The channel is open on the client's side."""
        self._chan = chan

    def session_started(self) -> None:
        """Now dial."""
        assert self.drive is not None
        assert self.request is not None
        self._unwatch = self._origin.connection.watch(lambda _stalled: self._report())
        self.drive.start(self.request)

    def data_received(self, data: bytes, datatype: int | None) -> None:
        """Bytes of the client."""
        if self.drive is not None:
            self.drive.from_client(data)

    def eof_received(self) -> bool:
        """Half-closed."""
        if self.drive is not None:
            self.drive.client_eof()
        return True

    def pause_writing(self) -> None:
        """The client does not read."""
        self._full = True
        self._report()

    def resume_writing(self) -> None:
        """It does again."""
        self._full = False
        self._report()

    def _report(self) -> None:
        if self.drive is not None:
            self.drive.client_stalled(self._full or self._origin.connection.stalled)

    def connection_lost(self, exc: Exception | None) -> None:
        """Closed."""
        self._chan = None
        self._unwatch()
        if self.drive is not None:
            self.drive.client_left()
            self._origin.session.drives.discard(self.drive)

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

    def eof(self) -> None:
        """No more bytes will come."""
        if self._chan is not None:
            self._chan.write_eof()

    def exit(self, ended: Exit) -> None:
        """Close; a forward has no status."""
        if self._chan is not None:
            if ended.reason is EndReason.FINISHED:
                self._chan.close()
            else:
                self._chan.abort()

    def hold(self, held: bool) -> None:
        """Stop or go on reading from the client."""
        if self._chan is not None:
            if held:
                self._chan.pause_reading()
            else:
                self._chan.resume_reading()


class TcpForwardSide(ForwardSide, asyncssh.SSHTCPSession[bytes]):
    """direct-tcpip and forwarded-tcpip."""


class UnixForwardSide(ForwardSide, asyncssh.SSHUNIXSession[bytes]):  # type: ignore[misc]
    """direct-streamlocal."""
