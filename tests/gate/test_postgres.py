"""The PostgreSQL gate without a server: any cut of the streams, and what must never get through."""

from __future__ import annotations

import itertools
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bastion.errors import ClientFault, ProtocolFault, TargetFault
from bastion.events import (
    Ask,
    Cancelled,
    CancelOther,
    CancelTarget,
    CancelTold,
    Decided,
    Dial,
    Exit,
    FromClient,
    FromTarget,
    HoldClient,
    Outcome,
    ReadSql,
    Resolved,
    SqlRead,
    ToClient,
    ToTarget,
    Withdraw,
)
from bastion.gate.postgres.gate import Admitted, PostgresGate
from bastion.gate.postgres.known import Known
from bastion.gate.postgres.mask import Masks
from bastion.model import QueryRequest, SqlReading, SqlStatement, SqlUse
from bastion.policy.access import DatabaseTerms
from bastion.policy.rules import Action, Verdict
from bastion.policy.sql.reading import read_sql
from bastion.wire import postgres as wire

SECRET = bytes(range(32))
GREETING = (
    wire.setting("TimeZone", "UTC")
    + wire.setting("client_encoding", "UTF8")
    + wire.backend_key(4711, b"real")
    + wire.ready("I")
)


def decide(request):
    if not isinstance(request, QueryRequest):
        return Verdict(Action.ALLOW, "database", "")
    text = request.sql + "".join(
        use.name for one in request.reading.statements for use in one.uses
    )  # fmt: skip
    if "forbidden" in text:
        return Verdict(Action.DENY, "no", "It is forbidden.", "Do not.")
    if "held" in text:
        return Verdict(Action.APPROVE, "ask", "A person looks.")
    return Verdict(Action.ALLOW, "default", "")


MASKS = Masks({16384: frozenset({2})}, active=True, known=Known({16384: 2}))


class Run:
    """A gate with a shell that reads SQL at once, and keeps all it wants done."""

    def __init__(
        self, *, terms=None, user="app", settings=(), open_=True, minor=0, masks=None, real=False
    ):
        self.real = real
        terms = terms or DatabaseTerms()
        self.seen = []
        self.readings = []
        self.gate = PostgresGate(
            lambda _user, _database: Admitted("app", self.decide, terms), SECRET, "nonce"
        )
        self.effects = []
        if open_:
            pairs = [("user", user), ("database", "db"), *settings]
            packet = bytearray(wire.startup(pairs))
            packet[7] = minor
            self.client(bytes(packet))
            if masks is not None:
                self.gate.mask(masks)
            self.server(GREETING)

    def decide(self, request):
        if isinstance(request, QueryRequest):
            self.readings += request.reading.statements
            self.seen.append({use.kind for one in request.reading.statements for use in one.uses})
        return decide(request)

    def feed(self, event):
        pending = [event]
        while pending:
            for effect in self.gate.feed(pending.pop(0)):
                self.effects.append(effect)
                if isinstance(effect, ReadSql):
                    use = SqlUse("select", name=effect.text)
                    reading = SqlReading((SqlStatement((use,)),))
                    if self.real:
                        reading = read_sql(effect.text)
                    pending.append(SqlRead(1.0, effect.number, reading))

    def client(self, data):
        self.feed(FromClient(1.0, data))

    def server(self, data):
        self.feed(FromTarget(2.0, data))

    def all(self, kind):
        return [effect for effect in self.effects if isinstance(effect, kind)]

    @property
    def sent(self):
        return b"".join(effect.data for effect in self.all(ToTarget))

    @property
    def shown(self):
        return b"".join(effect.data for effect in self.all(ToClient))


def parse(name, sql):
    return wire.parse(name, sql)


def bind(portal, statement, *values):
    body = wire.text_bytes(portal, statement) + b"\0\0" + len(values).to_bytes(2, "big")
    for value in values:
        body += len(value).to_bytes(4, "big") + value
    return wire.encode(b"B", body + b"\0\0")


SYNC = wire.encode(b"S")
DONE = wire.encode(b"C", b"SELECT 1\0")
COLUMNS = wire.encode(
    b"T", b"\0\1" + b"a\0" + struct.pack(">IhIhih", 16384, 2, 25, -1, -1, 0)
)  # fmt: skip


