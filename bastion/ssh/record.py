"""What one channel leaves behind: its cast and its events, the ledger's rows, the audit's lines.

One object, so that no caller can remember the one and forget the other. Anything that cannot be
written is RecordingFailed, and the drive ends the channel on it (invariant 6).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from bastion.errors import RecordingFailed, StoreError
from bastion.events import Exit, FileDone, Stream
from bastion.model import (
    DatabaseRequest,
    ExecRequest,
    FileRequest,
    ForwardRequest,
    LineRequest,
    QueryRequest,
    Request,
    ShellRequest,
    StepRequest,
    SubsystemRequest,
    visible,
)
from bastion.policy.rules import Action, Verdict
from bastion.store.audit import AuditLog
from bastion.store.ledger import Ledger
from bastion.store.recording import Recording
from bastion.tap.marks import Masked
from bastion.tap.tail import Tail
from bastion.wire import control as wire

MOST_NOTED: Final = 20
"""Of one piece of a stream: a target that prints a thousand keys must not fill the audit."""


def request_kind(request: Request) -> str:
    """What sort of request it is, in one word of a closed list."""
    return type(request).__name__.removesuffix("Request").lower()


def request_text(request: Request) -> str:
    """The request in one line of exact text, as ledger, audit and approvers get it."""
    match request:
        case ExecRequest(command=command):
            return command
        case LineRequest(text=text) | StepRequest(text=text):
            return text
        case ShellRequest(gated=gated):
            return "(interactive shell)" if gated else "(interactive shell, ungated)"
        case SubsystemRequest(name=name):
            return f"subsystem {name}"
        case FileRequest():
            other = f" {request.other_path}" if request.other_path else ""
            return f"{request.protocol} {request.operation.value} {request.path}{other}"
        case ForwardRequest(kind=kind, host=host, port=port):
            return f"{kind.value} {host}:{port}" if port else f"{kind.value} {host}".rstrip()
        case QueryRequest(sql=sql, parameters=parameters):
            return sql + _bound(parameters)
        case DatabaseRequest(database=database):
            return f"database {database}"


def _bound(parameters: tuple[str | None, ...]) -> str:
    """The values bound to a statement, as SQL would write them."""
    shown = (
        f"${index} = " + ("NULL" if value is None else "'" + value.replace("'", "''") + "'")
        for index, value in enumerate(parameters, 1)
    )
    return " -- " + ", ".join(shown) if parameters else ""


@dataclass(slots=True)
class Record:
    """The taps and stores of one channel. Methods raise RecordingFailed."""

    session_id: str
    channel_id: str
    recording: Recording
    ledger: Ledger
    audit: AuditLog
    text: bool = True
    """Whether the channel's own bytes are text that the cast holds; packets are not."""
    tail: Tail | None = None
    """Gets what is shown, for whoever looks on."""
    happened: Callable[..., None] = lambda *_, **__: None
    """Tells a `wire.Event` of this channel, with its fields."""
    mask: Callable[[str], str] = str
    """Takes secrets out of a text that the recording or the ledger keeps."""
    typed: bool = False
    """Whether a person types into it. Then no hash of the input is kept: of a password alone, asked
    for at a prompt, it would tell the password to whoever tries all of them."""
    bytes_out: int = 0

    @property
    def name(self) -> str:
        """`SESSION/CHANNEL`, for logs."""
        return f"{self.session_id}/{self.channel_id}"

    def output(self, at: float, data: bytes, stream: Stream) -> None:
        """Bytes that are about to be shown."""
        self.bytes_out += len(data)
        if self.text:
            self.recording.output(at, data, stream)
        self._show_on(data)

    def told(self, at: float, shown: bytes) -> None:
        """A sentence of the bastion, recorded on every kind of channel."""
        self.recording.output(at, shown, Stream.STDERR)
        self._show_on(shown)

    def _show_on(self, data: bytes) -> None:
        if self.tail is not None:
            self.tail.feed(data)

    def resize(self, at: float, columns: int, rows: int) -> None:
        """The client's window has a new size."""
        self.recording.resize(at, columns, rows)
        if self.tail is not None:
            self.tail.resize(columns, rows)

    def transcript(self, at: float, text: str) -> None:
        """A line for the recording alone, made safe to show."""
        self.line(at, self.mask(text))

    def decided(self, at: float, request: Request, verdict: Verdict) -> None:
        """A verdict: marker, event, row, audit line."""
        text = self.mask(request_text(request))
        verdict = replace(verdict, opaque=tuple(self.mask(one) for one in verdict.opaque))
        label = f"{verdict.action.value} {verdict.rule}: {text}"
        self.recording.marker(at, visible(label, limit=200))
        self.note(
            at,
            "verdict",
            request_kind=request_kind(request),
            request=text,
            action=verdict.action.value,
            rule=verdict.rule,
            reason=verdict.reason,
            opaque=list(verdict.opaque),
        )
        with _stores():
            self.ledger.verdict(self.session_id, self.channel_id, text, verdict, at)
        if verdict.action is Action.DENY:
            rule, reason = verdict.rule, verdict.reason
            self.happened(wire.Event.DENIED, request=text, rule=rule, reason=reason)

    def logged_in(self, login: str) -> None:
        """Whose account it is, where that was known only after the channel had begun."""
        with _stores():
            self.ledger.channel_login(self.session_id, self.channel_id, login)

    def file_done(self, at: float, done: FileDone) -> None:
        """A file operation ended."""
        self.note(
            at,
            "file",
            request=request_text(done.request),
            direction=done.request.direction.value,
            ok=done.ok,
            size=done.size,
            sha256=done.sha256,
            note=done.note,
        )
        with _stores():
            self.ledger.file_done(self.session_id, self.channel_id, done, at)

    def logged(self, at: float, kind: str, fields: Mapping[str, object]) -> None:
        """An event beside the cast, and nowhere else; secrets are taken out of it already."""
        self.recording.event(at, kind, fields, masked=True)

    def line(self, at: float, text: str) -> None:
        """A line for the recording alone, whose secrets are taken out already."""
        self.recording.output(at, visible(text).encode() + b"\r\n", Stream.STDOUT)

    def note(self, at: float, kind: str, **fields: object) -> None:
        """An event beside the cast, and the same in the audit."""
        self.recording.event(at, kind, fields)
        with _stores():
            self.audit.append(kind, at, session=self.session_id, channel=self.channel_id, **fields)

    def masked(self, at: float, stream: Stream, masked: Sequence[Masked]) -> None:
        """Secrets were taken out of what was shown: what kind and where, never the value."""
        self.note(
            at,
            "masked",
            stream=stream.value,
            secrets=[one._asdict() for one in masked[:MOST_NOTED]],
            more=max(0, len(masked) - MOST_NOTED),
        )

    def close(self, at: float, ended: Exit, client_bytes: int, client_sha256: str) -> str | None:
        """Write the end; gives a sentence where that failed, so that nothing claims success."""
        fields = {
            "reason": ended.reason.value,
            "status": ended.status,
            "signal": ended.signal,
            "stdin_bytes": client_bytes,
            "stdin_sha256": "" if self.typed else client_sha256,
        }
        failure: str | None = None
        try:
            if not self.recording.closed:
                self.note(at, "channel-ended", **fields)
                self.recording.close(at)
            else:
                self.audit.append(
                    "channel-ended",
                    at,
                    session=self.session_id,
                    channel=self.channel_id,
                    **fields,
                )
        except (RecordingFailed, StoreError) as error:
            failure = str(error)
        try:
            self.ledger.channel_ended(
                self.session_id,
                self.channel_id,
                ended.reason.value,
                ended.status,
                self.bytes_out,
                at,
            )
        except StoreError as error:
            failure = failure or str(error)
        self.happened(wire.Event.CHANNEL_ENDED, reason=ended.reason.value)
        return failure


class _stores:  # noqa: N801  (reads as a statement: `with _stores():`)
    """What the stores cannot keep is what the recording cannot keep."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, StoreError):
            raise RecordingFailed(str(error)) from error
