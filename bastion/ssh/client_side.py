"""The client's side of a channel: the drive shows there, and hears of what the client does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import asyncssh

from bastion.events import Exit, Stream
from bastion.model import visible
from bastion.ssh.connection import BastionConnection
from bastion.ssh.drive import Drive
from bastion.ssh.session import Session


class ClientSide:
    """What channels of every kind share; every call survives a closed channel."""

    def __init__(self, session: Session, connection: BastionConnection) -> None:
        self._session = session
        self._connection = connection
        self._chan: Any = None
        """asyncssh's channel while it is open; its kinds share no base class with these calls."""
        self._full = False
        self._held = False
        self._unwatch: Callable[[], None] = lambda: None
        self.drive: Drive | None = None

    def watch_pace(self) -> None:
        """From now on the drive hears of a client that does not read.

        To be called in `session_started`. When that returns, asyncssh reads from the client, even
        where the drive holds it already: all that a client sends while a slow target is dialled
        would be kept here.
        """
        self._unwatch = self._connection.watch(lambda _stalled: self._report())
        asyncio.get_running_loop().call_soon(lambda: self.hold(self._held))

    def pause_writing(self) -> None:
        """The client does not read."""
        self._full = True
        self._report()

    def resume_writing(self) -> None:
        """The client reads again."""
        self._full = False
        self._report()

    def _report(self) -> None:
        if self.drive is not None:
            self.drive.client_stalled(self._full or self._connection.stalled)

    def eof_received(self) -> bool:
        """The client sends no more; it may still read."""
        if self.drive is not None:
            self.drive.client_eof()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """The client closed the channel, or we did."""
        self._chan = None
        self._unwatch()
        if self.drive is not None:
            self.drive.client_left()
            self._session.drives.discard(self.drive)

    def eof(self) -> None:
        """No more bytes will come."""
        if self._chan is not None:
            self._chan.write_eof()

    def hold(self, held: bool) -> None:
        """Stop or go on reading from the client."""
        self._held = held
        if self._chan is None:
            return
        if held:
            self._chan.pause_reading()
        else:
            self._chan.resume_reading()


class SessionSide(ClientSide):
    """The side of a session channel (RFC 4254 section 6): with a stderr and an exit status."""

    _chan: asyncssh.SSHServerChannel[bytes] | None

    def __init__(self, session: Session, connection: BastionConnection) -> None:
        super().__init__(session, connection)
        self._pty = False

    def awaits_exit(self) -> bool:
        """Whether an exit status is still to come, also for a client that has closed its side."""
        return self.drive is not None and self.drive.ended is None

    def nobody_reads(self) -> None:
        """The client takes no more output; where that is short anyway, nothing follows."""

    def show(self, data: bytes, stream: Stream) -> None:
        """Send bytes to the client. A terminal has one stream, or their order would be lost."""
        if self._chan is None:
            return
        apart = stream is Stream.STDERR and not self._pty
        kind = asyncssh.EXTENDED_DATA_STDERR if apart else None
        try:
            self._chan.write(data, kind)
        except BrokenPipeError:
            return  # the client closed its side; the drive hears of it as client_left

    def phrase(self, text: str) -> bytes:
        """A sentence of the bastion as the client's stderr shows it."""
        newline = "\r\n" if self._pty else "\n"
        return f"bastion: {visible(text)}{newline}".encode()

    def tell(self, text: str) -> None:
        """Say something that belongs to no recording: before there is one."""
        self.show(self.phrase(text), Stream.STDERR)

    def exit(self, ended: Exit) -> None:
        """Report how it ended and close."""
        if self._chan is None:
            return
        if ended.signal:
            self._chan.exit_with_signal(
                _signal_name(ended.signal),
                ended.core_dumped,
                visible(ended.message, limit=200),
            )
        else:
            self._chan.exit(ended.status)


def _signal_name(text: str) -> str:
    """A signal's name as RFC 4254 §6.10 has it; clients break on anything else a target says."""
    return "".join(c for c in text if c.isascii() and (c.isalnum() or c in "@._-"))[:64] or "TERM"
