"""The drive's end of a session channel towards the client."""

from __future__ import annotations

import asyncssh

from bastion.events import Exit, Stream
from bastion.model import visible
from bastion.ssh.connection import BastionConnection


class ClientEnd:
    """What the drive shows goes to the client's channel; every call survives a closed channel."""

    def __init__(self, connection: BastionConnection) -> None:
        self._connection = connection
        self._chan: asyncssh.SSHServerChannel[bytes] | None = None
        self._pty = False

    def awaits_exit(self) -> bool:
        """Whether an exit status is still to come, also for a client that has closed its side."""
        return False

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

    def eof(self) -> None:
        """No more bytes will come."""
        if self._chan is not None:
            self._chan.write_eof()

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

    def hold(self, held: bool) -> None:
        """Stop or go on reading from the client."""
        if self._chan is None:
            return
        if held:
            self._chan.pause_reading()
        else:
            self._chan.resume_reading()


def _signal_name(text: str) -> str:
    """A signal's name as RFC 4254 §6.10 has it; clients break on anything else a target says."""
    return "".join(c for c in text if c.isascii() and (c.isalnum() or c in "@._-"))[:64] or "TERM"
