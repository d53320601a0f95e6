"""Holding something until people have granted it: one question after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bastion.events import Ask, Effect, EndReason, Outcome, Resolved, Withdraw
from bastion.gate.gate import Judgement
from bastion.policy.rules import Action

END_OF_APPROVAL: Final = {
    Outcome.REFUSED: EndReason.APPROVAL_REFUSED,
    Outcome.EXPIRED: EndReason.APPROVAL_EXPIRED,
    Outcome.WITHDRAWN: EndReason.APPROVAL_WITHDRAWN,
}
"""How a channel ends whose opening was not granted."""


class Consent:
    """The open questions of one channel. Only one is asked at a time; each is for one request."""

    def __init__(self) -> None:
        self._number = 0
        self._left: list[Judgement] = []

    @property
    def pending(self) -> bool:
        """Whether an answer is being waited for."""
        return bool(self._left)

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
