"""What every channel begins with: its recording and rows; the verdict on what rides beside it."""

from __future__ import annotations

import time
from collections.abc import Callable

from bastion.events import Outcome
from bastion.gate.words import refusal, unresolved
from bastion.model import Request, visible
from bastion.policy.rules import Action
from bastion.ssh.ask import ask_once
from bastion.ssh.record import Record, request_kind, request_text
from bastion.ssh.session import Place, Session, closed_to
from bastion.tap.tail import Tail
from bastion.wire import control as wire


def open_record(
    session: Session,
    place: Place,
    channel: str,
    request: Request,
    *,
    text: bool,
    columns: int = 80,
    rows: int = 24,
    term: str = "",
) -> Record:
    """Start a channel's recording and its rows; a BastionError where any of it cannot be kept."""
    services, identity = session.services, session.identity
    at = services.clock()
    asked = services.masks.text(request_text(request))
    recording = services.recordings.open(
        session.id,
        channel,
        at=at,
        columns=max(1, min(columns, 1000)),
        rows=max(1, min(rows, 1000)),
        term=term,
        title=visible(f"{identity.name} {place.login}@{place.target.name}: {asked}", limit=200),
        facts={
            "identity": identity.name,
            "target": place.target.name,
            "login": place.login,
            "request": visible(asked, limit=2000),
        },
    )
    kind = request_kind(request)
    services.ledger.channel_opened(
        session.id,
        channel,
        kind,
        place.target.name,
        place.login,
        asked,
        str(recording.path),
        at,
    )
    session.note(
        "channel-opened",
        channel=channel,
        request_kind=kind,
        target=place.target.name,
        login=place.login,
        request=asked,
    )
    work = time.thread_time if term else None
    tail = Tail(max(1, min(columns, 1000)), max(1, min(rows, 1000)), work=work) if text else None
    if tail is not None:
        session.tails[channel] = tail
    session.happened(
        wire.Event.CHANNEL_OPENED,
        place.target.name,
        channel=channel,
        target=place.target.name,
        login=place.login,
        request=asked,
    )

    def happened(kind: wire.Event, **fields: object) -> None:
        session.happened(kind, place.target.name, channel=channel, **fields)
        if kind is wire.Event.CHANNEL_ENDED and (ended := session.tails.pop(channel, None)):
            session.ended_tails = {channel: ended}

    ledger, audit = services.ledger, services.audit
    return Record(
        session.id,
        channel,
        recording,
        ledger,
        audit,
        text,
        tail,
        happened,
        services.masks.text,
        typed=bool(getattr(request, "pty", False)),
    )


async def permit(
    session: Session,
    place: Place,
    channel: str,
    request: Request,
    tell: Callable[[str], None],
) -> bool:
    """Decide what has no channel of its own yet; asks people where the policy says so."""
    verdict = session.verdict(place, request)
    text = request_text(request)
    services = session.services
    session.note(
        "verdict",
        channel=channel,
        request_kind=request_kind(request),
        request=text,
        action=verdict.action.value,
        rule=verdict.rule,
        reason=verdict.reason,
    )
    services.ledger.verdict(session.id, channel, text, verdict, services.clock())
    if verdict.action is Action.APPROVE:
        answer = await ask_once(session, place, channel, request, verdict, tell)
        outcome, by = answer.outcome.value, list(answer.by)
        session.note("approval", channel=channel, outcome=outcome, by=by, reason=answer.reason)
        if answer.outcome is not Outcome.GRANTED:
            tell(unresolved(answer, verdict))
            return False
        closed = closed_to(session, place)
        if closed:
            tell(closed)
        return not closed
    if verdict.action is Action.DENY:
        tell(refusal(verdict))
    return verdict.action is Action.ALLOW
