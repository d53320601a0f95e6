"""What each call of the control socket does, for an operator that is already known."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import msgspec

from bastion import __version__
from bastion.control import shown
from bastion.control.playing import Playing
from bastion.control.telling import about
from bastion.errors import ControlError
from bastion.model import visible
from bastion.policy.approvals import Answer, Approval, Operator
from bastion.policy.rights import Right, Subject, decidable, may, may_anywhere, rights_of
from bastion.policy.rules import Policy
from bastion.store import past
from bastion.store.access import AccessGrants
from bastion.store.approvals import Approvals
from bastion.store.audit import AuditLog
from bastion.store.feed import Feed, Happening
from bastion.store.ledger import Ledger
from bastion.store.locks import Lock, LockKind
from bastion.store.state import StateDirectory
from bastion.tap.tail import Tail
from bastion.wire import control as wire

MAX_TEXT: Final = 2000
"""Characters of a reason or a lock's value: they are kept and shown for ever."""

PAST: Final = 20
"""Earlier requests of a person that an approver is shown."""


class SessionDirectory(Protocol):
    """The live sessions, wherever they run. All methods return at once."""

    def kill(self, session_id: str, reason: str) -> bool:
        """End one session; False if it is not live."""

    def end_matching(self, lock: Lock) -> int:
        """End every session that `lock` covers; give how many."""

    def enforce(self) -> None:
        """Look at once whether something has lost what it stands on."""

    def subject(self, session_id: str) -> Subject | None:
        """Whose session it is and where it goes; None if it is not live."""

    def tails(self, session_id: str) -> Mapping[str, Tail]:
        """What its channels have shown last, the newest channel last."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What the calls read and change."""

    board: Approvals
    ledger: Ledger
    audit: AuditLog
    access: AccessGrants
    feed: Feed
    policy: Callable[[], Policy]
    sessions: SessionDirectory
    clock: Callable[[], float]
    state: StateDirectory


