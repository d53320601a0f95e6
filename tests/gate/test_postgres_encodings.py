"""What a client may encode its text in, and that the gate reads it as the server will."""

from __future__ import annotations

import pytest

from bastion.errors import ClientFault, TargetFault
from bastion.events import Decided, Dial, Logged, ReadSql
from bastion.policy.decide_sql import pinned
from bastion.policy.rules import Action
from bastion.policy.sql.encodings import CODECS, encoding_named, text_of
from bastion.wire import postgres as wire
from tests.gate.test_postgres import DONE, SYNC, Run, bind, parse

HIDING = ["SJIS", "BIG5", "GBK", "UHC", "GB18030", "JOHAB", "SHIFT_JIS_2004"]


def query(raw: bytes) -> bytes:
    return wire.encode(b"Q", raw + b"\0")


def read(run: Run) -> str:
    return run.all(ReadSql)[-1].text


def change(run: Run, encoding: str, *, real: str = "set client_encoding") -> None:
    run.client(wire.query(real))
    run.server(wire.encode(b"C", b"SET\0") + wire.setting("client_encoding", encoding))
    run.server(wire.ready("I"))


@pytest.mark.parametrize("name", [*HIDING, "MULE_INTERNAL", "wat", ""])
def test_what_hides_ascii_in_characters_is_never_spoken(name):
    assert encoding_named(name) == ""
    assert pinned("client_encoding", name)
    run = Run()
    with pytest.raises(TargetFault, match="client_encoding"):
        run.server(wire.setting("client_encoding", name))


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("latin1", "LATIN1"), ("ISO-8859-1", "LATIN1"), ("iso 8859 15", "LATIN9"),
        ("Windows-1252", "WIN1252"), ("KOI8", "KOI8R"), ("euc-jp", "EUC_JP"), ("utf-8", "UTF8"),
        ("Unicode", "UTF8"), ("sql_ascii", "SQL_ASCII"), ("'UTF8'", "UTF8"),
    ],
)  # fmt: skip
def test_names_are_the_servers(given, name):
    assert encoding_named(given) == name


@pytest.mark.parametrize("encoding", sorted(CODECS))
def test_ascii_is_ascii_and_nothing_else_is(encoding):
    assert text_of(bytes(range(1, 128)), encoding) == bytes(range(1, 128)).decode()
    for first in range(128, 256):
        for second in range(128, 256):
            found = text_of(bytes((first, second)), encoding)
            assert found is None or not any(letter.isascii() for letter in found)


def test_a_client_begins_in_its_encoding():
    run = Run(settings=[("client_encoding", "latin1")], open_=False)
    run.client(wire.startup([("user", "app"), ("client_encoding", "latin1")]))
    assert dict(run.all(Dial)[0].request.settings)["client_encoding"] == "LATIN1"
    run.server(wire.setting("client_encoding", "LATIN1") + wire.ready("I"))
    run.client(query(b"select 'm\xfc'"))
    assert read(run) == "select 'mü'"
    assert run.sent == query(b"select 'm\xfc'")
    assert run.all(Logged)[-1].fields["sql"] == "select 'mü'"


def test_a_change_is_followed_and_taken_back():
    run = Run()
    change(run, "KOI8R")
    run.client(query("select 'да'".encode("koi8_r")))
    assert read(run) == "select 'да'"
    run.server(DONE + wire.setting("client_encoding", "UTF8") + wire.ready("I"))
    run.client(query("select 'да'".encode()))
    assert read(run) == "select 'да'"


def test_what_is_no_text_in_the_encoding_is_refused_and_the_session_stays():
    run = Run()
    run.client(query(b"select '\xfc'"))
    assert not run.all(ReadSql)
    name = next(iter(run.gate.server.refusals))
    run.server(wire.error("42601", f'syntax error at or near "{name}"') + wire.ready("I"))
    assert b"this SQL is not UTF8" in run.shown
    run.client(wire.query("select 1"))
    assert run.sent.endswith(wire.query("select 1"))


def test_text_beyond_ascii_waits_for_a_change_that_is_under_way():
    run = Run(real=True)
    run.client(wire.query("SET client_encoding = 'LATIN1'") + query(b"select '\xc3\xbc'"))
    assert len(run.all(ReadSql)) == 1
    run.server(wire.encode(b"C", b"SET\0") + wire.setting("client_encoding", "LATIN1"))
    run.server(wire.ready("I"))
    assert read(run) == "select 'Ã¼'"


def test_text_beyond_ascii_behind_a_change_in_the_same_batch_cannot_be_told():
    run = Run(real=True)
    change(run, "UTF8", real="SET client_encoding = 'UTF8'")
    run.client(parse("", "select f()") + bind("", "") + wire.execute("") + parse("b", "select 'ü'"))
    opaque = run.gate.flight.statements["b"][0].reading.statements[0].opaque
    assert "beyond ASCII" in opaque[0]


