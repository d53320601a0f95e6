"""What a policy says, as values: actions, rules, verdicts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Action(StrEnum):
    """What is done about a request. Deny beats approve beats allow."""

    ALLOW = "allow"
    APPROVE = "approve"
    DENY = "deny"


@dataclass(frozen=True, slots=True)
class ApprovalTerms:
    """Who may decide a held request, how many of them, and how long it waits (seconds)."""

    approvers: tuple[str, ...] = ()
    """Roles; a person needs one of them."""
    count: int = 1
    """How many distinct people."""
    wait: float = 900.0
    reason_required: bool = False
    message: str = ""
    """What the requester is told while waiting."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the policy says about one request, and why, in words for the person who asked.

    `rule` is the rule's name, or `default`, `opaque`, `no-grant`, … where no rule decided.
    `parse` lists what the request would do, a line each, for approvers and `policy explain`.
    """

    action: Action
    rule: str
    reason: str
    hint: str = ""
    opaque: tuple[str, ...] = ()
    parse: tuple[str, ...] = ()
    approval: ApprovalTerms | None = None
