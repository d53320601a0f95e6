"""All that can happen on a channel, and all that a gate may want done about it.

Time is data: `at` is seconds since the epoch, put on by the IO shell that saw the event.
A gate is fed Events and returns Effects; it never waits, reads a clock, or does IO.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from bastion.model import FileRequest, Request, SqlReading
from bastion.policy.rules import Verdict


class Stream(StrEnum):
    """A direction with a name."""

    STDIN = "stdin"
    STDOUT = "stdout"
    STDERR = "stderr"


class EndReason(StrEnum):
    """Why a channel ended; a closed list."""

    FINISHED = "finished"
    CLIENT_LEFT = "client-left"
    TARGET_LEFT = "target-left"
    DENIED = "denied"
    APPROVAL_REFUSED = "approval-refused"
    APPROVAL_EXPIRED = "approval-expired"
    APPROVAL_WITHDRAWN = "approval-withdrawn"
    DEADLINE = "deadline"
    REVOKED = "revoked"
    LOCKED = "locked"
    KILLED = "killed"
    RECORDING_FAILED = "recording-failed"
    DIAL_FAILED = "dial-failed"
    PROTOCOL_FAULT = "protocol-fault"
    SHUTDOWN = "shutdown"
    INTERNAL = "internal-error"


class Outcome(StrEnum):
    """How an approval ended."""

    GRANTED = "granted"
    REFUSED = "refused"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"


# --- events: into a gate ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Opened:
    """The client made its one request on this channel. Always the first event."""

    at: float
    request: Request


@dataclass(frozen=True, slots=True)
class FromClient:
    """Bytes of the client (always stdin). No byte of them has reached the target yet."""

    at: float
    data: bytes


@dataclass(frozen=True, slots=True)
class ClientEof:
    """The client will send no more; it may still read."""

    at: float


@dataclass(frozen=True, slots=True)
class Dialled:
    """The target accepted the request of an earlier Dial."""

    at: float


@dataclass(frozen=True, slots=True)
class FromTarget:
    """Bytes of the target, untrusted."""

    at: float
    data: bytes
    stream: Stream = Stream.STDOUT


@dataclass(frozen=True, slots=True)
class TargetEof:
    """The target will send no more."""

    at: float


@dataclass(frozen=True, slots=True)
class TargetExit:
    """The target's program ended: by `status`, or by `signal` when that is not empty."""

    at: float
    status: int = 0
    signal: str = ""
    core_dumped: bool = False
    message: str = ""


@dataclass(frozen=True, slots=True)
class Resolved:
    """An approval that an earlier Ask started has ended."""

    at: float
    ask: int
    outcome: Outcome
    by: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class SqlRead:
    """What a text of an earlier ReadSql does."""

    at: float
    number: int
    reading: SqlReading


@dataclass(frozen=True, slots=True)
class MasksRead:
    """What is masked was looked up again for an earlier ReadMasks; `fault`: why it was not."""

    at: float
    number: int
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The same identity asks, on a channel of its own, that what runs now be given up."""

    at: float


@dataclass(frozen=True, slots=True)
class CancelTold:
    """What this channel asked to be cancelled is given up, or the server has been told to.

    Its client takes the channel's end for that, and begins with its next statement.
    """

    at: float


@dataclass(frozen=True, slots=True)
class Beat:
    """Some seconds went by: what is held shows a sign of life."""

    at: float


# A gated shell has more ends than two: the line editor, and the channel beside the terminal.


@dataclass(frozen=True, slots=True)
class Entered:
    """The line editor gave a line back. Nothing of it has reached the target yet."""

    at: float
    text: str
    leftover: bytes = b""
    """Keys that came after Enter in one piece with it: they are the program's that now runs."""


@dataclass(frozen=True, slots=True)
class EditorEof:
    """ctrl-D on an empty line."""

    at: float


@dataclass(frozen=True, slots=True)
class Completing:
    """The line editor wants candidates for a word; `kind` is the shell scripts' name for them."""

    at: float
    question: int
    kind: str
    word: str


@dataclass(frozen=True, slots=True)
class FromShell:
    """Bytes of the shell on the target, beside its terminal (wire/shellcontrol), untrusted."""

    at: float
    data: bytes


@dataclass(frozen=True, slots=True)
class Woken:
    """The time that an earlier Wake asked for is over."""

    at: float
    timer: str


