"""The rsync gate: decided once, by everything that the command line opens."""

from __future__ import annotations

import hashlib

import pytest

from bastion.events import (
    Ask,
    ClientEof,
    Decided,
    Dial,
    EndReason,
    EofToTarget,
    Exit,
    FileDone,
    FromClient,
    FromTarget,
    HoldClient,
    Opened,
    Outcome,
    Resolved,
    Stream,
    TargetExit,
    ToClient,
    ToTarget,
)
from bastion.gate.rsync import HELD_LIMIT, RsyncGate
from bastion.model import EXIT_REFUSED, Direction, ExecRequest, FileOperation, FileRequest
from bastion.policy.files import RsyncServer
from tests.harness.filerules import FileRules

LINE = ExecRequest("rsync --server …")
WRITE = FileRequest(FileOperation.WRITE, "/srv/d", direction=Direction.UPLOAD, protocol="rsync")
REMOVE = FileRequest(FileOperation.REMOVE, "/srv/d", protocol="rsync")
TRANSFER = RsyncServer(False, (WRITE, REMOVE))


def test_everything_is_decided_before_the_dial() -> None:
    gate = RsyncGate(FileRules(), TRANSFER)
    effects = gate.feed(Opened(0, LINE))
    assert [effect.request for effect in effects if isinstance(effect, Decided)] == [WRITE, REMOVE]
    assert effects[-1] == Dial(LINE)


@pytest.mark.parametrize(
    "rules",
    [{"rules": [("deny", "keep", "remove", "/srv")]}, {"channel": "deny"}, {"default": "deny"}],
)
def test_the_strictest_verdict_rules(rules: dict[str, object]) -> None:
    effects = RsyncGate(FileRules(**rules), TRANSFER).feed(Opened(0, LINE))  # type: ignore[arg-type]
    assert not any(isinstance(effect, Dial) for effect in effects)
    assert effects[-1] == Exit(EndReason.DENIED, EXIT_REFUSED)


def test_a_line_that_needs_approval_is_asked_for_whatever_the_paths_are() -> None:
    effects = RsyncGate(FileRules(channel="approve"), TRANSFER).feed(Opened(0, LINE))
    asked = [effect.request for effect in effects if isinstance(effect, Ask)]
    assert asked == [LINE]
    assert not any(isinstance(effect, Dial) for effect in effects)


def test_early_bytes_and_eof_wait_for_the_grant() -> None:
    gate = RsyncGate(FileRules(rules=[("approve", "ask", "*", "/srv")]), TRANSFER)
    effects = gate.feed(Opened(0, LINE))
    assert effects[-1] == HoldClient(True)
    assert gate.feed(FromClient(0, b"early")) == gate.feed(ClientEof(0)) == []
    first = next(effect for effect in effects if isinstance(effect, Ask))
    second = gate.feed(Resolved(0, first.ask, Outcome.GRANTED))
    assert [type(effect) for effect in second] == [Ask]  # removing is a question of its own
    assert isinstance(second[0], Ask)
    assert gate.feed(Resolved(0, second[0].ask, Outcome.GRANTED)) == [
        Dial(LINE),
        HoldClient(False),
        ToTarget(b"early"),
        EofToTarget(),
    ]


def test_a_refused_transfer_ends() -> None:
    gate = RsyncGate(FileRules(rules=[("approve", "ask", "*", "/srv")]), TRANSFER)
    ask = next(effect for effect in gate.feed(Opened(0, LINE)) if isinstance(effect, Ask))
    effects = gate.feed(Resolved(0, ask.ask, Outcome.EXPIRED))
    assert effects[-1] == Exit(EndReason.APPROVAL_EXPIRED, EXIT_REFUSED)


def test_what_is_held_is_bounded() -> None:
    gate = RsyncGate(FileRules(rules=[("approve", "ask", "*", "/srv")]), TRANSFER)
    gate.feed(Opened(0, LINE))
    assert isinstance(gate.feed(FromClient(0, b"x" * (HELD_LIMIT + 1)))[-1], Exit)
    assert gate.feed(FromClient(0, b"x")) == []


def test_the_account_says_that_the_hash_is_of_the_stream() -> None:
    gate = RsyncGate(FileRules(), TRANSFER)
    gate.feed(Opened(0, LINE))
    assert gate.feed(FromClient(0, b"up")) == [ToTarget(b"up")]
    assert gate.feed(FromTarget(0, b"down")) == [ToClient(b"down")]
    warning = FromTarget(0, b"warning", Stream.STDERR)
    assert gate.feed(warning) == [ToClient(b"warning", Stream.STDERR)]
    effects = gate.feed(TargetExit(0, 23))
    digest = hashlib.sha256(b"up").hexdigest()
    note = f"of rsync's stream, not of a file: sha256={digest}"
    assert [effect for effect in effects if isinstance(effect, FileDone)] == [
        FileDone(WRITE, False, 2, note=note),
        FileDone(REMOVE, False),
    ]
    assert effects[-1] == Exit(EndReason.FINISHED, 23)
