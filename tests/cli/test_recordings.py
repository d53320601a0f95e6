"""`bastion recordings verify`: over a state directory with its audit log, and offline."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bastion.cli.main import bastion
from bastion.errors import BastionError
from bastion.store.audit import AuditLog
from bastion.store.keeping import kept_recordings
from bastion.store.recordings import Recordings
from bastion.store.state import StateDirectory

AT = 1_700_000_000.0


def run(state: Path, *words: str) -> Result:
    return CliRunner().invoke(bastion, ["recordings", *words], env={"BASTION_STATE": str(state)})


@pytest.fixture
async def state(tmp_path: Path) -> StateDirectory:
    """Two recordings that were closed, and one that a crash left."""
    state = StateDirectory(tmp_path / "state")
    audit = AuditLog(state.audit)
    async with kept_recordings(state, audit, lambda: AT, floor_bytes=0) as recordings:
        for session, channel in (("s1", "c1"), ("s1", "c2"), ("s2", "c1")):
            audit.append("channel-opened", AT, session=session, channel=channel)
            recording = recordings.open(session, channel, at=AT)
            recording.output(AT + 1, b"hello\n")
            if session == "s1":
                recording.close(AT + 2)
            else:
                left = recording
    left.release()
    audit.close(AT)
    return state


def test_what_was_closed_holds_and_what_has_no_end_is_told(state: StateDirectory) -> None:
    result = run(state.path, "verify")
    assert result.exit_code == 3
    assert result.output.splitlines() == [
        "whole      s1/c1  4 lines, 2 seals",
        "whole      s1/c2  4 lines, 2 seals",
        "unfinished s2/c1  0 lines, 1 seals, 3 lines after the last",
    ]
    assert run(state.path, "verify", "s1").exit_code == 0
    with pytest.raises(BastionError, match="No recording of 's9'"):
        raise run(state.path, "verify", "s9").exception or AssertionError


async def test_the_next_start_finishes_and_audits_it(state: StateDirectory) -> None:
    audit = AuditLog(state.audit)
    async with kept_recordings(state, audit, lambda: AT + 60, floor_bytes=0):
        pass
    audit.close(AT)
    result = run(state.path, "verify", "--json")
    assert result.exit_code == 0
    assert [report["state"] for report in json.loads(result.output)] == ["whole"] * 2 + ["finished"]
    entries = [json.loads(line) for line in (state.audit / "audit.jsonl").read_bytes().splitlines()]
    [entry] = [entry for entry in entries if entry["kind"] == "recording-finished"]
    assert entry["fields"]["unsealed_lines"] == 3


def test_what_is_gone_as_a_whole_is_known_to_the_audit(state: StateDirectory) -> None:
    shutil.rmtree(state.recordings / "2023-11-14/s1")
    result = run(state.path, "verify")
    assert result.exit_code == 1
    assert result.output.count("the audit log knows this recording, and nothing of it is") == 2


def test_a_seal_cut_with_its_files_is_known_to_the_audit(state: StateDirectory) -> None:
    path = state.recordings / "2023-11-14/s1/c1.seal.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    result = run(state.path, "verify", "s1")
    assert result.exit_code == 1
    assert "the seal does not end as the audit log says" in result.output


def test_it_needs_no_bastion_but_the_public_key(state: StateDirectory, tmp_path: Path) -> None:
    shutil.copytree(state.recordings / "2023-11-14/s1", tmp_path / "s1")
    key = shutil.copy(state.audit / "ed25519.pub", tmp_path)
    shutil.rmtree(state.path)
    words = ["verify", "--key", str(key), str(tmp_path / "s1")]
    result = run(tmp_path / "none", *words)
    assert (result.exit_code, result.output.count("whole")) == (0, 2)
    one = run(tmp_path / "none", *words[:3], str(tmp_path / "s1/c1.cast"))
    assert (one.exit_code, one.output) == (0, "whole      s1/c1  4 lines, 2 seals\n")
    cast = tmp_path / "s1/c1.cast"
    cast.write_bytes(cast.read_bytes().replace(b"hello", b"hullo"))
    result = run(tmp_path / "none", *words)
    assert result.exit_code == 1
    assert "c1.cast: 1 line was changed from line 2 on" in result.output


def test_names_on_disk_cannot_act_on_the_terminal(tmp_path: Path) -> None:
    folder = tmp_path / "s\x1b[2J"
    folder.mkdir()
    state = StateDirectory(tmp_path / "state")
    AuditLog(state.audit).close(AT)
    recording = Recordings(tmp_path, floor_bytes=0).open("s", "c", at=AT)
    recording.close(AT)
    for path in recording.path.parent.iterdir():
        shutil.copy(path, folder)
    key = str(state.audit / "ed25519.pub")
    result = run(state.path, "verify", "--key", key, str(folder))
    assert result.exit_code == 1
    assert "\x1b" not in result.output
    assert "signed by another key" in result.output


def test_an_older_audit_log_put_back_does_not_know_the_newest_recordings(
    state: StateDirectory,
) -> None:
    log, heads = state.audit / "audit.jsonl", state.audit / "heads.jsonl"
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:1]))
    heads.unlink()
    result = run(state.path, "verify")
    assert result.exit_code == 1
    assert result.output.count("the audit log does not know it") == 1  # s1/c2, but not s2's crash


def test_a_pipe_in_the_place_of_a_file_is_told_and_nobody_waits_for_it(
    state: StateDirectory,
) -> None:
    folder = state.recordings / "2023-11-14"
    for place in ("s1/c1.cast", "s1/c2.seal.jsonl", "s2/c1.cast"):
        (folder / place).unlink()
        os.mkfifo(folder / place)
    result = run(state.path, "verify")
    assert (result.exit_code, result.output.count("this is no file")) == (1, 3)
    assert "(this is no file)" in run(state.path, "list").output


async def test_a_pipe_in_the_place_of_a_file_does_not_stop_the_start(state: StateDirectory) -> None:
    path = state.recordings / "2023-11-14/s2/c1.cast"
    path.unlink()
    os.mkfifo(path)
    audit = AuditLog(state.audit)
    async with kept_recordings(state, audit, lambda: AT + 60, floor_bytes=0):
        pass
    audit.close(AT)
    assert '"problem":"c1.cast is no file"' in (state.audit / "audit.jsonl").read_text()
