"""An approval's life: one question, shown exactly, answered by people who may.

pending ──► granted   (single use: whoever asked is told once, and the approval is over)
   ├──────► refused
   ├──────► expired   (at `expires_at` exactly, and later)
   └──────► withdrawn (the session ended, or the requester left)

Nothing leads out of an end.
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
    """Somebody who may use the control socket, as the configuration names them.

    `unix_user` is what the kernel says of the caller. `identity` is that person's `Identity.id`,
    so that nobody decides their own request by way of the socket, or counts twice.
    """

    unix_user: str
    name: str
    roles: frozenset[str] = frozenset()
    identity: str = ""

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


@dataclass(frozen=True, slots=True)
class Approval:
    """A question, its terms, and the answers that counted."""

    id: str
    question: Question
    terms: ApprovalTerms
    state: State = State.PENDING
    answers: tuple[Answer, ...] = ()

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
    if approval.state is not State.PENDING:
        return f"This approval is already {approval.state.value}."
    if answer.at >= question.expires_at:
        return "This approval has expired, so the request is denied."
    if answer.hash != question.hash:
        return "What you were shown is not what is asked; look at it again."
    if is_requester(question, answer.approver_id, answer.approver_name):
        return "Nobody decides a request of their own; somebody else has to."
    if terms.approvers and not answer.roles.intersection(terms.approvers):
        return f"Only {' or '.join(terms.approvers)} may decide this, and you have no such role."
    if any(_same(answer.approver_id, other.approver_id) for other in approval.answers):
        return "You have answered already; another person has to."
    if terms.reason_required and not answer.reason.strip():
        return "A reason is required; give one."
    if len(answer.reason) > MAX_REASON:
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
