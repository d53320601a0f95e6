"""What each call of the control socket does, for an operator that is already known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

import msgspec

from bastion import __version__
from bastion.errors import ControlError
from bastion.policy.approvals import Answer, Operator
from bastion.store.approvals import Approvals
from bastion.store.audit import AuditLog
from bastion.store.ledger import Ledger
from bastion.store.locks import Lock, LockKind
from bastion.wire import control as wire

MAX_TEXT: Final = 2000
"""Characters of a reason or a lock's value: they are kept and shown for ever."""


class SessionDirectory(Protocol):
    """The live sessions, wherever they run. Both methods return at once."""

    def kill(self, session_id: str, reason: str) -> bool:
        """End one session; False if it is not live."""

    def end_matching(self, lock: Lock) -> int:
        """End every session that `lock` covers; give how many."""


class Calls:
    """Answers calls. Every one is audited before anything is changed (invariant 11)."""

    def __init__(
        self,
        board: Approvals,
        ledger: Ledger,
        audit: AuditLog,
        sessions: SessionDirectory,
        clock: Callable[[], float],
    ) -> None:
        self._board = board
        self._ledger = ledger
        self._audit = audit
        self._sessions = sessions
        self._clock = clock
        self._started_at = clock()
        self._answers: dict[type[wire.Call], Callable[[Operator, Any], object]] = {
            wire.Hello: self._hello,
            wire.Watch: self._hello,
            wire.GetStatus: self._status,
            wire.ListSessions: self._list_sessions,
            wire.ListApprovals: self._list_approvals,
            wire.Grant: self._answer,
            wire.Refuse: self._answer,
            wire.Kill: self._kill,
            wire.SetLock: self._set_lock,
            wire.RemoveLock: self._remove_lock,
            wire.ListLocks: self._list_locks,
            wire.Revoke: self._revoke,
        }

    def answer(self, operator: Operator, call: wire.Call) -> object:
        """Give the result; BastionError says in one sentence why there is none."""
        self._audit.append(
            "control-call",
            self._clock(),
            operator=operator.id,
            user=operator.unix_user,
            call=msgspec.to_builtins(call),
        )
        return self._answers[type(call)](operator, call)

    def _hello(self, operator: Operator, _: wire.Hello | wire.Watch) -> wire.Welcome:
        return wire.Welcome(
            __version__, operator.unix_user, operator.name, tuple(sorted(operator.roles))
        )

    def _status(self, _: Operator, __: wire.GetStatus) -> wire.Status:
        return wire.Status(
            self._started_at,
            self._ledger.count_open_sessions(),
            len(self._board.pending()),
            len(self._ledger.locks(self._clock())),
        )

    def _list_sessions(self, _: Operator, call: wire.ListSessions) -> list[dict[str, Any]]:
        limit = min(max(1, call.limit), 1000)
        return self._ledger.sessions(open_only=call.open_only, limit=limit)

    def _list_approvals(self, _: Operator, __: wire.ListApprovals) -> list[wire.HeldRequest]:
        return [wire.HeldRequest.of(approval) for approval in self._board.pending()]

    def _answer(self, operator: Operator, call: wire.Grant | wire.Refuse) -> wire.Answered:
        answer = Answer(
            approver_id=operator.id,
            approver_name=operator.name,
            roles=operator.roles,
            grant=isinstance(call, wire.Grant),
            reason=call.reason,
            at=self._clock(),
            hash=call.hash,
        )
        approval = self._board.answer(call.approval, answer)
        return wire.Answered(approval.state.value, approval.missing)

    def _kill(self, operator: Operator, call: wire.Kill) -> wire.Ended:
        _check_text("reason", call.reason)
        if not self._sessions.kill(call.session, f"{operator.name}: {call.reason}"):
            raise ControlError(f"No live session is called {call.session!r}; list them again.")
        return wire.Ended(1)

    def _set_lock(self, operator: Operator, call: wire.SetLock) -> wire.LockSet:
        _check_text("reason", call.reason)
        _check_text("value", call.value)
        at = self._clock()
        if call.kind not in LockKind.__members__.values():
            raise ControlError(f"A lock is on one of {', '.join(LockKind)}.")
        if call.until is not None and call.until <= at:
            raise ControlError("This lock would be over already; give a time to come.")
        lock = self._ledger.add_lock(
            call.kind, call.value, call.reason, call.until, operator.name, at
        )
        return wire.LockSet(_shown(lock), self._sessions.end_matching(lock))

    def _remove_lock(self, _: Operator, call: wire.RemoveLock) -> wire.Ended:
        if not self._ledger.remove_lock(call.lock):
            raise ControlError(f"No lock is called {call.lock!r}; list them again.")
        return wire.Ended(1)

    def _list_locks(self, _: Operator, __: wire.ListLocks) -> list[wire.LockShown]:
        return [_shown(lock) for lock in self._ledger.locks(self._clock())]

    def _revoke(self, operator: Operator, call: wire.Revoke) -> wire.Ended:
        _check_text("reason", call.reason)
        at = self._clock()
        self._ledger.revoke(call.serial, call.reason, at)
        certificate = str(call.serial)
        lock = Lock("", LockKind.CERTIFICATE, certificate, call.reason, None, operator.name, at)
        return wire.Ended(self._sessions.end_matching(lock))


def _check_text(name: str, text: str) -> None:
    if not text.strip():
        raise ControlError(f"A {name} is required; give one.")
    if len(text) > MAX_TEXT:
        raise ControlError(f"The {name} is longer than {MAX_TEXT} characters; shorten it.")


def _shown(lock: Lock) -> wire.LockShown:
    return wire.LockShown(
        lock.id, lock.kind.value, lock.value, lock.reason, lock.until, lock.by, lock.at
    )
