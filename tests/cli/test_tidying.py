"""`bastion recordings tidy`, `search`, `hold`: found by screens, packed, kept, deleted."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bastion.cli.main import bastion
from bastion.cli.replay import replay
from bastion.errors import BastionError, StoreError
from bastion.model import Identity
from bastion.policy.rules import Action, Verdict
from bastion.store.audit import AuditLog
from bastion.store.keeping import kept_recordings
from bastion.store.ledger import Ledger
from bastion.store.packing import pack
from bastion.store.recordings import Recordings
from bastion.store.retention import Retention, due
from bastion.store.sealfile import State, verify_recording
from bastion.store.signing import read_public_key
from bastion.store.state import StateDirectory
from tests.control.desk import Desk

AT = 1_700_000_000.0
SHOWN = {
    "s1": b"\x1b[31mneed\x1b[0mle in a \xe6\x97\xa5 stack\r\n" + b"x" * 75 + b"wrapped-word\r\n",
    "s2": b"going\r\n\x1b[H\x1b[2Jstaying\r\n"
    b"\x1b[?1049h\x1b[2J\x1b[Hinside vim\x1b[?1049lafter\r\n",
}


@pytest.fixture
async def state(tmp_path: Path) -> StateDirectory:
    """Two sessions: alice's on web1 was denied something, bob's on db1 was not."""
    state = StateDirectory(tmp_path / "state")
    audit, ledger = AuditLog(state.audit), Ledger(state.database)
    async with kept_recordings(state, audit, lambda: AT, floor_bytes=0) as recordings:
        for session, name, target, action in (
            ("s1", "alice", "web1", Action.DENY),
            ("s2", "bob", "db1", Action.ALLOW),
        ):
            at = AT + 1000 * (session == "s2")
            identity = Identity("https://idp", name, name, roles=frozenset({"dev"}), expires_at=9e9)
            ledger.session_started(session, identity, "::1", "ssh", "certificate", at)
            audit.append("channel-opened", at, session=session, channel="c1")
            recording = recordings.open(session, "c1", at=at, term="xterm")
            ledger.channel_opened(
                session, "c1", "shell", target, "root", f"run {name}%", str(recording.path), at
            )
            recording.output(at + 5, SHOWN[session])
            verdict = Verdict(action, "r", "why")
            ledger.verdict(session, "c1", f"rm /etc/{name}_1", verdict, at)
            recording.close(at + 6)
            ledger.channel_ended(session, "c1", "finished", 0, 5, at + 6)
            ledger.session_ended(session, "finished", at + 6)
    audit.close(AT)
    ledger.close()
    (tmp_path / "policy.yaml").write_text("version: 1\nroles: {}\n")
    return state


def configure(state: StateDirectory, settings: str) -> str:
    path = state.path.parent / "bastion.yaml"
    path.write_text(f"state: state\npolicy: policy.yaml\nrecordings: {settings}\n")
    return str(path)


def run(state: StateDirectory, *words: str) -> Result:
    return CliRunner().invoke(
        bastion, ["recordings", *words], env={"BASTION_STATE": str(state.path)}
    )


def tidy(state: StateDirectory, settings: str = "{}") -> dict[str, Any]:
    result = run(state, "tidy", "--json", "--config", configure(state, settings))
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.output)
    return found


def found(state: StateDirectory, *words: str) -> list[tuple[str, str, str]]:
    rows = json.loads(run(state, "search", "--json", *words).output)
    return [(row["session"], row["where"], row["what"]) for row in rows]


def age(state: StateDirectory, session: str, seconds: float) -> None:
    """Let a session's files have been written so long ago."""
    for path in state.recordings.glob(f"*/{session}/*"):
        then = path.stat().st_mtime - seconds
        os.utime(path, (then, then))


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("NEEDLE in", [("s1", "c1 at 5 s", "needle in a 日 stack")]),
        ("xxwrapped-w", [("s1", "c1 at 5 s", "x" * 75 + "wrapped-word")]),
        ("日 st", [("s1", "c1 at 5 s", "needle in a 日 stack")]),
        ("going", [("s2", "c1 at 5 s", "going")]),
        ("inside vim", [("s2", "c1 at 5 s", "inside vim")]),
        ('a" OR "b', []),
        ("/etc/bob_1", [("s2", "a request", "rm /etc/bob_1")]),
        ("bob%", [("s2", "", "run bob%")]),
        ("nowhere", []),
    ],
)
def test_text_is_found_on_screens_in_requests_and_in_names(
    state: StateDirectory, text: str, where: list[tuple[str, str, str]]
) -> None:
    assert tidy(state)["indexed"] == 2
    assert tidy(state)["indexed"] == 0
    assert found(state, text) == where


