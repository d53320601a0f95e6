"""The server's side of a PostgreSQL session: what it answers, for the client and for the record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from bastion.errors import TargetFault
from bastion.events import CancelTarget, Effect, Logged, ToClient
from bastion.gate.postgres.flight import Flight, Kind, Portal, Run, Sent
from bastion.gate.postgres.results import Results
from bastion.gate.postgres.text import Texts
from bastion.model import visible
from bastion.policy.decide_sql import pinned
from bastion.wire import postgres as wire
from bastion.wire.postgres import Message

LONGEST_ZONE: Final = 200
STREAMED: Final = b"Dd"
ROW, COPY_DATA = ord("D"), ord("d")
_ASYNCHRONOUS: Final = frozenset(b"NAS")
_VALUE_CLASSES: Final = ("22", "23", "P0", "XX", "38", "39", "HV")
"""SQLSTATE classes whose messages may hold values of rows."""
_RAISING: Final = frozenset({"pl_exec.c", "plperl.c", "plpy_elog.c", "pltcl.c"})  # any SQLSTATE
_CONSTRAINTS: Final = frozenset(
    {"nbtinsert.c", "execIndexing.c", "execMain.c", "execPartition.c", "execExprInterp.c"}
    | {"ri_triggers.c"}
)
"""Where the server itself finds a constraint violated: its sentence names that and no value, which
is in the detail. A function may raise the same SQLSTATE with any sentence."""
_WITHHELD: Final = "withheld by the bastion: masked values could stand in it"


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a client is told instead of the error that a refused message raises at the server."""

    code: str
    message: str
    detail: str = ""
    hint: str = ""
    position: int = 0
    """Of a syntax error, in characters from 1."""


