"""The messages of a database client, one by one, in the order they came."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from bastion.errors import ClientFault
from bastion.events import (
    Decided,
    EndReason,
    HoldClient,
)
from bastion.gate.postgres import refusals
from bastion.gate.postgres.flight import Kind, Portal, Prepared, Sent
from bastion.gate.postgres.judging import Judging, Waiting
from bastion.gate.postgres.server import Refusal
from bastion.gate.postgres.values import LARGE_OBJECTS, called, shown_values
from bastion.model import (
    QueryRequest,
    SqlReading,
    SqlStatement,
    SqlUse,
)
from bastion.policy.rules import Action, Verdict
from bastion.wire import postgres as wire
from bastion.wire.postgres import Message

HELD_LIMIT: Final = 1024 * 1024
"""Bytes of a client that wait for a verdict; beyond it the client is not read."""

OVERHEAD: Final = 200
"""Bytes that a waiting message costs beside its own: Sync alone is five."""

_COPY: Final = frozenset(b"dcf")


class Messages(Judging):
    """Takes the client's messages; one that has to wait holds all that follow."""

    def __init__(self, nonce: str) -> None:
        super().__init__(nonce)
        self._frames = wire.Frames(b"d")
        self._queue: deque[Message] = deque()
        self._queued = 0
        self._held = False
        self._flushed = 0
        """The last message whose answer the bastion itself has asked the server for."""
        self._open = False
        self._leaving = False
        """The client's Terminate has arrived, though not yet its turn."""

    @abstractmethod
    def _leave(self, reason: EndReason) -> None:
        """End the session."""

    # --- the client's messages ----------------------------------------------------------------

    def _enqueue(self, at: float, data: bytes) -> None:
        for message in self._frames.feed(data):
            self._queue.append(message)
            self._queued += len(message.raw) + OVERHEAD
            self._leaving = self._leaving or message.kind == ord("X")
        self._work(at)

    def _work(self, at: float) -> None:
        """Take messages until one has to wait."""
        while self._queue and self._waiting is None and self._open and not self.flight.full:
            message = self._queue.popleft()
            self._queued -= len(message.raw) + OVERHEAD
            self._take(at, message)
        if self._queue and self.flight.full:
            self._flush_once()
        held = self._queued > HELD_LIMIT
        if held != self._held:
            self._held = held
            self._emit(HoldClient(held))

    def _flush_once(self) -> None:
        """The client waits for answers, which the server may keep until it is asked for them."""
        sent = self.flight.sent
        if sent[0].number > self._flushed:
            self._flushed = sent[-1].number
            self._to_target.append(wire.encode(b"H"))

    def _take(self, at: float, message: Message) -> None:
        kind = chr(message.kind)
        if self.flight.skipping and kind not in "SXdcf":
            return  # the server would discard it
        if self._name_may_change(kind, message):
            self._waiting = Waiting(quiet=lambda: self._take(at, message))
            return
        match kind:
            case "Q" | "P" | "B" | "E" | "F":
                self._statement(at, kind, message)
            case "D" | "C":
                self._describe_or_close(kind, message)
            case "S":
                self.flight.skipping = False
                self._forward(Sent(Kind.SYNC), message.raw)
            case "H":
                self._to_target.append(message.raw)
            case "d" | "c" | "f":
                self._copy(kind, message)
            case "X":
                self._to_target.append(message.raw)
                self._leave(EndReason.FINISHED)
            case _:
                raise ClientFault(f"a message of type {kind!r}, which the bastion does not know.")

    def _statement(self, at: float, kind: str, message: Message) -> None:
        match kind:
            case "Q":
                self._query(at, message)
            case "P":
                self._parse(message)
            case "B":
                self._bind(message)
            case "E":
                self._execute(at, message)
            case _:
                self._function(at, message)

    def _copy(self, kind: str, message: Message) -> None:
        if kind != "d":
            self.flight.end_copy()
        self._to_target.append(message.raw)

    def _forward(self, sent: Sent, raw: bytes) -> None:
        """Send a decided message, unless the server meanwhile discards all until Sync."""
        if self.flight.skipping and sent.kind is not Kind.SYNC:
            return
        self.flight.send(sent)
        self._to_target.append(raw)

    def _query(self, at: float, message: Message) -> None:
        raw = message.raw

        def decided(request: QueryRequest, verdict: Verdict) -> None:
            run = self._run(at, request, verdict)
            self._describe_copy(run)
            self._forward(Sent(Kind.QUERY, run, prepared=self._sql_prepared(request)), raw)
            if run.copy is not None:  # where describing it fails, the query is discarded up to here
                self._forward(Sent(Kind.SYNC, own=True), wire.SYNC)

        def refused(told: Refusal) -> None:
            self._forward(Sent(Kind.QUERY), wire.query(self._poison(told)))

        text = wire.decode_query(message.body)

        def judge(sql: str, reading: SqlReading) -> None:
            self._judge(sql, self._unsure(text, reading), (), decided, refused)

        self._with_reading(text, judge, refused)

    def _sql_prepared(self, request: QueryRequest) -> Prepared | None:
        """The statement that a PREPARE of SQL makes. One that stands among others, or inside of
        something, is not followed: then nobody knows what its name stands for."""
        statements = request.reading.statements
        made = [use for one in statements for use in one.uses if use.kind == "prepare"]
        if not made:
            return None
        if len(statements) > 1 or len(made) > 1 or statements[0].uses[0] != made[0]:
            for use in made:
                self.flight.statements.pop(use.name, None)
            return None
        kept = replace(statements[0], uses=statements[0].uses[1:])
        reading = SqlReading((kept,))
        prepared = Prepared(
            made[0].name, request.sql, reading, touches=self.near.to(request.reading)
        )
        self.flight.prepare(prepared)
        return prepared

    def _parse(self, message: Message) -> None:
        parsed = wire.decode_parse(message.body)
        raw = message.raw

        def read(sql: str, reading: SqlReading) -> None:
            reading = self._unsure(parsed.sql, reading)
            # What an EXECUTE in it stands for is looked up again at every execution.
            request = self._request(sql, self._resolve_names(reading), ())
            verdict = self._verdict(request)
            touches = self.near.to(request.reading)
            prepared = Prepared(self._name(parsed.name), sql, reading, touches=touches)
            if verdict.action is Action.DENY:
                self._emit_decided(request, verdict)
                refused(refusals.denied(verdict, reading.position))
                return
            self.flight.prepare(prepared)
            self._forward(Sent(Kind.PARSE, prepared=prepared), raw)

        def refused(told: Refusal) -> None:
            self._forward(Sent(Kind.PARSE), wire.parse(parsed.name, self._poison(told)))

        self._with_reading(parsed.sql, read, refused)

    def _name_may_change(self, kind: str, message: Message) -> bool:
        """Whether client_encoding may still change, which says what a name here stands for."""
        if not self.server.texts.changes or kind not in "PBDCE" or message.raw.isascii():
            return False
        return not self.flight.quiet and self.flight.settles

    def _name(self, name: str) -> str:
        """Of a statement or portal: by it what was decided is known again, in any encoding."""
        texts = self.server.texts
        if texts.changes and not name.isascii() and not self.flight.quiet:
            raise ClientFault("a name beyond ASCII, while client_encoding may change.")
        return texts.name(name)

    def _bind(self, message: Message) -> None:
        bound = wire.decode_bind(message.body)
        name = self._name(bound.statement)
        statements = self.flight.known_statements(name)
        codec = self.server.texts.codec
        values = shown_values(bound, codec) if self._terms.parameters else ()
        portal = Portal(self._name(bound.portal), statements, values, bound.formats)
        if not statements:
            reading = SqlReading((SqlStatement((SqlUse("execute", name=name),)),))
            portal.statements = (Prepared(name, f"EXECUTE {name}", reading),)
        self.flight.bind(portal)
        self._forward(Sent(Kind.BIND, portal=portal), message.raw)

    def _describe_or_close(self, kind: str, message: Message) -> None:
        if kind == "C":
            what, name = wire.decode_named(message.body, "Close")
            self._forward(Sent(Kind.CLOSE, target=what + self._name(name)), message.raw)
            return
        what, name = wire.decode_named(message.body, "Describe")
        name = self._name(name)
        sent = Sent(Kind.DESCRIBE)
        if what == "S":
            known = self.flight.known_statements(name)
            sent.prepared = known[-1] if known else None
        else:
            portals = self.flight.known_portals(name)
            sent.portal = portals[-1] if portals else None
            if sent.portal is not None:
                sent.portal.described = True
        self._forward(sent, message.raw)

    def _execute(self, at: float, message: Message) -> None:
        sent_name, _ = wire.decode_execute(message.body)
        name = self._name(sent_name)
        portals = self.flight.known_portals(name)
        raw = message.raw
        if not portals:  # a cursor of SQL's DECLARE, decided there; or nothing at all
            portals = (Portal(name, (_cursor(name),)),)
        portal = portals[-1]

        def decided(request: QueryRequest, verdict: Verdict) -> None:
            run = self._run(at, request, verdict)
            run.formats = portal.formats
            run.columns = portal.columns if run.touches else _columns(portal)
            portal.allowed = True
            asked = run.touches and portal.described  # else a prepared one may read another table
            if run.columns is None and self.server.results.described and not asked:
                own = Sent(Kind.DESCRIBE, portal=portal, own=True)
                self._forward(own, wire.describe_portal(sent_name))
            prepared = self._sql_prepared(request)
            self._describe_copy(run)
            self._forward(Sent(Kind.EXECUTE, run, prepared, portal), raw)

        def refused(told: Refusal) -> None:
            self._forward(Sent(Kind.EXECUTE, portal=portal), wire.execute(self._poison(told)))

        reading = self._resolve_names(_together(portals))
        sql = _texts(portals)
        if portal.allowed and len(portals) == 1:
            request = self._request(sql, reading, portal.parameters)
            decided(request, _GOES_ON)
            return
        self._judge(sql, reading, portal.parameters, decided, refused)

    def _function(self, at: float, message: Message) -> None:
        oid, values = wire.decode_function(message.body)
        raw = message.raw
        reading = called(oid)
        name = LARGE_OBJECTS.get(oid, str(oid))

        def decided(request: QueryRequest, verdict: Verdict) -> None:
            run = self._run(at, request, verdict)
            self._forward(Sent(Kind.FUNCTION, run), raw)

        def refused(told: Refusal) -> None:
            self._forward(Sent(Kind.QUERY), wire.query(self._poison(told)))

        if not self._terms.function_calls or self.masks.active:  # what comes back has no column
            request = self._request(f"FunctionCall {name}", reading, ())
            self._emit(Decided(request, _NO_CALLS))
            refused(refusals.denied(_NO_CALLS))
            return
        shown = tuple(None if one is None else f"{len(one)} bytes" for one in values)
        self._judge(f"FunctionCall {name}", reading, shown, decided, refused)


