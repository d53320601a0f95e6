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
import math
from typing import Annotated, Any, Final, NoReturn, TypeVar

import msgspec

from bastion.errors import ControlError
from bastion.wire.control_shown import OUTPUT as OUTPUT
from bastion.wire.control_shown import Answered as Answered
from bastion.wire.control_shown import Context as Context
from bastion.wire.control_shown import Decision as Decision
from bastion.wire.control_shown import Ended as Ended
from bastion.wire.control_shown import Event as Event
from bastion.wire.control_shown import Following as Following
from bastion.wire.control_shown import GrantShown as GrantShown
from bastion.wire.control_shown import HeldRequest as HeldRequest
from bastion.wire.control_shown import LockSet as LockSet
from bastion.wire.control_shown import LockShown as LockShown
from bastion.wire.control_shown import Past as Past
from bastion.wire.control_shown import Piece as Piece
from bastion.wire.control_shown import RecordingShown as RecordingShown
from bastion.wire.control_shown import ScreenShown as ScreenShown
from bastion.wire.control_shown import Status as Status
from bastion.wire.control_shown import Welcome as Welcome

VERSION: Final = 1

MAX_CALL: Final = 64 * 1024
"""Bytes of a line sent by a caller: it must not fill the bastion's memory."""

MAX_REPLY: Final = 64 * 1024 * 1024
"""Bytes of a line sent by the bastion: a thousand held commands of the longest kind."""


Moment = Annotated[float, msgspec.Meta(ge=0, le=253402300799)]
"""Seconds since the epoch, to the end of the year 9999: beyond it there is no date, and a list with
one such time in it could be shown to nobody."""

Serial = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
"""What our certificates have: a revocation list cannot be written with any other."""


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


class FindRecordings(Call, frozen=True, tag="recordings"):
    """Sessions that were recorded, newest first. Gives a list of RecordingShown.

    All that is given must hold: `text` was on a screen, in a command or a name; `verdict` is an
    action that a request there met; `since` and `until` bound the session's beginning.
    """

    text: str = ""
    identity: str = ""
    target: str = ""
    verdict: str = ""
    since: Moment | None = None
    until: Moment | None = None
    limit: int = 200


class ReadRecording(Call, frozen=True, tag="read-recording"):
    """Read on in a recording's file, `cast` or `events`, as it lies there. Gives Piece."""

    session: str
    channel: str
    file: str
    offset: int = 0


class HoldRecording(Call, frozen=True, tag="hold-recording"):
    """Keep a session's recordings, whatever their age. For the machine's own operators."""

    session: str
    reason: str


class ReleaseRecording(Call, frozen=True, tag="release-recording"):
    """Let retention have them again. Gives Ended."""

    session: str


class DeleteRecording(Call, frozen=True, tag="delete-recording"):
    """Delete a session's recordings, unless they are held. Gives Ended."""

    session: str
    reason: str


class Kill(Call, frozen=True, tag="kill"):
    """End a session now. Gives Ended."""

    session: str
    reason: str


class SetLock(Call, frozen=True, tag="lock"):
    """Lock somebody or something out, and end what it covers. Gives LockSet."""

    kind: str
    value: str
    reason: str
    until: Moment | None = None


class RemoveLock(Call, frozen=True, tag="unlock"):
    """Take a lock away. Gives Ended with 1."""

    lock: str


class ListLocks(Call, frozen=True, tag="locks"):
    """The locks in force. Gives a list of LockShown."""


class Revoke(Call, frozen=True, tag="revoke"):
    """Revoke a certificate and end its sessions. Gives Ended."""

    serial: Serial
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
    | FindRecordings
    | ReadRecording
    | HoldRecording
    | ReleaseRecording
    | DeleteRecording
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
        value: object = json.loads(line, parse_constant=_no_constant, parse_float=_finite)
    except (ValueError, RecursionError):
        raise ControlError("A control message is not JSON.") from None
    return value


def _finite(text: str) -> float:
    """1e999 is infinity to Python, which no JSON that we write could hold."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)
