"""Which cancel key of a database client belongs to which live session."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, eq=False)
class Cancellable:
    """A live session whose statement can be given up."""

    identity: str
    target: str
    key: Callable[[], tuple[int, bytes] | None]
    """Process id and secret as its client knows them, once it does."""
    cancel: Callable[[Callable[[], None]], None]
    """Gives up what runs; calls what it is given once the server has been told."""


class Cancels:
    """One identity never reaches another's session, whatever key it has."""

    def __init__(self) -> None:
        self._live: set[Cancellable] = set()

    def add(self, one: Cancellable) -> None:
        """A session begins."""
        self._live.add(one)

    def remove(self, one: Cancellable) -> None:
        """It ended."""
        self._live.discard(one)

    def cancel(
        self, identity: str, target: str, pid: int, key: bytes, told: Callable[[], None]
    ) -> bool:
        """Give up what the session with this key runs, if it is the same identity's.

        `told` is called once its server has been told to, or when there is no such session.

        Behind one address may be several servers, so one process id may be several sessions'.
        """
        for one in tuple(self._live):
            known = one.key() if (one.identity, one.target) == (identity, target) else None
            if known is not None and known[0] == pid and secrets.compare_digest(known[1], key):
                one.cancel(told)
                return True
        told()
        return False
