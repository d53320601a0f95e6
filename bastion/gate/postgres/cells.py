"""Secrets in the cells of a result: which cells are looked at, and what a cell may become.

Looked at are cells that hold text, in text and binary format: texts of every kind, JSON, XML,
bytea that is text, arrays and rows of them, and types of the database's own. Numbers, dates, UUIDs
and the like are not: what stands for a secret would be no value of them, and NULL in the place of
an order number that happens to pass a card's check digit breaks programs. Such a column is masked
by its name.

    text, varchar, name, xml    the mark stands in the cell
    json, jsonb                 the same; where that is no JSON any more: stars, or "[masked]" alone
    bytea                       if it is UTF-8: the mark; else it is not looked at
    arrays, rows                each element by its type; a shape that would break: stars
    other types, binary         as a text or row, if it is one; else NULL
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Sequence
from enum import Enum, auto
from typing import Final

from bastion.gate.postgres.mask import CellMasker, format_of
from bastion.wire.postgres import Column


class Shape(Enum):
    """What the bytes of a cell are."""

    TEXT = auto()
    JSON = auto()
    JSONB = auto()
    """In binary: a version byte before the JSON."""
    HEX = auto()
    """bytea as text."""
    BYTES = auto()
    COMPOSED = auto()
    """A text with quotes, braces and commas that mean something."""
    ARRAY = auto()
    ROW = auto()
    OWN = auto()
    """Binary, of a type that is not known here."""


_BYTEA, _JSON, _JSONB, _RECORD = 17, 114, 3802, 2249
_TEXTS: Final = frozenset({19, 25, 142, 705, 1042, 1043, 1790, 2275, 4072})
"""name, text, xml, unknown, char(n), varchar, refcursor, cstring, jsonpath."""
_ARRAYS: Final = frozenset({143, 199, 1001, 1002, 1003, 1009, 1014, 1015, 1263, 2287, 3807})
_COMPOSED: Final = frozenset({194, 2249, 3614, 3615, *_ARRAYS})
"""Rows, tsvector, tsquery, and arrays of texts, JSON, bytea and rows."""
FIRST_OWN: Final = 16384
"""OIDs from here on are those of a database's own types: enums, composite types, citext, hstore."""

BY_PATH: Final = "json"
"""What events call a value of JSON that a path names."""
MASKED_JSON: Final = b'"[masked]"'
_STRUCTURE: Final = b'{}()<>,;|"\\\t\r\n='
_OTHERS: Final = bytes(set(range(256)) - set(_STRUCTURE))
_LETTER: Final = re.compile(rb"\\.?|[^\x00-\x20{}()<>,;|\"\\=]", re.DOTALL)
_LENGTHS: Final = re.compile(rb"\0\0(?s:..)")
_DEEPEST: Final = 6
_COPY_SIGNATURE: Final = b"PGCOPY\n\xff\r\n\0"
COPY_HEADER: Final = 19
"""Bytes before the first tuple of a binary copy: signature, flags, and an extension of none."""


def shape_of(oid: int, form: int) -> Shape | None:
    """What a cell of this type and format is; None where it is not looked at."""
    if oid in _TEXTS:
        return Shape.TEXT
    if oid == _JSON:
        return Shape.JSON
    if oid == _JSONB:
        return Shape.JSONB if form else Shape.JSON
    if oid == _BYTEA:
        return Shape.BYTES if form else Shape.HEX
    if oid in _COMPOSED or oid >= FIRST_OWN:
        if not form:
            return Shape.COMPOSED
        return Shape.ARRAY if oid in _ARRAYS else Shape.ROW if oid == _RECORD else Shape.OWN
    return None


Plan = tuple[tuple[int, Shape], ...]
"""Positions in a row that are looked at."""


def plan_of(columns: Sequence[Column], formats: Sequence[int]) -> Plan:
    """What of a result's rows is looked at."""
    shapes = (
        (index, shape_of(one.type, format_of(formats, index))) for index, one in enumerate(columns)
    )
    return tuple((index, shape) for index, shape in shapes if shape is not None)


