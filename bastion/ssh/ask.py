"""Put a held request before people, and bring their answer back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from bastion.errors import BastionError, StoreError
from bastion.events import Ask, Outcome, Resolved
from bastion.gate.words import sentence
from bastion.model import Identity, Request, visible
from bastion.policy.approvals import Question
from bastion.policy.rules import ApprovalTerms, Verdict
from bastion.ssh.drive import Drive
from bastion.ssh.record import request_text
from bastion.ssh.session import Place, Session

EQUAL_GRANTED = "granted: an equal request was approved for a time."


def _question(session: Session, place: Place, channel: str, request: Request, verdict: Verdict,
              terms: ApprovalTerms) -> Question:  # fmt: skip
    facts = [("kind", kind_of(request)), *who(session.identity)]
    facts += [("rule", verdict.rule), ("reason", verdict.reason)]
    facts += [("cannot tell", text) for text in verdict.opaque]
    facts += [("runs", text) for text in verdict.parse]
    masks, exact = session.services.masks, request_text(request)
    shown = masks.text(exact)
    facts = [(label, masks.text(text)) for label, text in facts]
    if shown != exact:
        # Approvers see a mark in place of a secret; the grant is for the exact bytes all the same.
        facts.append(("exact bytes", masks.marks.digest(exact.encode("utf-8", "surrogateescape"))))
    return Question.about(
        session.identity,
        target=place.target.name,
        login=place.login,
        request=shown.encode("utf-8", "surrogateescape"),
        facts=tuple(facts),
        session_id=session.id,
        channel_id=channel,
        asked_at=session.services.clock(),
        wait=terms.wait,
    )


def kind_of(request: Request) -> str:
    """What sort of request it is, in words: two that differ only in that are not equal."""
    return "".join(
        f" {letter.lower()}" if letter.isupper() else letter
        for letter in type(request).__name__.removesuffix("Request")
    ).strip()


def who(identity: Identity) -> list[tuple[str, str]]:
    """What an approver must know of the requester beside the name."""
    told = [("roles", ", ".join(sorted(identity.roles)))]
    told += [
        ("granted role", f"{granted.role} on {', '.join(granted.targets)}")
        for granted in identity.granted
    ]
    for name, value in sorted(identity.claims.items()):
        shown = ", ".join(value) if isinstance(value, tuple) else str(value)
        told.append((f"claim {name}", shown))
    told += [("agent", identity.agent), ("branch", identity.branch)]
    return [(label, text) for label, text in told if text]


def waiting_text(
    approval_id: str, verdict: Verdict, terms: ApprovalTerms, question: Question
) -> str:
    """What the requester sees while people are asked."""
    seconds = question.expires_at - question.asked_at
    until = " (your access ends then)" if seconds < terms.wait else ""
    people = "one person" if terms.count == 1 else f"{terms.count} people"
    of = f" of {', '.join(terms.approvers)}" if terms.approvers else ""
    message = f" {visible(terms.message)}" if terms.message else ""
    return (
        f"held for approval {approval_id} by rule {visible(verdict.rule)}: "
        f"{sentence(verdict.reason)} Waiting up to {_minutes(seconds)}{until} for {people}{of}; "
        f"ctrl-C withdraws.{message}"
    )


def _glass(session: Session, approval_id: str, terms: ApprovalTerms) -> str:
    """How to go on without approval, for those who may."""
    if not session.operator.roles.intersection(terms.break_glass) or session.own.agent:
        return ""
    return f" In an emergency: ssh bastion break-glass {approval_id} --reason '…'"


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"


@dataclass(slots=True)
class Asker:
    """Asks for one channel (the drive's `Asker`)."""

    session: Session
    place: Place
    channel: str
    _ids: dict[int, str] = field(default_factory=dict)

    def ask(self, asked: Ask, drive: Drive) -> str:
        """Hold the question; the answer, or why nobody is asked, reaches the drive as an event."""
        terms = asked.verdict.approval or ApprovalTerms()

        def on_end(outcome: Outcome, names: tuple[str, ...], reason: str) -> None:
            self._ids.pop(asked.ask, None)
            drive.resolved(asked.ask, outcome, names, reason)

        question = _question(
            self.session, self.place, self.channel, asked.request, asked.verdict, terms
        )
        try:
            approval = self.session.services.approvals.ask(
                question, terms, on_end, roles=self.session.identity.roles
            )
        except BastionError as error:
            reason = str(error)
            asyncio.get_running_loop().call_soon(
                drive.resolved, asked.ask, Outcome.WITHDRAWN, (), reason
            )
            return ""
        if self.session.services.approvals.find(approval) is None:
            return EQUAL_GRANTED
        self._ids[asked.ask] = approval
        waiting = waiting_text(approval, asked.verdict, terms, question)
        return waiting + _glass(self.session, approval, terms)

    def withdraw(self, ask: int, drive: Drive) -> None:
        """The question is moot."""
        approval = self._ids.pop(ask, None)
        if approval is not None:
            services = self.session.services
            try:
                services.approvals.withdraw(approval, services.clock())
            except StoreError as error:
                self.session.note("withdraw-failed", approval=approval, reason=str(error))


async def ask_once(
    session: Session,
    place: Place,
    channel: str,
    request: Request,
    verdict: Verdict,
    tell: Callable[[str], None],
) -> Resolved:
    """Ask about something that has no drive yet (a forward, an agent); cancelling withdraws."""
    terms = verdict.approval or ApprovalTerms()
    answer: asyncio.Future[Resolved] = asyncio.get_running_loop().create_future()
    clock = session.services.clock

    def on_end(outcome: Outcome, names: tuple[str, ...], reason: str) -> None:
        if not answer.done():
            answer.set_result(Resolved(clock(), 0, outcome, names, reason))

    approvals = session.services.approvals
    question = _question(session, place, channel, request, verdict, terms)
    try:
        approval = approvals.ask(question, terms, on_end, roles=session.identity.roles)
    except BastionError as error:
        return Resolved(clock(), 0, Outcome.WITHDRAWN, (), str(error))
    held = approvals.find(approval) is not None
    tell(waiting_text(approval, verdict, terms, question) if held else EQUAL_GRANTED)

    def session_ended(_text: str) -> None:
        answer.cancel()

    not_at_end = session.at_end(session_ended)
    try:
        return await answer
    except asyncio.CancelledError:
        approvals.withdraw(approval, clock())
        raise
    finally:
        not_at_end()
