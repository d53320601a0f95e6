"""`ssh bastion request`, `requests`, `withdraw`, `break-glass`: what a requester does by hand.

Exit status: 0 granted, 2 usage, 3 still waits, 4 refused, 5 expired, 6 withdrawn, 254 not possible.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

from bastion.events import Outcome
from bastion.model import visible
from bastion.policy.approvals import Approval
from bastion.policy.fields import describe_duration
from bastion.policy.requests import want
from bastion.ssh.access_desk import ask_access
from bastion.ssh.commands import Answer, Parser, Shown, add_reason, duration, text_of
from bastion.ssh.session import Session
from bastion.store.access import AccessGrant
from bastion.wire import control as wire

WAITS: Final = 3
NOTHING: Final = "You have asked for nothing that still waits, and hold nothing for a time.\n"
STATUS: Final = {"granted": 0, "pending": WAITS, "refused": 4, "expired": 5, "withdrawn": 6}


async def request(session: Session, words: list[str], shown: Shown) -> Answer:
    """Ask for a role or a target."""
    parser = Parser(prog="ssh bastion request", description="Ask for access, for a time.")
    parser.add_argument("name", metavar="ROLE|TARGET")
    parser.add_argument("--for", dest="seconds", type=duration, metavar="30m", help="how long")
    add_reason(parser, "what it is for; approvers read it")
    parser.add_argument("--ticket", default="", help="a ticket's number")
    parser.add_argument("--role", default="", help="which role, where a target has several")
    parser.add_argument("--wait", action="store_true", help="wait for the decision")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args(words)
    decided: asyncio.Future[tuple[Outcome, tuple[str, ...], str]] = (
        asyncio.get_running_loop().create_future()
    )

    def told(outcome: Outcome, names: tuple[str, ...], reason: str) -> None:
        if not decided.done():
            decided.set_result((outcome, names, reason))

    wanted = want(
        session.services.policy(),
        session.identity,
        given.name,
        targets=session.services.targets,
        role=given.role,
        seconds=given.seconds,
        reason=text_of(given.reason),
        ticket=given.ticket,
    )
    request_id = ask_access(session, wanted, told)
    terms = wanted.entry.approval
    people = "one person" if terms.count == 1 else f"{terms.count} people"
    asked = (
        f"bastion: asked for {visible(wanted.text)} as {request_id}; waiting up to "
        f"{describe_duration(terms.wait)} for {people} of {', '.join(terms.approvers)}."
        f" {visible(terms.message)}".rstrip()
    )
    if not given.wait:
        state: dict[str, Any] = {"id": request_id, "state": "pending", "asks": wanted.text}
        out = json.dumps(state, indent=2) + "\n" if given.json else f"{request_id}\n"
        hint = f" `ssh bastion requests {request_id} --wait` waits.\n"
        return Answer(out, asked + hint)
    shown.say(asked + " It waits on if you leave; `ssh bastion withdraw` takes it back.\n")
    outcome, names, reason = await decided
    return _ended(request_id, outcome.value, names, reason, as_json=given.json)


async def requests(session: Session, words: list[str], shown: Shown) -> Answer:
    """What was asked for and granted; with an id, where that one stands."""
    parser = Parser(prog="ssh bastion requests", description="What you asked for, and hold.")
    parser.add_argument("id", nargs="?", default="", metavar="ID")
    parser.add_argument("--wait", action="store_true", help="wait for the decision")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args(words)
    if given.id:
        return await _one(session, given.id, wait=given.wait, as_json=given.json)
    board, identity = session.services.approvals, session.own.id
    waiting = [one for one in board.pending() if one.question.identity == identity]
    if given.wait and waiting:
        return await _one(session, waiting[0].id, wait=True, as_json=given.json)
    held = session.services.access.of(identity)
    if given.json:
        data = {"pending": [_pending(one) for one in waiting], "granted": [_held(g) for g in held]}
        return Answer(json.dumps(data, indent=2) + "\n")
    now = session.services.clock()
    lines = [
        f"{one.id}  waits    {_asks(one)}  {describe_duration(one.question.expires_at - now)} left"
        for one in waiting
    ]
    lines += [
        f"{grant.id}  granted  role {grant.role} on {', '.join(grant.targets)}"
        f"  {describe_duration(grant.until - now)} left"
        for grant in held
    ]
    return Answer("".join(f"{visible(line)}\n" for line in lines) or NOTHING)


async def withdraw(session: Session, words: list[str], shown: Shown) -> Answer:
    """Take a request of one's own back."""
    parser = Parser(prog="ssh bastion withdraw", description="Take a request back.")
    parser.add_argument("id", metavar="ID")
    given = parser.parse_args(words)
    return _call(session, wire.Withdraw(given.id), "Withdrawn.\n")


