"""A remembered verdict never outlives what it stood on."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from bastion.model import Granted, QueryRequest, SqlReading, SqlStatement, SqlUse
from bastion.policy.rules import Action, Policy, Verdict
from bastion.ssh import postgres
from bastion.ssh.postgres import CachedVerdicts

ALLOW = Verdict(Action.ALLOW, "default", "")


class Session:
    """Counts what it is asked."""

    def __init__(self):
        self.inforce = Policy("p", {}, {}, ())
        self.services = SimpleNamespace(policy=lambda: self.inforce)
        self.identity = SimpleNamespace(granted=())
        self.asked = 0

    def verdict(self, _place, _request):
        self.asked += 1
        return ALLOW


def reading(kind="select"):
    return SqlReading((SqlStatement((SqlUse(kind, table="t"),)),))


@pytest.fixture
def session():
    return Session()


@pytest.fixture
def decide(session):
    return CachedVerdicts(session, None)


def test_what_does_the_same_is_decided_once_whatever_its_text(session, decide):
    same = reading()
    for number in range(5):
        decide(QueryRequest(f"SELECT {number}", same))
    assert session.asked == 1
    decide(QueryRequest("SELECT 1", reading("delete")))
    assert session.asked == 2


def test_a_reload_and_a_grant_that_comes_or_goes_forget_all(session, decide):
    same = reading()
    changes = [
        lambda: setattr(session, "inforce", Policy("p", {}, {}, ())),
        lambda: setattr(session.identity, "granted", (Granted("dba", ("db",)),)),
        lambda: setattr(session.identity, "granted", ()),
    ]
    decide(QueryRequest("SELECT 1", same))
    for count, change in enumerate(changes, 2):
        change()
        decide(QueryRequest("SELECT 1", same))
        assert session.asked == count


def test_what_could_not_be_read_is_decided_each_time(session, decide):
    for fault in ("one", "two"):
        decide(QueryRequest("?", SqlReading(fault=fault)))
    decide(QueryRequest("", SqlReading()))
    assert session.asked == 3


def test_no_other_statement_gets_the_verdict_of_one_that_is_gone(session, decide, monkeypatch):
    """Statements are told apart by where they are in memory, so the cache must hold on to them."""
    monkeypatch.setattr(postgres, "CACHED_VERDICTS", 3)
    for _ in range(50):
        decide(QueryRequest("SELECT 1", reading()))
    assert session.asked == 50
