"""An approval's life: one question, shown exactly, answered by people who may.

pending ──► granted   (single use: whoever asked is told once, and the approval is over;
   │                   break-glass: by the requester alone, where the policy names their role)
   ├──────► refused
   ├──────► expired   (at `expires_at` exactly, and later)
   └──────► withdrawn (the session ended, or the requester left)

Nothing leads out of an end. A grant may come with a Repeat: equal requests of the same session are
granted by it, until its own end.
"""

from __future__ import annotations

import hashlib
import struct
import unicodedata
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from typing import Final

from bastion.errors import AnswerRefused
from bastion.model import Identity
from bastion.policy.fields import describe_duration
from bastion.policy.rules import ApprovalTerms

MAX_REASON: Final = 2000
"""Characters of an approver's reason: it is kept for ever and shown to the requester."""


@dataclass(frozen=True)
class Question:
    """Everything an approver is shown, and everything the grant is for (invariant 4).

    `request` is the exact bytes of what will run. `facts` are the lines shown beside it: the parse,
    the rule, the reason, what is opaque; pairs of a label and a text, in the order they are shown.
    Times are seconds since the epoch.
    """

    identity: str
    """`Identity.id` of the requester."""
    name: str
    target: str
    login: str
    request: bytes
    facts: tuple[tuple[str, str], ...]
    session_id: str
    channel_id: str
    asked_at: float
    expires_at: float

    @cached_property
    def hash(self) -> str:
        """SHA-256 (hex) over all of it; two questions that differ anywhere never share it."""
        digest = hashlib.sha256(b"bastion approval v1\0")
        texts = (self.identity, self.name, self.target, self.login, self.session_id)
        for text in (*texts, self.channel_id):
            digest.update(_framed(text))
        digest.update(_framed(self.request))
        digest.update(struct.pack(">Q", len(self.facts)))
        for label, text in self.facts:
            digest.update(_framed(label) + _framed(text))
        digest.update(struct.pack(">dd", self.asked_at, self.expires_at))
        return digest.hexdigest()

    @classmethod
    def about(
        cls,
        identity: Identity,
        *,
        target: str,
        login: str,
        request: bytes,
        facts: tuple[tuple[str, str], ...],
        session_id: str,
        channel_id: str,
        asked_at: float,
        wait: float,
    ) -> Question:
        """Ask for `identity`, for `wait` seconds, but never beyond what the identity itself has."""
        expires_at = asked_at + wait
        if identity.expires_at:
            expires_at = min(expires_at, identity.expires_at)
        return cls(
            identity.id,
            identity.name,
            target,
            login,
            request,
            facts,
            session_id,
            channel_id,
            asked_at,
            expires_at,
        )


@dataclass(frozen=True, slots=True)
class Operator:
    """Somebody at the control socket: an account of the machine, or an identity over SSH.

    `unix_user` is what the kernel says of the caller. `identity` is that person's `Identity.id`
    (or name), so that nobody decides their own request by way of the socket, or counts twice.
    """

    unix_user: str
    """Empty for somebody who came over SSH."""
    name: str
    roles: frozenset[str] = frozenset()
    identity: str = ""
    agent: str = ""
    """The program that acts for this person, where one does: it may look, and decides nothing."""
    machine: bool = False
    """root, or the bastion's own user: whoever is it could read every file of the bastion."""

    @property
    def id(self) -> str:
        """What distinct people are counted by."""
        return self.identity or f"unix#{self.unix_user}"


class State(StrEnum):
    """Where an approval stands; a closed list."""

    PENDING = "pending"
    GRANTED = "granted"
    REFUSED = "refused"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class Answer:
    """What one person says. `hash` is that of the question this person was shown."""

    approver_id: str
    approver_name: str
    roles: frozenset[str]
    grant: bool
    reason: str
    at: float
    hash: str
    repeat: float = 0.0
    """Seconds for which equal requests of the session are granted too."""
    agent: str = ""
    """The program that speaks for this person, where one does."""


@dataclass(frozen=True, slots=True)
class Approval:
    """A question, its terms, and the answers that counted."""

    id: str
    question: Question
    terms: ApprovalTerms
    state: State = State.PENDING
    answers: tuple[Answer, ...] = ()
    roles: frozenset[str] = frozenset()
    """The requester's, for whom may see it; the grant is not for these."""
    glass: str = ""
    """The requester's reason, where they went on without approval."""

    @property
    def missing(self) -> int:
        """How many more people are needed."""
        return max(0, _needed(self.terms) - sum(answer.grant for answer in self.answers))


def decide(approval: Approval, answer: Answer) -> Approval:
    """Count an answer; AnswerRefused says why it does not count, and then nothing changes.

    One refusal ends it; as many distinct people as the terms want, at least one, grant it.
    """
    refusal = _why_not(approval, answer)
    if refusal:
        raise AnswerRefused(refusal)
    answered = replace(approval, answers=(*approval.answers, answer))
    if not answer.grant:
        return replace(answered, state=State.REFUSED)
    return replace(answered, state=State.PENDING if answered.missing else State.GRANTED)