def plan_unknown(values: Sequence[bytes | None], formats: Sequence[int]) -> Plan:
    """The same where the types of a row are not known: any cell may be anything."""
    shapes = (Shape.OWN if format_of(formats, n) else Shape.COMPOSED for n in range(len(values)))
    return tuple(enumerate(shapes))


class Cells:
    """Masks cells, and counts what it took out, by detector."""

    def __init__(self, masker: CellMasker) -> None:
        self._masker = masker
        self.found: dict[str, int] = {}

    def row(self, values: list[bytes | None], plan: Plan) -> bool:
        """Mask in place; whether anything was."""
        changed = False
        for index, shape in plan:
            value = values[index] if index < len(values) else None
            if value:
                masked = self.cell(value, shape)
                if masked is not value:
                    values[index] = masked
                    changed = True
        return changed

    def cell(self, value: bytes, shape: Shape, depth: int = 0) -> bytes | None:
        """One cell; the same object if there is nothing in it."""
        match shape:
            case Shape.TEXT:
                return self._text(value)
            case Shape.JSON:
                return self._json(value)
            case Shape.JSONB:
                content = value[1:]
                shown = self._json(content)
                return value if shown is content else value[:1] + shown
            case Shape.HEX:
                return self._hex(value)
            case Shape.BYTES:
                return self._text(value) if _is_text(value) else value
            case Shape.COMPOSED:
                return self.composed(value)
            case Shape.ARRAY:
                return self._parts(value, _array_parts(value), depth)
            case Shape.ROW:
                return self._parts(value, _row_parts(value), depth)
            case _:
                return self._own(value, depth)

    def _text(self, value: bytes) -> bytes:
        shown, names = self._masker.mask(value)
        for name in names:
            self.found[name] = self.found.get(name, 0) + 1
        return shown if names else value

    def text(self, value: str) -> str:
        """A sentence of the server."""
        data = value.encode("utf-8", "surrogateescape")
        shown = self._text(data)
        return value if shown is data else shown.decode("utf-8", "surrogateescape")

    def _json(self, value: bytes) -> bytes:
        bare, masked = self._masker.json(value)
        if masked:
            self.found[BY_PATH] = self.found.get(BY_PATH, 0) + masked
        if bare is None:
            return MASKED_JSON
        shown = self._text(bare)
        if shown is bare or _is_json(shown):
            return shown
        shown = _starred(bare, shown)
        return shown if _is_json(shown) else MASKED_JSON

    def _hex(self, value: bytes) -> bytes:
        """bytea as text; the older form with escapes is a text like others."""
        if not value.startswith(b"\\x"):
            return self.composed(value)
        try:
            content = bytes.fromhex(value[2:].decode("ascii"))
        except ValueError:
            return self._text(value)
        shown = self._text(content) if _is_text(content) else content
        return value if shown is content else b"\\x" + shown.hex().encode()

    def composed(self, value: bytes) -> bytes:
        """A text whose quotes, commas and braces are not to change in number or order."""
        shown = self._text(value)
        if shown is value or _structure(shown) == _structure(value):
            return shown
        return _starred(value, shown)

    def copied(self, line: bytes, *, binary: bool) -> bytes:
        """One message of a copy: a line of text or CSV, or a binary tuple."""
        if not binary:
            return self.composed(line)
        lead = line[:COPY_HEADER] if line.startswith(_COPY_SIGNATURE) else b""
        shown = self._parts(line, _tuple_parts(line, len(lead)), 0)
        return line if shown is None else shown

    def _parts(self, value: bytes, parts: _Parts | None, depth: int) -> bytes | None:
        if parts is None or depth >= _DEEPEST:
            return self._whole(value)
        changed = False
        pieces = [parts.head]
        for lead, oid, part in parts.each:
            shape = shape_of(oid, 1)
            masked = self.cell(part, shape, depth + 1) if part and shape else part
            changed = changed or masked is not part
            size = b"\xff\xff\xff\xff" if masked is None else struct.pack(">i", len(masked))
            pieces += lead, size, masked or b""
        return b"".join(pieces) if changed else value

    def _own(self, value: bytes, depth: int) -> bytes | None:
        """citext, an enum or a domain are texts; a composite type is a row."""
        if _is_text(value):
            return self._text(value)
        parts = _row_parts(value) or _array_parts(value)
        return self._whole(value) if parts is None else self._parts(value, parts, depth)

    def _whole(self, value: bytes) -> bytes | None:
        """NULL for what has a secret somewhere, but whose parts are not known here."""
        pieces = (value, *_LENGTHS.split(value))
        return None if any(self._text(piece) is not piece for piece in pieces) else value


