"""The control socket's messages: JSON, one a line, versioned.

    → {"version": 1, "id": 7, "call": {"method": "grant", "approval": "k7f3", "hash": "…"}}
    ← {"version": 1, "id": 7, "result": …}          or  {"version": 1, "id": 7, "error": "…"}
    ← {"version": 1, "id": 0, "event": {"kind": …, "at": …, …}}    after `watch` or `follow`

Calls are answered in the order they came; events come between answers. `Event` lists the kinds.
What a caller may not see is neither listed nor told. `control.schema.json` beside this file says
the same as JSON Schema.

Python's own json writes them, because texts may hold lone surrogates (bytes of a client that are
not UTF-8), which msgspec refuses; msgspec checks every shape, and unknown fields are errors.
"""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Any, Final, NoReturn, TypeVar

import msgspec

from bastion.errors import ControlError
from bastion.policy.approvals import Approval, Question

VERSION: Final = 1

MAX_CALL: Final = 64 * 1024
"""Bytes of a line sent by a caller: it must not fill the bastion's memory."""

MAX_REPLY: Final = 64 * 1024 * 1024
"""Bytes of a line sent by the bastion: a thousand held commands of the longest kind."""


class Call(msgspec.Struct, frozen=True, tag_field="method", forbid_unknown_fields=True):
    """What a caller wants; one subclass a method."""


class Hello(Call, frozen=True, tag="hello"):
    """Who am I, and who are you? Gives Welcome."""


class GetStatus(Call, frozen=True, tag="status"):
    """How does it stand? Gives Status."""


class ListSessions(Call, frozen=True, tag="sessions"):
    """Sessions, newest first, as rows of the ledger."""

    open_only: bool = True
    limit: int = 100


class ListApprovals(Call, frozen=True, tag="approvals"):
    """What is held. Gives a list of HeldRequest, oldest first."""


class GetContext(Call, frozen=True, tag="context"):
    """What helps to judge a held request: the last screen, the person's past. Gives Context."""

    approval: str


class ListDecisions(Call, frozen=True, tag="decisions"):
    """Approvals that ended, newest first. Gives a list of Decision."""

    limit: int = 100


class Grant(Call, frozen=True, tag="grant"):
    """Grant a held request; `hash` is that of what was shown. Gives Answered.

    `repeat` > 0 grants equal requests of that session for as many seconds, too.
    """

    approval: str
    hash: str
    reason: str = ""
    repeat: float = 0.0


class Refuse(Call, frozen=True, tag="refuse"):
    """Refuse a held request. Gives Answered."""

    approval: str
    hash: str
    reason: str = ""


class Withdraw(Call, frozen=True, tag="withdraw"):
    """Take back a request of one's own. Gives Answered."""

    approval: str


class BreakGlass(Call, frozen=True, tag="break-glass"):
    """Go on with a request of one's own without approval, where the policy lets. Gives Answered."""

    approval: str
    reason: str


class ListGrants(Call, frozen=True, tag="grants"):
    """Access and equal commands that are granted now. Gives a list of GrantShown."""


class RevokeGrant(Call, frozen=True, tag="revoke-grant"):
    """Take a grant back, and cut what it allowed. Gives Ended."""

    grant: str
    reason: str


class Follow(Call, frozen=True, tag="follow"):
    """Watch a live session's screen. Gives Following, then `output` events.

    `channel` is one of the session's; the newest that shows text if left out.
    """

    session: str
    channel: str = ""


class Unfollow(Call, frozen=True, tag="unfollow"):
    """Stop following, whatever it was. Gives Ended."""


class Kill(Call, frozen=True, tag="kill"):
    """End a session now. Gives Ended."""

    session: str
    reason: str


class SetLock(Call, frozen=True, tag="lock"):
    """Lock somebody or something out, and end what it covers. Gives LockSet."""

    kind: str
    value: str
    reason: str
    until: float | None = None


class RemoveLock(Call, frozen=True, tag="unlock"):
    """Take a lock away. Gives Ended with 1."""

    lock: str


class ListLocks(Call, frozen=True, tag="locks"):
    """The locks in force. Gives a list of LockShown."""


class Revoke(Call, frozen=True, tag="revoke"):
    """Revoke a certificate and end its sessions. Gives Ended."""

    serial: int
    reason: str


class Watch(Call, frozen=True, tag="watch"):
    """Send events from now on. Gives Welcome, then events."""


AnyCall = (
    Hello
    | GetStatus
    | ListSessions
    | ListApprovals
    | GetContext
    | ListDecisions
    | Grant
    | Refuse
    | Withdraw
    | BreakGlass
    | ListGrants
    | RevokeGrant
    | Follow
    | Unfollow
    | Kill
    | SetLock
    | RemoveLock
    | ListLocks
    | Revoke
    | Watch
)


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A line towards the bastion."""

    version: int
    id: int
    call: AnyCall


class Reply(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line from the bastion: one of `result`, `error`, `event`."""

    version: int
    id: int
    result: Any = None
    error: str = ""
    event: dict[str, Any] | None = None


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
            granted_by=tuple(answer.approver_name for answer in approval.answers),
            repeat=terms.repeat,
            decidable=decidable,
        )

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
    """The last bytes that a channel showed, masked; to be played into a terminal in memory."""

    session: str
    channel: str
    columns: int
    rows: int
    data: bytes
    cut: bool = False


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


T = TypeVar("T")


def encode(message: Request | Reply) -> bytes:
    """Give one line, newline included; ASCII, so nothing in it can break a line."""
    return json.dumps(msgspec.to_builtins(message), separators=(",", ":")).encode() + b"\n"


def decode_request(line: bytes) -> Request:
    """Read a caller's line; ControlError says what is wrong."""
    request = convert(_loads(line), Request)
    if request.version != VERSION:
        raise ControlError(f"This bastion speaks version {VERSION} of the control protocol.")
    return request


def decode_reply(line: bytes) -> Reply:
    """Read the bastion's line; ControlError says what is wrong."""
    return convert(_loads(line), Reply)


def convert(value: object, shape: type[T]) -> T:
    """Check that plain JSON has the shape of `shape`, strictly; ControlError if not."""
    try:
        return msgspec.convert(value, shape)
    except (msgspec.ValidationError, ValueError) as error:
        raise ControlError(f"A control message has the wrong shape: {error}.") from None


def _loads(line: bytes) -> object:
    try:
        value: object = json.loads(line, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise ControlError("A control message is not JSON.") from None
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)
