"""Bound values as text for people, and the functions that clients call by number."""

from __future__ import annotations

import struct
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from bastion.gate.postgres.mask import TEXT_TYPES
from bastion.model import SqlReading, SqlStatement, SqlUse
from bastion.wire.postgres import Bind

MAX_VALUE: Final = 2000
"""Characters of one value that are kept: an uploaded file is not for the record."""
MAX_VALUES: Final = 1000

LARGE_OBJECTS: Final = {
    952: "lo_open", 953: "lo_close", 954: "loread", 955: "lowrite", 956: "lo_lseek",
    957: "lo_creat", 958: "lo_tell", 964: "lo_unlink", 715: "lo_create", 1004: "lo_truncate",
    3170: "lo_lseek64", 3171: "lo_tell64", 3172: "lo_truncate64", 764: "lo_import",
    767: "lo_import", 765: "lo_export",
}  # fmt: skip
"""What psql's \\lo_… and JDBC's LargeObject call; these numbers are fixed in pg_proc.dat."""


def shown_values(bound: Bind, codec: str = "utf-8") -> tuple[str | None, ...]:
    """The values as text; binary ones as a number where that is likely, else in hexadecimal."""
    pairs = zip(bound.values[:MAX_VALUES], bound.binary, strict=False)
    shown = tuple(
        None if value is None else _shown(value, binary, codec) for value, binary in pairs
    )
    more = len(bound.values) - MAX_VALUES
    return (*shown, f"… and {more} more values") if more > 0 else shown


def _shown(value: bytes, binary: bool, codec: str) -> str:
    text = _binary(value, codec) if binary else value[: MAX_VALUE * 4].decode(codec, "replace")
    if len(text) > MAX_VALUE:
        return f"{text[:MAX_VALUE]}… ({len(value)} bytes)"
    return text


def _binary(value: bytes, codec: str) -> str:
    """The type of a binary value is the server's to know; drivers send mostly integers and text."""
    if len(value) in {2, 4, 8}:
        number = struct.unpack({2: ">h", 4: ">i", 8: ">q"}[len(value)], value)[0]
        if not value.isascii() or not value.decode().isprintable():
            return str(number)
    try:
        text = value[:MAX_VALUE].decode(codec)
    except UnicodeDecodeError:
        return "\\x" + value[: MAX_VALUE // 2].hex()
    return text if text.isprintable() else "\\x" + value[: MAX_VALUE // 2].hex()


def shown_cell(value: bytes, oid: int, *, binary: bool, most: int, codec: str = "utf-8") -> str:
    """A cell of a result as text, `most` characters of it."""
    text = _typed(value, oid) if binary else ""
    if not text:
        shown = value[: most * 4].decode(codec, "replace")
        text = _binary(value, codec) if binary and oid not in TEXT_TYPES else shown
    return f"{text[:most]}… ({len(value)} bytes)" if len(text) > most else text


_NUMBERS: Final = {20: ">q", 21: ">h", 23: ">i", 26: ">I", 700: ">f", 701: ">d", 16: ">?"}
"""int8, int2, int4, oid, float4, float8, bool."""
_EPOCH: Final = datetime(2000, 1, 1)  # noqa: DTZ001  (PostgreSQL counts from here, without a zone)


def _typed(value: bytes, oid: int) -> str:
    """A binary value of the types that drivers ask for in binary; "" for others."""
    try:
        if oid in _NUMBERS:
            return str(struct.unpack(_NUMBERS[oid], value)[0])
        if oid == 3802:  # jsonb: a version, then text
            return value[1:].decode("utf-8", "replace")
        if oid == 2950:
            return str(UUID(bytes=value))
        if oid == 1082:
            return str((_EPOCH + timedelta(days=struct.unpack(">i", value)[0])).date())
        if oid in {1114, 1184}:
            moment = _EPOCH + timedelta(microseconds=struct.unpack(">q", value)[0])
            return str(moment) + ("+00" if oid == 1184 else "")
    except (struct.error, ValueError, OverflowError):
        pass
    return ""


def called(oid: int) -> SqlReading:
    """What a FunctionCall does."""
    name = LARGE_OBJECTS.get(oid, "")
    uses = (SqlUse("call", function=name), SqlUse("function", function=name))
    opaque = () if name else (f"function {oid} is called by its number",)
    return SqlReading((SqlStatement(uses, (), opaque),))
