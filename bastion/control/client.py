"""The control socket from the other side, for command lines: one call, one answer."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from bastion.errors import ControlError
from bastion.wire import control as wire

T = TypeVar("T")

TIMEOUT: Final = 15.0
"""Seconds for one answer."""


class ControlClient:
    """A connection to a running bastion. Every failure is a ControlError with one sentence."""

    def __init__(self, place: Path | socket.socket, *, timeout: float = TIMEOUT) -> None:
        """`place`: the socket's path, or a connection that the bastion handed over."""
        self._last_id = 0
        self.lost = False
        """Whether the bastion hung up: then only another connection helps."""
        self._socket = place if isinstance(place, socket.socket) else _connected(place, timeout)
        self._socket.settimeout(timeout)
        self._lines = self._socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._lines.close()
        self._socket.close()

    def call(self, call: wire.AnyCall, shape: type[T]) -> T:
        """Send a call and give its result in the shape that the call's docstring names."""
        self._last_id += 1
        # A bastion that hung up may have said why before; that is read below.
        with contextlib.suppress(OSError):
            self._socket.sendall(wire.encode(wire.Request(wire.VERSION, self._last_id, call)))
        while (reply := self._read()).event is not None:
            pass  # what is watched comes between
        if reply.error:
            raise ControlError(reply.error)
        if reply.id != self._last_id:
            raise ControlError("The bastion answered another question; try again.")
        return wire.convert(reply.result, shape)

    def events(self) -> Iterator[dict[str, Any]]:
        """Watch: give events for ever; the first is awaited without a deadline."""
        self.call(wire.Watch(), wire.Welcome)
        self._socket.settimeout(None)
        while True:
            reply = self._read()
            if reply.event is not None:
                yield reply.event

    def _read(self) -> wire.Reply:
        try:
            line = self._lines.readline(wire.MAX_REPLY)
        except OSError as error:
            self.lost = True
            raise ControlError(f"The bastion did not answer: {error}.") from None
        if not line.endswith(b"\n"):
            self.lost = True
            raise ControlError("The bastion hung up before it answered.")
        return wire.decode_reply(line)


def _connected(path: Path, timeout: float) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(timeout)
    try:
        connection.connect(str(path))
    except OSError as error:
        connection.close()
        reason = "is it running?" if _is_absent(error) else f"{error.strerror or error}."
        raise ControlError(f"The bastion does not answer at {path}: {reason}") from None
    return connection


def _is_absent(error: OSError) -> bool:
    return isinstance(error, (FileNotFoundError, ConnectionRefusedError))
