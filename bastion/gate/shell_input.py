"""Commands on standard input, where a shell was asked for without a terminal (`ssh -T`)."""

from __future__ import annotations

from typing import Final

from bastion.policy.shell.reading import is_complete

COMMAND_LIMIT: Final = 65536
"""Bytes of one command: a quote that is never closed would make one command of everything."""


class CommandReader:
    """Bytes in, whole commands out: lines, joined until a shell would run them."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    @property
    def size(self) -> int:
        """Bytes that wait."""
        return len(self._bytes)

    def feed(self, data: bytes) -> None:
        """Take bytes as they come."""
        self._bytes += data

    def take(self, *, ended: bool) -> str | None:
        """The next command that is not blank; None where more must come. `ended`: nothing will."""
        end = -1
        while (end := self._bytes.find(b"\n", end + 1)) >= 0:
            text = self._bytes[:end].decode("utf-8", "surrogateescape")
            if is_complete(text) or end > COMMAND_LIMIT:
                del self._bytes[: end + 1]
                if text.strip():
                    return text
                end = -1
        if not self._bytes or not (ended or len(self._bytes) > COMMAND_LIMIT):
            return None
        text = self._bytes.decode("utf-8", "surrogateescape")
        self._bytes.clear()
        return text if text.strip() else None
