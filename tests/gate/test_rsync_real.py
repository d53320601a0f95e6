"""The rsync gate between a real rsync and its server."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.filechannel import Channel

pytestmark = pytest.mark.story


@pytest.fixture
def channel(tmp_path: Path) -> Channel:
    return Channel(tmp_path)


def test_both_ways_and_deletion(channel: Channel) -> None:
    (channel.local / "src").mkdir()
    (channel.local / "src" / "big").write_bytes(bytes(range(256)) * 4000)
    (channel.remote / "dst").mkdir()
    (channel.remote / "dst" / "old").write_text("old")
    up = channel.rsync("-az", "--delete", "src/", "host:dst")
    assert up.returncode == 0, up.stderr
    assert [path.name for path in (channel.remote / "dst").iterdir()] == ["big"]
    down = channel.rsync("-a", "host:dst/", "back")
    assert down.returncode == 0, down.stderr
    assert (channel.local / "back" / "big").stat().st_size == 1024000
    said = channel.said("Transcript")
    assert "upload ~/dst " in said[0]
    assert "of rsync's stream, not of a file" in said[0]
    assert said[1] == "Transcript(text='remove ~/dst')"


def test_deletion_alone_can_be_denied(channel: Channel) -> None:
    (channel.local / "f").write_text("x")
    rules = [("deny", "keep", "remove", str(channel.remote))]
    ran = channel.rsync("-r", "--delete", ".", f"host:{channel.remote}/", rules=rules)
    assert ran.returncode != 0
    assert "denied by rule keep" in ran.stderr
    assert not channel.said("Dial")
    assert channel.rsync("-r", ".", f"host:{channel.remote}/", rules=rules).returncode == 0


def test_a_held_transfer_loses_no_byte(channel: Channel) -> None:
    (channel.local / "f").write_text("x")
    rules = [("approve", "ask", "write", str(channel.remote))]
    ran = channel.rsync("f", f"host:{channel.remote}/f", rules=rules, answer="granted")
    assert ran.returncode == 0, ran.stderr
    assert (channel.remote / "f").read_text() == "x"


def test_where_the_paths_come_over_stdin_it_is_an_ordinary_command(channel: Channel) -> None:
    (channel.local / "f").write_text("x")
    ran = channel.rsync("-s", "f", "host:f")
    assert ran.returncode == 0, ran.stderr
    assert not channel.said("FileDone")
    assert "ExecRequest" in channel.said("Decided")[0]
