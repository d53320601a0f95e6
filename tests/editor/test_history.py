"""Commands entered before: private, bounded, masked."""

from __future__ import annotations

import json
import stat

import pytest

from bastion.editor.history import MAX_COMMAND, MAX_FILE, HistoryFile, history_name
from bastion.editor.line import MAX_RECALLED
from tests.editor.desk import SIGN, seat


def unmasked(command):
    return command


def test_it_is_there_in_the_next_session_and_private(tmp_path):
    path = tmp_path / "history" / history_name("idp#ann", "deploy", "web1")
    first = HistoryFile(path, unmasked)
    for command in ("ls", "ls", "cat <<E\nx\nE", " secret", "\tsecret", "  "):
        first.add(command)
    assert HistoryFile(path, unmasked).entries() == ["ls", "cat <<E\nx\nE"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_each_identity_and_login_has_its_own():
    names = {
        history_name("a", "b", "c"),
        history_name("a", "bc", ""),
        history_name("ab", "", "c"),
        history_name("../../etc", "b", "c"),
    }
    assert len(names) == 4
    assert all(name.isalnum() for name in names)


def test_secrets_are_masked_on_the_disk(tmp_path):
    path = tmp_path / "history" / "x"
    history = HistoryFile(path, lambda command: command.replace("hunter2", "[masked]"))
    history.add("mysql -phunter2")
    assert "hunter2" not in path.read_text()
    assert HistoryFile(path, unmasked).entries() == ["mysql -p[masked]"]


def test_the_file_is_bounded(tmp_path):
    path = tmp_path / "history" / "x"
    history = HistoryFile(path, unmasked)
    for number in range(400):
        history.add(f"{number} " + "x" * 4000)
    assert path.stat().st_size <= MAX_FILE
    again = HistoryFile(path, unmasked).entries()
    assert again[-1].startswith("399 ")
    assert len(again) <= MAX_RECALLED
    history.add("y" * (MAX_COMMAND + 1))
    assert "y" * 100 not in path.read_text()


def test_a_damaged_file_loses_only_what_is_damaged(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(
        b'"ls"\n"half\n{"a": 1}\n\xff\xfe\n' + json.dumps("x" * 99999).encode() + b'\n"id"\n'
    )
    path.chmod(0o600)
    entries = HistoryFile(path, unmasked).entries()
    assert [each[:4] for each in entries] == ["ls", "xxxx", "id"]
    assert len(entries[1]) == MAX_COMMAND


@pytest.mark.parametrize("spoil", ["open", "link", "directory"])
def test_a_file_that_others_could_change_is_not_used(tmp_path, spoil):
    path, other = tmp_path / "x", tmp_path / "other"
    other.write_text('"evil"\n')
    other.chmod(0o600)
    if spoil == "link":
        path.symlink_to(other)
    elif spoil == "directory":
        path.mkdir()
    else:
        path.write_text('"evil"\n')
        path.chmod(0o644)
    history = HistoryFile(path, unmasked)
    assert history.entries() == []
    assert "not kept" in history.trouble
    history.add("ls")
    assert history.entries() == ["ls"]
    assert other.read_text() == '"evil"\n'


async def test_it_is_recalled_by_its_beginning_searched_and_quoted():
    history = HistoryFile(None, unmasked)
    for command in ("systemctl restart nginx", "ls /var/log", "systemctl status 'my app'", "id"):
        history.add(command)
    async with seat(history=history) as at:
        at.keys("sys\x1b[A")
        assert at.rows[0] == SIGN + "systemctl status 'my app'"
        at.keys("\x1b[A")
        assert at.rows[0] == SIGN + "systemctl restart nginx"
        at.keys("\x1b[B\x1b[B")
        assert at.rows[0] == SIGN + "sys"
        at.keys("\x15\x12var")
        assert at.rows[:2] == [SIGN + "ls /var/log", "search: var"]
        at.keys("\x07\x12restart")
        assert at.rows[0] == SIGN + "systemctl restart nginx"
        at.keys("\x05\x15echo \x1b.")
        assert at.rows[0] == SIGN + "echo id"
        at.keys("\x1b.")
        assert at.rows[0] == SIGN + "echo 'my app'"
        assert await at.line("\x03\x12/var\r") == "ls /var/log"


async def test_what_is_entered_is_recalled_at_once():
    async with seat() as at:
        await at.line("echo one\r")
        await at.line("echo two\r")
        assert await at.line("\x1b[A\x1b[A\r") == "echo one"


async def test_ctrl_o_enters_a_line_and_goes_to_the_next():
    async with seat() as at:
        for command in ("a1", "a2", "a3"):
            await at.line(command + "\r")
        assert await at.line("\x1b[A\x1b[A\x0f") == "a2"
        await at.start()
        assert at.rows[4] == SIGN + "a3"
