"""What a refused person is told: which rule, why, and what to do next (never on stdout)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bastion.errors import ContentBlocked, ProtocolFault
from bastion.events import EndReason, Outcome, Resolved
from bastion.model import visible
from bastion.policy.rules import Verdict

ENDS: Final = {
    Outcome.REFUSED: EndReason.APPROVAL_REFUSED,
    Outcome.EXPIRED: EndReason.APPROVAL_EXPIRED,
    Outcome.WITHDRAWN: EndReason.APPROVAL_WITHDRAWN,
}
"""How a channel ends with an approval that is no grant."""


def refusal(verdict: Verdict) -> str:
    """One sentence for a denied request, and the hint where the rule has one."""
    said = f"denied by rule {visible(verdict.rule)}: {sentence(verdict.reason)}"
    return f"{said} {sentence(verdict.hint)}" if verdict.hint else said


def granted(by: Sequence[str]) -> str:
    """One sentence for a held request that goes on."""
    return f"granted by {visible(', '.join(by))}."


def unresolved(resolved: Resolved, verdict: Verdict) -> str:
    """One sentence for a held request that ended in anything but a grant."""
    rule = f"rule {visible(verdict.rule)}"
    match resolved.outcome:
        case Outcome.REFUSED:
            who = visible(", ".join(resolved.by)) or "an approver"
            why = f": {sentence(resolved.reason)}" if resolved.reason else "."
            return f"refused by {who} ({rule}){why} Nothing was run."
        case Outcome.EXPIRED:
            return f"nobody decided in time ({rule}); nothing was run. Ask again when one is there."
        case _:
            if resolved.reason:
                return f"nothing was run ({rule}): {sentence(resolved.reason)}"
            return "the request was withdrawn; nothing was run."


def sentence(text: str) -> str:
    """Somebody's words on one line, visible, with a full stop where none is."""
    shown = visible(" ".join(text.split()))
    return shown if shown.endswith((".", "!", "?")) else f"{shown}."


def reason_of(fault: ProtocolFault) -> EndReason:
    """How a channel ends that a fault closes."""
    return EndReason.DENIED if isinstance(fault, ContentBlocked) else EndReason.PROTOCOL_FAULT