def test_a_session_that_changes_nothing_waits_for_nothing():
    run = Run()
    run.client(parse("", "one") + bind("", "") + wire.execute("") + parse("b", "select 'ü'"))
    assert not run.gate.flight.statements["b"][0].reading.statements[0].opaque
    run.client(wire.query("select 'ä'") + wire.query("select 'ö'"))
    assert read(run) == "select 'ö'"


def test_a_statement_is_known_by_its_name_in_another_encoding():
    """Its bytes are others; taken for an unknown one it would have run without its approval."""
    run = Run()
    run.client(parse("\xe9t\xe9", "held") + SYNC)
    run.server(wire.encode(b"1") + wire.ready("I"))
    change(run, "LATIN1")
    body = b"\0\xe9t\xe9\0" + bytes(6)
    run.client(wire.encode(b"B", body) + wire.execute("") + SYNC)
    assert run.all(Decided)[-1].verdict.action is Action.APPROVE
    assert wire.execute("") not in run.sent


def test_a_name_waits_for_a_change_that_is_under_way():
    run = Run()
    change(run, "LATIN1")
    run.client(wire.query("select 1") + wire.encode(b"C", b"S\xe9\0") + SYNC)
    assert run.sent.endswith(wire.query("select 1"))
    run.server(DONE + wire.ready("I"))
    assert run.sent.endswith(wire.encode(b"C", b"S\xe9\0") + SYNC)


@pytest.mark.parametrize("first", [b"", wire.encode(b"G", b"\0\0\0")], ids=["before", "after"])
def test_a_statement_in_the_place_of_a_copys_data_waits_for_nothing(first):
    """The copy waits for its data, so what waited for the copy waited for ever."""
    run = Run(real=True)
    run.client(wire.query("COPY t FROM STDIN"))
    run.server(first)
    run.client(query(b"SELECT '\\'"))
    if not first:
        assert len(run.all(ReadSql)) == 1
        run.server(wire.encode(b"G", b"\0\0\0"))
    assert run.sent.endswith(query(b"SELECT '\\'"))


def test_a_name_that_may_be_read_in_two_ways_ends_the_session():
    run = Run()
    change(run, "LATIN1")
    run.client(parse("", "one") + bind("", "") + wire.execute(""))
    with pytest.raises(ClientFault, match="client_encoding may change"):
        run.client(wire.encode(b"D", b"S\xe9\0"))


def test_a_database_without_conversions_is_read_by_its_bytes():
    """SQL_ASCII: a name of the same bytes is the same name, whatever the client calls its text."""
    run = Run()
    run.server(wire.setting("server_encoding", "SQL_ASCII"))
    change(run, "LATIN1")
    run.client(query("select 'ü'".encode()))
    assert read(run) == "select 'ü'"


def test_sql_ascii_of_a_client_is_the_databases_own_encoding():
    run = Run()
    run.server(wire.setting("server_encoding", "LATIN2"))
    change(run, "SQL_ASCII")
    run.client(query(b"select '\xb1'"))
    assert read(run) == "select 'ą'"
    with pytest.raises(TargetFault, match="server_encoding is MULE_INTERNAL"):
        run.server(wire.setting("server_encoding", "MULE_INTERNAL"))


def test_of_what_python_cannot_decode_only_ascii_is_read():
    run = Run()
    change(run, "EUC_TW")
    run.client(query(b"select 1"))
    run.server(DONE + wire.ready("I"))
    run.client(query(b"select '\xa4\xa4'"))
    assert run.sent.count(b"select") == 1
    (told,) = run.gate.server.refusals.values()
    assert "no more than ASCII" in told.message


def test_an_encoding_that_a_parameter_names_is_known_once_it_is_reported():
    run = Run(real=True)
    assert not pinned("client_encoding", "?")
    ask = parse("", "select set_config('client_encoding', $1, false)")
    run.client(ask + bind("", "", b"LATIN1") + wire.execute("") + SYNC + query(b"select '\xe9'"))
    assert len(run.all(ReadSql)) == 1
    run.server(wire.encode(b"1") + wire.encode(b"2") + DONE)
    run.server(wire.setting("client_encoding", "LATIN1") + wire.ready("I"))
    assert read(run) == "select 'é'"


def test_a_refusal_comes_in_the_clients_encoding():
    run = Run()
    change(run, "LATIN1")
    run.client(query(b"select forbidden"))
    name = next(iter(run.gate.server.refusals))
    run.gate.server.refusals[name] = run.gate.server.refusals[name].__class__("42501", "Größe")
    run.server(wire.error("42601", f'syntax error at or near "{name}"') + wire.ready("I"))
    assert b"MGr\xf6\xdfe\0" in run.shown
