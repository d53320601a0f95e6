"""PostgreSQL's protocol, version 3: bytes ⇄ messages (its manual, "Frontend/Backend Protocol").

Messages are handled raw, so that what is passed on is what came: a message is its type (one byte)
and all its bytes, header included. Only what a gate must understand is decoded.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, NamedTuple

from bastion.errors import ProtocolFault
from bastion.wire.postgres_frames import Frames as Frames
from bastion.wire.postgres_frames import Message as Message
from bastion.wire.postgres_frames import Reader as Reader
from bastion.wire.postgres_frames import encode as encode

SSL_REQUEST: Final = 80877103
GSS_REQUEST: Final = 80877104
CANCEL_REQUEST: Final = 80877102
PROTOCOL_MAJOR: Final = 3
NEWEST_MINOR: Final = 2

MAX_STARTUP: Final = 10_000
"""PostgreSQL's own limit: before a login, nobody may make us keep more."""
# --- what a client says -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Startup:
    """StartupMessage: the minor version, and what the client wants set."""

    minor: int
    settings: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CancelRequest:
    """Of a connection that is made for it alone."""

    pid: int
    key: bytes


def decode_startup(packet: bytes) -> Startup | CancelRequest | int:
    """A first packet, length included: a startup, a cancel request, or another request's code."""
    reader = Reader(packet[4:], "startup")
    code = reader.int32()
    if code == CANCEL_REQUEST:
        pid = reader.int32()
        key = reader.take(reader.left)
        if not 4 <= len(key) <= 256:
            raise ProtocolFault("a cancel request without a key.")
        return CancelRequest(pid, key)
    if code in {SSL_REQUEST, GSS_REQUEST}:
        reader.end()
        return code
    if code >> 16 != PROTOCOL_MAJOR:
        raise ProtocolFault(f"protocol version {code >> 16} is not spoken here; 3 is.")
    settings: dict[str, str] = {}
    while (name := reader.text()) != b"":
        try:
            key_text, value = name.decode(), reader.text().decode()
        except UnicodeDecodeError:
            raise ProtocolFault("a startup setting that is not UTF-8.") from None
        if key_text.lower() in {one.lower() for one in settings}:
            raise ProtocolFault("a startup setting that is given twice.")
        settings[key_text] = value
    reader.end()
    return Startup(code & 0xFFFF, settings)


@dataclass(frozen=True, slots=True)
class Parse:
    """A statement is prepared."""

    name: str
    sql: bytes


def decode_parse(body: bytes) -> Parse:
    """Name, text, types of parameters."""
    reader = Reader(body, "Parse")
    name, sql = reader.text(), reader.text()
    reader.take(4 * reader.int16())
    reader.end()
    return Parse(name.decode("utf-8", "surrogateescape"), sql)


def decode_query(body: bytes) -> bytes:
    """The text of a simple query: exactly one NUL, at its end."""
    reader = Reader(body, "Query")
    sql = reader.text()
    reader.end()
    return sql


@dataclass(frozen=True, slots=True)
class Bind:
    """Values are bound to a statement, which makes a portal."""

    portal: str
    statement: str
    values: tuple[bytes | None, ...]
    binary: tuple[bool, ...]
    """Which of the values are in binary form."""
    formats: tuple[int, ...]
    """What the rows should be in: none (text), one for all columns, or one each."""


def decode_bind(body: bytes) -> Bind:
    """Portal, statement (in this order), formats, values, formats of the result."""
    reader = Reader(body, "Bind")
    portal, statement = reader.text(), reader.text()
    formats = reader.int16s()
    values = tuple([reader.value() for _ in range(reader.int16())])
    wanted = reader.int16s()
    reader.end()
    if len(formats) not in {0, 1, len(values)}:
        raise ProtocolFault("a Bind message with the wrong number of formats.")
    each = formats * len(values) if len(formats) == 1 else formats or (0,) * len(values)
    binary = tuple([one == 1 for one in each])
    return Bind(_name(portal), _name(statement), values, binary, wanted)


