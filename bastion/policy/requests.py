"""Asking for access: what a policy lets people ask for, and what exactly a grant is then for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from bastion.errors import NotAsked
from bastion.model import Identity, visible
from bastion.policy.fields import describe_duration
from bastion.policy.globs import matches_name
from bastion.policy.rules import Policy, Requestable

MAX_REASON: Final = 2000
MAX_TICKET: Final = 200
"""Characters: both stand on every approver's screen, and are kept for ever."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody asks for: a role on targets (globs, or one target's name) for `seconds`."""

    role: str
    targets: tuple[str, ...]
    seconds: float
    reason: str
    ticket: str
    entry: Requestable

    @property
    def text(self) -> str:
        """The request in one line: what an approver reads, and what the grant is bound to."""
        where = "everywhere" if "*" in self.targets else f"on {', '.join(self.targets)}"
        return f"role {self.role} {where} for {describe_duration(self.seconds)}"


def may_ask(policy: Policy, identity: Identity) -> tuple[Requestable, ...]:
    """What this identity may ask for at all."""
    return tuple(one for one in policy.requestable if one.who & identity.roles)


def may_ask_on(policy: Policy, identity: Identity, target: str) -> tuple[Requestable, ...]:
    """What this identity may ask for on one target."""
    return tuple(
        one
        for one in may_ask(policy, identity)
        if any(matches_name(target, glob) for glob in one.targets)
    )


def want(
    policy: Policy,
    identity: Identity,
    name: str,
    *,
    targets: Iterable[str],
    role: str = "",
    seconds: float | None = None,
    reason: str = "",
    ticket: str = "",
) -> Wanted:
    """Read what is asked for: `name` is a role, or one of `targets` (with `role` where several can
    be had there). NotAsked says why it cannot be asked for."""
    entry, where = _find(policy, identity, name, frozenset(targets), role)
    length = entry.usual if seconds is None else seconds
    if length > entry.longest:
        raise NotAsked(f"{entry.role} can be had for {describe_duration(entry.longest)} at most.")
    if entry.reason_required and not reason.strip():
        raise NotAsked("Say why: --reason 'what it is for'.")
    if entry.ticket_required and not ticket.strip():
        raise NotAsked("A ticket is required: --ticket NUMBER.")
    if len(reason) > MAX_REASON or len(ticket) > MAX_TICKET:
        raise NotAsked(f"A reason has {MAX_REASON} characters at most, a ticket {MAX_TICKET}.")
    return Wanted(entry.role, where, length, reason, ticket, entry)


def _find(
    policy: Policy, identity: Identity, name: str, targets: frozenset[str], role: str
) -> tuple[Requestable, tuple[str, ...]]:
    by_role = [one for one in may_ask(policy, identity) if one.role == name]
    if by_role and not role:
        return by_role[0], by_role[0].targets
    on_target = may_ask_on(policy, identity, name) if name in targets else ()
    fitting = [one for one in on_target if not role or one.role == role]
    if len({one.role for one in fitting}) > 1:
        choices = ", ".join(sorted({one.role for one in fitting}))
        raise NotAsked(f"Several roles can be had on {name}; say which: --role ({choices}).")
    if not fitting:
        offered = ", ".join(sorted({one.role for one in may_ask(policy, identity)})) or "nothing"
        shown = visible(f"{role} on {name}" if role else name, limit=80)
        raise NotAsked(f"You may not ask for {shown}; you may ask for: {offered}.")
    return fitting[0], (name,)
