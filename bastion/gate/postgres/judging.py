"""How one message of a database client is read, decided, held, refused, and run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from bastion.errors import TargetFault
from bastion.events import (
    Ask,
    Decided,
    Effect,
    Exit,
    Logged,
    Outcome,
    ReadMasks,
    ReadSql,
    Resolved,
    ToClient,
    ToTarget,
    Withdraw,
)
from bastion.gate.gate import Decide
from bastion.gate.postgres import misuse, refusals
from bastion.gate.postgres.copying import Copy
from bastion.gate.postgres.flight import Flight, Kind, Prepared, Run, Sent
from bastion.gate.postgres.mask import Masks
from bastion.gate.postgres.near import Near
from bastion.gate.postgres.results import Results
from bastion.gate.postgres.server import Refusal, Server
from bastion.gate.words import unresolved
from bastion.model import (
    QueryRequest,
    Request,
    SqlReading,
    SqlStatement,
    SqlUse,
)
from bastion.policy.access import DatabaseTerms
from bastion.policy.decide_sql import shows_columns, unread
from bastion.policy.masking import wants_clear
from bastion.policy.rules import Action, Verdict
from bastion.wire import postgres as wire

MAX_RECORDED: Final = 200_000
"""Characters of a statement that are recorded: a denied one of 60 MB must not fill the disk."""
MAX_HELD: Final = 1024 * 1024
"""Characters of a statement that people are asked about, who get all of it."""


@dataclass(slots=True)
class Waiting:
    """What the client's next message waits for."""

    resume: Callable[[SqlReading], None] | None = None
    """It waits for a reading."""
    request: QueryRequest | None = None
    verdict: Verdict | None = None
    run: Callable[[QueryRequest, Verdict], None] | None = None
    """It waits for people."""
    quiet: Callable[[], None] | None = None
    """It waits until nothing is under way."""
    in_batch: bool = False
    number: int = 0
    refuse: Callable[[Refusal], None] | None = None
    """Refuses it, while nothing of it is decided yet."""
    cancelled: bool = False
    reading: SqlReading | None = None
    """It waits until what is masked is looked up again."""


