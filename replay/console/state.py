"""What the console knows, and how it says it: values in, rows and details out. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import msgspec

from bastion.model import visible
from bastion.policy.fields import describe_duration
from bastion.wire import control as wire
from replay.console.rows import Row

ENDS: Final = ("granted", "refused", "expired", "withdrawn")
_SIGNS: Final = {"granted": "+", "refused": "-", "expired": "~", "withdrawn": "x"}


@dataclass
class Known:
    """Everything that the bastion told; `held` is in the order it was asked."""

    held: dict[str, wire.HeldRequest] = field(default_factory=dict)
    ended: dict[str, str] = field(default_factory=dict)
    """How approvals ended that were held a moment ago, in words."""
    sessions: list[dict[str, Any]] = field(default_factory=list)
    decisions: list[wire.Decision] = field(default_factory=list)
    locks: list[wire.LockShown] = field(default_factory=list)
    grants: list[wire.GrantShown] = field(default_factory=list)

    def take(self, event: dict[str, Any]) -> str:
        """Take an approval's event in; gives the id of one that newly waits, or nothing."""
        kind = str(event.get("kind", ""))
        if not kind.startswith("approval-") or "approval" not in event:
            return ""
        held = msgspec.convert(event["approval"], wire.HeldRequest)
        what = kind.removeprefix("approval-")
        if what in ENDS:
            self.held.pop(held.id, None)
            by = ", ".join(str(name) for name in event.get("by", ()))
            self.ended[held.id] = f"{what} by {by}" if by else what
            return ""
        new = held.id not in self.held
        self.held[held.id] = held
        return held.id if new else ""

    def how_ended(self, approval: str) -> str:
        """How one ended that was held a moment ago, also while nobody told."""
        decided = (one.state for one in self.decisions if one.id == approval)
        return self.ended.get(approval) or next(decided, "gone")


def held_rows(held: Iterable[wire.HeldRequest], now: float, find: str = "") -> list[Row]:
    """A line each: how long it has left, who, where, what."""
    rows = []
    for one in held:
        left = max(0, int(one.expires_at - now))
        votes = f"{len(one.granted_by)}/{one.count}" if one.count > 1 else ""
        where = f"{one.login}@{one.target}" if one.login else one.target or "everywhere"
        text = f"{one.id:<5}{_short(left):>5} {votes:<3}  {one.name}  {where}  {request_text(one)}"
        style = "" if one.decidable else "dim"
        rows.append(Row(one.id, visible(text), "bold red" if left < 60 and not style else style))
    return found(rows, find)


def session_rows(sessions: Iterable[dict[str, Any]], find: str = "") -> list[Row]:
    """A line each: since when, who, on what, and what runs there."""
    rows = []
    for one in sessions:
        agent = f" ({one['agent']})" if one.get("agent") else ""
        text = (
            f"{one['id'][:8]}  {_clock(one['started_at'])}  {one['name']}{agent}"
            f"  {one['targets'] or '-'}  {one.get('running') or '(nothing now)'}"
        )
        rows.append(Row(str(one["id"]), visible(text)))
    return found(rows, find)


def decision_rows(decisions: Iterable[wire.Decision], find: str = "") -> list[Row]:
    """A line each: when, how it ended, who asked, what, who decided."""
    styles = {"granted": "green", "refused": "red"}
    rows = []
    for one in decisions:
        by = f"  by {', '.join(one.by)}" if one.by else ""
        why = f": {one.reason}" if one.reason else ""
        where = f"{one.login}@{one.target}" if one.login else one.target or "everywhere"
        text = (
            f"{_clock(one.ended_at or one.asked_at)} {_SIGNS.get(one.state, '?')} {one.state:<9}"
            f"  {one.name}  {where}  {one.request}{by}{why}"
        )
        rows.append(Row(one.id, visible(text), styles.get(one.state, "")))
    return found(rows, find)