def test_what_else_is_known_of_a_session_narrows_it(state: StateDirectory) -> None:
    def sessions(*words: str) -> list[str]:
        return [session for session, _, _ in found(state, *words)]

    assert sessions() == ["s2", "s1"]
    assert sessions("--identity", "alice") == ["s1"]
    assert sessions("--identity", "https://idp#bob") == ["s2"]
    assert sessions("--target", "web1") == ["s1"]
    assert sessions("--verdict", "deny") == ["s1"]
    assert sessions("--since", "2023-11-14T22:20:00") == ["s2"]
    assert sessions("--until", "2023-11-14T22:20:00") == ["s1"]
    assert sessions("rm /etc", "--verdict", "deny") == ["s1"]
    assert sessions("rm", "--identity", "alice", "--target", "db1") == []


def test_what_ended_long_ago_is_packed_and_still_verifies_plays_and_is_found(
    state: StateDirectory,
) -> None:
    stem = state.recordings / "2023-11-14/s1/c1"
    plain = stem.with_suffix(".cast").read_bytes()
    age(state, "s1", 7200)
    done = tidy(state, "{pack_after: 1h}")
    assert (done["packed"], done["problems"]) == (1, 0)
    assert {path.name for path in stem.parent.iterdir()} == {
        "c1.cast.zst",
        "c1.events.jsonl.zst",
        "c1.seal.jsonl",
    }
    assert run(state, "verify").output.count("whole") == 2
    assert found(state, "needle")[0][0] == "s1"
    out = state.path.parent / "out.cast"
    packed = f"{stem}.cast.zst"
    assert CliRunner().invoke(replay, [packed, "--export", str(out)]).exit_code == 0
    assert out.read_bytes() == plain
    assert "needle" in CliRunner().invoke(replay, ["--plain", str(stem.parent)]).output
    assert "c1.cast.zst" in run(state, "path", "s1", "c1").output
    assert "needle" not in run(state, "list").output
    assert tidy(state, "{pack_after: 1h}")["packed"] == 0


@pytest.mark.parametrize("cut", [-1, 30, 0])
def test_a_packed_file_that_was_changed_is_broken(state: StateDirectory, cut: int) -> None:
    stem = state.recordings / "2023-11-14/s1/c1"
    public = read_public_key(state.audit / "ed25519.pub")
    assert pack(stem, public)
    path = Path(f"{stem}.cast.zst")
    data = bytearray(path.read_bytes())
    if cut >= 0:
        path.write_bytes(data[:cut])
    else:
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    report = verify_recording(stem, public)
    assert report.state is State.BROKEN
    assert report.findings[0].startswith("c1.cast.zst: ")


def test_what_does_not_hold_or_has_no_end_is_not_packed(state: StateDirectory) -> None:
    public = read_public_key(state.audit / "ed25519.pub")
    one, two = (state.recordings / f"2023-11-14/{session}/c1" for session in ("s1", "s2"))
    cast, seal = Path(f"{one}.cast"), Path(f"{two}.seal.jsonl")
    cast.write_bytes(cast.read_bytes().replace(b"stack", b"stock"))
    seal.write_bytes(b"".join(seal.read_bytes().splitlines(keepends=True)[:-1]))
    before = {path: path.read_bytes() for path in state.recordings.rglob("*") if path.is_file()}
    assert (pack(one, public), pack(two, public)) == (0, 0)
    after = {path: path.read_bytes() for path in state.recordings.rglob("*") if path.is_file()}
    assert before == after


def test_packing_that_was_interrupted_is_done_anew(state: StateDirectory) -> None:
    stem = state.recordings / "2023-11-14/s1/c1"
    public = read_public_key(state.audit / "ed25519.pub")
    Path(f"{stem}.cast.zst.part").write_bytes(b"half of it")
    Path(f"{stem}.events.jsonl.zst").write_bytes(b"not verified yet")
    assert pack(stem, public)
    assert verify_recording(stem, public).state is State.WHOLE
    assert len(list(stem.parent.iterdir())) == 3


