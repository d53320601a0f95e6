from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bastion.errors import StoreError
from bastion.identity.clientfiles import ClientLines, install, with_block, with_include

LINES = ClientLines(
    "bastion.example", 2222, "bastion", ("web-1", "db-1"), authority="ssh-ed25519 A"
)


def test_what_is_written_where(tmp_path: Path) -> None:
    changed = install(LINES, tmp_path)
    assert {path.relative_to(tmp_path).as_posix() for path in changed} == {
        ".ssh/config",
        ".ssh/bastion/config",
        ".ssh/known_hosts",
    }
    assert install(LINES, tmp_path) == ()
    assert (tmp_path / ".ssh/known_hosts").read_text() == (
        "# bastion bastion.example:2222 begins\n"
        "@cert-authority [bastion.example]:2222,web-1,db-1 ssh-ed25519 A\n"
        "# bastion bastion.example:2222 ends\n"
    )


def test_two_bastions_live_side_by_side(tmp_path: Path) -> None:
    other = ClientLines("other.example", 22, "other", (), host_key="ssh-ed25519 B")
    install(LINES, tmp_path)
    install(other, tmp_path)
    install(LINES, tmp_path)
    known = (tmp_path / ".ssh/known_hosts").read_text()
    assert known.count("begins") == 2
    assert "\nother.example ssh-ed25519 B\n" in known
    config = (tmp_path / ".ssh/bastion/config").read_text()
    assert config.count("Host bastion\n") == 1
    assert config.count("Host other\n") == 1


def test_a_link_stays_a_link_and_its_file_keeps_its_mode(tmp_path: Path) -> None:
    ssh = tmp_path / ".ssh"
    ssh.mkdir()
    real = tmp_path / "dotfiles"
    real.write_text("Host x\n")
    real.chmod(0o640)
    (ssh / "config").symlink_to(real)
    install(LINES, tmp_path)
    assert (ssh / "config").is_symlink()
    assert real.read_text() == "Include bastion/config\n\nHost x\n"
    assert real.stat().st_mode & 0o777 == 0o640


def test_bytes_that_are_not_text_survive(tmp_path: Path) -> None:
    ssh = tmp_path / ".ssh"
    ssh.mkdir()
    (ssh / "config").write_bytes(b"# \xff\xfe caf\xe9\r\nHost x\r\n")
    install(LINES, tmp_path)
    assert (ssh / "config").read_bytes().endswith(b"# \xff\xfe caf\xe9\r\nHost x\r\n")


def test_a_block_without_end_is_not_guessed_at() -> None:
    with pytest.raises(StoreError, match="mend it by hand"):
        with_block("# bastion a:1 begins\nmine\n", "a:1", "new\n")


@given(st.text(alphabet="ab#\n ", max_size=60))
def test_what_others_wrote_is_kept(text: str) -> None:
    once = with_block(text, "h:1", "one\n")
    twice = with_block(once, "h:1", "two\n")
    assert "one\n" not in twice.removeprefix(text)
    assert twice.startswith(text)
    assert with_block(twice, "h:1", "two\n") == twice
    assert with_include(with_include(text)) == with_include(text)