class Judging(ABC):
    """The verdicts of one session, and what they have done."""

    def __init__(self, nonce: str) -> None:
        self._nonce = nonce
        self._waiting: Waiting | None = None
        self._number = 0
        self._asked = 0
        self._decide: Decide | None = None
        self._terms = DatabaseTerms()
        self._database = ""
        self._effects: list[Effect] = []
        self._to_target: list[bytes] = []
        self._refuse_held: Callable[[Refusal], None] = lambda _told: None
        self.flight = Flight()
        self.masks = Masks()
        self.near = Near(self.masks)
        self.server = Server(self.flight, Results(self.masks), self._batch_failed, self._strange)

    @property
    def holding(self) -> bool:
        """Whether people are asked about something of this session now."""
        return self._waiting is not None and self._waiting.request is not None

    def _emit(self, effect: Effect) -> None:
        """Have something done: before what is sent in this step, but for an end."""
        if isinstance(effect, Exit):
            self._send_collected()
        self._effects.append(effect)

    def _send_collected(self) -> None:
        if self._to_target:
            self._effects.append(ToTarget(b"".join(self._to_target)))
            self._to_target = []

    @abstractmethod
    def _work(self, at: float) -> None:
        """Take messages until one has to wait."""

    # --- readings and verdicts ----------------------------------------------------------------

    def _with_reading(
        self,
        raw: bytes,
        go_on: Callable[[str, SqlReading], None],
        refuse: Callable[[Refusal], None],
    ) -> None:
        """Have a text read; where settings count, once they are surely what they were."""
        self._number += 1

        def ask() -> None:
            sql = self.server.texts.text(raw)
            if sql is None:
                refuse(refusals.not_text(self.server.texts.encoding))
                return
            self._waiting = Waiting(
                resume=lambda reading: go_on(sql, reading), refuse=refuse, number=self._number
            )
            self._emit(ReadSql(self._number, sql))

        waits = self.flight.unsettled and not self.flight.quiet and self.flight.settles
        if waits and self._delicate(raw):
            self._waiting = Waiting(quiet=ask, refuse=refuse)
        else:
            ask()

    def _delicate(self, raw: bytes) -> bool:
        """Whether a change of settings could change how this is read."""
        return b"\\" in raw or (self.server.texts.changes and not raw.isascii())

    def _unsure(self, raw: bytes, reading: SqlReading) -> SqlReading:
        """After something ran in the same batch: a setting may have changed unseen."""
        settled = not self.flight.unsettled or (self.flight.quiet and not self.flight.batch_runs)
        if settled or not self._delicate(raw) or not reading.statements:
            return reading
        what = "a backslash" if b"\\" in raw else "characters beyond ASCII"
        reason = f"it has {what}, and follows another statement without a Sync between"
        first, *others = reading.statements
        return SqlReading((replace(first, opaque=(*first.opaque, reason)), *others))

    def _read(self, at: float, number: int, reading: SqlReading) -> None:
        waiting = self._waiting
        if waiting is None or waiting.resume is None or waiting.number != number:
            return
        if waiting.reading is None and self.near.lacks(reading, at):
            waiting.reading = reading
            self._emit(ReadMasks(number))
            return
        self._waiting = None
        if waiting.cancelled and waiting.refuse is not None:
            waiting.refuse(refusals.cancelled("It was cancelled before it was sent."))
        elif not self.flight.skipping:
            waiting.resume(reading)
        self._work(at)

    def _masks_read(self, at: float, number: int, fault: str) -> None:
        """The masks are up to date for the reading that waits, or cannot be told."""
        waiting = self._waiting
        if waiting is None or waiting.reading is None or waiting.number != number:
            return
        if fault and waiting.refuse is not None:
            self._waiting = None
            waiting.refuse(refusals.unsure_of_masks(fault))
            self._work(at)
            return
        self.near.looked(waiting.reading, at)
        self._read(at, number, waiting.reading)

    def _strange(self, sent: Sent, columns: Sequence[wire.Column]) -> None:
        """Show nothing of a table that was not there when the masks were looked up."""
        if not self.masks.active or not self.masks.known.strange(columns):
            return
        of = [] if sent.run is None else [sent.run.reading]
        prepared = [sent.prepared, *(sent.portal.statements if sent.portal is not None else ())]
        of += [one.reading for one in prepared if one is not None]
        if not any(map(self.near.may_be_strange, of)):
            raise TargetFault("tables have changed since what is masked was looked up.")

    def _resolve_names(self, reading: SqlReading) -> SqlReading:
        """EXECUTE of a statement whose text was seen here stands for that text."""
        if not any(use.kind == "execute" for one in reading.statements for use in one.uses):
            return reading
        return SqlReading(tuple(self._resolve_statement(one) for one in reading.statements))

    def _resolve_statement(self, statement: SqlStatement) -> SqlStatement:
        uses: list[SqlUse] = []
        columns, opaque = list(statement.columns), list(statement.opaque)
        calls, behind = list(statement.calls), list(statement.behind)
        stored = any(use.kind == "create" for use in statement.uses)
        for use in statement.uses:
            known = self.flight.statements.get(use.name, []) if use.kind == "execute" else []
            if not known:
                uses.append(use)
            for prepared in known:
                for inner in prepared.reading.statements:
                    uses += inner.uses
                    columns += (replace(one, plain=one.plain and not stored)
                                for one in inner.columns)  # fmt: skip
                    opaque += inner.opaque
                    calls += inner.calls
                    behind += inner.behind
        return replace(
            statement, uses=tuple(uses), columns=tuple(columns), opaque=tuple(opaque),
            calls=tuple(calls), behind=tuple(behind),
        )  # fmt: skip

    def _request(
        self, sql: str, reading: SqlReading, parameters: tuple[str | None, ...]
    ) -> QueryRequest:
        return QueryRequest(sql, reading, parameters, self._database, wants_clear(sql))

    def _verdict(self, request: Request) -> Verdict:
        assert self._decide is not None
        if not isinstance(request, QueryRequest) or not self.masks.active:
            return self._decide(request)
        verdict = self._decide(replace(request, misused=self._misused(request)))
        if verdict.action is Action.DENY:
            return verdict
        return self._unmaskable(request.reading) or verdict

    def _unmaskable(self, reading: SqlReading) -> Verdict | None:
        """Why it cannot be masked, whatever a policy allows."""
        if reading.fault and self._terms.masked_elsewhere is not Action.ALLOW:
            return unread(reading)
        copies = any(one.copy and self.near.to_statement(one) for one in reading.statements)
        return misuse.uncopied(reading) if copies else None

    def _misused(self, request: QueryRequest) -> str:
        """What a policy cannot know of: views, partitions, functions that read by themselves."""
        shown = request.clear and shows_columns(self._terms, request.reading)
        return misuse.misused(request.reading, self.masks, self.near.functions, shown=shown)

    def _judge(
        self,
        sql: str,
        reading: SqlReading,
        parameters: tuple[str | None, ...],
        decided: Callable[[QueryRequest, Verdict], None],
        refused: Callable[[Refusal], None],
    ) -> None:
        reading = self._resolve_names(reading)
        request = self._request(sql, reading, parameters)
        verdict = self._verdict(request)
        if verdict.action is Action.APPROVE and len(sql) > MAX_HELD:
            verdict = replace(verdict, action=Action.DENY, reason=_TOO_LONG)
        if verdict.action is Action.ALLOW:
            if verdict.opaque:
                self._emit_decided(request, verdict)
            decided(request, verdict)
            return
        self._emit_decided(request, verdict)
        if verdict.action is Action.DENY:
            refused(refusals.denied(verdict, reading.position))
            return
        if self.flight.status != "I" or self.flight.sent:
            facts = (*verdict.parse, "an open transaction waits with it, and keeps its locks")
            verdict = replace(verdict, parse=facts)
        self._asked += 1
        self._waiting = Waiting(
            request=request,
            verdict=verdict,
            run=decided,
            number=self._asked,
            in_batch=bool(self.flight.sent),
        )
        self._refuse_held = refused
        self._emit(Ask(self._asked, request, verdict))

    def _emit_decided(self, request: QueryRequest, verdict: Verdict) -> None:
        self._emit(Decided(replace(request, sql=_recorded(request.sql)), verdict))

    def _resolved(self, resolved: Resolved) -> None:
        waiting = self._waiting
        if waiting is None or waiting.request is None or resolved.ask != waiting.number:
            return
        assert waiting.verdict is not None
        assert waiting.run is not None
        self._waiting = None
        if resolved.outcome is not Outcome.GRANTED:
            self._refuse_held(
                Refusal("42501", f"bastion: {unresolved(resolved, waiting.verdict)}",
                        f"Rule {waiting.verdict.rule}.", waiting.verdict.hint)
            )  # fmt: skip
        else:
            now = self._verdict(waiting.request)
            if now.action is Action.DENY:  # the policy changed meanwhile
                self._emit(Decided(waiting.request, now))
                self._refuse_held(refusals.denied(now))
            else:
                waiting.run(waiting.request, waiting.verdict)
        self._work(resolved.at)

    def _cancelled(self, at: float) -> None:
        if not self.holding:
            if self._waiting is not None and self.flight.quiet:  # it is what the client waits for
                self._waiting.cancelled = True
            for effect in self.server.cancel():
                self._emit(effect)
            return
        assert self._waiting is not None
        self._waiting = None
        self._emit(Withdraw(self._asked))
        self._refuse_held(refusals.cancelled("It was held for approval; nothing was run."))
        self._work(at)

    def _batch_failed(self) -> None:
        """An earlier message of the batch failed: what is held behind it will not run."""
        if self.holding and self._waiting is not None and self._waiting.in_batch:
            self._waiting = None
            self._emit(Withdraw(self._asked))

    def _beat(self) -> None:
        """A repeated ParameterStatus keeps a client's socket time-out from ending a hold."""
        zone = self.server.zone
        if zone and self.holding and self.server.ready and not self.server.inside:
            self._emit(ToClient(wire.setting("TimeZone", zone)))

    def _poison(self, told: Refusal) -> str:
        """A name that the server cannot know, by which its error is known again."""
        self._number += 1
        name = f"bastion_refused_{self._nonce}_{self._number}_"
        self.server.refusals[name] = told
        return name

    def _run(self, at: float, request: QueryRequest, verdict: Verdict) -> Run:
        self._number += 1
        sql = request.sql
        fields: dict[str, object] = {
            "number": self._number,
            "sql": _recorded(sql),
            "parameters": list(request.parameters),
            "action": verdict.action.value,
            "rule": verdict.rule,
            "transaction": self.flight.status,
        }
        self.server.texts.sent(request.reading)
        if request.clear:
            fields["clear"] = True
        self._emit(Logged("query", fields))
        run = Run(self._number, sql, request.reading, at, clear=request.clear)
        run.shows_columns = run.clear and shows_columns(self._terms, request.reading)
        run.touches = self.near.runs(request.reading)
        run.sets = not _sets_nothing(request.reading)
        self.server.touched(run)
        copy = request.reading.statements[0].copy if request.reading.statements else None
        if copy is not None and run.touches and copy.select:
            run.copy = Copy(copy)
        return run

    def _describe_copy(self, run: Run) -> None:
        """Have the server say which columns a copy has, as it would for a SELECT of the same."""
        if run.copy is None:
            return
        name = f"bastion_copy_{self._nonce}"
        prepared = Prepared(name, run.copy.form.select, run.reading, touches=True)
        raw = run.copy.form.select.encode(self.server.texts.codec, "replace")
        text = raw.decode("utf-8", "surrogateescape")  # as it goes to the server, byte for byte
        self._forward(Sent(Kind.PARSE, prepared=prepared, own=True), wire.parse(name, text))
        self._forward(Sent(Kind.DESCRIBE, own=True, copy=run.copy), wire.describe_statement(name))
        self._forward(Sent(Kind.CLOSE, own=True), wire.close_statement(name))

    @abstractmethod
    def _forward(self, sent: Sent, raw: bytes) -> None:
        """Send a decided message."""


_QUIET_KINDS: Final = frozenset({"select", "insert", "update", "delete", "merge"})


def _sets_nothing(reading: SqlReading) -> bool:
    """Whether a text surely changes no setting: it calls no function. (A trigger that does is
    refused where it is made, as a SET is, and one that was there is the database's own.)"""
    uses = [use for statement in reading.statements for use in statement.uses]
    opaque = any(statement.opaque for statement in reading.statements)
    return bool(uses) and not opaque and all(use.kind in _QUIET_KINDS for use in uses)


_TOO_LONG: Final = "It needs an approval, and is too long for anybody to read."


def _recorded(sql: str) -> str:
    return sql if len(sql) <= MAX_RECORDED else f"{sql[:MAX_RECORDED]}… ({len(sql)} characters)"
