"""Claims whose token was verified, and the small checked values that certificates carry."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from bastion.errors import IdentityError
from bastion.model import Claims, ClaimValue

MAX_CLAIMS_BYTES: Final = 8192
"""A certificate travels in one SSH packet (35000 bytes) and is kept by agents; a provider that
lists thousands of groups must not make certificates that clients cannot send."""

MAX_CLAIMS: Final = 64
MAX_TEXT: Final = 512
"""Longest single claim text: it is shown in consoles and written to every audit line."""


@dataclass(frozen=True, slots=True)
class VerifiedClaims:
    """Who a provider says this is, after every check of its token.

    `issuer` and `subject` identify; `name` is for people. `claims` holds only what the
    configuration keeps.
    """

    issuer: str
    subject: str
    name: str
    claims: Claims = field(default_factory=lambda: MappingProxyType({}))


def claim_value(value: object) -> ClaimValue | None:
    """Narrow a JSON value to what a claim may be; None for objects, floats, null."""
    if isinstance(value, bool | int):
        return value if abs(value) < 2**53 else None
    if isinstance(value, str):
        return value if len(value) <= MAX_TEXT else None
    if isinstance(value, list | tuple):
        items = tuple(item for item in value if isinstance(item, str) and len(item) <= MAX_TEXT)
        return items if len(items) == len(value) else None
    return None


def encode_claims(claims: VerifiedClaims) -> bytes:
    """Write claims as the JSON a certificate carries; IdentityError when they do not fit."""
    document = {
        "iss": claims.issuer,
        "sub": claims.subject,
        "name": claims.name,
        "claims": dict(claims.claims),
    }
    encoded = json.dumps(document, separators=(",", ":"), sort_keys=True).encode()
    if len(encoded) > MAX_CLAIMS_BYTES or len(claims.claims) > MAX_CLAIMS:
        raise IdentityError(
            "The identity provider says more about you than a certificate can hold; "
            "ask the operator to keep fewer claims in the configuration."
        )
    decode_claims(encoded)
    return encoded


def decode_claims(encoded: bytes) -> VerifiedClaims:
    """Read what `encode_claims` wrote; anything else raises IdentityError."""
    if len(encoded) > MAX_CLAIMS_BYTES:
        raise _malformed()
    try:
        document = json.loads(encoded.decode(), object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError):
        raise _malformed() from None
    if not isinstance(document, dict) or document.keys() != {"iss", "sub", "name", "claims"}:
        raise _malformed()
    issuer, subject, name = (_text(document[key]) for key in ("iss", "sub", "name"))
    listed = document["claims"]
    if not isinstance(listed, dict) or len(listed) > MAX_CLAIMS:
        raise _malformed()
    claims: dict[str, ClaimValue] = {}
    for key, value in listed.items():
        narrowed = claim_value(value)
        if narrowed is None:
            raise _malformed()
        claims[key] = narrowed
    return VerifiedClaims(issuer, subject, name, MappingProxyType(claims))


def _no_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a name appears twice")
    return document


def _text(value: object) -> str:
    if not isinstance(value, str) or not value or len(value) > MAX_TEXT:
        raise _malformed()
    return value


def _malformed() -> IdentityError:
    return IdentityError("The claims in this certificate are malformed; log in again.")


_NAME: Final = re.compile(r"[A-Za-z0-9_:][A-Za-z0-9_.@+:/-]{0,127}\Z")
_SESSION: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")


def checked_principal(name: str) -> str:
    """Return `name` if it may stand in a certificate: no comma, wildcard, space or control.

    OpenSSH joins principals by commas in logs and options and matches some of them as patterns.
    """
    if not _NAME.match(name):
        raise IdentityError(f"The name {name!r} cannot be a principal of a certificate.")
    return name


def checked_session_id(session_id: str) -> str:
    """Return a session id that can stand in a key id without being read as something else."""
    if not _SESSION.match(session_id):
        raise IdentityError(f"{session_id!r} is not a session id.")
    return session_id


def key_id(name: str, session_id: str, target: str = "") -> str:
    """Build `NAME session=ID [target=TARGET]`, of printable ASCII, at most 300 characters.

    sshd writes it to its log on the target, so a name must neither break the line nor add a field.
    """
    shown = re.sub(r"[^A-Za-z0-9_.@+-]", "_", name)[:64] or "_"
    words = f"{shown} session={checked_session_id(session_id)}"
    return f"{words} target={checked_principal(target)}" if target else words
