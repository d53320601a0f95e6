"""The gate of a PostgreSQL session: no statement reaches the server before its verdict.

    DOOR --startup--> DIALLING --first ReadyForQuery--> OPEN --Terminate, fault--> ENDED
    DOOR --cancel request--> CANCELLING --the server was told--> ENDED

Client messages are taken in order. One that needs a reading of its SQL, or people, holds all that
follow it. A prepared statement that is denied is refused where it is prepared; every run of one is
decided anew where it is executed.

A refused message is not answered here: in its place the server gets one that it must reject, with
a nonce in it, and the error that comes back is rewritten. So the transaction really is aborted,
and order, Sync and ReadyForQuery are the server's own (ARCHITECTURE.md says what else was tried).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Final, Protocol

from bastion.events import (
    Beat,
    Cancelled,
    CancelOther,
    CancelTold,
    ClientEof,
    Decided,
    Dial,
    Effect,
    EndReason,
    Event,
    Exit,
    FromClient,
    FromTarget,
    MasksRead,
    Resolved,
    SqlRead,
    TargetEof,
    ToClient,
    Transcript,
    Withdraw,
)
from bastion.gate.gate import Decide
from bastion.gate.postgres import startup
from bastion.gate.postgres.mask import Masks
from bastion.gate.postgres.messages import Messages
from bastion.gate.postgres.near import Near
from bastion.gate.postgres.results import Results
from bastion.gate.postgres.rows import Keeper
from bastion.gate.words import refusal
from bastion.model import (
    EXIT_REFUSED,
    DatabaseRequest,
    SqlReading,
    SqlStatement,
    visible,
)
from bastion.policy.access import DatabaseTerms
from bastion.policy.rules import Action, Verdict
from bastion.wire import postgres as wire


@dataclass(frozen=True, slots=True)
class Admitted:
    """Somebody may begin a session here, as this login, under these terms."""

    login: str
    decide: Decide
    terms: DatabaseTerms


class Admit(Protocol):
    """Says who a client that calls itself `user` is on the target; a Verdict refuses."""

    def __call__(self, user: str, database: str) -> Admitted | Verdict: ...


class _Phase(Enum):
    DOOR = auto()
    DIALLING = auto()
    OPEN = auto()
    CANCELLING = auto()
    ENDED = auto()


_ENDS: Final[dict[type, EndReason]] = {
    ClientEof: EndReason.CLIENT_LEFT,
    TargetEof: EndReason.TARGET_LEFT,
    CancelTold: EndReason.FINISHED,  # nothing is ever answered to a cancel, but that it is over
}


class PostgresGate(Messages):
    """One connection of a PostgreSQL client."""

    def __init__(self, admit: Admit, secret: bytes, nonce: str) -> None:
        """`secret`: 32 random bytes, which the client gets for its cancel requests."""
        super().__init__(nonce)
        self._admit = admit
        self._secret = secret
        self._phase = _Phase.DOOR
        self._door = startup.Door()
        self.login = ""
        self.version = 0

    @property
    def key(self) -> tuple[int, bytes] | None:
        """What its client knows: the server's process id, by which SQL names a session too, and
        a secret that is not the server's; None before the server has told its own."""
        return None if self.server.pid is None else (self.server.pid, self.server.secret)

    @property
    def terms(self) -> DatabaseTerms:
        """Under which the client was admitted."""
        return self._terms

    def mask(self, masks: Masks) -> None:
        """What is masked in this database, before the server's first bytes are fed."""
        self.masks = masks
        self.near = Near(masks)
        keeper = Keeper() if self._terms.results == "rows" else None
        self.server.show(Results(masks, keeper))

    def remask(self, masks: Masks) -> None:
        """The same, looked up again while the session goes on."""
        self.masks = self.near.masks = self.server.results.masks = masks

    def feed(self, event: Event) -> list[Effect]:
        """Give what is to be done about `event`; after an Exit, nothing."""
        if self._phase is _Phase.ENDED:
            return []
        match event:
            case FromClient(at=at, data=data):
                self._from_client(at, data)
            case FromTarget(at=at, data=data):
                self._from_target(at, data)
            case SqlRead(reading=reading, number=number, at=at):
                self._read(at, number, reading)
            case MasksRead(number=number, at=at, fault=fault):
                self._masks_read(at, number, fault)
            case Resolved():
                self._resolved(event)
            case Cancelled(at=at):
                self._cancelled(at)
            case Beat():
                self._beat()
            case ClientEof() | TargetEof() | CancelTold():
                self._leave(_ENDS[type(event)])
        return self._flush()

    def _flush(self) -> list[Effect]:
        if self._leaving and self.holding and self._phase is _Phase.OPEN:
            self._leave(EndReason.CLIENT_LEFT)  # held, and the client is gone: withdrawn
        self._send_collected()
        effects, self._effects = self._effects, []
        return effects

    def _leave(self, reason: EndReason) -> None:
        if self.holding:
            self._emit(Withdraw(self._asked))
        self._phase = _Phase.ENDED
        status = 0 if reason is EndReason.FINISHED else EXIT_REFUSED
        self._emit(Exit(reason, status))

    # --- the door ---------------------------------------------------------------------------------

    def _from_client(self, at: float, data: bytes) -> None:
        if self._phase is _Phase.DOOR:
            answer, found, data = self._door.feed(data)
            if answer:
                self._emit(ToClient(answer))
            match found:
                case None:
                    return
                case wire.CancelRequest(pid=pid, key=key):
                    self._phase = _Phase.CANCELLING
                    self._emit(CancelOther(pid, key))
                    return
                case startup.Refused(code=code, message=message, hint=hint):
                    self._turn_away(code, message, hint)
                    return
                case startup.Wanted():
                    self._begin(found)
        if self._phase not in {_Phase.ENDED, _Phase.CANCELLING}:
            self._enqueue(at, data)

    def _turn_away(self, code: str, message: str, hint: str = "") -> None:
        self._emit(Transcript(f"refused: {message}"))
        self._emit(ToClient(wire.error(code, f"bastion: {message}", hint=hint, fatal=True)))
        self._leave(EndReason.DENIED)

    def _begin(self, wanted: startup.Wanted) -> None:
        self.version = min(wanted.minor, wire.NEWEST_MINOR)
        admitted = self._admit(wanted.user, wanted.database)
        request = DatabaseRequest(wanted.database, wanted.settings)
        verdict = admitted if isinstance(admitted, Verdict) else admitted.decide(request)
        self._emit(Decided(request, verdict))
        if isinstance(admitted, Verdict) or verdict.action is not Action.ALLOW:
            self._turn_away("42501" if not isinstance(admitted, Verdict) else "28000",
                            refusal(verdict), verdict.hint)  # fmt: skip
            return
        self.login, self._decide = admitted.login, admitted.decide
        self._terms, self._database = admitted.terms, wanted.database
        if (refused := self._refused_setting(wanted)) is not None:
            self._turn_away("42501", *refused)
            return
        self.server.texts.client = dict(wanted.settings)["client_encoding"]
        # Protocol 3.0 has room for four bytes.
        self.server.secret = self._secret[:4] if self.version < 2 else self._secret
        self.server.counts = admitted.terms.results != "none"
        if wanted.minor > wire.NEWEST_MINOR or wanted.unknown:
            self._emit(ToClient(wire.negotiate(wanted.unknown)))
        self._phase = _Phase.DIALLING
        self._emit(Dial(self._fixed(request)))

    def _refused_setting(self, wanted: startup.Wanted) -> tuple[str, str] | None:
        """Why the client may not give a setting, by the verdict on a SET of it; and a hint."""
        for use in wanted.decided:
            name, value = use.setting or "role", use.name.replace("'", "''")
            reading = SqlReading((SqlStatement((use,)),))
            request = self._request(f"SET {name} TO '{value}'", reading, ())
            verdict = self._verdict(request)
            if verdict.action is Action.DENY:
                self._emit(Decided(request, verdict))
                return f"{visible(name)}: {refusal(replace(verdict, hint=''))}", verdict.hint
            if verdict.action is Action.APPROVE:
                return f"{visible(name)} needs an approval.", "SET it after connecting."
        return None

    def _fixed(self, request: DatabaseRequest) -> DatabaseRequest:
        """With what the gate relies on set from the start."""
        fixed = list(startup.PINNED_AT_START)
        if self._terms.read_only:
            fixed.append(("default_transaction_read_only", "on"))
        names = {name for name, _ in fixed}
        kept = [pair for pair in request.settings if pair[0] not in names]
        return replace(request, settings=(*kept, *fixed))

    # --- the server ---------------------------------------------------------------------------

    def _from_target(self, at: float, data: bytes) -> None:
        for effect in self.server.feed(at, data):
            self._emit(effect)
        if self._phase is _Phase.DIALLING and self.server.ready:
            self._phase = _Phase.OPEN
            self._open = True
        self._go_on_when_quiet()
        self._work(at)

    def _go_on_when_quiet(self) -> None:
        """Take up what waits for that; a copy that waits for its data will not be quiet."""
        if self._waiting is None or self._waiting.quiet is None:
            return
        if self.flight.quiet or not self.flight.settles:
            go_on, self._waiting = self._waiting.quiet, None
            go_on()
