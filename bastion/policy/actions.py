"""The three things that can be done about a request."""

from __future__ import annotations

from enum import StrEnum


class Action(StrEnum):
    """What is done about a request. Deny beats approve beats allow."""

    ALLOW = "allow"
    APPROVE = "approve"
    DENY = "deny"
