"""Holding something until people have granted it: one question after the other."""

from __future__ import annotations

from collections.abc import Sequence

from bastion.events import (
    Ask,
    Decided,
    Dial,
    Effect,
    EndReason,
    Exit,
    Outcome,
    Resolved,
    Tell,
    Withdraw,
)
from bastion.gate.gate import Judgement, strictest
from bastion.gate.words import ENDS, refusal, unresolved
from bastion.model import EXIT_REFUSED, Request
from bastion.policy.rules import Action


class Consent:
    """The open questions of one channel. Only one is asked at a time; each is for one request."""

    def __init__(self) -> None:
        self._number = 0
        self._left: list[Judgement] = []

    @property
    def pending(self) -> bool:
        """Whether an answer is being waited for."""
        return bool(self._left)

    def open(self, request: Request, judgements: Sequence[Judgement]) -> list[Effect]:
        """Open a channel by these judgements: the last effect is Dial, Exit or Ask."""
        if judgements:
            asked, verdict = strictest(judgements)
            if verdict.action is Action.DENY:
                end = Exit(EndReason.DENIED, EXIT_REFUSED)
                return [Decided(asked, verdict), Tell(refusal(verdict)), end]
        decided: list[Effect] = [Decided(*judgement) for judgement in judgements]
        return [*decided, *(self.ask(judgements) or [Dial(request)])]

    def opened(self, request: Request, event: Resolved) -> list[Effect]:
        """Take an answer about the opening: the last effect is as above, or there is none."""
        verdict = self._left[0][1] if self._left else None
        outcome, effects = self.resolved(event)
        if outcome is None or verdict is None:
            return effects
        if outcome is Outcome.GRANTED:
            return [Dial(request)]
        return [Tell(unresolved(event, verdict)), Exit(ENDS[outcome], EXIT_REFUSED)]

    def ask(self, judgements: Sequence[Judgement]) -> list[Effect]:
        """Ask about everything among these that needs approval; nothing to ask gives no effect."""
        assert not self._left, "one held thing at a time"
        self._left = [pair for pair in judgements if pair[1].action is Action.APPROVE]
        return self._ask_next()

    def resolved(self, event: Resolved) -> tuple[Outcome | None, list[Effect]]:
        """Take an answer. An outcome means it is settled: granted in full, or refused."""
        if not self._left or event.ask != self._number:
            return None, []
        if event.outcome is not Outcome.GRANTED:
            self._left = []
            return event.outcome, []
        del self._left[0]
        return (None, self._ask_next()) if self._left else (Outcome.GRANTED, [])

    def withdraw(self) -> list[Effect]:
        """Give the open question up, if there is one."""
        if not self._left:
            return []
        self._left = []
        return [Withdraw(self._number)]

    def _ask_next(self) -> list[Effect]:
        if not self._left:
            return []
        self._number += 1
        request, verdict = self._left[0]
        return [Ask(self._number, request, verdict)]
