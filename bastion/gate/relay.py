"""The gate of a channel that is decided once: exec, an ungated shell, a subsystem, a forward.

    NEW --Opened--> decide --deny-----> ENDED
                       |---approve---> HELD --granted--> OPEN, else ENDED
                       `---allow-----> OPEN --TargetExit--> ENDED

While HELD nothing has been dialled: the target does not know that anybody asked (invariant 1).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto

from bastion.events import (
    Ask,
    ClientEof,
    Decided,
    Dial,
    Effect,
    EndReason,
    EofToClient,
    EofToTarget,
    Event,
    Exit,
    FromClient,
    FromTarget,
    HoldClient,
    Opened,
    Outcome,
    Resolved,
    TargetEof,
    TargetExit,
    Tell,
    ToClient,
    ToTarget,
    Withdraw,
)
from bastion.gate.words import ENDS, refusal, unresolved
from bastion.model import EXIT_REFUSED, ExecRequest, Request, ShellRequest
from bastion.policy.rules import Action, Verdict

HELD_LIMIT = 65536
"""Bytes kept while a person is asked; beyond it the client is not read (a client that pipes a disk
into a held command would fill memory). What the SSH window lets through on top is bounded too."""

EXIT_INTERRUPTED = 130
"""Exit status after ctrl-C at a held request: what a shell gives for SIGINT."""


class _State(Enum):
    NEW = auto()
    HELD = auto()
    OPEN = auto()
    ENDED = auto()


class RelayGate:
    """Decide the one request; then bytes flow both ways until the target is done."""

    def __init__(self, decide: Callable[[Request], Verdict]) -> None:
        self._decide = decide
        self._state = _State.NEW
        self._held = bytearray()
        self._held_eof = False
        self._asked: tuple[Request, Verdict] | None = None

    def feed(self, event: Event) -> list[Effect]:
        """Give what is to be done about `event`; after an Exit, nothing."""
        match self._state:
            case _State.NEW if isinstance(event, Opened):
                return self._open(event.request)
            case _State.HELD:
                return self._while_held(event)
            case _State.OPEN:
                return self._while_open(event)
            case _:
                return []

    def _open(self, request: Request) -> list[Effect]:
        verdict = self._decide(request)
        effects: list[Effect] = [Decided(request, verdict)]
        match verdict.action:
            case Action.ALLOW:
                self._state = _State.OPEN
                return [*effects, Dial(request)]
            case Action.APPROVE:
                self._state = _State.HELD
                self._asked = (request, verdict)
                return [*effects, Ask(0, request, verdict)]
            case _:
                return [
                    *effects,
                    Tell(refusal(verdict)),
                    *self._end(EndReason.DENIED, EXIT_REFUSED),
                ]

    def _while_held(self, event: Event) -> list[Effect]:
        match event:
            case FromClient(data=data):
                return self._hold(data)
            case ClientEof():
                self._held_eof = True
                return []
            case Resolved():
                return self._resolve(event)
            case _:
                return []

    def _hold(self, data: bytes) -> list[Effect]:
        assert self._asked is not None
        if b"\x03" in data and _on_a_terminal(self._asked[0]):
            end = self._end(EndReason.APPROVAL_WITHDRAWN, EXIT_INTERRUPTED)
            return [Withdraw(0), Tell("withdrawn; nothing was run."), *end]
        self._held += data
        return [HoldClient(True)] if len(self._held) >= HELD_LIMIT else []

    def _resolve(self, resolved: Resolved) -> list[Effect]:
        assert self._asked is not None
        request, verdict = self._asked
        if resolved.outcome is not Outcome.GRANTED:
            end = self._end(ENDS[resolved.outcome], EXIT_REFUSED)
            return [Tell(unresolved(resolved, verdict)), *end]
        self._state = _State.OPEN
        effects: list[Effect] = [Dial(request)]
        if self._held:
            effects.append(ToTarget(bytes(self._held)))
            self._held.clear()
        if self._held_eof:
            effects.append(EofToTarget())
        return [*effects, HoldClient(False)]

    def _while_open(self, event: Event) -> list[Effect]:
        match event:
            case FromTarget(data=data, stream=stream):
                return [ToClient(data, stream)]
            case FromClient(data=data):
                return [ToTarget(data)]
            case ClientEof():
                return [EofToTarget()]
            case TargetEof():
                return [EofToClient()]
            case TargetExit():
                self._state = _State.ENDED
                exit_ = Exit(
                    EndReason.FINISHED,
                    event.status,
                    event.signal,
                    event.core_dumped,
                    event.message,
                )
                return [exit_]
            case _:
                return []

    def _end(self, reason: EndReason, status: int) -> list[Effect]:
        self._state = _State.ENDED
        self._held.clear()
        return [Exit(reason, status)]


def _on_a_terminal(request: Request) -> bool:
    return isinstance(request, ExecRequest | ShellRequest) and request.pty