Event = (
    Opened
    | FromClient
    | ClientEof
    | Dialled
    | FromTarget
    | TargetEof
    | TargetExit
    | Resolved
    | SqlRead
    | MasksRead
    | Cancelled
    | CancelTold
    | Beat
    | Entered
    | EditorEof
    | Completing
    | FromShell
    | Woken
)


# --- effects: out of a gate -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Dial:
    """Open the target's channel and ask it for exactly this request."""

    request: Request


@dataclass(frozen=True, slots=True)
class ToTarget:
    """Decided bytes, on their way."""

    data: bytes


@dataclass(frozen=True, slots=True)
class EofToTarget:
    """Close the target's stdin, after what was sent before."""


@dataclass(frozen=True, slots=True)
class ToClient:
    """Bytes for the client; they pass the taps (mask, record) before they are shown."""

    data: bytes
    stream: Stream = Stream.STDOUT


@dataclass(frozen=True, slots=True)
class EofToClient:
    """The target will send no more; the client may still send."""


@dataclass(frozen=True, slots=True)
class Tell:
    """A sentence of the bastion itself for the person: recorded, on stderr, never on stdout."""

    text: str


@dataclass(frozen=True, slots=True)
class Ask:
    """Hold, and ask people. `ask` numbers the question on this channel; Resolved brings it back."""

    ask: int
    request: Request
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Withdraw:
    """The question is moot; nobody needs to answer it any more."""

    ask: int


@dataclass(frozen=True, slots=True)
class Decided:
    """A verdict was reached: for the audit, the store and a marker in the cast."""

    request: Request
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class FileDone:
    """A file operation ended, with what can be said about it.

    `size` counts content bytes that travelled; `sha256` (hex) is of the content in order, empty
    with a `note` where it cannot be known (random access, a refusal, a channel cut).
    """

    request: FileRequest
    ok: bool
    size: int = 0
    sha256: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Transcript:
    """A line for the recording alone, where the channel's own bytes are not text (sftp packets)."""

    text: str


@dataclass(frozen=True, slots=True)
class HoldClient:
    """Stop (True) or go on (False) reading from the client: back-pressure while a thing is held."""

    held: bool


@dataclass(frozen=True, slots=True)
class Edit:
    """Give the keys to the line editor: a prompt, and what already stands in the line."""

    directory: str
    status: int
    text: str = ""
    home: str = ""
    defined: tuple[str, ...] = ()
    """What may have changed what words mean: not empty, and every step will be asked about."""


@dataclass(frozen=True, slots=True)
class ToEditor:
    """Keys for the line editor, and for nobody else."""

    data: bytes


@dataclass(frozen=True, slots=True)
class ToShell:
    """Decided lines and answers for the shell on the target, beside its terminal."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Suggest:
    """Candidates that the shell on the target gave for the word under the cursor."""

    question: int
    candidates: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Wake:
    """Feed Woken(timer) after `seconds`; a later Wake of the same timer replaces it."""

    timer: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Exit:
    """End the client's channel: by `status`, or by `signal`. The last effect of a gate."""

    reason: EndReason
    status: int = 0
    signal: str = ""
    core_dumped: bool = False
    message: str = ""


@dataclass(frozen=True, slots=True)
class ReadSql:
    """Have a text of SQL read, where a crash of the parser kills nothing; SqlRead answers."""

    number: int
    text: str


@dataclass(frozen=True, slots=True)
class ReadMasks:
    """Have it looked up which columns of the database are masked by now; MasksRead answers."""

    number: int


@dataclass(frozen=True, slots=True)
class CancelTarget:
    """Ask the database, on a connection of its own, to give up what runs (its own key)."""

    pid: int
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class CancelOther:
    """Somebody gave this key, to have what runs on another channel given up."""

    pid: int
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Logged:
    """An event beside the cast alone: what happens too often for the audit (each statement)."""

    kind: str
    fields: Mapping[str, object]


Effect = (
    Dial
    | ToTarget
    | EofToTarget
    | ToClient
    | EofToClient
    | Tell
    | Ask
    | Withdraw
    | Decided
    | FileDone
    | Transcript
    | HoldClient
    | Edit
    | ToEditor
    | ToShell
    | Suggest
    | Wake
    | Exit
    | ReadSql
    | ReadMasks
    | CancelTarget
    | CancelOther
    | Logged
)
