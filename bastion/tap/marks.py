"""Marks: what stands in the place of a secret. Two sightings of one secret get the same mark."""

from __future__ import annotations

import hashlib
import hmac
from typing import Final, NamedTuple

MOST_HASHED: Final = 1024
"""Bytes of a secret that its mark is made of: of a longer one the rest is not waited for."""

KEY_BYTES: Final = 32


class Masked(NamedTuple):
    """That something was masked: for events and the audit. Never the value."""

    detector: str
    length: int
    """Bytes of the secret that were seen."""
    mark: str
    where: int
    """Bytes of this stream before it."""


class Marks:
    """Makes marks with the key of one state directory."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def mark(self, detector: str, value: bytes) -> str:
        """`[masked:aws-key:7f3a]`. Without the key the four digits say nothing about the value.

        White space does not count: a key is the same key with other line ends.
        """
        dense = b"".join(value.split())[:MOST_HASHED]
        digest = hmac.digest(self._key, dense, "sha256")
        return f"[masked:{detector}:{digest[:2].hex()}]"

    def digest(self, data: bytes) -> str:
        """Tell exact bytes from others without telling them: 32 hex digits, keyed."""
        return hmac.new(self._key, b"digest\0" + data, hashlib.sha256).hexdigest()[:32]


def fitted(mark: str, width: int) -> str:
    """A mark that is as wide as the secret was: filled up with stars, or stars alone."""
    return mark.ljust(width, "*") if len(mark) <= width else "*" * width
