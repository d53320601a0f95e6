"""Access that people granted for a time: it outlives sessions and restarts, and ends absolutely.

A grant is a role on targets, for one identity, until a moment that was fixed when it was given
(a session that begins just before that moment gains nothing beyond it).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Final

from bastion.errors import StoreError
from bastion.model import Granted
from bastion.store.audit import AuditLog
from bastion.store.ledger import Ledger

MAX_EACH: Final = 50
"""Grants in force of one identity: each is looked at for every request."""


@dataclass(frozen=True, slots=True)
class AccessGrant:
    """One grant; times are seconds since the epoch. `id` is that of the request it came from."""

    id: str
    identity: str
    name: str
    role: str
    targets: tuple[str, ...]
    reason: str
    ticket: str
    by: tuple[str, ...]
    at: float
    until: float

    @property
    def granted(self) -> Granted:
        """What it gives, as policy knows it."""
        return Granted(self.role, self.targets)


def access_text(grants: Iterable[AccessGrant]) -> str:
    """What a certificate says of them, as JSON; the bastion itself asks the store at each use."""
    held = [
        {"role": one.role, "targets": list(one.targets), "until": int(one.until)} for one in grants
    ]
    return json.dumps(held, separators=(",", ":")) if held else ""


class AccessGrants:
    """The grants in force, from memory. Writes go to the ledger and the audit first."""

    def __init__(self, ledger: Ledger, audit: AuditLog, clock: Callable[[], float]) -> None:
        """Take up what an earlier run of the bastion granted."""
        self._ledger = ledger
        self._audit = audit
        self._clock = clock
        self._grants: dict[str, AccessGrant] = {}
        rows = ledger.file.rows(
            "SELECT * FROM access_grants WHERE ended_at IS NULL AND until > ? ORDER BY at",
            (clock(),),
        )
        for row in rows:
            lists = {name: tuple(json.loads(row[name])) for name in ("targets", "by")}
            kept = {name: row[name] for name in AccessGrant.__slots__} | lists
            self._grants[row["id"]] = AccessGrant(**kept)

    def give(self, grant: AccessGrant) -> None:
        """Put a grant in force; StoreError if it cannot be kept, and then it is none."""
        if len(self.of(grant.identity)) >= MAX_EACH:
            raise StoreError("You hold too many grants already; give some back first.")
        row = asdict(grant)
        self._audit.append("access-granted", self._clock(), grant=row)
        stored = row | {name: json.dumps(row[name]) for name in ("targets", "by")}
        self._ledger.file.insert("access_grants", stored)
        self._grants[grant.id] = grant

    def revoke(self, grant_id: str, by: str, reason: str) -> AccessGrant | None:
        """Take a grant back; None if there is none of that id in force."""
        grant = next((one for one in self.in_force() if one.id == grant_id), None)
        if grant is None:
            return None
        at = self._clock()
        self._audit.append("access-revoked", at, grant=grant_id, by=by, reason=reason)
        # Out of memory first: what fails below must not leave it in force.
        del self._grants[grant_id]
        self._ledger.file.execute(
            "UPDATE access_grants SET ended_at = ?, ended_by = ?, ended_reason = ? WHERE id = ?",
            (at, by, self._ledger.file.masked(reason), grant_id),
        )
        return grant

    def in_force(self) -> tuple[AccessGrant, ...]:
        """Every grant in force now, oldest first; what is over is let go of."""
        now = self._clock()
        if any(grant.until <= now for grant in self._grants.values()):
            self._grants = {key: one for key, one in self._grants.items() if now < one.until}
        return tuple(self._grants.values())

    def of(self, identity: str) -> tuple[AccessGrant, ...]:
        """What one identity holds now."""
        if not self._grants:
            return ()
        return tuple(grant for grant in self.in_force() if grant.identity == identity)