def failure(run):
    """The error that a server raises for what the gate sent in the place of a refused message."""
    name = next(iter(run.gate.server.refusals))
    return wire.error("42601", f'syntax error at or near "{name}"')


# --- the door -----------------------------------------------------------------------------------


def test_encryption_is_declined_once_each():
    run = Run(open_=False)
    run.client(struct.pack(">ii", 8, wire.SSL_REQUEST))
    run.client(struct.pack(">ii", 8, wire.GSS_REQUEST))
    assert run.shown == b"NN"
    with pytest.raises(ClientFault):
        run.client(struct.pack(">ii", 8, wire.SSL_REQUEST))


def test_bytes_behind_a_request_for_encryption_are_a_fault():
    with pytest.raises(ClientFault):
        Run(open_=False).client(struct.pack(">ii", 8, wire.SSL_REQUEST) + b"x" * 20)


def test_direct_tls_is_told_what_to_do():
    run = Run(open_=False)
    run.client(b"\x16\x03\x01\x00\xa5\x01\x00\x00")
    assert b"sslmode" in run.shown
    assert run.all(Exit)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ([("replication", "true")], b"replication"),
        ([("options", "-c role=forbidden")], b"role: denied by rule no"),
        ([("session_authorization", "forbidden")], b"role: denied by rule no"),
        ([("myapp.mode", "held")], b"myapp.mode needs an approval"),
        ([("options", "-d 5")], b"options"),
        ([("client_encoding", "GBK")], b"GBK"),
    ],
)
def test_settings_that_are_not_passed_are_refused(settings, said):
    run = Run(open_=False)
    run.client(wire.startup([("user", "app"), *settings]))
    assert said in run.shown
    assert not run.all(Dial)


def test_what_the_gate_relies_on_is_set_from_the_start():
    run = Run(terms=DatabaseTerms(read_only=True), settings=[("options", "-c TimeZone=UTC")])
    wanted = dict(run.all(Dial)[0].request.settings)
    assert wanted["standard_conforming_strings"] == "on"
    assert wanted["client_encoding"] == "UTF8"
    assert wanted["default_transaction_read_only"] == "on"
    assert wanted["TimeZone"] == "UTC"


def test_the_client_gets_the_servers_process_id_and_a_secret_of_the_bastions_own():
    old, new = Run(minor=0), Run(minor=2)
    assert wire.backend_key(4711, SECRET[:4]) in old.shown
    assert wire.backend_key(4711, SECRET) in new.shown
    assert b"real" not in old.shown + new.shown
    assert old.gate.key == (4711, SECRET[:4])


def test_a_server_without_a_key_gives_none():
    run = Run(open_=False)
    run.client(wire.startup([("user", "app"), ("database", "db")]))
    run.server(wire.setting("client_encoding", "UTF8") + wire.ready("I"))
    assert run.gate.key is None
    assert b"K\0\0\0" not in run.shown


def test_a_newer_protocol_is_negotiated_down():
    run = Run(minor=9)
    assert run.shown.startswith(b"v")


def test_a_cancel_request_is_handed_on_and_never_answered():
    run = Run(open_=False)
    run.client(wire.cancel(77, SECRET[:4]))
    assert run.all(CancelOther) == [CancelOther(77, SECRET[:4])]
    run.client(b"more")
    assert not run.all(Exit)
    run.feed(CancelTold(2.0))
    assert run.shown == b""
    assert run.all(Exit)


# --- statements ---------------------------------------------------------------------------------


def test_a_query_passes_as_it_came():
    run = Run()
    run.client(wire.query("select 1"))
    assert run.sent == wire.query("select 1")


def test_a_refused_query_is_replaced_and_its_error_rewritten():
    run = Run()
    run.client(wire.query("forbidden"))
    assert b"forbidden" not in run.sent
    run.server(failure(run) + wire.ready("I"))
    assert b"42501" in run.shown
    assert b"It is forbidden." in run.shown
    assert b"nonce" not in run.shown


def test_a_refused_parse_never_reaches_the_server():
    run = Run()
    run.client(parse("s", "forbidden") + bind("", "s") + wire.execute("") + SYNC)
    assert b"forbidden" not in run.sent
    run.server(failure(run) + wire.ready("I"))
    assert run.gate.flight.statements == {}


