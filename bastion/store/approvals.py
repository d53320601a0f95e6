"""The board of held requests: who asks, what people answered, and the clock that ends it.

Nothing survives a restart as pending: the bytes that were held are gone with the connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Final

from bastion.errors import AnswerRefused, NotAsked, StoreError
from bastion.events import Outcome
from bastion.policy import approvals as life
from bastion.policy.approvals import Answer, Approval, Question, Repeat, State
from bastion.policy.rules import ApprovalTerms
from bastion.store.audit import AuditLog
from bastion.store.ledger import Ledger

MAX_PENDING: Final = 1000
"""Held requests in all: each holds a connection and stands on somebody's screen."""

MAX_PENDING_EACH: Final = 20
"""Held requests of one identity: nobody buries an approver under questions."""

MAX_SHOWN: Final = 32 * 1024
"""Bytes and characters of one question: nobody judges more, and a thousand must fit one reply."""

MAX_SLEEP: Final = 60.0
"""Seconds until an expiry is looked at again: timers do not follow a clock that is set."""

_ALPHABET: Final = "23456789abcdefghjkmnpqrstuvwxyz"
"""Nothing that is mistaken for another when it is read aloud."""

OnEnd = Callable[[Outcome, tuple[str, ...], str], None]
Watcher = Callable[[Approval, str], None]
"""Gets the approval and what happened: `asked`, `answered`, or the end state."""


@dataclass(slots=True)
class _Pending:
    approval: Approval
    on_end: OnEnd
    timer: asyncio.TimerHandle | None = None


