"""What every gate is: a state machine that takes events and gives effects.

A gate decides before it forwards (invariant 1): no byte of the client leaves it as `ToTarget`
unless `decide` was asked about what the byte does. It reads no clock and does no IO.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Protocol

from bastion.events import Effect, EndReason, Event, Exit, TargetExit
from bastion.model import FileRequest, Request
from bastion.policy.paths import obstacle
from bastion.policy.rules import Action, Verdict

Decide = Callable[[Request], Verdict]
"""Asks the policy about one request, for the identity, target and login of this channel. Pure."""

Judgement = tuple[Request, Verdict]

_STRICTNESS: Final = {Action.ALLOW: 0, Action.APPROVE: 1, Action.DENY: 2}


class Gate(Protocol):
    """Fed every event of one channel in order; `Opened` comes first, `Exit` goes last."""

    def feed(self, event: Event) -> list[Effect]:
        """Take one event; give what is to be done, in this order. After Exit: nothing, ever."""
        ...


def judge(decide: Decide, request: Request) -> Judgement:
    """Decide one request; a path that cannot be told from its text is denied whatever rules say."""
    if isinstance(request, FileRequest):
        reason = obstacle(request.path) or obstacle(request.other_path)
        if reason:
            return request, Verdict(Action.DENY, "opaque", reason, opaque=(reason,))
    return request, decide(request)


def strictest(judgements: Iterable[Judgement]) -> Judgement:
    """The judgement that rules over all of them: deny beats approve beats allow, first wins."""
    return max(judgements, key=lambda judgement: _STRICTNESS[judgement[1].action])


def finished(ended: TargetExit) -> Exit:
    """The target's own end, passed on to the client as it was."""
    return Exit(EndReason.FINISHED, ended.status, ended.signal, ended.core_dumped, ended.message)
