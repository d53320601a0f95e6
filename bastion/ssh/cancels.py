"""Which cancel key of a database client belongs to which live session."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from bastion.gate.postgres import Key


@dataclass(frozen=True, slots=True)
class Cancellable:
    """A live session whose statement can be given up."""

    identity: str
    target: str
    key: Callable[[], tuple[int, bytes]]
    """Process id and secret as its client knows them."""
    cancel: Callable[[], None]


class Cancels:
    """One identity never reaches another's session, whatever key it has."""

    def __init__(self) -> None:
        self._live: dict[int, Cancellable] = {}

    def new_key(self) -> Key:
        """A process id that nobody has, and a secret."""
        while (pid := secrets.randbelow(2**31 - 1) + 1) in self._live:
            continue
        return Key(pid, secrets.token_bytes(32))

    def add(self, pid: int, one: Cancellable) -> None:
        """A session begins."""
        self._live[pid] = one

    def remove(self, pid: int) -> None:
        """It ended."""
        self._live.pop(pid, None)

    def cancel(self, identity: str, target: str, pid: int, key: bytes) -> bool:
        """Give up what the session with this key runs, if it is the same identity's."""
        one = self._live.get(pid)
        if one is None or one.identity != identity or one.target != target:
            return False
        if not secrets.compare_digest(one.key()[1], key):
            return False
        one.cancel()
        return True
