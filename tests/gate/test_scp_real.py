"""The scp gate between OpenSSH's own scp -O and its remote side."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.harness.filechannel import Channel

pytestmark = pytest.mark.story


@pytest.fixture
def channel(tmp_path: Path) -> Channel:
    return Channel(tmp_path)


def _tree(place: Path) -> None:
    (place / "tree" / "deep").mkdir(parents=True)
    (place / "tree" / "a").write_text("alpha")
    (place / "tree" / "empty").write_text("")
    (place / "tree" / "deep" / "b").write_bytes(bytes(range(256)) * 4000)


def _same(one: Path, other: Path) -> None:
    assert (other / "a").read_text() == "alpha"
    assert (other / "empty").read_text() == ""
    assert (other / "deep" / "b").read_bytes() == (one / "deep" / "b").read_bytes()


def test_a_tree_goes_up_and_comes_back(channel: Channel) -> None:
    _tree(channel.local)
    up = channel.scp("-rp", "tree", "host:copy")
    assert up.returncode == 0, up.stderr
    _same(channel.local / "tree", channel.remote / "copy")
    down = channel.scp("-rp", "host:copy", "back")
    assert down.returncode == 0, down.stderr
    _same(channel.local / "tree", channel.local / "back")
    digest = hashlib.sha256(b"alpha").hexdigest()
    said = channel.said("Transcript")
    assert f"Transcript(text='upload ~/copy/tree/a 5 bytes sha256={digest}')" in said
    assert f"Transcript(text='download ~/copy/a 5 bytes sha256={digest}')" in said


def test_several_files_and_a_pattern(channel: Channel) -> None:
    for name in ("one.txt", "two.txt", "other"):
        (channel.remote / name).write_text(name)
    ran = channel.scp("host:*.txt", "host:other", ".")
    assert ran.returncode == 0, ran.stderr
    assert sorted(path.name for path in channel.local.iterdir()) == ["one.txt", "other", "two.txt"]


def test_times_are_kept_for_files(channel: Channel) -> None:
    (channel.local / "f").write_text("x")
    import os

    os.utime(channel.local / "f", (1_000_000_000, 1_000_000_000))
    assert channel.scp("-p", "f", "host:").returncode == 0
    assert (channel.remote / "f").stat().st_mtime == 1_000_000_000


def test_a_denied_file_is_skipped_and_the_others_arrive(channel: Channel) -> None:
    _tree(channel.local)
    rules = [("deny", "no-deep", "*", f"{channel.remote}/d/tree/deep")]
    (channel.remote / "d").mkdir()
    ran = channel.scp("-rp", "tree", f"host:{channel.remote}/d", rules=rules)
    assert ran.returncode != 0
    assert "denied by rule no-deep" in ran.stderr
    assert not (channel.remote / "d" / "tree" / "deep").exists()
    assert (channel.remote / "d" / "tree" / "a").read_text() == "alpha"


def test_a_denied_file_inside_a_download_is_not_shown(channel: Channel) -> None:
    _tree(channel.remote)
    rules = [("deny", "no-deep", "*", f"{channel.remote}/tree/deep/b")]
    ran = channel.scp("-r", f"host:{channel.remote}/tree", ".", rules=rules)
    assert ran.returncode != 0
    assert "denied by rule no-deep" in ran.stderr
    assert not (channel.local / "tree" / "deep" / "b").exists()
    assert (channel.local / "tree" / "a").read_text() == "alpha"


def test_what_the_command_line_shows_is_denied_before_the_dial(channel: Channel) -> None:
    (channel.remote / "secret").write_text("s")
    (channel.local / "f").write_text("x")
    rules = [("deny", "no-secrets", "*", f"{channel.remote}/secret")]
    for words in (["host:SECRET", "."], ["f", "host:SECRET"]):
        words = [word.replace("SECRET", f"{channel.remote}/secret") for word in words]
        ran = channel.scp(*words, rules=rules)
        assert ran.returncode != 0
        assert "denied by rule no-secrets" in ran.stderr
    assert not channel.said("Dial")
    assert len([line for line in channel.said("Exit") if "status=254" in line]) == 2


def test_a_held_upload_is_granted_or_refused(channel: Channel) -> None:
    (channel.local / "f").write_text("x")
    rules = [("approve", "ask", "write", str(channel.remote))]
    ran = channel.scp("f", f"host:{channel.remote}/", rules=rules, answer="refused")
    assert ran.returncode != 0
    assert "refused by bob" in ran.stderr
    assert not (channel.remote / "f").exists()
    ran = channel.scp("f", f"host:{channel.remote}/", rules=rules, answer="granted")
    assert ran.returncode == 0, ran.stderr
    assert (channel.remote / "f").read_text() == "x"


def test_a_held_download_asks_once_for_a_tree(channel: Channel) -> None:
    _tree(channel.remote)
    rules = [("approve", "ask", "read", str(channel.remote))]
    ran = channel.scp("-r", f"host:{channel.remote}/tree", ".", rules=rules, answer="granted")
    assert ran.returncode == 0, ran.stderr
    _same(channel.remote / "tree", channel.local / "tree")
    assert len(channel.said("Ask")) == 1


def test_the_targets_own_complaints_arrive(channel: Channel) -> None:
    (channel.local / "f").write_text("x")
    ran = channel.scp("f", "host:nowhere/deeper/f")
    assert ran.returncode != 0
    assert "No such file or directory" in ran.stderr
    ran = channel.scp("host:missing", ".")
    assert ran.returncode != 0
    assert "No such file or directory" in ran.stderr
