"""What the control socket's answers and events hold. Times are seconds since the epoch."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

import msgspec

from bastion.policy.approvals import Approval, Question
from bastion.policy.fields import describe_duration


class Welcome(msgspec.Struct, frozen=True):
    """Who the bastion takes the caller for."""

    bastion: str
    """Version of the program."""
    user: str
    """The account on this machine, or "" for somebody who came over SSH."""
    name: str
    roles: tuple[str, ...]
    identity: str = ""
    may: tuple[str, ...] = ()
    """Rights that the policy gives somewhere; a call says whether here, too."""


class Status(msgspec.Struct, frozen=True):
    """How it stands. Times are seconds since the epoch."""

    started_at: float
    sessions: int
    approvals: int
    locks: int


class HeldRequest(msgspec.Struct, frozen=True):
    """A pending approval, whole: the hash is computed anew from what is shown, by both sides."""

    id: str
    identity: str
    name: str
    target: str
    login: str
    request: bytes
    facts: tuple[tuple[str, str], ...]
    session_id: str
    channel_id: str
    asked_at: float
    expires_at: float
    approvers: tuple[str, ...]
    count: int
    reason_required: bool
    granted_by: tuple[str, ...]
    repeat: float = 0.0
    """Seconds for which equal requests may be granted at most."""
    decidable: bool = True
    """Whether the one who is shown this may decide it."""

    @classmethod
    def of(cls, approval: Approval, *, decidable: bool = True) -> HeldRequest:
        """Show an approval."""
        question, terms = approval.question, approval.terms
        return cls(
            id=approval.id,
            identity=question.identity,
            name=question.name,
            target=question.target,
            login=question.login,
            request=question.request,
            facts=question.facts,
            session_id=question.session_id,
            channel_id=question.channel_id,
            asked_at=question.asked_at,
            expires_at=question.expires_at,
            approvers=terms.approvers,
            count=max(1, terms.count),
            reason_required=terms.reason_required,
            granted_by=tuple(answer.approver_name for answer in approval.answers if answer.grant),
            repeat=terms.repeat,
            decidable=decidable,
        )

    @property
    def hash(self) -> str:
        """What an answer is bound to, computed from what is shown."""
        return self.question().hash

    def lines(self, now: float) -> list[tuple[str, str]]:
        """Everything that the hash covers and a person can judge, as labels and exact texts;
        nothing is cut. Whoever shows them makes them visible."""
        needs = f"{self.count} of {' or '.join(self.approvers) or 'any operator'}"
        if self.granted_by:
            needs += f", granted so far by {', '.join(self.granted_by)}"
        where = f"{self.target} as {self.login}" if self.login else self.target or "everywhere"
        return [
            ("approval", f"{self.id}, {describe_duration(max(0.0, self.expires_at - now))} left"),
            ("who", f"{self.name} ({self.identity})"),
            ("target", where),
            ("request", self.request.decode("utf-8", "surrogateescape")),
            *self.facts,
            ("needs", needs + (", with a reason" if self.reason_required else "")),
            ("session", f"{self.session_id}, channel {self.channel_id or '-'}"),
            ("hash", self.hash),
        ]

    def plain(self) -> dict[str, Any]:
        """As JSON has it, the request as text."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        plain["request"] = self.request.decode("utf-8", "surrogateescape")
        return plain | {"hash": self.hash}

    def question(self) -> Question:
        """What is asked; its `hash` goes with the answer."""
        return Question(
            identity=self.identity,
            name=self.name,
            target=self.target,
            login=self.login,
            request=self.request,
            facts=self.facts,
            session_id=self.session_id,
            channel_id=self.channel_id,
            asked_at=self.asked_at,
            expires_at=self.expires_at,
        )


class Answered(msgspec.Struct, frozen=True):
    """Where an approval stands after an answer; `missing` more people are needed."""

    state: str
    missing: int


class Past(msgspec.Struct, frozen=True):
    """One thing that a person asked for before, and the verdict."""

    at: float
    target: str
    request: str
    action: str
    rule: str