def test_a_prepared_statement_is_decided_again_at_every_execution():
    run = Run()
    run.client(parse("s", "held") + SYNC)
    run.server(wire.encode(b"1") + wire.ready("I"))
    for number in (1, 2):
        run.client(bind("", "s", b"v") + wire.execute("") + SYNC)
        assert run.all(Ask)[-1].ask == number
        assert run.all(Ask)[-1].request.parameters == ("v",)
        assert wire.execute("") not in run.sent[-10:]
        run.feed(Resolved(3.0, number, Outcome.GRANTED))
        run.server(wire.encode(b"2") + DONE + wire.ready("I"))
    assert run.sent.count(wire.execute("")) == 2


def test_the_rest_of_a_portal_needs_no_new_verdict():
    run = Run()
    run.client(parse("", "held") + bind("p", "") + wire.execute("p"))
    run.feed(Resolved(3.0, 1, Outcome.GRANTED))
    run.server(wire.encode(b"1") + wire.encode(b"2") + wire.encode(b"s"))
    run.client(wire.execute("p") + SYNC)
    assert len(run.all(Ask)) == 1
    assert run.sent.count(wire.execute("p")) == 2


def test_a_statement_prepared_anew_may_still_be_the_old_one():
    """Parse is unanswered: should it fail, Bind takes what had the name before."""
    run = Run()
    run.client(parse("s", "held one") + SYNC)
    run.server(wire.encode(b"1") + wire.ready("I"))
    run.client(parse("s", "harmless") + SYNC + bind("", "s") + wire.execute(""))
    assert run.all(Ask)


def executed(run, *texts):
    for text in texts:
        run.client(wire.query(text))
        tag = text.partition(" ")[0].encode()
        run.server(wire.encode(b"C", tag + b"\0") + wire.ready("I"))


def test_what_execute_stands_for_is_looked_up_when_it_runs():
    """A Parse of EXECUTE kept what the name stood for at that time."""
    run = Run(real=True)
    executed(run, "PREPARE x AS SELECT 1")
    run.client(parse("p", "EXECUTE x") + SYNC)
    run.server(wire.encode(b"1") + wire.ready("I"))
    executed(run, "DEALLOCATE x", "PREPARE x AS DELETE FROM t")
    run.client(bind("", "p") + wire.execute("") + SYNC)
    assert run.seen[-1] == {"delete"}


def test_a_prepare_among_other_statements_makes_its_name_unknown():
    run = Run(real=True)
    executed(run, "PREPARE x AS SELECT 1", "DEALLOCATE x; PREPARE x AS DELETE FROM t")
    run.client(wire.query("EXECUTE x"))
    assert "x" not in run.gate.flight.statements
    assert run.seen[-1] == {"execute"}


def test_cancelling_a_hold_withdraws_it_and_the_session_goes_on():
    run = Run()
    run.client(wire.query("held") + wire.query("select 2"))
    run.feed(Cancelled(2.0))
    assert run.all(Withdraw)
    run.server(failure(run) + wire.ready("I"))
    assert b"57014" in run.shown
    assert b"select 2" in run.sent
    assert b"held" not in run.sent


def test_cancelling_what_runs_is_the_servers_to_do():
    run = Run()
    run.client(wire.query("select 1"))
    run.feed(Cancelled(2.0))
    assert run.all(CancelTarget) == [CancelTarget(4711, b"real")]


def test_terminate_during_a_hold_withdraws():
    run = Run()
    run.client(wire.query("held") + wire.encode(b"X"))
    assert run.all(Withdraw)
    assert run.all(Exit)
    assert run.sent == b""


def test_a_hold_in_a_batch_that_fails_is_withdrawn():
    run = Run()
    run.client(parse("a", "bad") + bind("", "a") + wire.execute(""))
    run.client(parse("b", "held") + bind("", "b") + wire.execute("") + SYNC)
    assert run.all(Ask)
    run.server(wire.error("42P01", "no such table"))
    assert run.all(Withdraw)
    assert run.sent.endswith(SYNC)
    run.feed(Resolved(3.0, 1, Outcome.GRANTED))
    assert run.sent.count(wire.execute("")) == 1