class Approvals:
    """The pending approvals of one running bastion. Lives on one event loop."""

    def __init__(
        self,
        ledger: Ledger,
        audit: AuditLog,
        clock: Callable[[], float],
        *,
        max_pending: int = MAX_PENDING,
        max_pending_each: int = MAX_PENDING_EACH,
    ) -> None:
        self._ledger = ledger
        self._audit = audit
        self._clock = clock
        self._max_pending = max_pending
        self._max_pending_each = max_pending_each
        self._pending: dict[str, _Pending] = {}
        self._watchers: list[Watcher] = []
        self._repeats: dict[str, Repeat] = {}

    def ask(
        self,
        question: Question,
        terms: ApprovalTerms,
        on_end: OnEnd,
        *,
        roles: frozenset[str] = frozenset(),
    ) -> str:
        """Hold a question and give its id. NotAsked if too many wait, StoreError if unwritable.

        `on_end(outcome, names, reason)` is called once, from the event loop and never from inside
        another call, unless the asker withdraws first. Where a Repeat covers the question, it is
        granted at once, and `find` gives nothing any more. `roles` are the requester's.
        """
        self._check_room(question)
        approval = Approval(self._new_id(), question, terms, roles=roles)
        self._audit.append(
            "approval-asked", question.asked_at, approval=approval.id, **_question_fields(question)
        )
        self._ledger.approval_asked(
            approval.id,
            question.session_id,
            question.channel_id,
            json.dumps(_question_fields(question)),
            question.hash,
            question.asked_at,
            question.expires_at,
        )
        held = self._pending[approval.id] = _Pending(approval, on_end)
        if repeat := self.repeat_for(question):
            held.approval = replace(approval, state=State.GRANTED)
            self._end(held, self._clock(), repeat)
            return approval.id
        self._set_timer(held)
        self._tell_watchers(approval, "asked")
        return approval.id

    def repeat_for(self, question: Question) -> Repeat | None:
        """The grant for equal requests that covers this one now, or None."""
        at = self._clock()
        return next((one for one in self._repeats.values() if one.covers(question, at)), None)

    def repeats(self) -> tuple[Repeat, ...]:
        """The grants for equal requests in force."""
        at = self._clock()
        self._repeats = {key: one for key, one in self._repeats.items() if at < one.until}
        return tuple(self._repeats.values())

    def end_repeat(self, repeat_id: str, by: str, reason: str) -> Repeat | None:
        """Take a grant for equal requests back; None if there is none of that id."""
        repeat = self._repeats.get(repeat_id)
        if repeat is not None:
            self._audit.append(
                "repeat-revoked", self._clock(), approval=repeat_id, by=by, reason=reason
            )
            del self._repeats[repeat_id]
        return repeat

    def session_ended(self, session_id: str) -> None:
        """What was granted for a session's equal requests ends with it."""
        self._repeats = {
            key: one for key, one in self._repeats.items() if one.question.session_id != session_id
        }

    def answer(self, approval_id: str, answer: Answer) -> Approval:
        """Count an answer; AnswerRefused (audited too) says why it does not count."""
        held = self._pending.get(approval_id)
        if held is None:
            raise AnswerRefused(f"No approval {approval_id!r} is pending; list them again.")
        # The asker's clock rules: an answer cannot be dated back to before the expiry.
        answer = replace(answer, at=max(answer.at, self._clock()))
        fields = {
            "approval": approval_id,
            "approver": answer.approver_id,
            "name": answer.approver_name,
            "grant": answer.grant,
            "reason": answer.reason,
            "repeat": answer.repeat,
            "hash": answer.hash,
        }
        try:
            approval = life.decide(held.approval, answer)
        except AnswerRefused as refusal:
            self._audit.append("approval-answer-refused", answer.at, **fields, why=str(refusal))
            raise
        self._audit.append("approval-answered", answer.at, **fields)
        self._ledger.approval_answered(
            approval_id,
            answer.approver_id,
            answer.approver_name,
            answer.grant,
            answer.reason,
            answer.at,
        )
        held.approval = approval
        self._tell_watchers(approval, "answered")
        if approval.state is not State.PENDING:
            self._end(held, answer.at)
        return approval

    def break_glass(
        self, approval_id: str, identity: str, roles: frozenset[str], agent: str, reason: str
    ) -> Approval:
        """The requester goes on without approval; AnswerRefused (audited too) says why not."""
        held = self._pending.get(approval_id)
        if held is None:
            raise AnswerRefused(f"No approval {approval_id!r} is pending; list them again.")
        at = self._clock()
        fields = {"approval": approval_id, "identity": identity, "reason": reason}
        try:
            held.approval = life.break_glass(held.approval, identity, roles, agent, reason, at)
        except AnswerRefused as refusal:
            self._audit.append("break-glass-refused", at, **fields, why=str(refusal))
            raise
        self._audit.append("break-glass", at, **fields)
        name = f"{held.approval.question.name} (break-glass)"
        self._ledger.approval_answered(approval_id, identity, name, True, reason, at)
        self._end(held, at)
        return held.approval

    def take_back(self, approval_id: str, identity: str) -> Approval:
        """The requester takes it back, by another way than the one that waits: that one is told."""
        held = self._pending.get(approval_id)
        if held is None or not identity or held.approval.question.identity != identity:
            raise AnswerRefused(f"You have no pending request {approval_id!r}; list them again.")
        held.approval = life.withdraw(held.approval)
        self._end(held, self._clock())
        return held.approval

    def withdraw(self, approval_id: str, at: float) -> None:
        """The asker needs no answer any more; its `on_end` is not called. Unknown ids are fine."""
        held = self._pending.get(approval_id)
        if held is not None:
            held.on_end = _nobody
            held.approval = life.withdraw(held.approval)
            self._end(held, at)

    def pending(self) -> tuple[Approval, ...]:
        """What waits, oldest first."""
        return tuple(held.approval for held in self._pending.values())

    def find(self, approval_id: str) -> Approval | None:
        """One that waits, or None."""
        held = self._pending.get(approval_id)
        return held.approval if held else None

    def watch(self, watcher: Watcher) -> Callable[[], None]:
        """Tell `watcher` all that happens; call what is returned to stop. It must not raise."""
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)

    def close(self, at: float) -> None:
        """The bastion stops: everything that waits is withdrawn, and its askers are told."""
        for held in list(self._pending.values()):
            held.approval = life.withdraw(held.approval)
            # Askers are told even where it cannot be written any more.
            with contextlib.suppress(StoreError):
                self._end(held, at)

    def _check_room(self, question: Question) -> None:
        if _length(question) > MAX_SHOWN:
            raise NotAsked("The request is too long to be shown to an approver; shorten it.")
        if len(self._pending) >= self._max_pending:
            raise NotAsked("Too many requests are waiting for approval; try again later.")
        own = sum(
            held.approval.question.identity == question.identity for held in self._pending.values()
        )
        if own >= self._max_pending_each:
            raise NotAsked(
                f"You have {own} requests waiting for approval; wait for an answer to one of them."
            )

    def _new_id(self) -> str:
        length = 4
        while True:
            # Each failure makes the next id longer, so this ends.
            approval_id = "".join(secrets.choice(_ALPHABET) for _ in range(length))
            if approval_id not in self._pending and self._ledger.approval(approval_id) is None:
                return approval_id
            length += 1

    def _set_timer(self, held: _Pending) -> None:
        left = held.approval.question.expires_at - self._clock()
        loop = asyncio.get_running_loop()
        held.timer = loop.call_later(min(max(0.0, left), MAX_SLEEP), self._look_at, held)

    def _look_at(self, held: _Pending) -> None:
        at = self._clock()
        held.approval = life.expire(held.approval, at)
        if held.approval.state is State.EXPIRED:
            self._end(held, at)
        else:
            self._set_timer(held)

    def _end(self, held: _Pending, at: float, repeat: Repeat | None = None) -> None:
        """Out of the table first: whatever fails below, this approval opens nothing twice."""
        approval = held.approval
        del self._pending[approval.id]
        if held.timer is not None:
            held.timer.cancel()
        names, reason = by_whom(approval, repeat)
        outcome, failure = Outcome(approval.state.value), None
        by_repeat = {"repeat": repeat.id} if repeat else {}
        try:
            self._audit.append(
                f"approval-{outcome.value}",
                at,
                approval=approval.id,
                by=names,
                reason=reason,
                **by_repeat,
            )
            self._ledger.approval_ended(approval.id, outcome.value, reason, at)
            if (given := life.repeat_of(approval, at)) is not None:
                self._audit.append("repeat-granted", at, approval=given.id, until=given.until)
                self._repeats[given.id] = given
        except StoreError as error:
            # A grant that cannot be audited is none.
            outcome, reason, failure = Outcome.WITHDRAWN, str(error), error
        asyncio.get_running_loop().call_soon(held.on_end, outcome, names, reason)
        self._tell_watchers(approval, outcome.value)
        if failure is not None:
            raise failure

    def _tell_watchers(self, approval: Approval, what: str) -> None:
        for watcher in tuple(self._watchers):
            watcher(approval, what)


def by_whom(approval: Approval, repeat: Repeat | None = None) -> tuple[tuple[str, ...], str]:
    """Who ended it, and in which words."""
    if repeat is not None:
        return repeat.by, f"equal to {repeat.id}, which was granted for a time"
    if approval.glass:
        return (f"{approval.question.name} (break-glass)",), approval.glass
    names = tuple(answer.approver_name for answer in approval.answers)
    return names, "; ".join(answer.reason for answer in approval.answers if answer.reason)


def _nobody(outcome: Outcome, names: tuple[str, ...], reason: str) -> None:
    """Stands for an asker who left."""


def _length(question: Question) -> int:
    facts = sum(len(label) + len(text) for label, text in question.facts)
    return len(question.request) + facts


def _question_fields(question: Question) -> dict[str, object]:
    """The question as JSON has it; bytes that are not UTF-8 are kept by surrogateescape."""
    fields = asdict(question)
    fields["request"] = question.request.decode("utf-8", "surrogateescape")
    fields["facts"] = [list(pair) for pair in question.facts]
    return fields | {"hash": question.hash}
