"""The parts of a policy file about people who decide and watch: approvals, the console."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, Field

from bastion.policy.document import Section
from bastion.policy.fields import Duration, OneOrMany
from bastion.policy.values import Glob, Name, filled


class ApprovalSection(Section):
    """Who may decide what is held, and how."""

    approvers: Annotated[OneOrMany[Name], AfterValidator(filled)]
    count: Annotated[int, Field(ge=1, le=10)] = 1
    wait: Duration = 900.0
    reason_required: bool = False
    message: str = ""
    repeat: Duration = 0.0
    break_glass: OneOrMany[Name] = ()


class Right(StrEnum):
    """What somebody may see or do at the console; a closed list."""

    LIST = "list"
    """See sessions, what is held, what was decided, locks and grants of access."""
    FOLLOW = "follow"
    """Watch a live session."""
    REPLAY = "replay"
    """Play recordings."""
    KILL = "kill"
    LOCK = "lock"
    REVOKE = "revoke"
    """Take back granted access and certificates."""


class ConsoleSection(Section):
    """Who may see and do what about whose sessions, at the console and the control socket."""

    name: Name
    roles: Annotated[OneOrMany[Name], AfterValidator(filled)]
    may: Annotated[OneOrMany[Right], AfterValidator(filled)]
    targets: OneOrMany[Glob] = ("*",)
    people: OneOrMany[Name] = ()
    """Roles of those whose sessions these are; everybody's where it is left out."""


class RequestableSection(Section):
    """A role that people may ask for, for a time."""

    name: Name
    who: Annotated[OneOrMany[Name], AfterValidator(filled)]
    """Roles that may ask."""
    role: Name
    """What is given; a role without `match` is had in no other way."""
    targets: Annotated[OneOrMany[Glob], AfterValidator(filled)] = ("*",)
    max: Duration = 4 * 3600.0
    default: Duration = 3600.0
    reason_required: bool = True
    ticket_required: bool = False
    approval: ApprovalSection
