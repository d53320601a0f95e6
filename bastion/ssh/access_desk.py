"""Ask people for access, and put what they grant in force: for this session too, and at once.

A request for access is an approval like others, but belongs to no connection: it waits on when the
one who asked has left, until it is decided, taken back, or its time is over.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import msgspec

from bastion.errors import BastionError
from bastion.events import Outcome
from bastion.policy.approvals import Approval, Question
from bastion.policy.requests import Wanted
from bastion.policy.rights import Subject
from bastion.ssh.ask import who
from bastion.ssh.services import Services
from bastion.ssh.session import Session
from bastion.store.access import AccessGrant
from bastion.store.feed import Happening
from bastion.wire import control as wire

log = logging.getLogger(__name__)

KIND = "access"
"""The `kind` fact of such a question."""

Told = Callable[[Outcome, tuple[str, ...], str], None]


def ask_access(session: Session, wanted: Wanted, told: Told = lambda *_: None) -> str:
    """Put it before people and give its id; BastionError says why it is not asked.

    `told` is called at its end, whenever that is; a grant is in force by then.
    """
    services, identity = session.services, session.identity
    terms, asked_at = wanted.entry.approval, session.services.clock()
    facts = [("kind", KIND), *who(identity), ("requestable", wanted.entry.name)]
    facts += [("requester's reason", wanted.reason), ("ticket", wanted.ticket)]
    question = Question(
        identity=identity.id,
        name=identity.name,
        target="" if "*" in wanted.targets else ", ".join(wanted.targets),
        login="",
        request=wanted.text.encode(),
        facts=tuple((label, services.masks.text(text)) for label, text in facts if text),
        session_id=session.id,
        channel_id="",
        asked_at=asked_at,
        # Not cut by the certificate's end: the grant is for the person, whatever they hold then.
        expires_at=asked_at + terms.wait,
    )
    ids: list[str] = []

    def on_end(outcome: Outcome, names: tuple[str, ...], reason: str) -> None:
        if outcome is Outcome.GRANTED:
            try:
                _put_in_force(services, ids[0], question, wanted, names)
            except BastionError as error:
                log.error("access %s was granted but cannot be given: %s", ids[0], error)
                outcome, reason = Outcome.WITHDRAWN, str(error)
            except Exception:
                log.exception("access %s was granted but cannot be given", ids[0])
                outcome, reason = Outcome.WITHDRAWN, "the bastion failed to put it in force."
        told(outcome, names, reason)

    ids.append(services.approvals.ask(question, terms, on_end, roles=identity.roles))
    return ids[0]


def is_access(approval: Approval) -> bool:
    """Whether it asks for access."""
    return approval.question.facts[:1] == (("kind", KIND),)


def _put_in_force(
    services: Services, request_id: str, question: Question, wanted: Wanted, by: tuple[str, ...]
) -> None:
    at = services.clock()
    grant = AccessGrant(
        id=request_id,
        identity=question.identity,
        name=question.name,
        role=wanted.role,
        targets=wanted.targets,
        reason=wanted.reason,
        ticket=wanted.ticket,
        by=by,
        at=at,
        until=at + wanted.seconds,
    )
    services.access.give(grant)
    targets = (question.target,) if question.target else ()
    fields = {
        "grant": msgspec.to_builtins(
            wire.GrantShown(
                id=grant.id,
                kind="access",
                identity=grant.identity,
                name=grant.name,
                what=wanted.text,
                target=question.target,
                session_id="",
                reason=grant.reason,
                by=grant.by,
                at=at,
                until=grant.until,
            )
        )
    }
    subject = Subject(question.identity, targets=targets)
    approvers = wanted.entry.approval.approvers
    services.feed.publish(Happening(wire.Event.GRANT_GIVEN.value, at, subject, fields, approvers))
