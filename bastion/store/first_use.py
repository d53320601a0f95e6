"""Host keys of targets that the configuration lets the bastion trust on first use.

A known_hosts-like file, `NAME KEYTYPE BASE64` a line. Only the first key of a name is ever kept:
a changed key is refused until an operator removes the line.
"""

from __future__ import annotations

import os
from pathlib import Path

from bastion.errors import StoreError


class FirstUse:
    """The keys seen first, by target name."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._keys: dict[str, str] = {}
        try:
            lines = path.read_text().splitlines() if path.exists() else []
        except OSError as error:
            raise StoreError(f"{path} cannot be read: {error.strerror}.") from error
        for number, line in enumerate(lines, 1):
            name, _, key = line.partition(" ")
            if not key:
                raise StoreError(f"{path}:{number}:1: expected a target's name and its key.")
            self._keys.setdefault(name, key)

    def accept(self, name: str, key: str) -> tuple[bool, bool]:
        """Say whether `key` is the target's, and whether it was seen for the first time just now.

        `key` is an OpenSSH public-key line; its comment does not count.
        """
        bare = " ".join(key.split()[:2])
        known = self._keys.get(name)
        if known is not None:
            return known == bare, False
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(f"{name} {bare}\n")
        except OSError as error:
            raise StoreError(f"{self._path} cannot be written: {error.strerror}.") from error
        self._keys[name] = bare
        return True, True
