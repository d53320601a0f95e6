"""`ssh bastion approvals`, `grant`, `refuse`, `grants`, `revoke`, `sessions`: deciding by hand.

All go through the control service, which authorises and audits them for this identity.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from bastion.errors import ControlError
from bastion.model import visible
from bastion.policy.fields import describe_duration
from bastion.ssh.commands import Answer, Parser, Shown, add_reason, duration, text_of
from bastion.ssh.session import Session
from bastion.wire import control as wire


async def approvals(session: Session, words: list[str], shown: Shown) -> Answer:
    """What waits, whole."""
    parser = Parser(prog="ssh bastion approvals", description="What waits for a decision.")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args(words)
    held: list[wire.HeldRequest] = _call(session, wire.ListApprovals())
    if given.json:
        return Answer(json.dumps([one.plain() for one in held], indent=2) + "\n")
    now = session.services.clock()
    return Answer("\n".join(_lines(one.lines(now)) for one in held) or "Nothing waits.\n")


async def grant(session: Session, words: list[str], shown: Shown) -> Answer:
    """Let a held request go on."""
    parser = Parser(prog="ssh bastion grant", description="Let a held request go on.")
    parser.add_argument("id", metavar="ID")
    add_reason(parser, "why; the requester and the audit are told")
    parser.add_argument(
        "--repeat", type=duration, default=0.0, metavar="10m", help="equal requests too, so long"
    )
    given = parser.parse_args(words)
    return _decide(
        session,
        given.id,
        lambda one: wire.Grant(one.id, one.hash, text_of(given.reason), given.repeat),
    )


async def refuse(session: Session, words: list[str], shown: Shown) -> Answer:
    """End a held request; it does not run."""
    parser = Parser(prog="ssh bastion refuse", description="End a held request unrun.")
    parser.add_argument("id", metavar="ID")
    add_reason(parser, "why; the requester is told", required=True)
    given = parser.parse_args(words)
    return _decide(
        session, given.id, lambda one: wire.Refuse(one.id, one.hash, text_of(given.reason))
    )


async def grants(session: Session, words: list[str], shown: Shown) -> Answer:
    """Access and equal commands that are granted now."""
    parser = Parser(prog="ssh bastion grants", description="What is granted for a time.")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args(words)
    held: list[wire.GrantShown] = _call(session, wire.ListGrants())
    if given.json:
        return Answer(json.dumps(msgspec.to_builtins(held), indent=2) + "\n")
    now = session.services.clock()
    rows = (
        (
            one.id,
            one.kind,
            one.name,
            one.what,
            one.target or "everywhere",
            f"{describe_duration(one.until - now)} left",
            f"by {', '.join(one.by)}",
        )
        for one in held
    )
    return Answer(_rows(rows) or "Nothing is granted for a time.\n")


async def revoke(session: Session, words: list[str], shown: Shown) -> Answer:
    """Take a grant back, now."""
    parser = Parser(prog="ssh bastion revoke", description="Take a grant back, and cut it.")
    parser.add_argument("id", metavar="ID")
    add_reason(parser, "why; it is audited", required=True)
    given = parser.parse_args(words)
    _call(session, wire.RevokeGrant(given.id, text_of(given.reason)))
    return Answer("Revoked.\n")


async def sessions(session: Session, words: list[str], shown: Shown) -> Answer:
    """Sessions that this identity may see."""
    parser = Parser(prog="ssh bastion sessions", description="Sessions, newest first.")
    parser.add_argument("--all", action="store_true", help="those that ended, too")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args(words)
    listed: list[dict[str, Any]] = _call(session, wire.ListSessions(open_only=not given.all))
    if given.json:
        return Answer(json.dumps(listed, indent=2) + "\n")
    rows = (
        (
            row["id"],
            row["name"],
            row["client_address"],
            row["targets"] or "-",
            row["reason"] or row["running"],
        )
        for row in listed
    )
    return Answer(_rows(rows) or "No session is yours to see.\n")


def _call(session: Session, call: wire.AnyCall) -> Any:
    return session.services.link.desk.answer(session.operator, call)


def _decide(
    session: Session, approval_id: str, make: Callable[[wire.HeldRequest], wire.AnyCall]
) -> Answer:
    held: list[wire.HeldRequest] = _call(session, wire.ListApprovals())
    one = next((each for each in held if each.id == approval_id), None)
    if one is None:
        raise ControlError(f"No approval {approval_id!r} is pending; list them again.")
    answered: wire.Answered = _call(session, make(one))
    what = _lines(one.lines(session.services.clock()))
    more = f" {answered.missing} more must grant it." if answered.state == "pending" else ""
    return Answer(f"{what}\n{answered.state.capitalize()}.{more}\n")


def _lines(pairs: Iterable[tuple[str, str]]) -> str:
    return "".join(f"{visible(label):<12} {visible(text)}\n" for label, text in pairs)


def _rows(rows: Iterable[Sequence[str]]) -> str:
    return "".join("  ".join(visible(cell) for cell in row) + "\n" for row in rows)
