"""The viewer's private age key, which opens encrypted recordings; it never leaves this program."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pyrage

from bastion.errors import CastFault
from bastion.wire.encrypted import KEY_BYTES, OpenKey

MAX_FILE: Final = 64 * 1024


def load_identity(path: Path) -> OpenKey:
    """Read a file as age-keygen writes it; CastFault says what is wrong with it."""
    try:
        with path.open("rb") as file:
            lines = file.read(MAX_FILE).decode("ascii", "replace").splitlines()
    except OSError as error:
        raise CastFault(f"{path} cannot be read: {error.strerror}.") from None
    secret = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    try:
        identities = [pyrage.x25519.Identity.from_str(line) for line in secret]
    except pyrage.IdentityError:
        identities = []
    if not identities:
        raise CastFault(f"{path} holds no private age key (AGE-SECRET-KEY-…).")

    def open_key(wrapped: bytes) -> bytes:
        try:
            key: bytes = pyrage.decrypt(wrapped, identities)
        except pyrage.DecryptError:
            raise CastFault("this recording is encrypted to others") from None
        if len(key) != KEY_BYTES:
            raise CastFault("this is no encrypted recording")
        return key

    return open_key