def lock_rows(
    locks: Iterable[wire.LockShown], grants: Iterable[wire.GrantShown], now: float, find: str = ""
) -> list[Row]:
    """Locks first, then what is granted for a time."""
    rows = []
    for lock in locks:
        until = f"{_short(lock.until - now)} left" if lock.until else "for good"
        text = f"lock   {lock.kind} {lock.value}  {until}  by {lock.by}: {lock.reason}"
        rows.append(Row(f"lock {lock.id}", visible(text), "red"))
    for grant in grants:
        where = grant.target or "everywhere"
        by = ", ".join(grant.by)
        text = (
            f"{grant.kind:<6} {grant.name}  {grant.what}  {where}"
            f"  {_short(grant.until - now)} left  by {by}: {grant.reason}"
        )
        rows.append(Row(f"grant {grant.id}", visible(text), "green"))
    return found(rows, find)


def found(rows: list[Row], find: str) -> list[Row]:
    """Those that hold every word."""
    words = find.casefold().split()
    return [row for row in rows if all(word in row.text.casefold() for word in words)]


def request_text(held: wire.HeldRequest) -> str:
    """The exact request, as text."""
    return held.request.decode("utf-8", "surrogateescape")


FIRST: Final = ("request", "runs", "cannot tell", "rule", "reason", "who", "target", "needs")


def details(held: wire.HeldRequest, now: float) -> list[tuple[str, str]]:
    """All that the hash covers, made visible, what is judged first at the top; nothing is cut."""
    pairs = [(label, visible(text)) for label, text in held.lines(now)]
    order = {label: number for number, label in enumerate(FIRST)}
    return sorted(pairs, key=lambda pair: order.get(pair[0], len(order)))


def session_details(one: Mapping[str, Any], now: float) -> list[tuple[str, str]]:
    """All that is to be known of a live session."""
    roles = ", ".join(json.loads(one["roles"])) or "none"
    pairs = [
        ("who", f"{one['name']} ({one['identity']})"),
        ("roles", roles),
        ("agent", one.get("agent") or ""),
        ("branch", one.get("branch") or ""),
        ("on", (one.get("targets") or "").replace(",", ", ")),
        ("runs", one.get("running") or "(nothing now)"),
        ("from", f"{one['client_address']}  {one['client_version']}"),
        ("since", f"{_clock(one['started_at'])}, {_short(now - one['started_at'])} ago"),
        ("ends", f"{_clock(one['expires_at'])}, {_short(one['expires_at'] - now)} left"),
        ("logged in", f"by {one['via']} {one['serial'] or ''}".rstrip()),
        ("session", one["id"]),
    ]
    return [(label, visible(text)) for label, text in pairs if text]


def lock_details(lock: wire.LockShown, now: float) -> list[tuple[str, str]]:
    """A lock in force."""
    until = f"{_clock(lock.until)}, {_short(lock.until - now)} left" if lock.until else "for good"
    pairs = [
        ("locked out", f"{lock.kind} {lock.value}"),
        ("reason", lock.reason),
        ("until", until),
        ("by", f"{lock.by}, at {_clock(lock.at)}"),
        ("lock", lock.id),
    ]
    return [(label, visible(text)) for label, text in pairs]


def grant_details(grant: wire.GrantShown, now: float) -> list[tuple[str, str]]:
    """What is granted for a time."""
    equals = " (and its equals in that session)" if grant.kind == "repeat" else ""
    pairs = [
        ("granted to", f"{grant.name} ({grant.identity})"),
        ("what", f"{grant.what}{equals}"),
        ("on", grant.target or "everywhere"),
        ("session", grant.session_id),
        ("until", f"{_clock(grant.until)}, {_short(grant.until - now)} left"),
        ("by", f"{', '.join(grant.by)}, at {_clock(grant.at)}"),
        ("reason", grant.reason),
        ("grant", grant.id),
    ]
    return [(label, visible(text)) for label, text in pairs if text]


def past_lines(past: Iterable[wire.Past]) -> list[str]:
    """What the person asked for before, a line each."""
    return [
        visible(f"{_clock(one.at)} {one.action:<7} {one.target}  {one.request}") for one in past
    ]


def _short(seconds: float) -> str:
    left = max(0, int(seconds))
    if left < 100:
        return f"{left}s"
    return describe_duration(left - left % 60)


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().strftime("%H:%M:%S")
