"""Long pipelines and long texts: each message costs the same, and what is kept is bounded."""

from __future__ import annotations

import pytest

from bastion.errors import ClientFault
from bastion.events import Ask, Decided, HoldClient, Logged
from bastion.gate.postgres import flight as postgres_flight
from bastion.policy.rules import Action
from bastion.wire import postgres as wire
from tests.gate.test_postgres import COLUMNS, DONE, SYNC, Run, bind, parse

PARSED, BOUND = wire.encode(b"1"), wire.encode(b"2")
CLOSED = wire.encode(b"3")


def close(name: str) -> bytes:
    return wire.encode(b"C", b"P" + name.encode() + b"\0")


def test_what_a_batch_binds_is_what_it_runs_however_many_are_under_way():
    """Each Execute of libpq's own pipeline test looked at every Bind that was not answered yet."""
    run = Run()
    run.client(parse("a", "one") + SYNC)
    for _ in range(2000):
        run.client(bind("", "a") + wire.describe_portal("") + wire.execute(""))
    flight = run.gate.flight
    assert len(flight.portals[""]) == 2000
    assert len(flight.known_portals("")) == 1
    run.server(PARSED + wire.ready("I"))
    run.server((BOUND + COLUMNS + wire.encode_row([b"x"]) + DONE) * 2000)
    assert len(flight.portals[""]) == 1


def test_what_an_earlier_batch_bound_may_have_failed():
    run = Run()
    run.client(parse("a", "one") + parse("b", "held") + SYNC)
    run.client(bind("p", "b") + SYNC + bind("p", "a") + SYNC)
    assert len(run.gate.flight.known_portals("p")) == 2
    run.client(parse("b", "one") + SYNC)
    assert len(run.gate.flight.known_statements("b")) == 2


def test_what_may_be_one_of_two_is_on_record_as_both():
    """The server ran the older text, for the batch with the newer one had failed."""
    run = Run()
    run.client(parse("a", "one") + wire.execute("none") + parse("a", "two") + SYNC)
    run.client(bind("", "a") + wire.execute("") + SYNC)
    assert run.all(Logged)[-1].fields["sql"].splitlines() == [
        "two", "-- or, if that did not come about: one",
    ]  # fmt: skip


def test_portals_that_are_closed_are_forgotten():
    """A session ended after ten thousand cursors that it had closed."""
    run = Run()
    run.client(parse("", "begin") + SYNC)
    run.server(PARSED + wire.ready("T"))
    for number in range(10_500):
        run.client(bind(f"p{number}", "") + close(f"p{number}") + SYNC)
        run.server(BOUND + CLOSED + wire.ready("T"))
    assert not run.gate.flight.portals


def test_a_portal_bound_anew_behind_its_close_stays():
    run = Run()
    run.client(parse("", "one") + SYNC + bind("p", "") + close("p") + bind("p", ""))
    run.server(PARSED + wire.ready("I") + BOUND + CLOSED)
    assert len(run.gate.flight.portals["p"]) == 1


def test_values_of_open_portals_have_a_bound(monkeypatch):
    monkeypatch.setattr(postgres_flight, "MAX_BOUND_BYTES", 10_000)
    run = Run()
    run.client(parse("", "begin") + SYNC)
    run.server(PARSED + wire.ready("T"))
    for number in range(8):
        run.client(bind(f"p{number}", "", b"x" * 1000) + SYNC)
        run.server(BOUND + wire.ready("T"))
    with pytest.raises(ClientFault, match="too many open portals"):
        run.client(bind("another", "", b"x" * 1000))


def test_a_client_whose_values_wait_for_answers_waits_too_and_the_server_is_asked(monkeypatch):
    """Without the Flush the server would keep its answers, and both would wait for ever."""
    monkeypatch.setattr(postgres_flight, "MAX_BOUND_BYTES", 10_000)
    run = Run()
    run.client(parse("", "one") + bind("", "", b"x" * 1000) * 600)
    assert run.sent.count(wire.encode(b"H")) == 1
    waiting = len(run.gate.flight.sent)
    assert waiting < 20
    run.client(bind("", "", b"x" * 1000) * 1000)
    assert len(run.gate.flight.sent) == waiting
    assert HoldClient(held=True) in run.effects
    run.server(PARSED)
    for _ in range(400):
        run.server(BOUND * 4)
    assert HoldClient(held=False) in run.effects
    assert run.gate.flight.head() is None
    assert len(run.gate.flight.portals[""]) == 1


def test_of_a_long_text_that_is_denied_only_a_part_is_recorded():
    """Sixty megabytes of nonsense a time would have filled the disk."""
    run = Run()
    run.client(wire.query("forbidden " + "x" * 1_000_000))
    (decided,) = run.all(Decided)[1:]
    assert decided.verdict.action is Action.DENY
    assert len(decided.request.sql) < 210_000
    assert "1000010 characters" in decided.request.sql


def test_nobody_is_asked_about_a_text_that_nobody_can_read():
    run = Run()
    run.client(wire.query("held " + "x" * 1_100_000))
    assert not run.all(Ask)
    assert "too long" in run.all(Decided)[-1].verdict.reason
    assert b"held" not in run.sent
