"""A forward to a PostgreSQL target: the bastion speaks its protocol on both sides.

Who somebody is is the SSH session's to say. The user that the client names is a hint: a login that
the policy grants, or the role behind one; where there is only one, it is that.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from bastion.events import (
    Ask,
    Beat,
    Cancelled,
    CancelOther,
    CancelTarget,
    CancelTold,
    Effect,
    EndReason,
    Exit,
    Logged,
    MasksRead,
    ReadMasks,
    ReadSql,
    SqlRead,
    Stream,
)
from bastion.gate.postgres.gate import Admitted, PostgresGate
from bastion.model import (
    ForwardRequest,
    Granted,
    QueryRequest,
    Request,
    SqlReading,
    Target,
    visible,
)
from bastion.policy.access import grant_for, reachable
from bastion.policy.rules import Action, Policy, Verdict
from bastion.ssh.ask import Asker
from bastion.ssh.cancels import Cancellable
from bastion.ssh.channel import open_record
from bastion.ssh.drive import Drive
from bastion.ssh.forward_side import Origin, TcpForwardSide
from bastion.ssh.postgres_dialler import PostgresDialler
from bastion.ssh.postgres_lines import done_line, row_lines
from bastion.ssh.record import MOST_NOTED
from bastion.ssh.session import Place, Session, closed_to, deadline_of
from bastion.wire import postgres as wire

log = logging.getLogger(__name__)

BEAT_SECONDS: Final = 5.0
"""How often a held session shows a sign of life: socket time-outs begin at some seconds."""
CACHED_VERDICTS: Final = 1000
CACHED_TEXT: Final = 8192
SHORTEST_NUMBER: Final = 10
"""Digits that may be a card's or an account's number; shorter ones are no secret."""
LINE: Final = 2000
"""Characters of a statement that its line in the cast shows."""


class PostgresSide(TcpForwardSide):
    """The client's side of the forward: what the bastion says, it says in the protocol."""

    def __init__(self, origin: Origin) -> None:
        super().__init__(origin)
        self._sentence = ""
        self.at_close: Callable[[EndReason], None] = lambda _: None
        """Called with the reason of the end, perhaps more than once."""
        self.gate: PostgresGate | None = None
        self.refused: Callable[[], str] = lambda: ""
        """The SQLSTATE of a database that did not let the bastion in."""

    def show(self, data: bytes, stream: Stream) -> None:
        """Bytes of the session; a sentence of the bastion waits whether an end follows at once."""
        if stream is Stream.STDOUT:
            super().show(data, stream)
            return
        self._say_notice()
        self._sentence = data.decode("utf-8", "replace").strip()
        asyncio.get_running_loop().call_soon(self._say_notice)

    def _say_notice(self) -> None:
        sentence, self._sentence = self._sentence, ""
        if sentence and not self._inside():
            super().show(wire.notice(sentence, self._codec), Stream.STDOUT)

    def connection_lost(self, exc: Exception | None) -> None:
        """Closed."""
        super().connection_lost(exc)
        self.at_close(EndReason.CLIENT_LEFT)

    def _refused_code(self) -> str:
        """What the database itself said of a login, so that clients know a database that does not
        exist, or is full; but not of the credential, or they would ask for a password."""
        code = self.refused()
        return code if re.fullmatch("[0-9A-Z]{5}", code) and not code.startswith("28") else ""

    @property
    def _codec(self) -> str:
        return "utf-8" if self.gate is None else self.gate.server.texts.codec

    def _inside(self) -> bool:
        """Whether nothing may be said: inside of a message, or after the server's own last word."""
        return self.gate is not None and (self.gate.server.inside or self.gate.server.dying)

    def exit(self, ended: Exit) -> None:
        """Close; why is a FATAL error, as the server itself would say it."""
        self.at_close(ended.reason)
        sentence, self._sentence = self._sentence, ""
        if sentence and not self._inside():
            code = self._refused_code() or _CODES.get(ended.reason, "57P01")
            said = wire.error(code, sentence, fatal=True, codec=self._codec)
            super().show(said, Stream.STDOUT)
        # What was written last is the reason, so it must arrive.
        super().exit(Exit(EndReason.FINISHED) if self._chan is not None else ended)


_CODES: Final = {
    EndReason.DIAL_FAILED: "08001",
    EndReason.PROTOCOL_FAULT: "08P01",
    EndReason.TARGET_LEFT: "08006",
    EndReason.RECORDING_FAILED: "58030",
    EndReason.INTERNAL: "XX000",
}
"""SQLSTATEs of ends; 57P01 (admin_shutdown) otherwise."""


