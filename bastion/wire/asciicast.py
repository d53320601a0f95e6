"""asciicast v2, one line at a time: https://docs.asciinema.org/manual/asciicast/v2/.

A file is a header line and event lines `[time, code, data]`, in UTF-8, each ended by one newline.
Times are seconds since the header's `timestamp`.
"""

from __future__ import annotations

import math
from typing import Final

import msgspec

from bastion.errors import CastFault

OUTPUT: Final = "o"
RESIZE: Final = "r"
MARKER: Final = "m"

MAX_LINE: Final = 8 * 1024 * 1024
"""Bytes of one line that are read: a line without end must not fill the memory of a player."""

MAX_COLUMNS: Final = 1000
MAX_ROWS: Final = 500
"""A screen is emulated cell by cell: a client may claim 2^32 columns."""

Fact = str | int | float | bool


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The first line. `timestamp` is seconds since the epoch; `bastion` holds our own facts.

    Players ignore keys they do not know, so `bastion` is safe in any of them.
    """

    version: int = 2
    width: int
    height: int
    timestamp: float = 0.0
    title: str = ""
    env: dict[str, str] = {}
    bastion: dict[str, Fact] = {}


class CastEvent(msgspec.Struct, frozen=True, array_like=True):
    """Any other line: seconds since the start, a one-letter code, and its text."""

    time: float
    code: str
    data: str


class _ForeignHeader(msgspec.Struct, frozen=True):
    """What is read of a header, whoever wrote it; null stands for absent in some of them."""

    version: int
    width: int
    height: int
    timestamp: float | None = None
    title: str | None = None
    env: dict[str, str | None] | None = None
    bastion: dict[str, Fact] | None = None


_encoder: Final = msgspec.json.Encoder()
_header_decoder: Final = msgspec.json.Decoder(_ForeignHeader)
_event_decoder: Final = msgspec.json.Decoder(CastEvent)

_LINE_BREAKS: Final = (
    ("\x85".encode(), b"\\u0085"),
    ("\u2028".encode(), b"\\u2028"),
    ("\u2029".encode(), b"\\u2029"),
)
"""JSON lets these stand as they are, but some readers split lines at them."""


def encode_header(header: Header) -> bytes:
    """Give the header line, newline included."""
    return _line(header)


def encode_event(time: float, code: str, text: str) -> bytes:
    """Give one event line, newline included. `text` must hold no lone surrogate (ValueError)."""
    line = _encoder.encode((round(time, 6), code, text))
    return line + b"\n" if text.isascii() else _escape(line) + b"\n"


def decode_header(line: bytes) -> Header:
    """Read a header line; CastFault says what is wrong. Its size is clamped."""
    _check_length(line)
    try:
        raw = _header_decoder.decode(line)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise CastFault(f"this is no asciicast header: {error}") from None
    if raw.version != 2:
        raise CastFault(f"only asciicast v2 can be read, and this is version {raw.version}")
    width, height = clamp_size(raw.width, raw.height)
    return Header(
        width=width,
        height=height,
        timestamp=raw.timestamp or 0.0,
        title=raw.title or "",
        env={name: value for name, value in (raw.env or {}).items() if value is not None},
        bastion=raw.bastion or {},
    )


def decode_event(line: bytes) -> CastEvent:
    """Read an event line; CastFault says what is wrong."""
    _check_length(line)
    try:
        event = _event_decoder.decode(line)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise CastFault(f"this is no asciicast event: {error}") from None
    if not math.isfinite(event.time) or event.time < 0:
        raise CastFault("this event has no usable time")
    return event


def resize_text(columns: int, rows: int) -> str:
    """Give the data of a resize event, `80x24`, clamped."""
    columns, rows = clamp_size(columns, rows)
    return f"{columns}x{rows}"


def parse_resize(text: str) -> tuple[int, int]:
    """Read `80x24` as (columns, rows), clamped; CastFault if it is not that."""
    columns, cross, rows = text.partition("x")
    if not (cross and _is_number(columns) and _is_number(rows)):
        raise CastFault("this resize event has no size")
    return clamp_size(int(columns), int(rows))


def clamp_size(columns: int, rows: int) -> tuple[int, int]:
    """Bring a window size into what can be emulated; 0 (a client that does not know) too."""
    return min(max(columns, 2), MAX_COLUMNS), min(max(rows, 1), MAX_ROWS)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 10


def _check_length(line: bytes) -> None:
    if len(line) > MAX_LINE:
        raise CastFault(f"this line is longer than {MAX_LINE} bytes")


def _line(value: object) -> bytes:
    return _escape(_encoder.encode(value)) + b"\n"


def _escape(line: bytes) -> bytes:
    for raw, escaped in _LINE_BREAKS:
        line = line.replace(raw, escaped)
    return line
