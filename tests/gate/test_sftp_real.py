"""The SFTP gate between OpenSSH's own sftp and sftp-server."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.harness.filechannel import Channel

pytestmark = pytest.mark.story


@pytest.fixture
def channel(tmp_path: Path) -> Channel:
    return Channel(tmp_path)


def _content(size: int) -> bytes:
    return hashlib.shake_128(b"content").digest(size)


def test_upload_and_download_with_their_hashes(channel: Channel) -> None:
    content = _content(3_000_000)
    (channel.local / "in").write_bytes(content)
    ran = channel.sftp("put in up", "get up out", "ls -l", "rename up moved")
    assert ran.returncode == 0, ran.stderr
    assert (channel.local / "out").read_bytes() == content
    assert (channel.remote / "moved").read_bytes() == content
    digest = hashlib.sha256(content).hexdigest()
    transcripts = channel.said("Transcript")
    path = channel.remote / "up"
    assert f"Transcript(text='upload {path} 3000000 bytes sha256={digest}')" in transcripts
    assert f"Transcript(text='download {path} 3000000 bytes sha256={digest}')" in transcripts
    assert f"Transcript(text='rename {path} -> {channel.remote}/moved')" in transcripts
    assert "FINISHED" in channel.said("Exit")[0]
    assert "status=0" in channel.said("Exit")[0]


def test_a_denied_path_never_reaches_the_target(channel: Channel) -> None:
    (channel.remote / "secret").write_text("s")
    (channel.local / "in").write_text("x")
    rules = [("deny", "no-secrets", "*", f"{channel.remote}/secret")]
    ran = channel.sftp(
        "-get secret", "-rm secret", "-put in secret", "-ln secret x", "put in fine", rules=rules
    )
    assert ran.returncode == 0, ran.stderr
    assert (channel.remote / "secret").read_text() == "s"
    assert (channel.remote / "fine").read_text() == "x"
    assert not (channel.remote / "x").exists()
    assert ran.stderr.count("denied by rule no-secrets") == 1
    assert ran.stderr.count("Permission denied") >= 3


def test_a_held_upload_goes_on_when_it_is_granted(channel: Channel) -> None:
    (channel.local / "in").write_text("x")
    rules = [("approve", "ask", "write", str(channel.remote))]
    ran = channel.sftp("put in up", rules=rules, answer="granted")
    assert ran.returncode == 0, ran.stderr
    assert (channel.remote / "up").read_text() == "x"
    assert len(channel.said("Ask")) == 1


def test_a_held_upload_is_answered_when_it_is_refused(channel: Channel) -> None:
    (channel.local / "in").write_text("x")
    rules = [("approve", "ask", "write", str(channel.remote))]
    ran = channel.sftp("-put in up", "ls", rules=rules, answer="refused")
    assert ran.returncode == 0, ran.stderr
    assert not (channel.remote / "up").exists()
    assert "refused by bob" in ran.stderr


def test_every_extension_of_this_client_works(channel: Channel) -> None:
    (channel.remote / "a").write_text("x")
    ran = channel.sftp(
        "ln a hard", "ln -s a soft", "df", "chmod 600 a", "cp a b", "mkdir d", "rmdir d", "ls -la",
        "pwd", "reget a", "mget *",
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert (channel.remote / "hard").stat().st_nlink == 2
    assert (channel.remote / "soft").readlink() == Path("a")
    assert (channel.remote / "b").read_text() == "x"
    assert not channel.said("Tell")


def test_a_second_client_library(channel: Channel) -> None:
    (channel.remote / "secret").write_text("s")
    content = _content(3_000_000)
    (channel.remote / "big").write_bytes(content)
    rules = [("deny", "no-secrets", "*", f"{channel.remote}/secret")]
    with channel.paramiko(rules=rules) as client:
        assert client.normalize(".") == str(channel.remote)
        with client.open("new", "w") as file:
            file.write(b"hello")
        client.chmod("new", 0o600)
        client.truncate("new", 4)
        client.posix_rename("new", "newer")
        client.symlink("newer", "link")
        assert client.readlink("link") == "newer"
        assert client.stat("link").st_size == 4
        with pytest.raises(PermissionError, match="no-secrets"):
            client.open("secret")
        # All requests at once, in any order; a busy paramiko asks twice, and then no hash is given.
        client.get("big", str(channel.local / "prefetched"))
        client.get("big", str(channel.local / "big"), prefetch=False)
        assert sorted(client.listdir()) == ["big", "link", "newer", "secret"]
    assert (channel.local / "prefetched").read_bytes() == content
    assert (channel.local / "big").read_bytes() == content
    digest = hashlib.sha256(content).hexdigest()
    path = channel.remote / "big"
    said = channel.said("Transcript")
    assert f"Transcript(text='download {path} 3000000 bytes sha256={digest}')" in said