_ITS_OWN: Final = frozenset(
    {EndReason.FINISHED, EndReason.CLIENT_LEFT, EndReason.TARGET_LEFT, EndReason.DIAL_FAILED}
)
"""Ends after which a statement that still runs goes on, as it would without the bastion."""


class PostgresDrive(Drive):
    """The drive, with what only a database needs done."""

    session: Session
    place: Place
    postgres: PostgresGate
    dialler: PostgresDialler
    masked_texts: dict[str, str]

    def _perform_decision(self, effect: Effect) -> None:
        match effect:
            case ReadSql(number=number, text=text):
                clock = self._clock
                self.session.services.sql_reader.read(
                    text,
                    lambda reading: self.feed(SqlRead(clock(), number, reading)),
                    self.session.identity.id,
                )
            case ReadMasks(number=number):
                self.dialler.look_up_again(
                    lambda fault: self.feed(MasksRead(self._clock(), number, fault))
                )
            case Logged(kind=kind, fields=fields):
                self._log(kind, fields)
            case CancelTarget(pid=pid, key=key):
                self.dialler.cancel(pid, key)
            case CancelOther(pid=pid, key=key):
                self._cancel_other(pid, key)
            case Ask():
                super()._perform_decision(effect)
                self._beat_later()
            case _:
                super()._perform_decision(effect)

    def _log(self, kind: str, fields: Mapping[str, object]) -> None:
        """A statement, or how it ended: an event, and a line of the cast."""
        at = self._clock()
        if kind == "query":
            self.session.services.tally.queries += 1
            sql = self._masked(str(fields["sql"]))
            values = fields["parameters"]
            assert isinstance(values, list)
            shown = [None if one is None else self._masked(one) for one in values]
            self._record.logged(at, kind, {**fields, "sql": sql, "parameters": shown})
            self._record.line(at, f"#{fields['number']} {' '.join(sql[:LINE].split())}")
            return
        if kind == "rows":
            self._record.logged(at, kind, fields)
            for line in row_lines(fields):
                self._record.line(at, line)
            return
        said = self._masked(str(fields["said"])) if fields["said"] else ""
        self._record.logged(at, kind, {**fields, "said": said})
        if found := fields.get("masked"):
            assert isinstance(found, dict)
            each = [{"detector": name} for name, count in found.items() for _ in range(count)]
            number, more = fields["number"], max(0, len(each) - MOST_NOTED)
            self._note(
                "masked", stream="database", number=number, secrets=each[:MOST_NOTED], more=more
            )
        self._record.line(at, done_line(fields, said))

    def _masked(self, text: str) -> str:
        """Secrets out; the same few texts come again and again."""
        if text.isdigit() and len(text) < SHORTEST_NUMBER:
            return text
        if len(text) > CACHED_TEXT:
            return self._record.mask(text)
        known = self.masked_texts.get(text)
        if known is None:
            if len(self.masked_texts) >= CACHED_VERDICTS:
                self.masked_texts.clear()
            known = self.masked_texts[text] = self._record.mask(text)
        return known

    def _cancel_other(self, pid: int, key: bytes) -> None:
        services = self.session.services
        identity, target = self.session.identity.id, self.place.target.name

        def told() -> None:
            self.feed(CancelTold(self._clock()))

        done = services.cancels.cancel(identity, target, pid, key, told)
        self._note("cancel-request", found=done)

    def _beat_later(self) -> None:
        asyncio.get_running_loop().call_later(BEAT_SECONDS, self._beat)

    def _beat(self) -> None:
        if self.ended is None and self.postgres.holding:
            self.feed(Beat(self._clock()))
            self._beat_later()


def logins_on(session: Session, target: Target) -> tuple[str, ...]:
    """The logins that the policy in force grants there."""
    found = reachable(session.services.policy(), session.identity, [target])
    return found[0].logins if found else ()