class ScreenShown(msgspec.Struct, frozen=True):
    """What a channel shows, masked: bytes to be played into an empty terminal in memory.

    `cut`: what was shown before these is lost, so the screen may be there in parts. `raw`: the
    channel has no terminal, so LF stands where a terminal would have made CR LF of it.
    """

    session: str
    channel: str
    columns: int
    rows: int
    data: bytes
    cut: bool = False
    raw: bool = False


class Context(msgspec.Struct, frozen=True):
    """What stands around a held request. The grant is not for this: it changes while one looks."""

    screen: ScreenShown | None
    past: tuple[Past, ...]


class Decision(msgspec.Struct, frozen=True):
    """An approval that ended, and by whom."""

    id: str
    state: str
    name: str
    target: str
    login: str
    request: str
    by: tuple[str, ...]
    reason: str
    asked_at: float
    ended_at: float | None
    session_id: str


class GrantShown(msgspec.Struct, frozen=True):
    """A grant in force: `access` is a role for a time, `repeat` equal requests of one session."""

    id: str
    kind: str
    identity: str
    name: str
    what: str
    target: str
    session_id: str
    reason: str
    by: tuple[str, ...]
    at: float
    until: float


class RecordingShown(msgspec.Struct, frozen=True):
    """A session that was recorded, with those of its channels that may be played."""

    session: str
    name: str
    began: float
    live: bool
    targets: tuple[str, ...]
    requests: tuple[str, ...]
    """What the channels were opened for, the first ones."""
    channels: tuple[str, ...]


class Piece(msgspec.Struct, frozen=True):
    """A part of a recording's file. `form` is "" for the plain file, else how it is packed."""

    data: bytes
    size: int
    """Bytes that the file has now."""
    live: bool
    """Whether it may still grow."""
    form: str = ""


class Following(msgspec.Struct, frozen=True):
    """What is followed now."""

    screen: ScreenShown


class Event(StrEnum):
    """What watchers are told, and webhooks can be sent for; a closed list.

    approval-…    `approval` is a HeldRequest; at its end `by` and `reason` beside it
    session-…     `session`, `name`; at its end `reason`
    channel-…     `session`, `channel`, `target`, `login`, `request`; at its end `reason`
    denied        `session`, `channel`, `target`, `login`, `request`, `rule`, `reason`
    break-glass   `approval`, `reason`
    lock-…        `lock` is a LockShown
    grant-…       `grant` is a GrantShown; at its end `reason` and `by`
    """

    APPROVAL_ASKED = "approval-asked"
    APPROVAL_ANSWERED = "approval-answered"
    APPROVAL_GRANTED = "approval-granted"
    APPROVAL_REFUSED = "approval-refused"
    APPROVAL_EXPIRED = "approval-expired"
    APPROVAL_WITHDRAWN = "approval-withdrawn"
    BREAK_GLASS = "break-glass"
    SESSION_STARTED = "session-started"
    SESSION_ENDED = "session-ended"
    CHANNEL_OPENED = "channel-opened"
    CHANNEL_ENDED = "channel-ended"
    DENIED = "denied"
    LOCK_SET = "lock-set"
    LOCK_REMOVED = "lock-removed"
    GRANT_GIVEN = "grant-given"
    GRANT_ENDED = "grant-ended"


OUTPUT: Final = "output"
"""The kind of event that a follower gets: `screen` is a ScreenShown, `reset` whether it begins anew
(the follower was too slow, and what came between is not shown), `ended` whether it was the last."""


class Ended(msgspec.Struct, frozen=True):
    """How many of what was named came to its end."""

    count: int


class LockShown(msgspec.Struct, frozen=True):
    """A lock in force."""

    id: str
    kind: str
    value: str
    reason: str
    until: float | None
    by: str
    at: float


class LockSet(msgspec.Struct, frozen=True):
    """A new lock, and how many sessions it ended."""

    lock: LockShown
    ended: int
