"""Lines that carry the hash of the line before them: what the audit log and every seal are made of.

A line is canonical JSON (ASCII, sorted keys, no spaces) with its own SHA-256 as the last member:
`{"at":…,…,"prev":"HASH","seq":N,"hash":"HASH"}`. The hash is over the line without that member,
byte for byte.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

GENESIS: Final = "0" * 64
"""The `prev` of the first line."""

_HASH_MEMBER: Final = b',"hash":"'
_TAIL: Final = len(_HASH_MEMBER) + 64 + len(b'"}')


def canonical(entry: dict[str, object]) -> bytes:
    """ASCII, sorted keys, no spaces: the same entry is always the same bytes."""
    return json.dumps(entry, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def seal_line(body: bytes) -> tuple[bytes, str]:
    """Give the whole line for a canonical entry without hash, and its hash (hex)."""
    digest = hashlib.sha256(body).hexdigest()
    return body[:-1] + _HASH_MEMBER + digest.encode() + b'"}\n', digest


def open_line(line: bytes) -> tuple[dict[str, Any], str]:
    """Check a line's own hash, and give its members and that hash; ValueError if it is none."""
    line = line.removesuffix(b"\n")
    body = line[:-_TAIL] + b"}"
    if line[-_TAIL:-66] != _HASH_MEMBER or not line.endswith(b'"}'):
        raise ValueError("this is no chained line")
    if hashlib.sha256(body).hexdigest().encode() != line[-66:-2]:
        raise ValueError("this line was changed: its hash does not fit")
    try:
        members = json.loads(body, parse_constant=_no_constant)
    except RecursionError as error:
        raise ValueError("this is no chained line") from error
    if not isinstance(members, dict):
        raise ValueError("this is no chained line")
    return members, line[-66:-2].decode()


def _no_constant(name: str) -> None:
    """NaN and the infinities are no JSON: what reads a time must not meet one."""
    raise ValueError(f"{name} is no number")