def test_a_bomb_is_not_unpacked_without_end(state: StateDirectory) -> None:
    import zstandard

    stem = state.recordings / "2023-11-14/s1/c1"
    public = read_public_key(state.audit / "ed25519.pub")
    pack(stem, public)
    bomb = zstandard.ZstdCompressor().compress(b"\0" * 300_000_000)
    Path(f"{stem}.cast.zst").write_bytes(bomb)
    report = verify_recording(stem, public)
    assert report.state is State.BROKEN


@pytest.fixture
def retention(state: StateDirectory) -> Iterator[Retention]:
    audit, ledger = AuditLog(state.audit), Ledger(state.database)
    yield Retention(state.recordings, ledger.file, audit)
    audit.close(AT)
    ledger.close()


def test_what_is_held_is_kept_and_what_is_over_is_deleted_and_audited(
    state: StateDirectory, retention: Retention
) -> None:
    retention.hold("s1", "a lawsuit", "ann", AT)
    with pytest.raises(StoreError, match="a lawsuit"):
        retention.delete("s1", "age", "retention", AT)
    retention.delete("s2", "age", "retention", AT)
    assert [path.name for path in state.recordings.glob("*/*")] == ["s1"]
    retention.release("s1", "ann", AT)
    with pytest.raises(StoreError, match="not held"):
        retention.release("s1", "ann", AT)
    with pytest.raises(StoreError, match="No recording"):
        retention.delete("../state", "age", "retention", AT)
    lines = (state.audit / "audit.jsonl").read_bytes().splitlines()
    kinds = [json.loads(line)["kind"] for line in lines]
    assert kinds[-3:] == ["recording-held", "recording-deleted", "recording-released"]
    result = run(state, "verify")
    assert (result.exit_code, result.output.count("whole")) == (0, 1)


def test_age_and_size_say_what_is_over_the_oldest_first(state: StateDirectory) -> None:
    age(state, "s1", 2 * 86400)
    now = max(path.stat().st_mtime for path in state.recordings.rglob("*.cast")) + 5

    def over(holds: frozenset[str] = frozenset(), **bounds: Any) -> list[str]:
        found = due(state.recordings, holds, now, **{"keep": None, "keep_size": None, **bounds})
        return [session for session, _ in found]

    assert over() == []
    assert over(keep=86400.0) == ["s1"]
    assert over(keep_size=1) == ["s1", "s2"]
    assert over(keep_size=1 << 30) == []
    assert over(frozenset({"s1"}), keep_size=1) == ["s2"]


def test_without_a_running_bastion_tidy_deletes_by_itself(state: StateDirectory) -> None:
    tidy(state)
    age(state, "s1", 3 * 86400)
    assert tidy(state, "{keep: 2d}")["deleted"] == 1
    assert found(state, "needle") == []
    assert run(state, "verify").exit_code == 0
    with pytest.raises(BastionError, match="No recording"):
        raise run(state, "path", "s1").exception or AssertionError


async def test_a_running_bastion_is_asked_to_delete(tmp_path: Path) -> None:
    desk = Desk(tmp_path, ())
    await desk.service.start()
    try:
        recordings = Recordings(desk.state.recordings, floor_bytes=0)
        for session in ("s1", "s2"):
            recordings.open(session, "c1", at=AT).close(AT + 1)
        desk.ledger.file.execute(
            "INSERT INTO holds VALUES (?, ?, ?, ?)", ("s2", "a lawsuit", "ann", AT)
        )
        for session in ("s1", "s2"):
            age(desk.state, session, 3 * 86400)
        (tmp_path / "policy.yaml").write_text("version: 1\nroles: {}\n")
        path = tmp_path / "bastion.yaml"
        path.write_text(
            f"state: {desk.state.path}\npolicy: policy.yaml\n"
            "recordings: {keep: 2d, pack_after: 9000d}\n"
        )
        words = ["recordings", "tidy", "--json", "--config", str(path)]
        result = await asyncio.to_thread(CliRunner().invoke, bastion, words)
        assert json.loads(result.output)["deleted"] == 1
        assert [folder.name for folder in desk.state.recordings.glob("*/*")] == ["s2"]
        entries = [
            json.loads(line)
            for line in (desk.state.audit / "audit.jsonl").read_bytes().splitlines()
        ]
        [deleted] = [one for one in entries if one["kind"] == "recording-deleted"]
        assert deleted["fields"]["reason"] == "it is older than recordings are kept"
    finally:
        await desk.close()