def _is_text(value: bytes) -> bool:
    if b"\0" in value:
        return False
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_json(value: bytes) -> bool:
    try:
        json.loads(value)
    except (ValueError, RecursionError):
        return False
    return True


def _structure(value: bytes) -> bytes:
    return value.translate(None, _OTHERS)


def _starred(value: bytes, shown: bytes) -> bytes:
    """Stars for the letters between the first and the last byte that masking changed."""
    most = min(len(value), len(shown))
    first = next((at for at in range(most) if value[at] != shown[at]), most)
    most -= first
    last = next((at for at in range(most) if value[-1 - at] != shown[-1 - at]), most)
    end = len(value) - last
    return value[:first] + stars(value[first:end]) + value[end:]


def stars(secret: bytes) -> bytes:
    """As long as it was, with what gives a text its shape left in: quotes, commas, escapes."""
    return _LETTER.sub(lambda found: found[0] if found[0][:1] == b"\\" else b"*", secret)


def _tuple_parts(value: bytes, at: int) -> _Parts | None:
    """A tuple of a binary copy: the number of its fields, then each; types are not said."""
    count = int.from_bytes(value[at : at + 2], "big", signed=True)
    head, each = value[: at + 2], list[tuple[bytes, int, bytes | None]]()
    at += 2
    while at + 4 <= len(value) and len(each) < count:
        size = struct.unpack_from(">i", value, at)[0]
        end = at + 4 + max(0, size)
        if size < -1 or end > len(value):
            return None
        each.append((b"", FIRST_OWN, None if size < 0 else value[at + 4 : end]))
        at = end
    return _Parts(head, each) if at == len(value) else None


class _Parts:
    """A binary array or row, taken apart: what stands first, then each part with what leads it."""

    __slots__ = ("each", "head")

    def __init__(self, head: bytes, each: list[tuple[bytes, int, bytes | None]]) -> None:
        self.head = head
        self.each = each


def _row_parts(value: bytes) -> _Parts | None:
    """record_send: the number of fields, and of each its type and value. None if it is none."""
    if len(value) < 4:
        return None
    count = struct.unpack_from(">i", value)[0]
    each: list[tuple[bytes, int, bytes | None]] = []
    at = 4
    for _ in range(max(0, min(count, 1664))):  # MaxTupleAttributeNumber
        if at + 8 > len(value):
            return None
        oid, size = struct.unpack_from(">Ii", value, at)
        end = at + 8 + max(0, size)
        if size < -1 or end > len(value):
            return None
        each.append((value[at : at + 4], oid, None if size < 0 else value[at + 8 : end]))
        at = end
    return _Parts(value[:4], each) if at == len(value) and count == len(each) else None


def _array_parts(value: bytes) -> _Parts | None:
    """array_send: dimensions, a flag, the elements' type, sizes and bounds, elements."""
    if len(value) < 12:
        return None
    dimensions, _, oid = struct.unpack_from(">iiI", value)
    at = 12 + 8 * dimensions
    if not 0 <= dimensions <= 6 or at > len(value):
        return None
    head, each = value[:at], list[tuple[bytes, int, bytes | None]]()
    while at < len(value):
        if at + 4 > len(value):
            return None
        size = struct.unpack_from(">i", value, at)[0]
        end = at + 4 + max(0, size)
        if size < -1 or end > len(value):
            return None
        each.append((b"", oid, None if size < 0 else value[at + 4 : end]))
        at = end
    return _Parts(head, each)