@dataclass(slots=True)
class Entrance:
    """Admits a client of one channel (the gate's `Admit`)."""

    session: Session
    target: Target
    admitted: Callable[[Place], None]

    def __call__(self, user: str, database: str) -> Admitted | Verdict:
        """Who this is on the target, by the policy in force now."""
        login = self._login(user)
        if isinstance(login, Verdict):
            return login
        place = Place(self.target, login)
        reason = closed_to(self.session, place)
        if reason:
            return Verdict(Action.DENY, "closed", reason)
        policy = self.session.services.policy()
        features = grant_for(policy, self.session.identity, self.target, login)
        if features is None:
            return Verdict(Action.DENY, "no-grant", "No grant lets you reach this database.")
        self.admitted(place)
        return Admitted(login, CachedVerdicts(self.session, place), features.database)

    def _login(self, user: str) -> str | Verdict:
        logins = logins_on(self.session, self.target)
        by_role = {self.target.database.roles.get(one, one): one for one in logins}
        if user in logins:
            return user
        if user in by_role:
            return by_role[user]
        if len(logins) == 1:
            return logins[0]
        if not logins:
            return Verdict(Action.DENY, "no-grant", f"No grant lets you reach {self.target.name}.")
        return Verdict(
            Action.DENY,
            "no-login",
            f"You are not {visible(user, limit=60)} on {self.target.name}.",
            f"Connect as one of: {', '.join(logins)} (psql -U, or user= in the connection string).",
        )


@dataclass(slots=True)
class CachedVerdicts:
    """Verdicts for SQL of one session, while policy and what its identity is granted stay the same.

    A verdict on a query follows from them, the place, and what the text does (`decide_query`); and
    statements that do the same are the same objects, for the reader remembers them.
    """

    session: Session
    place: Place
    _stands_on: tuple[Policy, tuple[Granted, ...]] | None = None
    _known: OrderedDict[tuple[int, ...], tuple[SqlReading, Verdict]] = field(
        default_factory=OrderedDict
    )

    def __call__(self, request: Request) -> Verdict:
        """Decide; what does the same gets the same verdict."""
        if not isinstance(request, QueryRequest) or len(request.sql) > CACHED_TEXT:
            return self.session.verdict(self.place, request)
        policy, granted = self.session.services.policy(), self.session.identity.granted
        known = self._stands_on
        if known is None or known[0] is not policy or known[1] != granted:
            self._stands_on = (policy, granted)
            self._known.clear()
        reading = request.reading
        if request.clear or request.misused:
            return self.session.verdict(self.place, request)
        key = tuple(map(id, reading.statements))  # kept, so that no other has their numbers
        found = self._known.get(key)
        if found is not None and not reading.fault:
            return found[1]
        verdict = self.session.verdict(self.place, request)
        if not reading.fault:
            self._known[key] = reading, verdict
        if len(self._known) > CACHED_VERDICTS:
            self._known.popitem(last=False)
        return verdict


async def open_postgres(origin: Origin, target: Target, request: ForwardRequest) -> object:
    """Terminate a forward to a PostgreSQL target; a BastionError says why not."""
    session, services = origin.session, origin.services
    logins = logins_on(session, target)
    place = Place(target, logins[0] if len(logins) == 1 else "")
    channel = session.next_channel()
    record = open_record(session, place, channel, request, text=False)
    side = PostgresSide(origin)
    asker = Asker(session, place, channel)

    def admitted(known: Place) -> None:
        asker.place = dialler.place = drive.place = known
        drive.login = known.login
        if known.login != place.login:
            record.logged_in(known.login)
        drive.deadline = deadline_of(session, known)

    entrance = Entrance(session, target, admitted)
    gate = PostgresGate(entrance, secrets.token_bytes(32), secrets.token_hex(8))
    dialler = PostgresDialler(session, place, gate)
    drive = PostgresDrive(
        gate=gate,
        client=side,
        dialler=dialler,
        asker=asker,
        record=record,
        masking=services.masks.everywhere,
        clock=services.clock,
        target_name=target.name,
    )
    drive.masked_texts = {}
    drive.session, drive.place, drive.postgres, drive.dialler = session, place, gate, dialler
    side.gate = gate
    side.refused = lambda: dialler.refused
    side.drive = drive
    side.request = request

    def cancel(told: Callable[[], None]) -> None:
        drive.feed(Cancelled(services.clock()))
        dialler.when_cancelled(told)

    def over(reason: EndReason) -> None:
        services.cancels.remove(cancellable)
        if reason not in _ITS_OWN and gate.flight.sent:  # a server reads no socket while it works
            for one in gate.server.cancel():
                assert isinstance(one, CancelTarget)
                dialler.cancel(one.pid, one.key)
        dialler.ended()

    cancellable = Cancellable(session.identity.id, target.name, lambda: gate.key, cancel)
    services.cancels.add(cancellable)
    side.at_close = over
    session.drives.add(drive)
    return side