def _name(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def decode_execute(body: bytes) -> tuple[str, int]:
    """Portal, and the most rows (0: all)."""
    reader = Reader(body, "Execute")
    portal, rows = reader.text(), reader.int32()
    reader.end()
    return _name(portal), rows


def decode_named(body: bytes, what: str) -> tuple[str, str]:
    """Of Describe and Close: `S` or `P`, and a name."""
    reader = Reader(body, what)
    kind, name = reader.take(1), reader.text()
    reader.end()
    if kind not in {b"S", b"P"}:
        raise ProtocolFault(f"a malformed {what} message.")
    return kind.decode(), _name(name)


def decode_function(body: bytes) -> tuple[int, tuple[bytes | None, ...]]:
    """Of FunctionCall: the function's OID and its arguments."""
    reader = Reader(body, "FunctionCall")
    oid = reader.int32() & 0xFFFFFFFF
    reader.take(2 * reader.int16())
    values = tuple(reader.value() for _ in range(reader.int16()))
    reader.int16()
    reader.end()
    return oid, values


def text_bytes(*texts: str) -> bytes:
    """Texts, each with its NUL."""
    return b"".join(one.encode("utf-8", "surrogateescape") + b"\0" for one in texts)


def query(sql: str) -> bytes:
    """A simple query."""
    return encode(b"Q", text_bytes(sql))


def parse(name: str, sql: str) -> bytes:
    """Prepare a statement without types of parameters."""
    return encode(b"P", text_bytes(name, sql) + b"\0\0")


def execute(portal: str) -> bytes:
    """Run a portal to its end."""
    return encode(b"E", text_bytes(portal) + b"\0\0\0\0")


def describe_portal(portal: str) -> bytes:
    """Ask for a portal's columns."""
    return encode(b"D", b"P" + text_bytes(portal))


SYNC: Final = encode(b"S")


def describe_statement(name: str) -> bytes:
    """Ask for a prepared statement's columns."""
    return encode(b"D", b"S" + text_bytes(name))


def close_statement(name: str) -> bytes:
    """Give a prepared statement up."""
    return encode(b"C", b"S" + text_bytes(name))


def startup(settings: Sequence[tuple[str, str]]) -> bytes:
    """A StartupMessage of version 3.0."""
    body = (PROTOCOL_MAJOR << 16).to_bytes(4, "big")
    body += b"".join(text_bytes(name, value) for name, value in settings) + b"\0"
    return (len(body) + 4).to_bytes(4, "big") + body


def cancel(pid: int, key: bytes) -> bytes:
    """A CancelRequest."""
    body = CANCEL_REQUEST.to_bytes(4, "big") + struct.pack(">i", pid) + key
    return (len(body) + 4).to_bytes(4, "big") + body


# --- what a server says -------------------------------------------------------------------------


def decode_fields(body: bytes, codec: str = "utf-8") -> dict[str, str]:
    """Of ErrorResponse and NoticeResponse: field code → text. `codec`: of client_encoding."""
    reader = Reader(body, "ErrorResponse")
    found: dict[str, str] = {}
    while (code := reader.byte()) != 0:
        found[chr(code)] = reader.text().decode(codec, "replace")
    reader.end()
    return found


def encode_fields(kind: bytes, fields: dict[str, str], codec: str = "utf-8") -> bytes:
    """An ErrorResponse (`E`) or NoticeResponse (`N`); a NUL in a text would end it."""
    body = b"".join(
        code.encode() + value.replace("\0", "\u2400").encode(codec, "replace") + b"\0"
        for code, value in fields.items()
    )
    return encode(kind, body + b"\0")


def error(
    code: str,
    message: str,
    *,
    detail: str = "",
    hint: str = "",
    position: int = 0,
    fatal: bool = False,
    codec: str = "utf-8",
) -> bytes:
    """An ErrorResponse of the bastion."""
    severity = "FATAL" if fatal else "ERROR"
    fields = {"S": severity, "V": severity, "C": code, "M": message}
    fields |= {key: value for key, value in (("D", detail), ("H", hint)) if value}
    if position:
        fields["P"] = str(position)
    return encode_fields(b"E", fields, codec)


def notice(message: str, codec: str = "utf-8") -> bytes:
    """A NoticeResponse of the bastion."""
    fields = {"S": "NOTICE", "V": "NOTICE", "C": "00000", "M": message}
    return encode_fields(b"N", fields, codec)


def decode_setting(body: bytes) -> tuple[str, str]:
    """Of ParameterStatus. Those that the bastion looks at are ASCII."""
    reader = Reader(body, "ParameterStatus")
    name, value = reader.text(), reader.text()
    reader.end()
    return _name(name), _name(value)


def setting(name: str, value: str) -> bytes:
    """A ParameterStatus."""
    return encode(b"S", text_bytes(name, value))


class Column(NamedTuple):
    """One column of a RowDescription."""

    name: str
    table: int
    """OID of the table it comes from; 0: an expression."""
    number: int
    """Its number there; 0: the whole row."""
    type: int
    format: int
    modifier: int = -1
    """Of the type: for varchar(n) it is n + 4."""


MAX_KNOWN: Final = 4096
"""Bytes of a RowDescription that is remembered: the same statements give the same ones."""


def decode_columns(body: bytes, codec: str = "utf-8") -> tuple[Column, ...]:
    """Of RowDescription."""
    return _known_columns(body, codec) if len(body) <= MAX_KNOWN else _columns(body, codec)


@lru_cache(maxsize=1024)
def _known_columns(body: bytes, codec: str) -> tuple[Column, ...]:
    return _columns(body, codec)


def _columns(body: bytes, codec: str) -> tuple[Column, ...]:
    reader = Reader(body, "RowDescription")
    found = []
    for _ in range(reader.int16()):
        name = reader.text().decode(codec, "replace")
        table = reader.int32() & 0xFFFFFFFF
        number = int.from_bytes(reader.take(2), "big", signed=True)
        kind = reader.int32() & 0xFFFFFFFF
        reader.take(2)
        modifier = reader.int32()
        found.append(Column(name, table, number, kind, reader.int16(), modifier))
    reader.end()
    return tuple(found)


def decode_row(body: bytes) -> list[bytes | None]:
    """Of DataRow."""
    reader = Reader(body, "DataRow")
    values = [reader.value() for _ in range(reader.int16())]
    reader.end()
    return values


def encode_row(values: Sequence[bytes | None]) -> bytes:
    """A DataRow."""
    parts = [len(values).to_bytes(2, "big")]
    for value in values:
        if value is None:
            parts.append(b"\xff\xff\xff\xff")
        else:
            parts.append(len(value).to_bytes(4, "big") + value)
    return encode(b"D", b"".join(parts))


MOST_DIGITS: Final = 20
"""Of a number of rows. A server could send one of any length."""


def row_count(tag: str) -> int | None:
    """The rows that a CommandComplete tag names: `INSERT 0 5`, `SELECT 3`; None where none."""
    last = tag.rpartition(" ")[2]
    return int(last) if last.isdecimal() and len(last) < MOST_DIGITS else None


def negotiate(unknown: Sequence[str]) -> bytes:
    """NegotiateProtocolVersion: the newest minor version, and options that are not known."""
    newest = (PROTOCOL_MAJOR << 16 | NEWEST_MINOR).to_bytes(4, "big")
    return encode(b"v", newest + len(unknown).to_bytes(4, "big") + text_bytes(*unknown))


def backend_key(pid: int, key: bytes) -> bytes:
    """BackendKeyData."""
    return encode(b"K", struct.pack(">i", pid) + key)


def ready(status: str) -> bytes:
    """ReadyForQuery."""
    return encode(b"Z", status.encode())
