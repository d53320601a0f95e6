"""Recordings through the control socket: by the policy's rights, and audited (FIELD class D)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from bastion.control.playing import AGAIN, Playing
from bastion.errors import ControlError, StoreError
from bastion.model import Identity
from bastion.policy.approvals import Operator
from bastion.policy.rights import Right
from bastion.policy.rules import ConsoleGrant, Policy
from bastion.store.recordings import Recordings
from bastion.store.search import NAME, Piece, SearchIndex
from bastion.wire import control as wire
from tests.control.desk import Desk

LEAD = Operator("", "lead", roles=frozenset({"lead"}), identity="https://idp#lead")
ROOT = Operator("root", "root", machine=True)


class Clock:
    now = 200.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """s1 went to web1 (ended) and to db1 (live)."""
    desk = Desk(tmp_path, ())
    grant = ConsoleGrant(
        "g", frozenset({"lead"}), frozenset({Right.REPLAY}), ("web*",), frozenset({"dev"})
    )
    desk.policy = Policy("p", {}, {}, (), console=(grant,))
    identity = Identity("https://idp", "17", "alice", roles=frozenset({"dev"}), expires_at=9e9)
    desk.ledger.session_started("s1", identity, "::1", "ssh", "certificate", 100.0)
    recordings = Recordings(desk.state.recordings, floor_bytes=0)
    for channel, target in (("c1", "web1"), ("c2", "db1")):
        recording = recordings.open("s1", channel, at=100.0)
        path = str(recording.path)
        desk.ledger.channel_opened("s1", channel, "exec", target, "root", "ls", path, 100.0)
        recording.output(101.0, b"x" * 600_000)
        recording.close(102.0)
    desk.ledger.channel_ended("s1", "c1", "finished", 0, 1, 102.0)
    with_index = SearchIndex(desk.state.path / NAME)
    with_index.add("s1", "c1", [Piece(1.0, "the web secret")], limit=1000)
    with_index.add("s1", "c2", [Piece(1.0, "the db secret")], limit=1000)
    with_index.close()
    yield desk
    await desk.close()


def playing(desk: Desk, clock: Clock | None = None) -> Playing:
    return Playing(desk.ledger.file, desk.audit, lambda: desk.policy, clock or Clock(), desk.state)


def channels(found: list[wire.RecordingShown]) -> list[tuple[str, ...]]:
    return [one.channels for one in found]


def test_only_channels_of_permitted_people_and_targets_are_listed(desk: Desk) -> None:
    own = playing(desk)
    assert channels(own.find(LEAD, wire.FindRecordings())) == [("c1",)]
    assert channels(own.find(ROOT, wire.FindRecordings())) == [("c1", "c2")]
    assert own.find(replace(LEAD, roles=frozenset()), wire.FindRecordings()) == []
    desk.policy = Policy("p", {}, {}, ())
    assert own.find(LEAD, wire.FindRecordings()) == []


def test_a_search_tells_nothing_of_screens_that_one_may_not_see(desk: Desk) -> None:
    own = playing(desk)
    assert channels(own.find(LEAD, wire.FindRecordings("web secret"))) == [("c1",)]
    assert own.find(LEAD, wire.FindRecordings("db secret")) == []
    assert channels(own.find(ROOT, wire.FindRecordings("db secret"))) == [("c1", "c2")]


def test_what_one_may_not_play_is_not_told_apart_from_what_is_not_there(desk: Desk) -> None:
    own = playing(desk)
    said = set()
    for session, channel, file in (
        ("s1", "c2", "cast"),
        ("s9", "c1", "cast"),
        ("s1", "c9", "cast"),
        ("s1", "c1", "seal"),
        ("s1", "c1", "../c2.cast"),
    ):
        with pytest.raises(ControlError) as refused:
            own.read(LEAD, wire.ReadRecording(session, channel, file))
        said.add(str(refused.value))
    assert len(said) == 1


def watched(desk: Desk) -> list[tuple[str, str]]:
    lines = (desk.state.audit / "audit.jsonl").read_bytes().splitlines()
    entries = [json.loads(line) for line in lines]
    return [
        (entry["fields"]["operator"], entry["fields"]["channel"])
        for entry in entries
        if entry["kind"] == "recording-watched"
    ]


def test_watching_is_audited_wherever_one_begins_to_read_and_again_later(desk: Desk) -> None:
    clock = Clock()
    own = playing(desk, clock)
    data = b""
    offset, size = 7, 8
    while offset < size:
        piece = own.read(LEAD, wire.ReadRecording("s1", "c1", "cast", offset))
        data, offset, size = data + piece.data, offset + len(piece.data), piece.size
        assert not piece.live
    assert data == next(desk.state.recordings.glob("*/s1/c1.cast")).read_bytes()[7:]
    assert watched(desk) == [(LEAD.id, "c1")]
    clock.now += AGAIN
    own.read(LEAD, wire.ReadRecording("s1", "c1", "events"))
    own.read(ROOT, wire.ReadRecording("s1", "c2", "cast"))
    assert watched(desk) == [(LEAD.id, "c1"), (LEAD.id, "c1"), (ROOT.id, "c2")]


def test_what_is_live_needs_the_right_to_follow(desk: Desk) -> None:
    own = playing(desk)
    grant = ConsoleGrant("g", frozenset({"lead"}), frozenset({Right.FOLLOW}), ("*",), frozenset())
    desk.policy = Policy("p", {}, {}, (), console=(grant,))
    assert channels(own.find(LEAD, wire.FindRecordings())) == [("c2",)]
    assert own.read(LEAD, wire.ReadRecording("s1", "c2", "cast")).live


def test_only_the_machines_operators_keep_and_delete(desk: Desk) -> None:
    own = playing(desk)
    for refused in (
        lambda: own.hold(LEAD, wire.HoldRecording("s1", "why")),
        lambda: own.release(LEAD, wire.ReleaseRecording("s1")),
        lambda: own.delete(LEAD, wire.DeleteRecording("s1", "why")),
    ):
        with pytest.raises(ControlError, match="machine's own"):
            refused()
    with pytest.raises(ControlError, match="why"):
        own.hold(ROOT, wire.HoldRecording("s1", " "))
    own.hold(ROOT, wire.HoldRecording("s1", "a lawsuit"))
    with pytest.raises(StoreError, match="a lawsuit"):
        own.delete(ROOT, wire.DeleteRecording("s1", "why"))
    own.release(ROOT, wire.ReleaseRecording("s1"))
    own.delete(ROOT, wire.DeleteRecording("s1", "why"))
    assert own.find(ROOT, wire.FindRecordings()) == []
