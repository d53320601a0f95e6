"""Keys of encrypted recordings: each file has its own, and only its recipients can take it out.

The bastion keeps none of them: it can write what it cannot read.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import pyrage

from bastion.wire.encrypted import KEY_BYTES, Writer


class Recipients:
    """age recipients (`age1…`); ValueError where one is none."""

    def __init__(self, names: Sequence[str]) -> None:
        self._recipients = [parse_recipient(name) for name in names]

    def writer(self) -> Writer:
        """For a new file."""
        key = os.urandom(KEY_BYTES)
        return Writer(key, pyrage.encrypt(key, self._recipients))


def parse_recipient(name: str) -> pyrage.x25519.Recipient:
    """Read one; ValueError says what is wrong."""
    try:
        return pyrage.x25519.Recipient.from_str(name)
    except pyrage.RecipientError as error:
        raise ValueError("must be an age recipient (age1…), as age-keygen prints it") from error
