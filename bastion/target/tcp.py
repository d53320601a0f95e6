"""A plain TCP connection to a target: each side may stop sending and still receive."""

from __future__ import annotations

import time

from bastion.events import TargetExit
from bastion.target.channel import Sink
from bastion.target.postgres_link import Link


class TcpLink(Link):
    """One connection of a granted tunnel (the drive's TargetEnd)."""

    def __init__(self) -> None:
        super().__init__()
        self._sink: Sink | None = None
        self._sent_eof = self._got_eof = False

    def eof_received(self) -> bool:
        """It sends no more, but may still read."""
        self._got_eof = True
        if self._sink is not None:
            self._sink.target_eof()
        return not self._sent_eof

    def eof(self) -> None:
        """Nothing more will be sent."""
        self._sent_eof = True
        if self._transport is None or self._lost:
            return
        if self._got_eof:
            self._transport.close()
        elif self._transport.can_write_eof():
            self._transport.write_eof()

    def connection_lost(self, exc: Exception | None) -> None:
        """Closed on both sides, or broken off."""
        self._lost = True
        if self._sink is not None and not self._ended:
            self._tell_end(exc)

    def begin(self, sink: Sink) -> None:
        """Bytes go to `sink` from here on, those that have arrived already first."""
        early = self.attach(sink)
        self._sink = sink
        if early:
            sink.from_target(early)
        if self._got_eof:
            sink.target_eof()
        if self._lost and not self._ended:
            self._tell_end(None)

    def _tell_end(self, exc: Exception | None) -> None:
        assert self._sink is not None
        self._ended = True
        if exc is None and self._got_eof:
            self._sink.target_exit(TargetExit(time.time()))
        else:
            self._sink.target_lost()