def break_glass(
    approval: Approval, identity: str, roles: frozenset[str], agent: str, reason: str, at: float
) -> Approval:
    """Go on without approval; AnswerRefused says why not, and then nothing changes."""
    question = approval.question
    refusal = ""
    if not identity or identity != question.identity:
        refusal = "Only whoever asked may break the glass."
    elif agent:
        refusal = "An agent does not break the glass; the person it acts for has to."
    elif not roles.intersection(approval.terms.break_glass):
        refusal = "The policy does not let you go on without approval here."
    elif not reason.strip():
        refusal = "A reason is required; give one."
    refusal = _why_over(approval, at) or refusal or _too_long(reason)
    if refusal:
        raise AnswerRefused(refusal)
    return replace(approval, state=State.GRANTED, glass=reason)


@dataclass(frozen=True, slots=True)
class Repeat:
    """A grant for requests that equal one which was granted, in its session, until `until`."""

    id: str
    question: Question
    by: tuple[str, ...]
    reason: str
    at: float
    until: float
    roles: frozenset[str] = frozenset()
    approvers: frozenset[str] = frozenset()
    """Ids of those who granted it: they may take it back."""

    def covers(self, question: Question, at: float) -> bool:
        """Whether this is for `question`: all that the approver was shown of it is the same."""
        return at < self.until and _thing(self.question) == _thing(question)


def repeat_of(approval: Approval, at: float) -> Repeat | None:
    """What a granted approval grants beside itself: the shortest time that anybody gave, or none.

    It ends with the identity at the latest, for no question of that session outlives it.
    """
    if approval.state is not State.GRANTED or approval.glass or not approval.answers:
        return None
    seconds = min(answer.repeat for answer in approval.answers)
    if seconds <= 0:
        return None
    names = tuple(answer.approver_name for answer in approval.answers)
    reason = "; ".join(answer.reason for answer in approval.answers if answer.reason)
    ids = frozenset(answer.approver_id for answer in approval.answers)
    until = at + seconds
    return Repeat(approval.id, approval.question, names, reason, at, until, approval.roles, ids)


def _thing(question: Question) -> tuple[object, ...]:
    return (
        question.identity,
        question.name,
        question.session_id,
        question.target,
        question.login,
        question.request,
        question.facts,
    )


def expire(approval: Approval, at: float) -> Approval:
    """Expired means denied: at `expires_at` exactly, a pending approval is over."""
    if approval.state is State.PENDING and at >= approval.question.expires_at:
        return replace(approval, state=State.EXPIRED)
    return approval


def withdraw(approval: Approval) -> Approval:
    """Nobody needs the answer any more; an approval that ended stays as it ended."""
    if approval.state is State.PENDING:
        return replace(approval, state=State.WITHDRAWN)
    return approval


def _needed(terms: ApprovalTerms) -> int:
    return max(1, terms.count)


def _why_not(approval: Approval, answer: Answer) -> str:
    """The sentence for an answer that does not count, or nothing."""
    question, terms = approval.question, approval.terms
    if over := _why_over(approval, answer.at):
        return over
    if answer.hash != question.hash:
        return "What you were shown is not what is asked; look at it again."
    if is_requester(question, answer.approver_id, answer.approver_name):
        return "Nobody decides a request of their own; somebody else has to."
    if answer.agent:
        return "An agent decides nothing; the person it acts for has to."
    if terms.approvers and not answer.roles.intersection(terms.approvers):
        return f"Only {' or '.join(terms.approvers)} may decide this, and you have no such role."
    if any(_same(answer.approver_id, other.approver_id) for other in approval.answers):
        return "You have answered already; another person has to."
    if terms.reason_required and not answer.reason.strip():
        return "A reason is required; give one."
    if answer.grant and not 0 <= answer.repeat <= terms.repeat:
        return _no_repeat(terms)
    return _too_long(answer.reason)


def _why_over(approval: Approval, at: float) -> str:
    if approval.state is not State.PENDING:
        return f"This approval is already {approval.state.value}."
    if at >= approval.question.expires_at:
        return "This approval has expired, so the request is denied."
    return ""


def _no_repeat(terms: ApprovalTerms) -> str:
    if not terms.repeat:
        return "The policy lets this rule be approved for one request at a time only."
    return f"Equal requests may be approved for {describe_duration(terms.repeat)} at most."


def _too_long(reason: str) -> str:
    if len(reason) > MAX_REASON:
        return f"The reason is longer than {MAX_REASON} characters; shorten it."
    return ""


def is_requester(question: Question, approver_id: str, approver_name: str) -> bool:
    """Whether this is the requester: by id or by name, however it is spelt."""
    if not approver_id:
        return True
    return any(
        _same(mine, theirs)
        for mine in (approver_id, approver_name)
        for theirs in (question.identity, question.name)
    )


def _same(one: str, other: str) -> bool:
    return bool(one) and _folded(one) == _folded(other)


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold().strip()


def _framed(value: str | bytes) -> bytes:
    """Length first, so that no field can flow into the next."""
    data = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
    return struct.pack(">Q", len(data)) + data
