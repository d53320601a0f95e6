"""How PostgreSQL's protocol is cut into messages, and a message into its parts."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from bastion.errors import ProtocolFault

MAX_MESSAGE: Final = 64 * 1024 * 1024
"""A message that must be decoded is kept whole: a length of 1 GB must not be believed."""
PIECE: Final = 64 * 1024
"""Messages of streamed types that are longer go on in pieces."""
HEADER: Final = 5
"""A type and a length, which counts itself."""

_header: Final = struct.Struct(">BI").unpack_from


class Message(NamedTuple):
    """One message; of a streamed type a piece of a long one, or several whole ones."""

    kind: int
    """Its type byte."""
    raw: bytes
    first: int = 1
    """How many messages begin in `raw`; 0 in the later pieces of a long one."""
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

    def feed(self, data: bytes, *, together: bool = False) -> list[Message]:
        """Give all that is complete; ProtocolFault where the stream makes no sense.

        `together`: messages of a streamed type that lie in `data` as a whole, one behind the other,
        are given as one, so that a result of many short rows costs no object a row.
        """
        found: list[Message] = []
        alone = 1 if self.begun else 0
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
        elif self._rest:
            data = self._piece(data, found)
            alone = 0
        self._cut(data, found, alone if together else len(data))
        return found

    def _piece(self, data: bytes, found: list[Message]) -> bytes:
        """Pass on what belongs to a message that goes on in pieces; gives what comes after it."""
        step = min(self._rest, len(data))
        self._rest -= step
        found.append(Message(self._kind, data[:step], 0, not self._rest))
        return data[step:]

    def _cut(self, data: bytes, found: list[Message], together: int) -> None:
        """Cut; what begins at `together` or behind it may be given as one."""
        position, end = 0, len(data)
        while end - position >= HEADER:
            kind, length = _header(data, position)
            streamed = kind in self._streamed
            if not 4 <= length <= self._limit and not (streamed and length >= 4):
                raise ProtocolFault(f"a message of type {kind:#04x} claims {length} bytes.")
            stop = position + 1 + length
            if stop > end:
                self._keep(kind, data[position:], stop - end, found)
                return
            count = 1
            if streamed and position >= together:
                stop, count = _alike(data, kind, stop)
            found.append(Message(kind, data[position:stop], count))
            position = stop
        self._left = data[position:]

    def _keep(self, kind: int, begun: bytes, lacking: int, found: list[Message]) -> None:
        """The last message of what arrived is not all there."""
        if kind in self._streamed and len(begun) + lacking > PIECE:
            self._kind, self._rest = kind, lacking
            found.append(Message(kind, begun, 1, False))
        else:
            self._parts, self._lacking = [begun], lacking

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


def _alike(data: bytes, kind: int, position: int) -> tuple[int, int]:
    """Where whole messages of this type end that follow each other, and how many those are, with
    the one that ends at `position`."""
    count, last = 1, len(data) - HEADER
    while position <= last and data[position] == kind:
        stop = position + 1 + _header(data, position)[1]
        if stop > len(data) or stop < position + HEADER:
            break
        position = stop
        count += 1
    return position, count


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

    def int16s(self) -> tuple[int, ...]:
        """A count, and so many of them."""
        count = self.int16()
        return struct.unpack(f">{count}H", self.take(2 * count)) if count else ()

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