def test_after_an_error_everything_up_to_sync_is_dropped():
    run = Run()
    run.client(parse("a", "bad"))
    run.server(wire.error("42601", "syntax"))
    run.client(wire.query("select 1") + bind("", "a") + SYNC + wire.query("select 2"))
    assert run.sent == parse("a", "bad") + SYNC + wire.query("select 2")
    run.server(wire.ready("I") + COLUMNS + wire.encode_row([b"x"]) + DONE + wire.ready("I"))
    assert not run.gate.flight.sent


def test_a_sync_that_copy_in_swallows_is_not_waited_for():
    run = Run()
    run.client(parse("", "copy") + bind("", "") + wire.execute("") + SYNC)
    run.server(wire.encode(b"1") + wire.encode(b"2") + wire.encode(b"G", b"\0\0\0"))
    run.client(wire.encode(b"d", b"1\n") + wire.encode(b"c") + SYNC)
    run.server(DONE + wire.ready("I"))
    assert not run.gate.flight.sent
    run.client(wire.query("select 1"))
    run.server(COLUMNS + wire.encode_row([b"x"]) + DONE + wire.ready("I"))
    assert not run.gate.flight.sent


def test_a_client_that_goes_on_during_a_hold_is_stopped_somewhere():
    run = Run()
    run.client(wire.query("held"))
    for _ in range(40):
        run.client(wire.encode(b"d", bytes(60_000)))
    assert HoldClient(held=True) in run.effects


def test_a_client_that_pipelines_without_end_waits_for_answers():
    run = Run()
    run.client(SYNC * 30_000)
    assert len(run.gate.flight.sent) == 20_000
    assert HoldClient(held=True) in run.effects
    run.client(wire.encode(b"c") * 1000)
    for _ in range(2):
        run.server(wire.ready("I") * 15_000)
    assert HoldClient(held=False) in run.effects
    assert not run.gate.flight.head()
    assert run.sent.count(SYNC) == 30_000


def test_function_calls_are_refused_by_default():
    run = Run()
    run.client(wire.encode(b"F", struct.pack(">ihhh", 952, 0, 0, 0)))
    assert b"F" not in run.sent[:1]
    assert run.all(Decided)[-1].verdict.rule == "no-function-calls"


def test_function_calls_are_refused_where_columns_are_masked():
    """What one gives back names no column, and the session ended when it came."""
    terms = DatabaseTerms(function_calls=True)
    run = Run(terms=terms, masks=MASKS)
    run.client(wire.encode(b"F", struct.pack(">ihhh", 952, 0, 0, 0)))
    assert run.sent.startswith(b"Q")
    assert run.all(Decided)[-1].verdict.rule == "no-function-calls"


@pytest.mark.parametrize(
    "message",
    [
        wire.encode(b"Q", b"select 1\0; drop table t\0"),
        wire.encode(b"Q", b"select 1"),
        wire.encode(b"P", b"\0select 1\0\0\1"),
        wire.encode(b"p", b"password\0"),
        wire.encode(b"z", b""),
        b"Q\0\0\0\1",
        b"Q\xff\xff\xff\xff",
    ],
)
def test_what_makes_no_sense_ends_the_session(message):
    with pytest.raises(ProtocolFault):
        Run().client(message)


def test_a_backslash_behind_an_unanswered_statement_waits():
    """The statement before could have changed how the server reads strings."""
    run = Run(real=True)
    run.client(wire.query("select f()") + wire.query(r"select 'a\'"))
    assert rb"a\'" not in run.sent
    run.server(COLUMNS + wire.encode_row([b"x"]) + DONE + wire.ready("I"))
    assert rb"a\'" in run.sent


def test_a_backslash_behind_what_sets_nothing_is_read_as_any_text():
    """JDBC sends a batch without a Sync between; it was opaque there."""
    run = Run(real=True)
    insert = "insert into t values (1)"
    batch = [parse("", sql) + bind("", "") + wire.execute("")
             for sql in (insert, r"insert into t values ('C:\x')")]  # fmt: skip
    run.client(b"".join(batch) + SYNC)
    assert rb"C:\x" in run.sent
    assert not any(one.opaque for one in run.readings)
    run.client(parse("", "select f()") + bind("", "") + wire.execute("") + batch[1] + SYNC)
    assert any(one.opaque for one in run.readings)


