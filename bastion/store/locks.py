"""Locks: who or what may go nowhere until somebody takes the lock away or its time is over."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bastion.model import Identity


class LockKind(StrEnum):
    """What a lock's value names."""

    IDENTITY = "identity"
    TARGET = "target"
    SESSION = "session"
    CERTIFICATE = "certificate"
    AGENT = "agent"


@dataclass(frozen=True, slots=True)
class Lock:
    """One lock. `until` is seconds since the epoch, or None for good; `by` is who set it.

    `value` is, by kind: an identity's id or name, a target's name, a session's id, a serial,
    an agent's name.
    """

    id: str
    kind: LockKind
    value: str
    reason: str
    until: float | None
    by: str
    at: float

    def holds(self, at: float) -> bool:
        """Whether it is in force; at `until` it no longer is."""
        return self.until is None or at < self.until

    def covers(
        self, identity: Identity, target: str = "", session_id: str = "", serial: int | None = None
    ) -> bool:
        """Whether it stands in the way of this identity, on this target, in this session."""
        match self.kind:
            case LockKind.IDENTITY:
                # Names are compared without case: a lock must not be escaped by spelling.
                names = {identity.id.casefold(), identity.name.casefold()}
                return self.value.casefold() in names
            case LockKind.TARGET:
                return bool(target) and self.value == target
            case LockKind.SESSION:
                return bool(session_id) and self.value == session_id
            case LockKind.CERTIFICATE:
                return serial is not None and self.value == str(serial)
            case LockKind.AGENT:
                return bool(identity.agent) and self.value.casefold() == identity.agent.casefold()