_GOES_ON: Final = Verdict(Action.ALLOW, "goes-on", "More rows of a statement that was decided.")
_NO_CALLS: Final = Verdict(
    Action.DENY,
    "no-function-calls",
    "Functions are not called by their number here.",
    "Call it in a SELECT, where it is decided like any other; for large objects of files on your"
    " side the policy has to say `function_calls: true`.",
)


def _columns(portal: Portal) -> tuple[wire.Column, ...] | None:
    if portal.columns is not None:
        return portal.columns
    return portal.statements[0].columns if len(portal.statements) == 1 else None


def _together(portals: Sequence[Portal]) -> SqlReading:
    """All that a name may stand for: the same text prepared anew, for one, does the same."""
    prepared = [one for portal in portals for one in portal.statements]
    readings = list({id(one.reading): one.reading for one in prepared}.values())
    if len(readings) == 1:
        return readings[0]
    return SqlReading(tuple(statement for one in readings for statement in one.statements))


OR: Final = "\n-- or, if that did not come about: "


def _texts(portals: Sequence[Portal]) -> str:
    """The text for the record and for people: all that it may be of, the likeliest first."""
    prepared = [one for portal in reversed(portals) for one in reversed(portal.statements)]
    return OR.join(dict.fromkeys(one.sql for one in prepared))


def _cursor(name: str) -> Prepared:
    use = SqlUse("cursor", name=name)
    return Prepared("", f"FETCH ALL FROM {name}", SqlReading((SqlStatement((use,)),)))
