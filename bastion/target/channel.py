"""The target's side of a channel: asyncssh's callbacks become calls, and calls become packets."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import asyncssh

from bastion.events import Stream, TargetExit
from bastion.target.dial import TargetConnection


class Packets(Protocol):
    """What every kind of asyncssh channel offers."""

    def write(self, data: bytes) -> None: ...
    def write_eof(self) -> None: ...
    def close(self) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


class Sink(Protocol):
    """Who takes what the target sends; the drive of the channel."""

    def from_target(self, data: bytes, stream: Stream = Stream.STDOUT) -> None:
        """Bytes."""

    def target_eof(self) -> None:
        """No more bytes."""

    def target_exit(self, ended: TargetExit) -> None:
        """The end; everything before it was delivered."""

    def target_lost(self) -> None:
        """The connection broke off before the target said how it ended."""

    def target_stalled(self, stalled: bool) -> None:
        """The target does not take bytes at the moment."""


SILENT = TargetExit(0.0, status=255)
"""A channel that closes without a status: 255 is what OpenSSH's client makes of it."""


class _Side:
    """What session channels and forwards share."""

    def __init__(
        self, sink: Sink, connection: TargetConnection, attached: Callable[[], None]
    ) -> None:
        self._sink = sink
        self._connection = connection
        self._attached = attached
        self._chan: Packets | None = None
        self._unwatch: Callable[[], None] = lambda: None
        self._full = False
        self._ended: TargetExit | None = None
        self._closed = False

    # asyncssh's callbacks

    def connection_made(self, chan: Packets) -> None:
        if self._closed:
            chan.close()  # given up before the target had opened it
        else:
            self._chan = chan

    def session_started(self) -> None:
        self._unwatch = self._connection.watch(lambda _stalled: self._report())
        self._attached()

    def data_received(self, data: bytes, datatype: int | None) -> None:
        stderr = datatype == asyncssh.EXTENDED_DATA_STDERR
        self._sink.from_target(data, Stream.STDERR if stderr else Stream.STDOUT)

    def eof_received(self) -> bool:
        self._sink.target_eof()
        return True

    def pause_writing(self) -> None:
        self._full = True
        self._report()

    def resume_writing(self) -> None:
        self._full = False
        self._report()

    def connection_lost(self, exc: Exception | None) -> None:
        self._unwatch()
        self._chan = None
        ended = self._ended
        if ended is None and exc is not None:
            self._sink.target_lost()
            return
        self._sink.target_exit(replace(ended or SILENT, at=time.time()))

    # TargetEnd

    def send(self, data: bytes) -> None:
        """Send decided bytes."""
        if self._chan is not None:
            try:
                self._chan.write(data)
            except BrokenPipeError:
                self._chan.close()

    def eof(self) -> None:
        """Nothing more will be sent."""
        if self._chan is not None:
            self._chan.write_eof()

    def close(self) -> None:
        """End it now, or as soon as it opens."""
        self._closed = True
        if self._chan is not None:
            self._chan.close()
            self._chan = None

    def hold(self, held: bool) -> None:
        """Stop or go on reading from the target."""
        if self._chan is not None:
            if held:
                self._chan.pause_reading()
            else:
                self._chan.resume_reading()

    def _report(self) -> None:
        self._sink.target_stalled(self._full or self._connection.stalled)


class TargetSession(_Side, asyncssh.SSHClientSession[bytes]):
    """A session channel: exec, shell or subsystem."""

    def exit_status_received(self, status: int) -> None:
        """Kept until all output was delivered."""
        self._ended = TargetExit(0.0, status=status)

    def exit_signal_received(self, signal: str, core_dumped: bool, msg: str, lang: str) -> None:
        """Kept until all output was delivered."""
        self._ended = TargetExit(0.0, signal=signal, core_dumped=core_dumped, message=msg)

    def resize(self, columns: int, rows: int, width: int, height: int) -> None:
        """Pass a window change on."""
        if isinstance(self._chan, asyncssh.SSHClientChannel):
            self._chan.change_terminal_size(columns, rows, width, height)

    def end_of_write(self) -> None:
        """Ask an OpenSSH target to let its program's writes fail; others ignore the request."""
        if isinstance(self._chan, asyncssh.SSHClientChannel):
            self._chan._send_request(b"eow@openssh.com")  # noqa: SLF001 - asyncssh has no call for it

    def signal(self, name: str) -> None:
        """Pass a signal on."""
        if isinstance(self._chan, asyncssh.SSHClientChannel):
            self._chan.send_signal(name)

    def send_break(self, milliseconds: int) -> None:
        """Pass a break on."""
        if isinstance(self._chan, asyncssh.SSHClientChannel):
            self._chan.send_break(milliseconds)


class TargetForward(_Side, asyncssh.SSHTCPSession[bytes]):
    """A direct-tcpip channel through the target."""

    def __init__(
        self, sink: Sink, connection: TargetConnection, attached: Callable[[], None]
    ) -> None:
        super().__init__(sink, connection, attached)
        self._ended = TargetExit(0.0)


class TargetUnixForward(_Side, asyncssh.SSHUNIXSession[bytes]):
    """A direct-streamlocal channel through the target."""

    def __init__(
        self, sink: Sink, connection: TargetConnection, attached: Callable[[], None]
    ) -> None:
        super().__init__(sink, connection, attached)
        self._ended = TargetExit(0.0)
