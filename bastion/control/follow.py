"""One caller follows one live channel: its screen as it is, then what it shows, masked already."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import msgspec

from bastion.control import shown
from bastion.control.outbox import Outbox
from bastion.tap.tail import Seen, Tail
from bastion.wire import control as wire

PAUSE: Final = 0.05
"""Seconds between two looks: a busy channel is told in some larger pieces."""

MAX_PIECE: Final = 64 * 1024
"""Bytes of one piece; a channel that shows more meanwhile is shown anew, as it stands."""


class Follower:
    """Sends a channel's output to one outbox. Who is slow misses what came between, is told so by
    a `reset`, and never holds the channel up."""

    def __init__(
        self,
        session_id: str,
        channel: str,
        tail: Tail,
        outbox: Outbox,
        allowed: Callable[[], bool],
        send: Callable[[dict[str, Any]], bytes],
    ) -> None:
        """`allowed` is asked at every look; `send` makes a line of an event."""
        self.session_id = session_id
        self.channel = channel
        self._tail = tail
        self._outbox = outbox
        self._allowed = allowed
        self._line = send
        self._new = bytearray()
        self._lost = False
        self._changed = False
        self._stop = tail.watch(self._shown)
        self._timer: asyncio.TimerHandle | None = None

    def beginning(self) -> wire.Following:
        """The screen as it is now; what is shown from here on follows as events."""
        return wire.Following(shown.screen(self.session_id, self.channel, self._tail.seen()))

    def stop(self) -> None:
        """No more."""
        self._stop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _shown(self, data: bytes) -> None:
        self._changed = True
        if len(self._new) + len(data) > MAX_PIECE:
            self._lost = True
            self._new.clear()
        elif not self._lost:
            self._new += data
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(PAUSE, self._look)

    def _look(self) -> None:
        self._timer = None
        if not self._allowed():
            self.stop()
            self._outbox.put(self._line({"kind": wire.OUTPUT, "screen": None, "ended": True}))
            return
        if not self._outbox.idle:
            self._timer = asyncio.get_running_loop().call_later(PAUSE, self._look)
            return
        seen = self._tail.seen() if self._lost else self._piece()
        screen = msgspec.to_builtins(shown.screen(self.session_id, self.channel, seen))
        event = {"kind": wire.OUTPUT, "screen": screen, "reset": self._lost, "ended": False}
        self._outbox.put(self._line(event))
        self._new.clear()
        self._lost = False

    def _piece(self) -> Seen:
        columns, rows = self._tail.size
        return Seen(columns, rows, bytes(self._new), raw=self._tail.raw)
