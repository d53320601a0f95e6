"""What a policy says, as values: rules, grants, verdicts; names resolved, expressions compiled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bastion.policy.actions import Action as Action
from bastion.policy.masking import NO_MASK, MaskSection
from bastion.policy.schema import (
    CertificateSection,
    CommandPattern,
    FilePattern,
    ForwardPattern,
    OpaquePattern,
    OpenPattern,
    Right,
    SessionPattern,
    SessionSection,
    SqlPattern,
    TargetsSection,
)


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
    repeat: float = 0.0
    """Seconds for which an approver may grant equal requests of the same session, at most."""
    break_glass: tuple[str, ...] = ()
    """Roles that may go on without approval, with a reason."""


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
    watch: tuple[str, ...] = ()
    """Why a line may run only watched: what its text cannot tell, and each of its steps will."""
    unknown: tuple[str, ...] = ()
    """Names of variables whose values would make a step's verdict certain."""
    definitions: tuple[str, ...] = ()
    """What later lines may mean otherwise for, once this has run."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. Any one of the things it names is enough for it to match."""

    name: str
    reason: str
    hint: str = ""
    command: tuple[CommandPattern, ...] = ()
    opens: tuple[OpenPattern, ...] = ()
    downloads_run: bool = False
    opaque: tuple[OpaquePattern, ...] = ()
    text: Any = None
    """A compiled re2 pattern."""
    file: tuple[FilePattern, ...] = ()
    forward: tuple[ForwardPattern, ...] = ()
    session: SessionPattern | None = None
    sql: tuple[SqlPattern, ...] = ()
    approval: ApprovalTerms | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    """Roles × targets × logins, and what may be done there."""

    name: str
    roles: frozenset[str]
    targets: TargetsSection
    logins: tuple[str, ...]
    certificate: CertificateSection
    session: SessionSection
    deny: tuple[Rule, ...] = ()
    approve: tuple[Rule, ...] = ()
    allow: tuple[Rule, ...] = ()
    default: Action = Action.DENY
    opaque: Action = Action.DENY
    approval: ApprovalTerms | None = None
    mask: MaskSection = NO_MASK
    unmask: ApprovalTerms | None = None


@dataclass(frozen=True, slots=True)
class Role:
    """Every claim named must have one of the values."""

    name: str
    match: Mapping[str, tuple[str | int | bool, ...]]


@dataclass(frozen=True, slots=True)
class ConsoleGrant:
    """Operators' roles × targets (globs) × whose sessions, and what they may see and do."""

    name: str
    roles: frozenset[str]
    may: frozenset[Right]
    targets: tuple[str, ...] = ("*",)
    people: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Requestable:
    """A role that some may ask for, on targets (globs), for so many seconds at most."""

    name: str
    who: frozenset[str]
    role: str
    targets: tuple[str, ...]
    longest: float
    usual: float
    reason_required: bool
    ticket_required: bool
    approval: ApprovalTerms


@dataclass(frozen=True, slots=True)
class Policy:
    """All of it; frozen, so that a reload swaps one reference."""

    name: str
    roles: Mapping[str, Role]
    rules: Mapping[str, Rule]
    grants: tuple[Grant, ...]
    digest: str = field(default="", compare=False)
    """SHA-256 (hex) of the file's text, for the audit."""
    console: tuple[ConsoleGrant, ...] = ()
    requestable: tuple[Requestable, ...] = ()