class Calls:
    """Answers calls. Every one is audited before anything is changed (invariant 11)."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._started_at = parts.clock()
        self._playing = Playing(
            parts.ledger.file, parts.audit, parts.policy, parts.clock, parts.state
        )
        self._answers: dict[type[wire.Call], Callable[[Operator, Any], object]] = {
            wire.Hello: self.welcome,
            wire.GetStatus: self._status,
            wire.ListSessions: self._list_sessions,
            wire.ListApprovals: self._list_approvals,
            wire.GetContext: self._context,
            wire.ListDecisions: self._list_decisions,
            wire.Grant: self._answer,
            wire.Refuse: self._answer,
            wire.Withdraw: self._withdraw,
            wire.BreakGlass: self._break_glass,
            wire.ListGrants: self._list_grants,
            wire.RevokeGrant: self._revoke_grant,
            wire.FindRecordings: self._playing.find,
            wire.ReadRecording: self._playing.read,
            wire.HoldRecording: self._playing.hold,
            wire.ReleaseRecording: self._playing.release,
            wire.DeleteRecording: self._playing.delete,
            wire.Kill: self._kill,
            wire.SetLock: self._set_lock,
            wire.RemoveLock: self._remove_lock,
            wire.ListLocks: self._list_locks,
            wire.Revoke: self._revoke,
        }

    def answer(self, operator: Operator, call: wire.Call) -> object:
        """Give the result; BastionError says in one sentence why there is none."""
        if not isinstance(call, wire.ReadRecording):
            self.note(operator, call)  # of what is read in pieces, the beginning is audited
        answer = self._answers.get(type(call))
        if answer is None:
            raise ControlError("This call needs a connection that stays open.")
        return answer(operator, call)

    def note(self, operator: Operator, call: wire.Call) -> None:
        """Audit a call."""
        self._parts.audit.append(
            "control-call",
            self._parts.clock(),
            operator=operator.id,
            user=operator.unix_user,
            call=msgspec.to_builtins(call),
        )

    # --- who sees what ------------------------------------------------------------------------

    def sees(self, operator: Operator, happening: Happening) -> bool:
        """Whether a watcher is told of it."""
        if operator.roles.intersection(happening.approvers):
            return True
        return self._may(operator, Right.LIST, happening.subject)

    def told(self, operator: Operator, happening: Happening) -> dict[str, Any]:
        """The event as this watcher gets it: whether an approval is theirs to decide differs."""
        event = {"kind": happening.kind, "at": happening.at, **happening.fields}
        held = happening.fields.get("approval")
        if isinstance(held, dict) and (approval := self._parts.board.find(str(held.get("id")))):
            event["approval"] = held | {"decidable": decidable(operator, approval)}
        return event

    def screen(self, operator: Operator, call: wire.Follow) -> tuple[str, Tail]:
        """The channel to follow; ControlError where there is none, or none for this operator."""
        subject = self._live(call.session)
        self._check(operator, Right.FOLLOW, subject)
        tails = self._parts.sessions.tails(call.session)
        name = call.channel or next(reversed(tuple(tails)), "")
        if name not in tails:
            raise ControlError("This session has no channel that shows text now.")
        return name, tails[name]

    def may_follow(self, operator: Operator, session_id: str) -> bool:
        """Whether a follower may go on: policy and targets change while one looks."""
        subject = self._parts.sessions.subject(session_id)
        return subject is not None and self._may(operator, Right.FOLLOW, subject)

    def _may(self, operator: Operator, right: Right, subject: Subject) -> bool:
        return may(self._parts.policy(), operator, right, subject)

    def _check(self, operator: Operator, right: Right, subject: Subject) -> None:
        if not self._may(operator, right, subject):
            raise ControlError(f"The policy gives you no right to {right.value} here.")

    def _check_anywhere(self, operator: Operator, right: Right) -> None:
        if not may_anywhere(self._parts.policy(), operator, right):
            raise ControlError(f"The policy gives you no right to {right.value} everywhere.")

    def _live(self, session_id: str) -> Subject:
        subject = self._parts.sessions.subject(session_id)
        if subject is None:
            raise ControlError(f"No live session is called {session_id!r}; list them again.")
        return subject

    def _sees_approval(self, operator: Operator, approval: Approval) -> bool:
        named = operator.roles.intersection(approval.terms.approvers)
        return bool(named) or self._may(operator, Right.LIST, about(approval))

    # --- reading ------------------------------------------------------------------------------

    def welcome(self, operator: Operator, _: object) -> wire.Welcome:
        """Who the caller is taken for."""
        rights = rights_of(self._parts.policy(), operator)
        return wire.Welcome(
            __version__,
            operator.unix_user,
            operator.name,
            tuple(sorted(operator.roles)),
            operator.identity,
            tuple(sorted(rights)),
        )

    def _status(self, operator: Operator, __: wire.GetStatus) -> wire.Status:
        self._check_anywhere(operator, Right.LIST)
        ledger, at = self._parts.ledger, self._parts.clock()
        return wire.Status(
            self._started_at,
            ledger.count_open_sessions(),
            len(self._parts.board.pending()),
            len(ledger.locks(at)),
        )

    def _list_sessions(self, operator: Operator, call: wire.ListSessions) -> list[dict[str, Any]]:
        limit = min(max(1, call.limit), 1000)
        rows = self._parts.ledger.sessions(open_only=call.open_only, limit=limit)
        return [row for row in rows if self._sees_session(operator, row)]

    def _sees_session(self, operator: Operator, row: dict[str, Any]) -> bool:
        targets = tuple(target for target in row["targets"].split(",") if target)
        subject = Subject(row["identity"], frozenset(json.loads(row["roles"])), targets)
        return self._may(operator, Right.LIST, subject)

    def _list_approvals(self, operator: Operator, __: wire.ListApprovals) -> list[wire.HeldRequest]:
        return [
            wire.HeldRequest.of(approval, decidable=decidable(operator, approval))
            for approval in self._parts.board.pending()
            if self._sees_approval(operator, approval)
        ]

    def _context(self, operator: Operator, call: wire.GetContext) -> wire.Context:
        approval = self._pending(operator, call.approval)
        question = approval.question
        if not decidable(operator, approval):
            targets = (question.target,) if question.target else ()
            self._check(operator, Right.FOLLOW, Subject(question.identity, approval.roles, targets))
        rows = past.requests_of(self._parts.ledger.file, question.identity, PAST)
        tails = self._parts.sessions.tails(question.session_id)
        return wire.Context(
            shown.last_screen(question.session_id, question.channel_id, tails),
            tuple(msgspec.convert(row, wire.Past) for row in rows),
        )

    def _list_decisions(self, operator: Operator, call: wire.ListDecisions) -> list[wire.Decision]:
        found = past.decisions(self._parts.ledger.file, min(max(1, call.limit), 500))
        return [shown.decision(one) for one in found if self._sees_decision(operator, one)]

    def _sees_decision(self, operator: Operator, decided: past.Decided) -> bool:
        if operator.id in decided.approvers:
            return True
        targets = (decided.question["target"],) if decided.question["target"] else ()
        subject = Subject(decided.question["identity"], decided.roles, targets)
        return self._may(operator, Right.LIST, subject)

    def _list_locks(self, operator: Operator, __: wire.ListLocks) -> list[wire.LockShown]:
        self._check_anywhere(operator, Right.LIST)
        return [shown.lock(lock) for lock in self._parts.ledger.locks(self._parts.clock())]

    def _list_grants(self, operator: Operator, __: wire.ListGrants) -> list[wire.GrantShown]:
        found = [shown.access(grant) for grant in self._parts.access.in_force()]
        found += [shown.repeat(repeat) for repeat in self._parts.board.repeats()]
        own = self._granted_by(operator)
        return [
            grant
            for grant in found
            if grant.id in own or self._may(operator, Right.LIST, _about(grant))
        ]

    def _granted_by(self, operator: Operator) -> set[str]:
        """The grants for equal requests that this operator gave, and may take back."""
        return {
            repeat.id for repeat in self._parts.board.repeats() if operator.id in repeat.approvers
        }

    # --- deciding -----------------------------------------------------------------------------

    def _pending(self, operator: Operator, approval_id: str) -> Approval:
        approval = self._parts.board.find(approval_id)
        if approval is None or not self._sees_approval(operator, approval):
            raise ControlError(f"No approval {approval_id!r} is pending; list them again.")
        return approval

    def _answer(self, operator: Operator, call: wire.Grant | wire.Refuse) -> wire.Answered:
        self._pending(operator, call.approval)
        answer = Answer(
            approver_id=operator.id,
            approver_name=operator.name,
            roles=operator.roles,
            grant=isinstance(call, wire.Grant),
            reason=call.reason,
            at=self._parts.clock(),
            hash=call.hash,
            repeat=call.repeat if isinstance(call, wire.Grant) else 0.0,
            agent=operator.agent,
        )
        approval = self._parts.board.answer(call.approval, answer)
        return wire.Answered(approval.state.value, approval.missing)

    def _withdraw(self, operator: Operator, call: wire.Withdraw) -> wire.Answered:
        approval = self._parts.board.take_back(call.approval, operator.identity)
        return wire.Answered(approval.state.value, approval.missing)

    def _break_glass(self, operator: Operator, call: wire.BreakGlass) -> wire.Answered:
        approval = self._parts.board.break_glass(
            call.approval, operator.identity, operator.roles, operator.agent, call.reason
        )
        held = msgspec.to_builtins(wire.HeldRequest.of(approval))
        self._tell(
            wire.Event.BREAK_GLASS,
            about(approval),
            approvers=approval.terms.approvers,
            approval=held,
            reason=call.reason,
        )
        return wire.Answered(approval.state.value, 0)

    # --- ending -------------------------------------------------------------------------------

    def _revoke_grant(self, operator: Operator, call: wire.RevokeGrant) -> wire.Ended:
        _check_text("reason", call.reason)
        grants = self._list_grants(operator, wire.ListGrants())
        grant = next((one for one in grants if one.id == call.grant), None)
        if grant is None:
            raise ControlError(f"No grant is called {call.grant!r}; list them again.")
        if operator.identity != grant.identity and grant.id not in self._granted_by(operator):
            self._check(operator, Right.REVOKE, _about(grant))
        by, parts = operator.name, self._parts
        if grant.kind == shown.REPEAT:
            parts.board.end_repeat(grant.id, by, call.reason)
        else:
            parts.access.revoke(grant.id, by, call.reason)
            parts.sessions.enforce()
        told = msgspec.to_builtins(grant)
        self._tell(wire.Event.GRANT_ENDED, _about(grant), grant=told, reason=call.reason, by=by)
        return wire.Ended(1)

    def _kill(self, operator: Operator, call: wire.Kill) -> wire.Ended:
        _check_text("reason", call.reason)
        self._check(operator, Right.KILL, self._live(call.session))
        if not self._parts.sessions.kill(call.session, f"{operator.name}: {call.reason}"):
            raise ControlError(f"No live session is called {call.session!r}; list them again.")
        return wire.Ended(1)

    def _set_lock(self, operator: Operator, call: wire.SetLock) -> wire.LockSet:
        _check_text("reason", call.reason)
        _check_text("value", call.value)
        at = self._parts.clock()
        if call.kind not in LockKind.__members__.values():
            raise ControlError(f"A lock is on one of {', '.join(LockKind)}.")
        if call.until is not None and call.until <= at:
            raise ControlError("This lock would be over already; give a time to come.")
        self._check_lock(operator, call.kind, call.value)
        lock = self._parts.ledger.add_lock(
            call.kind, call.value, call.reason, call.until, operator.name, at
        )
        ended = self._parts.sessions.end_matching(lock)
        self._tell_lock(wire.Event.LOCK_SET, shown.lock(lock))
        return wire.LockSet(shown.lock(lock), ended)

    def _check_lock(self, operator: Operator, kind: str, value: str) -> None:
        """Sessions and targets are somebody's; whatever else is locked concerns everybody."""
        match kind:
            case LockKind.TARGET:
                self._check(operator, Right.LOCK, Subject(targets=(value,)))
            case LockKind.SESSION:
                self._check(operator, Right.LOCK, self._live(value))
            case _:
                self._check_anywhere(operator, Right.LOCK)

    def _remove_lock(self, operator: Operator, call: wire.RemoveLock) -> wire.Ended:
        self._check_anywhere(operator, Right.LOCK)
        locks = self._parts.ledger.locks(self._parts.clock())
        if not self._parts.ledger.remove_lock(call.lock):
            raise ControlError(f"No lock is called {call.lock!r}; list them again.")
        for lock in locks:
            if lock.id == call.lock:
                self._tell_lock(wire.Event.LOCK_REMOVED, shown.lock(lock))
        return wire.Ended(1)

    def _revoke(self, operator: Operator, call: wire.Revoke) -> wire.Ended:
        _check_text("reason", call.reason)
        self._check_anywhere(operator, Right.REVOKE)
        at = self._parts.clock()
        self._parts.ledger.revoke(call.serial, call.reason, at)
        certificate = str(call.serial)
        lock = Lock("", LockKind.CERTIFICATE, certificate, call.reason, None, operator.name, at)
        return wire.Ended(self._parts.sessions.end_matching(lock))

    def _tell_lock(self, kind: wire.Event, lock: wire.LockShown) -> None:
        self._tell(kind, Subject(), lock=msgspec.to_builtins(lock))

    def _tell(
        self,
        kind: wire.Event,
        subject: Subject,
        *,
        approvers: tuple[str, ...] = (),
        **fields: object,
    ) -> None:
        at = self._parts.clock()
        self._parts.feed.publish(Happening(kind.value, at, subject, fields, approvers))


def _about(grant: wire.GrantShown) -> Subject:
    return Subject(grant.identity, targets=(grant.target,) if grant.target else ())


def _check_text(name: str, text: str) -> None:
    if not text.strip():
        raise ControlError(f"A {name} is required; give one.")
    if len(text) > MAX_TEXT:
        raise ControlError(f"The {visible(name)} is longer than {MAX_TEXT} characters; shorten it.")