@dataclass(slots=True)
class Server:
    """Takes the server's bytes; gives what goes to the client and what is recorded."""

    flight: Flight
    results: Results
    batch_failed: Callable[[], None]
    """Called where the server begins to discard what follows."""
    strange: Callable[[Sent, tuple[wire.Column, ...]], None]
    """Called with the columns of a result; TargetFault where they are not to be shown."""
    secret: bytes = b""
    """What the client gets in the place of the server's own secret."""
    zone: str = ""
    """TimeZone as it was last reported. Others are not kept: a server may report any."""
    counts: bool = True
    """Rows and bytes are recorded."""
    ready: bool = False
    dying: bool = False
    """The server has said that it ends the session, and why."""
    refusals: dict[str, Refusal] = field(default_factory=dict)
    texts: Texts = field(default_factory=Texts)
    _near: bool = False
    """Something of this transaction came near what is masked: a constraint may tell at its end."""
    _was_near: bool = False
    """Something of this session did: what it notifies may tell after that."""
    _frames: wire.Frames = field(default_factory=lambda: wire.Frames(STREAMED))
    _own_key: tuple[int, bytes] | None = None
    _out: list[bytes] = field(default_factory=list)
    _effects: list[Effect] = field(default_factory=list)

    @property
    def pid(self) -> int | None:
        """The server's process of this session."""
        return self._own_key[0] if self._own_key is not None else None

    @property
    def inside(self) -> bool:
        """Whether the client has got a message in part: nothing may be put between."""
        return self._frames.inside

    def show(self, results: Results) -> None:
        """Mask, and keep, from the first row on. Where columns are masked, rows are kept whole."""
        self.results = results
        if results.masks.active:
            self._frames = wire.Frames(b"d")

    def feed(self, at: float, data: bytes) -> list[Effect]:
        """Bytes of the server."""
        begun = self._frames.begun
        self.results.arrived(data, begun=begun)
        for message in self._frames.feed(data, together=self.results.passes):
            if message.kind == ROW or message.kind == COPY_DATA:
                self._data(message)
            else:
                self._message(at, message)
            if begun:
                begun = False
                self.results.first_taken()
        return self.flush()

    def flush(self) -> list[Effect]:
        """What is recorded comes first, then what the client gets."""
        self._keep_rows()
        effects, self._effects = self._effects, []
        if self._out:
            effects.append(ToClient(b"".join(self._out)))
            self._out = []
        return effects

    def _keep_rows(self) -> None:
        rows = None if self.results.keeper is None else self.results.keeper.taken()
        if rows is not None:
            self._effects.append(Logged("rows", rows))

    def cancel(self) -> list[Effect]:
        """Have the server give up what runs."""
        return [CancelTarget(*self._own_key)] if self._own_key is not None else []

    def touched(self, run: Run) -> None:
        """A statement is sent."""
        self._near = self._near or run.touches
        self._was_near = self._was_near or run.touches

    @property
    def _withholds(self) -> bool:
        """Whether what the server says now may hold what is masked."""
        if not self.results.masks.active:
            return False
        head = self.flight.head()
        return self._near or (head is not None and head.touches)

    # --- rows -----------------------------------------------------------------------------------

    def _data(self, message: Message) -> None:
        head = self.flight.head()
        run = head.run if head is not None else None
        if run is None:
            raise TargetFault("the database sent rows that nobody asked for.")
        if head is not None and head.portal is not None:
            _describe(run, head.portal)
        raw, results = message.raw, self.results
        run.size += len(raw)
        if message.kind == ROW:
            run.rows += message.first
        if results.clean and message.first and message.last:
            self._out.append(raw)
        elif message.kind == ROW:
            self._out.append(results.row(message, run))
        else:
            self._out.append(results.copied(message, run))

    # --- messages -------------------------------------------------------------------------------

    def _message(self, at: float, message: Message) -> None:
        kind = chr(message.kind)
        match kind:
            case "C" | "I" | "s":
                self._completed(at, kind, message)
            case "T" | "n" | "t":
                self._described(kind, message)
            case "1" | "2" | "3":
                self._named(kind, message)
            case "E" | "Z":
                (self._error if kind == "E" else self._ready)(at, message)
            case "N" | "A" | "S":
                self._asynchronous(kind, message)
            case "G" | "H" | "c":
                self._copies(kind, message)
            case "V":
                self._returned(at, message)
            case "K" if not self.ready and self._own_key is None:
                self._took_key(message)
            case _:
                raise TargetFault(f"the database sent a message of type {kind!r}, unknown here.")

    def _copies(self, kind: str, message: Message) -> None:
        """CopyInResponse, CopyOutResponse, which says the format, or CopyDone."""
        head = self.flight.head()
        if head is None or head.run is None:
            raise TargetFault("the database began a copy that nobody asked for.")
        if kind == "H":
            self.results.begin_copy(head.run, message.body)
        elif kind == "G":
            self.flight.begin_copy()
        else:
            self.results.end_copy(head.run)
        self._out.append(message.raw)

    def _returned(self, at: float, message: Message) -> None:
        """FunctionCallResponse."""
        head = self.flight.head()
        if head is None or head.kind is not Kind.FUNCTION:
            raise TargetFault("the database answered a call that nobody made.")
        if self.results.masks.active:
            raise TargetFault("the database answered a call with a value that may be masked.")
        raw = message.raw
        if self.results.suspect(raw) and len(raw) > 9:
            value = self.results.value(raw[9:])
            raw = wire.encode(b"V", len(value).to_bytes(4, "big") + value)
        self._out.append(raw)
        self._done(at, head, "FUNCTION", "00000")

    def _took_key(self, message: Message) -> None:
        reader = wire.Reader(message.body, "BackendKeyData")
        pid = reader.int32()
        self._own_key = (pid, reader.take(reader.left))
        self._out.append(wire.backend_key(pid, self.secret))

    def _named(self, kind: str, message: Message) -> None:
        wanted = {"1": Kind.PARSE, "2": Kind.BIND, "3": Kind.CLOSE}[kind]
        sent = self.flight.take(wanted)
        if sent is None:
            raise TargetFault("the database answered what nobody asked.")
        if sent.prepared is not None:
            self.flight.prepared(sent.prepared)
        elif sent.portal is not None:
            self.flight.bound(sent.portal)
        elif sent.target[:1] == "S":
            self.flight.close(sent.target[1:])
        elif sent.target:
            self.flight.end_portals(sent.target[1:], sent.number)
        if not sent.own:
            self._out.append(message.raw)

    def _described(self, kind: str, message: Message) -> None:
        head = self.flight.head()
        own = head is not None and head.own
        if not own:
            self._out.append(message.raw)
        if kind == "t" or head is None:
            return
        columns = wire.decode_columns(message.body, self.texts.codec) if kind == "T" else ()
        self.strange(head, columns)
        if head.kind is Kind.DESCRIBE:
            self.flight.sent.popleft()
            self._took_columns(head, columns)
        elif head.run is not None:
            head.run.columns, head.run.plan = columns, None
            head.run.formats = tuple(column.format for column in columns)

    def _took_columns(self, head: Sent, columns: tuple[wire.Column, ...]) -> None:
        """The answer to a Describe."""
        if head.copy is not None:
            head.copy.columns = columns
        if head.prepared is not None:
            head.prepared.columns = columns
        if head.portal is not None:
            head.portal.columns = columns
            if len(head.portal.statements) == 1:
                head.portal.statements[0].columns = columns
            for one in self.flight.sent:
                if one.portal is head.portal and one.run is not None:
                    one.run.columns = columns
                    one.run.plan = None

    def _completed(self, at: float, kind: str, message: Message) -> None:
        head = self.flight.head()
        if head is None or head.kind not in {Kind.QUERY, Kind.EXECUTE}:
            raise TargetFault("the database completed what nobody asked.")
        self._out.append(message.raw)
        tag = message.body[:-1].decode("utf-8", "replace") if kind == "C" else ""
        if head.kind is Kind.EXECUTE:
            self.flight.sent.popleft()
            if head.prepared is not None:  # EXECUTE of a PREPARE: the statement's own name
                self.flight.prepared(head.prepared)
        self._done(at, head, tag or {"s": "suspended", "I": "empty"}.get(kind, ""), "00000")
        self._forget_names(head, tag)

    def _forget_names(self, sent: Sent, tag: str) -> None:
        if tag == "DISCARD ALL":
            self.flight.close_all()
        if not tag.startswith("DEALLOCATE") or sent.run is None:
            return
        for statement in sent.run.reading.statements:
            for use in statement.uses:
                if use.kind == "deallocate" and use.name:
                    self.flight.close(use.name)
                elif use.kind == "deallocate":
                    self.flight.close_all()

    def _done(self, at: float, sent: Sent, tag: str, code: str, said: str = "") -> None:
        run = sent.run
        if run is None:
            return
        self._keep_rows()
        rows = wire.row_count(tag)
        rows = run.rows if rows is None else rows
        seconds = round(max(0.0, at - run.started_at), 6)
        fields: dict[str, object] = {
            "number": run.number,
            "tag": tag if self.counts else tag.rstrip(" 0123456789"),
            "rows": rows if self.counts else None,
            "bytes": run.size if self.counts else None,
            "seconds": seconds,
            "sqlstate": code,
            "said": said,
        }
        if self.results.keeper is not None and (left_out := self.results.keeper.done()):
            fields["rows_left_out"] = left_out
        if found := self.results.found():
            fields["masked"] = found
        self._effects.append(Logged("query-done", fields))
        run.rows = run.size = 0

    def _error(self, at: float, message: Message) -> None:
        fields = wire.decode_fields(message.body, self.texts.codec)
        head = self.flight.head()
        if head is not None and head.own:
            fields.pop("P", None)  # a place in a text that the client has not sent
        self.dying = self.dying or fields.get("V") in {"FATAL", "PANIC"}
        refusal = self._refusal(fields)
        if refusal is not None:
            self._out.append(
                wire.error(
                    refusal.code,
                    refusal.message,
                    detail=refusal.detail,
                    hint=refusal.hint,
                    position=refusal.position,
                    codec=self.texts.codec,
                )
            )
            fields = {"C": refusal.code, "M": refusal.message}
        else:
            fields = self._told(b"E", message, fields)
        skipped_before = self.flight.skipping
        dropped = self.flight.fail()
        failed = next((one for one in dropped if one.run is not None), None)
        if failed is not None:  # planning may fail at Bind, before the Execute
            self._done(at, failed, "", fields.get("C", ""), fields.get("M", "")[:200])
        if self.flight.skipping and not skipped_before:
            self.batch_failed()

    def _told(self, kind: bytes, message: Message, fields: dict[str, str]) -> dict[str, str]:
        """Pass an error or a notice on without what is masked."""
        told = _scrubbed(fields) if self._withholds else fields
        if self.results.suspect(message.raw):
            told = {key: self.results.text(value) for key, value in told.items()}
        self._out.append(
            message.raw if told is fields else wire.encode_fields(kind, told, self.texts.codec)
        )
        return told

    def _refusal(self, fields: dict[str, str]) -> Refusal | None:
        said = fields.get("M", "")
        found = next((nonce for nonce in self.refusals if nonce in said), None)
        return self.refusals.pop(found) if found is not None else None

    def _ready(self, at: float, message: Message) -> None:
        status = message.body.decode("latin-1")
        if status not in {"I", "T", "E"}:
            raise TargetFault("the database is ready in a way that is unknown here.")
        first, self.ready = not self.ready, True
        if first:
            self._out.insert(0, wire.encode(b"R", b"\0\0\0\0"))
        else:
            sent = self.flight.ready(status)
            if sent is not None and sent.prepared is not None:  # PREPARE in a simple query
                self.flight.prepared(sent.prepared)
            if status == "I" and (sent is None or sent.number >= self.flight.touching):
                self._near = False
            if sent is not None and sent.own:
                return
        if not self.flight.sent:
            self.refusals.clear()  # of what was discarded before the server saw it
        self._out.append(message.raw)

    def _asynchronous(self, kind: str, message: Message) -> None:
        if kind == "S":
            name, value = wire.decode_setting(message.body)
            if pinned(name, value):
                raise TargetFault(
                    f"{name} became {visible(value, limit=40)}, by which SQL would be read in"
                    " another way than the gate reads it."
                )
            if name in {"client_encoding", "server_encoding"}:
                self._encoding(name, value)
            if name == "TimeZone" and len(value) < LONGEST_ZONE:
                self.zone = value
            suspect = self.results.suspect(message.raw)
            told = wire.setting(name, self.results.text(value)) if suspect else message.raw
            if name == "application_name" and self._withholds:  # others are no free text
                told = wire.setting(name, f"({_WITHHELD})")
            self._out.append(told)
        elif kind == "N":
            self._told(b"N", message, wire.decode_fields(message.body, self.texts.codec))
        elif self.results.masks.active or self.results.suspect(message.raw):
            self._notification(message)
        else:
            self._out.append(message.raw)

    def _encoding(self, name: str, value: str) -> None:
        self.texts.reported(name, value, begun=self.ready)
        if self.results.keeper is not None:
            self.results.keeper.codec = self.texts.codec

    def _notification(self, message: Message) -> None:
        reader = wire.Reader(message.body, "NotificationResponse")
        pid, channel, payload = reader.take(4), reader.text(), reader.text()
        reader.end()
        if self.results.masks.active:
            own = self._own_key is not None and int.from_bytes(pid, "big") == self._own_key[0]
            payload = payload if own and not self._was_near else b""
        texts = (one.decode("utf-8", "surrogateescape") for one in (channel, payload))
        told = wire.text_bytes(*map(self.results.text, texts))
        self._out.append(wire.encode(b"A", pid + told))


def _describe(run: Run, portal: Portal) -> None:
    """A portal may be described after its Execute was sent."""
    if portal.columns is not None and run.columns is not portal.columns:
        run.columns, run.plan = portal.columns, None


def _scrubbed(fields: dict[str, str]) -> dict[str, str]:
    """An error or notice without what may hold a value of a row."""
    code = fields.get("C", "")
    kept = {key: value for key, value in fields.items() if key in "SVCMPpFLRstcdn"}
    if code[:2] == "23" and fields.get("F") in _CONSTRAINTS:
        return kept
    listed = code[:2] in _VALUE_CLASSES or fields.get("F") in _RAISING
    if listed or "W" in fields or fields.get("V") not in {"ERROR", "FATAL", "PANIC"}:
        kept["M"] = f"({_WITHHELD})"
    return kept
