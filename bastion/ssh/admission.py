"""Who may start a handshake: limits on unauthenticated connections, and penalties that grow.

The habit is OpenSSH's MaxStartups and PerSourcePenalties. Pure but for its own tables: time comes
in as an argument.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, field

MAX_TRACKED = 65536
"""Sources remembered at most, so that a spray of addresses cannot fill memory."""


@dataclass(frozen=True, slots=True)
class AdmissionLimits:
    """Counts of unauthenticated connections, and penalties in seconds."""

    unauthenticated: int = 200
    per_address: int = 20
    penalty: float = 5.0
    """Added for each failed login; from the fourth on it doubles every time."""
    idle_penalty: float = 1.0
    """Added for a connection that never tried to log in (a scanner, a probe)."""
    penalty_floor: float = 15.0
    """A source is refused only when its penalty has grown to this much: a typing error is free."""
    penalty_ceiling: float = 600.0


@dataclass(slots=True)
class _Source:
    waiting: list[Callable[[], None]] = field(default_factory=list)
    """What drops each of its connections, oldest first."""
    failures: int = 0
    blocked_until: float = 0.0


@dataclass(slots=True)
class Admission:
    """Counts connections between accept and authentication, a source at a time."""

    limits: AdmissionLimits = AdmissionLimits()
    _sources: dict[str, _Source] = field(default_factory=dict)
    _waiting: int = 0

    def admit(self, address: str, at: float, drop: Callable[[], None] = lambda: None) -> str:
        """Count a new connection in and return "", or return why it is refused.

        `drop` closes it. Where too many wait in all, the oldest of the source with the most of
        them is dropped for the new one: whoever holds connections open must not keep others out.
        """
        source = self._sources.get(_source_of(address))
        if source is not None:
            if source.blocked_until - at >= self.limits.penalty_floor:
                return f"too many failures from {address}; wait {source.blocked_until - at:.0f} s"
            if len(source.waiting) >= self.limits.per_address:
                return f"too many connections from {address} are logging in; try again in a minute"
        if source is None:
            source = self._track(address, at)
        if self._waiting >= self.limits.unauthenticated:
            self._make_room()
        source.waiting.append(drop)
        self._waiting += 1
        return ""

    def _make_room(self) -> None:
        crowded = max(self._sources.values(), key=lambda source: len(source.waiting))
        self._waiting -= 1
        crowded.waiting.pop(0)()

    def settle(
        self,
        address: str,
        at: float,
        drop: Callable[[], None] | None = None,
        *,
        authenticated: bool,
        tried: bool = True,
    ) -> None:
        """Count an admitted connection out: it authenticated, or it ended without (`tried` to)."""
        source = self._sources.get(_source_of(address))
        if source is None:
            return
        if drop in source.waiting:
            source.waiting.remove(drop)
            self._waiting -= 1
        if authenticated:
            source.failures = 0
            source.blocked_until = 0.0
            return
        added = self.limits.idle_penalty
        if tried:
            source.failures += 1
            added = self.limits.penalty * 2.0 ** min(max(source.failures - 3, 0), 20)
        until = max(source.blocked_until, at) + added
        source.blocked_until = min(until, at + self.limits.penalty_ceiling)

    def _track(self, address: str, at: float) -> _Source:
        if len(self._sources) >= MAX_TRACKED:
            for key in [k for k, s in self._sources.items() if not s.waiting]:
                if self._sources[key].blocked_until <= at:
                    del self._sources[key]
            idle = [key for key, source in self._sources.items() if not source.waiting]
            for key in idle[: len(self._sources) - MAX_TRACKED + 1]:
                del self._sources[key]
        source = self._sources[_source_of(address)] = _Source()
        return source


def _source_of(address: str) -> str:
    """Group as an attacker can vary: an IPv6 /64 is one source."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
