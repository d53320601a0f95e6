"""Rows and values of the stores, as the control socket shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bastion.policy.approvals import Repeat
from bastion.store.access import AccessGrant
from bastion.store.locks import Lock
from bastion.store.past import Decided
from bastion.tap.tail import Seen, Tail
from bastion.wire import control as wire

ACCESS: Final = "access"
REPEAT: Final = "repeat"

MAX_WHAT: Final = 2000
"""Characters of a request in a list: whoever wants it whole looks at the approval."""


def lock(lock: Lock) -> wire.LockShown:
    """A lock in force."""
    return wire.LockShown(
        lock.id, lock.kind.value, lock.value, lock.reason, lock.until, lock.by, lock.at
    )


def access(grant: AccessGrant) -> wire.GrantShown:
    """A role for a time."""
    everywhere = "*" in grant.targets
    return wire.GrantShown(
        id=grant.id,
        kind=ACCESS,
        identity=grant.identity,
        name=grant.name,
        what=f"role {grant.role}",
        target="" if everywhere else ", ".join(grant.targets),
        session_id="",
        reason=f"{grant.reason} [{grant.ticket}]" if grant.ticket else grant.reason,
        by=grant.by,
        at=grant.at,
        until=grant.until,
    )


def repeat(repeat: Repeat) -> wire.GrantShown:
    """Equal requests of one session for a time."""
    question = repeat.question
    return wire.GrantShown(
        id=repeat.id,
        kind=REPEAT,
        identity=question.identity,
        name=question.name,
        what=question.request.decode("utf-8", "surrogateescape")[:MAX_WHAT],
        target=question.target,
        session_id=question.session_id,
        reason=repeat.reason,
        by=repeat.by,
        at=repeat.at,
        until=repeat.until,
    )


def decision(decided: Decided) -> wire.Decision:
    """An approval that ended."""
    row, question = decided.row, decided.question
    return wire.Decision(
        id=row["id"],
        state=row["state"],
        name=question["name"],
        target=question["target"],
        login=question["login"],
        request=question["request"][:MAX_WHAT],
        by=decided.names,
        reason=row["reason"],
        asked_at=row["asked_at"],
        ended_at=row["ended_at"],
        session_id=row["session_id"],
    )


def screen(session_id: str, channel: str, seen: Seen) -> wire.ScreenShown:
    """What a channel shows."""
    return wire.ScreenShown(
        session_id, channel, seen.columns, seen.rows, seen.data, seen.cut, seen.raw
    )


def last_screen(
    session_id: str, channel: str, tails: Mapping[str, Tail]
) -> wire.ScreenShown | None:
    """What the person had before their eyes: that channel's screen, or the newest other one that
    shows anything."""
    own = [channel] if channel in tails else []
    for name in (*own, *reversed(tuple(tails))):
        seen = tails[name].seen()
        if seen.data:
            return screen(session_id, name, seen)
    return None