@pytest.mark.parametrize(
    "setting", [("standard_conforming_strings", "off"), ("client_encoding", "BIG5")]
)
def test_a_setting_that_changes_how_sql_is_read_ends_the_session(setting):
    with pytest.raises(TargetFault):
        Run().server(wire.setting(*setting))


def test_rows_without_a_description_are_never_shown_unmasked():
    run = Run(masks=MASKS)
    run.client(parse("", "select 1") + bind("", "") + wire.execute("") + SYNC)
    assert b"DP\0" in run.sent.replace(b"\0\0\0\x06", b"")  # our own Describe
    with pytest.raises(TargetFault):
        run.server(wire.encode(b"1") + wire.encode(b"2") + wire.encode_row([b"x"]))


def test_a_masked_row_is_masked_and_our_describe_is_not_shown():
    run = Run(masks=MASKS)
    run.client(parse("", "select 1") + bind("", "") + wire.execute("") + SYNC)
    shown = len(run.shown)
    run.server(
        wire.encode(b"1") + wire.encode(b"2") + COLUMNS + wire.encode_row([b"secret"]) + DONE
        + wire.ready("I")
    )  # fmt: skip
    assert run.shown[shown:] == (
        wire.encode(b"1") + wire.encode(b"2") + wire.encode_row([b"[masked]"]) + DONE
        + wire.ready("I")
    )  # fmt: skip


# --- any cut --------------------------------------------------------------------------------------

CLIENT = (
    wire.query("select 1") + parse("s", "select 2") + bind("p", "s", b"value") + wire.execute("p")
    + SYNC + wire.query("forbidden") + wire.encode(b"d", bytes(300)) + wire.encode(b"c")
    + parse("", "forbidden too") + SYNC
)  # fmt: skip


def cuts(data, places):
    edges = [0, *sorted({place % (len(data) + 1) for place in places}), len(data)]
    return [data[one:other] for one, other in itertools.pairwise(edges) if one != other]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(0, 10_000), max_size=30))
def test_any_cut_of_the_clients_stream_gives_the_same(places):
    whole, cut = Run(), Run()
    whole.client(CLIENT)
    for piece in cuts(CLIENT, places):
        cut.client(piece)
    assert cut.sent == whole.sent
    assert b"forbidden" not in cut.sent


def test_every_single_cut_of_the_clients_stream():
    whole = Run()
    whole.client(CLIENT)
    for place in range(1, len(CLIENT)):
        cut = Run()
        cut.client(CLIENT[:place])
        cut.client(CLIENT[place:])
        assert cut.sent == whole.sent


SERVER = (
    COLUMNS + wire.encode_row([b"x" * 90_000]) + wire.encode_row([b"y"]) + DONE + wire.ready("I")
    + wire.encode(b"1") + wire.encode(b"2") + wire.encode_row([b"z"]) + DONE + wire.ready("I")
)  # fmt: skip


@settings(max_examples=80, deadline=None)
@given(st.lists(st.integers(0, 100_000), max_size=30), st.booleans())
def test_any_cut_of_the_servers_stream_gives_the_same(places, masked):
    masks = MASKS if masked else None
    ask = wire.query("a") + parse("s", "b") + bind("", "s") + wire.execute("") + SYNC
    runs = [Run(masks=masks), Run(masks=masks)]
    stream = SERVER.replace(wire.encode(b"2"), wire.encode(b"2") + COLUMNS) if masked else SERVER
    for run, pieces in zip(runs, ([stream], cuts(stream, places)), strict=True):
        run.client(ask)
        for piece in pieces:
            run.server(piece)
    assert runs[0].shown == runs[1].shown
    assert (b"xxx" in runs[1].shown) is not masked


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.booleans())
def test_no_bytes_crash_the_gate(data, from_server):
    run = Run()
    run.client(wire.query("select 1"))
    try:
        if from_server:
            run.server(data)
        else:
            run.client(data)
    except ProtocolFault:
        return
