"""The relay gate: one decision, nothing before it, and an end to every way of asking."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bastion.events import (
    Ask,
    ClientEof,
    Decided,
    Dial,
    EndReason,
    EofToClient,
    EofToTarget,
    Exit,
    FromClient,
    FromTarget,
    HoldClient,
    Opened,
    Outcome,
    Resolved,
    Stream,
    TargetEof,
    TargetExit,
    Tell,
    ToClient,
    ToTarget,
    Withdraw,
)
from bastion.gate.relay import HELD_LIMIT, RelayGate
from bastion.model import ExecRequest
from bastion.policy.rules import Action, Verdict

REQUEST = ExecRequest("reboot")


def gate_with(action: Action) -> tuple[RelayGate, Verdict]:
    verdict = Verdict(action, "a-rule", "because", hint="ask bob")
    return RelayGate(lambda _request: verdict), verdict


def test_allow_dials_exactly_what_was_asked():
    gate, verdict = gate_with(Action.ALLOW)
    assert gate.feed(Opened(0, REQUEST)) == [Decided(REQUEST, verdict), Dial(REQUEST)]


def test_deny_never_dials_and_names_rule_reason_and_hint():
    gate, verdict = gate_with(Action.DENY)
    effects = gate.feed(Opened(0, REQUEST))
    said = Tell("denied by rule a-rule: because. ask bob.")
    assert effects == [Decided(REQUEST, verdict), said, Exit(EndReason.DENIED, 254)]
    assert gate.feed(FromClient(1, b"x")) == []


def test_bytes_before_the_verdict_are_held_and_then_sent_in_order():
    gate, verdict = gate_with(Action.APPROVE)
    assert gate.feed(Opened(0, REQUEST)) == [Decided(REQUEST, verdict), Ask(0, REQUEST, verdict)]
    assert gate.feed(FromClient(1, b"one ")) == []
    assert gate.feed(FromClient(2, b"two")) == []
    assert gate.feed(ClientEof(3)) == []
    assert gate.feed(Resolved(4, 0, Outcome.GRANTED, ("bob",))) == [
        Dial(REQUEST),
        ToTarget(b"one two"),
        EofToTarget(),
        HoldClient(False),
    ]


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (Outcome.REFUSED, EndReason.APPROVAL_REFUSED),
        (Outcome.EXPIRED, EndReason.APPROVAL_EXPIRED),
        (Outcome.WITHDRAWN, EndReason.APPROVAL_WITHDRAWN),
    ],
)
def test_every_other_end_of_an_approval_runs_nothing(outcome, reason):
    gate, _ = gate_with(Action.APPROVE)
    gate.feed(Opened(0, REQUEST))
    gate.feed(FromClient(1, b"rm"))
    effects = gate.feed(Resolved(2, 0, outcome, ("bob",), "no"))
    assert [type(effect) for effect in effects] == [Tell, Exit]
    assert effects[-1] == Exit(reason, 254)


def test_control_c_at_a_terminal_withdraws():
    gate, _ = gate_with(Action.APPROVE)
    gate.feed(Opened(0, ExecRequest("reboot", pty=True)))
    effects = gate.feed(FromClient(1, b"\x03"))
    assert effects[0] == Withdraw(0)
    assert effects[-1] == Exit(EndReason.APPROVAL_WITHDRAWN, 130)


def test_control_c_without_a_terminal_is_data():
    gate, _ = gate_with(Action.APPROVE)
    gate.feed(Opened(0, REQUEST))
    assert gate.feed(FromClient(1, b"\x03")) == []


def test_a_flood_while_held_stops_the_client():
    gate, _ = gate_with(Action.APPROVE)
    gate.feed(Opened(0, REQUEST))
    assert gate.feed(FromClient(1, b"x" * HELD_LIMIT)) == [HoldClient(True)]


def test_the_target_is_relayed_to_its_end():
    gate, _ = gate_with(Action.ALLOW)
    gate.feed(Opened(0, REQUEST))
    assert gate.feed(FromTarget(1, b"e", Stream.STDERR)) == [ToClient(b"e", Stream.STDERR)]
    assert gate.feed(TargetEof(2)) == [EofToClient()]
    ended = gate.feed(TargetExit(3, signal="KILL", core_dumped=True, message="m"))
    assert ended == [Exit(EndReason.FINISHED, 0, "KILL", True, "m")]
    assert gate.feed(FromTarget(4, b"late")) == []


@given(st.lists(st.binary(min_size=1, max_size=20), max_size=20), st.integers(0, 20))
def test_no_byte_is_lost_or_early_however_it_is_chunked(chunks, granted_after):
    gate, _ = gate_with(Action.APPROVE)
    effects = gate.feed(Opened(0, REQUEST))
    for index, chunk in enumerate(chunks):
        if index == granted_after:
            assert not any(isinstance(effect, ToTarget | Dial) for effect in effects)
            effects += gate.feed(Resolved(1, 0, Outcome.GRANTED))
        effects += gate.feed(FromClient(1, chunk))
    if granted_after >= len(chunks):
        effects += gate.feed(Resolved(1, 0, Outcome.GRANTED))
    sent = b"".join(effect.data for effect in effects if isinstance(effect, ToTarget))
    assert sent == b"".join(chunks)
