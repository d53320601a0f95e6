"""How PostgreSQL's protocol is cut into messages, and a message into its parts."""

from __future__ import annotations

from typing import Final, NamedTuple

from bastion.errors import ProtocolFault

MAX_MESSAGE: Final = 64 * 1024 * 1024
"""A message that must be decoded is kept whole: a length of 1 GB must not be believed."""
PIECE: Final = 64 * 1024
"""Messages of streamed types that are longer go on in pieces."""


class Message(NamedTuple):
    """One message, or a piece of a long one of a streamed type."""

    kind: int
    """Its type byte."""
    raw: bytes
    first: bool = True
    """Whether `raw` begins with the header."""
    last: bool = True
    """Whether the message ends here."""

    @property
    def body(self) -> bytes:
        """What follows type and length."""
        return self.raw[5:]


class Frames:
    """Cuts a stream into messages; what is cut off waits, within bounds."""

    def __init__(self, streamed: bytes, limit: int = MAX_MESSAGE) -> None:
        self._streamed = frozenset(streamed)
        self._limit = limit
        self._left = b""
        self._parts: list[bytes] = []
        self._lacking = 0
        """Bytes that a message which is kept whole still lacks: joining at every arrival would take
        a time that grows with the square of its length."""
        self._rest = 0
        """Bytes that are still to come of a message that goes on in pieces."""
        self._kind = 0

    def feed(self, data: bytes) -> list[Message]:
        """Give all that is complete; ProtocolFault where the stream makes no sense."""
        found: list[Message] = []
        if self._lacking > len(data):
            self._parts.append(data)
            self._lacking -= len(data)
            return found
        if self._parts:
            data = b"".join((*self._parts, data))
            self._parts.clear()
            self._lacking = 0
        elif self._left:
            data = self._left + data
            self._left = b""
        position, end = 0, len(data)
        while position < end:
            if self._rest:
                step = min(self._rest, end - position)
                self._rest -= step
                piece = data[position : position + step]
                found.append(Message(self._kind, piece, False, not self._rest))
                position += step
                continue
            if end - position < 5:
                break
            kind = data[position]
            length = int.from_bytes(data[position + 1 : position + 5], "big")
            if not 4 <= length <= self._limit and not (kind in self._streamed and length >= 4):
                raise ProtocolFault(f"a message of type {kind:#04x} claims {length} bytes.")
            stop = position + 1 + length
            if stop <= end:
                found.append(Message(kind, data[position:stop]))
            elif kind in self._streamed and length > PIECE:
                self._kind, self._rest = kind, stop - end
                found.append(Message(kind, data[position:end], True, False))
                return found
            else:
                self._lacking = stop - end
                self._parts = [data[position:]]
                self._left = b""
                return found
            position = stop
        self._left = data[position:]
        return found

    @property
    def waiting(self) -> int:
        """Bytes that are kept for their message to be complete."""
        return len(self._left) + sum(map(len, self._parts))

    @property
    def begun(self) -> bool:
        """Whether a message has begun that has not ended."""
        return bool(self._rest or self._parts or self._left)

    @property
    def inside(self) -> bool:
        """Whether a message has gone out in part."""
        return bool(self._rest)

    @property
    def rest(self) -> bytes:
        """What was not cut yet."""
        return b"".join((*self._parts, self._left))


def encode(kind: bytes, body: bytes = b"") -> bytes:
    """A message."""
    return kind + (len(body) + 4).to_bytes(4, "big") + body


class Reader:
    """Takes a body apart; ProtocolFault where it ends too early or holds too much."""

    def __init__(self, data: bytes, what: str) -> None:
        self._data = data
        self._at = 0
        self._what = what

    def _fault(self) -> ProtocolFault:
        return ProtocolFault(f"a malformed {self._what} message.")

    def take(self, size: int) -> bytes:
        """So many bytes."""
        if size < 0 or self._at + size > len(self._data):
            raise self._fault()
        self._at += size
        return self._data[self._at - size : self._at]

    def byte(self) -> int:
        """One byte."""
        return self.take(1)[0]

    def int16(self) -> int:
        """A count: never negative here."""
        return int.from_bytes(self.take(2), "big")

    def int32(self) -> int:
        """A signed number."""
        return int.from_bytes(self.take(4), "big", signed=True)

    def text(self) -> bytes:
        """Bytes up to a NUL."""
        end = self._data.find(b"\0", self._at)
        if end < 0:
            raise self._fault()
        found = self._data[self._at : end]
        self._at = end + 1
        return found

    def value(self) -> bytes | None:
        """A length and so many bytes; None for NULL."""
        length = self.int32()
        return None if length == -1 else self.take(length)

    @property
    def left(self) -> int:
        """Bytes that are left."""
        return len(self._data) - self._at

    def end(self) -> None:
        """Nothing may be left."""
        if self.left:
            raise self._fault()