async def break_glass(session: Session, words: list[str], shown: Shown) -> Answer:
    """Go on without approval."""
    parser = Parser(
        prog="ssh bastion break-glass",
        description="Let a held request of yours go on without approval. Everybody is told.",
    )
    parser.add_argument("id", metavar="ID")
    add_reason(parser, "why it cannot wait", required=True)
    given = parser.parse_args(words)
    told = "It goes on without approval; this is audited, and approvers are told.\n"
    return _call(session, wire.BreakGlass(given.id, text_of(given.reason)), told)


def _call(session: Session, call: wire.AnyCall, told: str) -> Answer:
    session.services.link.desk.answer(session.operator, call)
    return Answer(told)


async def _one(session: Session, request_id: str, *, wait: bool, as_json: bool) -> Answer:
    services = session.services
    ended = asyncio.Event()

    def watch(approval: Approval, what: str) -> None:
        if approval.id == request_id and what not in {"asked", "answered"}:
            ended.set()

    stop = services.approvals.watch(watch)
    try:
        if services.approvals.find(request_id) is not None and wait:
            await ended.wait()
            await asyncio.sleep(0)  # what was granted is put in force in the same turn of the loop
    finally:
        stop()
    row = services.ledger.approval(request_id)
    held = {grant.id: grant for grant in services.access.of(session.own.id)}
    if row is None or json.loads(row["question"])["identity"] != session.own.id:
        return Answer("", f"bastion: you asked for nothing called {visible(request_id)}.\n", 2)
    names = tuple(answer["name"] for answer in row["answers"])
    over = _is_access(row) and row["state"] == "granted" and request_id not in held
    return _ended(request_id, row["state"], names, row["reason"], as_json=as_json, over=over)


def _is_access(row: dict[str, Any]) -> bool:
    return ["kind", "access"] in json.loads(row["question"])["facts"]


def _ended(
    request_id: str,
    state: str,
    names: tuple[str, ...],
    reason: str,
    *,
    as_json: bool,
    over: bool = False,
) -> Answer:
    """How it was decided; `over`: it was granted, and what was granted has ended since."""
    status = STATUS[state]
    if as_json:
        data = {"id": request_id, "state": state, "by": list(names), "reason": reason, "over": over}
        return Answer(json.dumps(data, indent=2) + "\n", status=status)
    by = f" by {', '.join(names)}" if names else ""
    why = f": {reason}" if reason else ""
    words = {"pending": "still waits", "expired": "expired: nobody decided in time"}
    ended = " (it is over)" if over else ""
    told = f"{request_id} {words.get(state, state)}{by}{why}{ended}"
    return Answer(f"{visible(told)}\n", status=status)


def _asks(approval: Approval) -> str:
    question = approval.question
    where = f" on {question.target}" if question.login else ""
    return question.request.decode("utf-8", "surrogateescape") + where


def _pending(approval: Approval) -> dict[str, Any]:
    question = approval.question
    return {
        "id": approval.id,
        "asks": _asks(approval),
        "asked_at": question.asked_at,
        "expires_at": question.expires_at,
        "missing": approval.missing,
    }


def _held(grant: AccessGrant) -> dict[str, Any]:
    return {
        "id": grant.id,
        "role": grant.role,
        "targets": list(grant.targets),
        "until": grant.until,
        "by": list(grant.by),
        "reason": grant.reason,
        "ticket": grant.ticket,
    }
