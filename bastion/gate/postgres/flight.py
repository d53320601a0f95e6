"""What was sent to the server and is not answered yet, and what names of the session stand for.

PostgreSQL answers in order, so the answers are told apart by what was sent. After an error in the
extended protocol it discards everything until the next Sync (simple queries too).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import Enum, auto

from bastion.errors import ClientFault
from bastion.gate.postgres.cells import Shape
from bastion.gate.postgres.copying import Copy
from bastion.model import SqlReading
from bastion.wire.postgres import Column

MAX_NAMED_BYTES = 32 * 1024 * 1024
"""Bytes of prepared statements that are remembered: a client could prepare for ever."""
MAX_BOUND_BYTES = 32 * 1024 * 1024
"""Bytes of values of open portals that are remembered for the record, likewise."""
MOST_SENT = 20_000
"""Messages that the server has not answered yet; a client that pipelines without end waits."""


class Kind(Enum):
    """What was sent."""

    QUERY = auto()
    PARSE = auto()
    BIND = auto()
    DESCRIBE = auto()
    EXECUTE = auto()
    CLOSE = auto()
    SYNC = auto()
    FUNCTION = auto()
    COPY_END = auto()


@dataclass(slots=True, eq=False)
class Prepared:
    """A prepared statement."""

    name: str
    sql: str
    reading: SqlReading
    columns: tuple[Column, ...] | None = None
    """Of its rows, once the server has described them; () where it has none."""
    number: int = 0
    """Of its message, as of `Sent`."""
    pending: bool = True
    """The server has not answered yet."""
    touches: bool = False
    """It may come near a table with masked columns."""


@dataclass(slots=True, eq=False)
class Portal:
    """A bound statement. `statements`: what it may be of, where an earlier Parse is unanswered."""

    name: str
    statements: tuple[Prepared, ...]
    parameters: tuple[str | None, ...] = ()
    formats: tuple[int, ...] = ()
    columns: tuple[Column, ...] | None = None
    described: bool = False
    """The client has asked what its columns are."""
    allowed: bool = False
    """It was decided and has begun: the rest of its rows needs no new verdict."""
    number: int = 0
    """Of its message, as of `Sent`."""

    @property
    def size(self) -> int:
        """Bytes that it costs to remember."""
        return 200 + sum(len(one) for one in self.parameters if one is not None)


@dataclass(slots=True, eq=False)
class Run:
    """One statement text that runs, for the record."""

    number: int
    sql: str
    reading: SqlReading
    started_at: float
    rows: int = 0
    size: int = 0
    columns: tuple[Column, ...] | None = None
    formats: tuple[int, ...] = ()
    plan: tuple[tuple[int, Shape], ...] | None = None
    """Which cells of its rows are looked at for secrets, once that is known."""
    copies_binary: bool = False
    clear: bool = False
    """People granted that secrets in its rows are shown."""
    shows_columns: bool = False
    """And masked columns."""
    touches: bool = False
    """It may come near a table with masked columns: what the server says of it is withheld."""
    copy: Copy | None = None
    """Which fields of the lines that it copies out are masked."""
    sets: bool = True
    """It may change a setting."""


@dataclass(slots=True, eq=False)
class Sent:
    """One message that the server has to answer."""

    kind: Kind
    run: Run | None = None
    prepared: Prepared | None = None
    portal: Portal | None = None
    target: str = ""
    """Of Close: `S` or `P` and the name."""
    own: bool = False
    """The bastion's own message: its answer is not the client's."""
    number: int = 0
    """Counts what is sent."""
    copy: Copy | None = None
    """Of Describe: what the columns are for."""

    @property
    def touches(self) -> bool:
        """Whether it may come near a table with masked columns."""
        if self.run is not None:
            return self.run.touches
        of = self.portal.statements if self.portal is not None else (self.prepared,)
        return any(one is not None and one.touches for one in of)


@dataclass(slots=True)
class Flight:
    """Everything of one connection that is under way."""

    sent: deque[Sent] = field(default_factory=deque)
    statements: dict[str, list[Prepared]] = field(default_factory=dict)
    portals: dict[str, deque[Portal]] = field(default_factory=dict)
    status: str = "I"
    """The transaction, as the last ReadyForQuery said: idle, in one, failed."""
    skipping: bool = False
    """The server discards all until Sync."""
    copying: bool = False
    """The server takes CopyData."""
    batch_runs: bool = False
    """Something was run since the last Sync that was sent."""
    touching: int = 0
    """The last message that may come near a table with masked columns."""
    _number: int = 0
    _sets: int = 0
    """The last message that may change a setting."""
    _settled: int = 0
    """The last one after which the server has reported what its settings are."""
    _synced: int = 0
    """The last message that begins anew what fails together."""
    _bytes: int = 0
    _bound_bytes: int = 0

    @property
    def full(self) -> bool:
        """More is under way than is remembered: the client waits for answers."""
        return len(self.sent) >= MOST_SENT or (
            bool(self.sent) and self._bound_bytes > MAX_BOUND_BYTES
        )

    def send(self, one: Sent) -> None:
        """Note what goes to the server."""
        self._number += 1
        one.number = self._number
        if one.touches:
            self.touching = self._number
        if one.run is not None and one.run.sets:
            self._sets = self._number
        if one.kind in {Kind.SYNC, Kind.QUERY, Kind.FUNCTION}:
            self._synced = self._number
        if one.kind is Kind.SYNC:
            self.batch_runs = False
            if self.copying:
                return  # ignored by the server while it takes CopyData
        elif one.kind is Kind.EXECUTE:
            self.batch_runs = True
        self.sent.append(one)

    @property
    def quiet(self) -> bool:
        """Nothing is under way that could still change a setting: servers since 14 report it at
        the ReadyForQuery that answers a Sync."""
        return not any(one.run is not None or one.kind is Kind.SYNC for one in self.sent)

    @property
    def unsettled(self) -> bool:
        """Whether something was sent that may have changed a setting unseen."""
        return self._sets > self._settled

    @property
    def settles(self) -> bool:
        """What is under way ends by itself: no Sync of the client, and no data, is waited for."""
        return not self.batch_runs and not self.copying

    def head(self) -> Sent | None:
        """What the next answer is for."""
        while self.sent and self.sent[0].kind is Kind.COPY_END:
            self.sent.popleft()  # CopyDone outside of a copy is ignored by the server
        return self.sent[0] if self.sent else None

    def take(self, *kinds: Kind) -> Sent | None:
        """The head, taken away, if it is one of these."""
        head = self.head()
        if head is None or head.kind not in kinds:
            return None
        return self.sent.popleft()

    # --- names ----------------------------------------------------------------------------------

    def known_statements(self, name: str) -> tuple[Prepared, ...]:
        """All that a name may stand for in what is sent next.

        What was sent in the same batch is surely what it stands for: had it failed, the server
        would discard the rest of the batch.
        """
        known = self.statements.get(name, [])
        return tuple(known[-1:] if known and known[-1].number > self._synced else known)

    def known_portals(self, name: str) -> tuple[Portal, ...]:
        """The same of portals."""
        known = self.portals.get(name)
        if not known:
            return ()
        return (known[-1],) if known[-1].number > self._synced else tuple(known)

    def prepare(self, prepared: Prepared) -> None:
        """A statement of this name may exist from here on."""
        prepared.number = self._number + 1
        self._bytes += len(prepared.sql) + 200
        if self._bytes > MAX_NAMED_BYTES:
            raise ClientFault("too many prepared statements; close some of them.")
        self.statements.setdefault(prepared.name, []).append(prepared)

    def prepared(self, one: Prepared) -> None:
        """The server has it: whatever had the name before is gone."""
        one.pending = False
        before = self.statements.get(one.name, [])
        if one in before:
            first = before.index(one)
            self._forget(before[:first])
            del before[:first]

    def unprepared(self, one: Prepared) -> None:
        """The server refused it."""
        one.pending = False
        before = self.statements.get(one.name, [])
        if one in before:
            before.remove(one)
            self._forget([one])
        if not before:
            self.statements.pop(one.name, None)

    def close(self, name: str) -> None:
        """A statement was closed; what was sent after that and is not answered yet stays."""
        before = self.statements.pop(name, [])
        kept = [one for one in before if one.pending]
        self._forget([one for one in before if not one.pending])
        if kept:
            self.statements[name] = kept

    def close_all(self) -> None:
        """DEALLOCATE ALL, DISCARD ALL."""
        for name in tuple(self.statements):
            self.close(name)

    def _forget(self, gone: list[Prepared]) -> None:
        self._bytes -= sum(len(one.sql) + 200 for one in gone)

    def bind(self, portal: Portal) -> None:
        """A portal of this name may exist from here on."""
        portal.number = self._number + 1
        self._bound_bytes += portal.size
        self.portals.setdefault(portal.name, deque()).append(portal)
        if len(self.portals) > 10_000 or (self._bound_bytes > MAX_BOUND_BYTES and not self.sent):
            raise ClientFault("too many open portals; close some of them.")

    def bound(self, portal: Portal) -> None:
        """The server has it: whatever had the name before is gone."""
        known = self.portals.get(portal.name)
        if known and portal in known:
            while known[0] is not portal:
                self._bound_bytes -= known.popleft().size

    def end_portals(self, name: str, before: int) -> None:
        """Those of this name are gone that were sent before this message."""
        known = self.portals.get(name)
        while known and known[0].number < before:
            self._bound_bytes -= known.popleft().size
        if not known:
            self.portals.pop(name, None)

    # --- errors, copies, ends ---------------------------------------------------------------------

    def fail(self) -> list[Sent]:
        """An error was answered; give what the server discards because of it."""
        head = self.head()
        if head is None:
            return []
        if head.kind is Kind.SYNC:  # an error at commit
            return []
        if head.kind in {Kind.QUERY, Kind.FUNCTION}:
            return [head]  # its ReadyForQuery is still to come
        self.skipping = True
        self.copying = False
        dropped: list[Sent] = []
        while self.sent and self.sent[0].kind is not Kind.SYNC:
            dropped.append(self.sent.popleft())
        if self.sent:
            self.skipping = False
        for one in dropped:
            self._undo(one)
        if self.sent and any(one.kind is Kind.QUERY for one in dropped):
            self.sent[0].own = False  # a simple query behind the bastion's own messages: its end
        return dropped

    def _undo(self, one: Sent) -> None:
        if one.kind is Kind.PARSE and one.prepared is not None:
            self.unprepared(one.prepared)
        if one.kind is Kind.BIND and one.portal is not None:
            known = self.portals.get(one.portal.name)
            if known and one.portal in known:
                known.remove(one.portal)
                self._bound_bytes -= one.portal.size

    def begin_copy(self) -> None:
        """CopyInResponse: every Sync that is on its way is ignored, up to the copy's end."""
        kept: deque[Sent] = deque()
        ended = False
        for index, one in enumerate(self.sent):
            if not ended and one.kind is Kind.COPY_END:
                ended = True
            elif index == 0 or ended or one.kind is not Kind.SYNC:
                kept.append(one)
        self.sent = kept
        self.copying = not ended

    def end_copy(self) -> None:
        """The client sent CopyDone or CopyFail."""
        if self.copying:
            self.copying = False
        elif self.sent and self.sent[-1].kind is not Kind.COPY_END:
            self.sent.append(Sent(Kind.COPY_END))

    def ready(self, status: str) -> Sent | None:
        """ReadyForQuery."""
        self.status = status
        self.copying = False
        sent = self.take(Kind.SYNC, Kind.QUERY, Kind.FUNCTION)
        if sent is not None:
            self._settled = sent.number
        if status == "I" and sent is not None:  # portals die with their transaction
            for name in tuple(self.portals):
                self.end_portals(name, sent.number)
        return sent
