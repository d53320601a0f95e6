"""History expansion: bash itself says what it gives."""

from __future__ import annotations

import subprocess

import pytest

from bastion.editor.history import HistoryFile
from bastion.editor.recall import expanded
from tests.editor.desk import SIGN, seat

COMMANDS = ["ls -l /var/log", "systemctl restart 'my app' >/tmp/x", "cat /etc/passwd /etc/group"]


def bash_expands(text):
    """What `history -p` of bash makes of it; None where it finds nothing."""
    script = "history -c\n" + 'history -s -- "$1"; shift\n' * len(COMMANDS) + 'history -p -- "$1"'
    run = subprocess.run(
        ["bash", "-c", script, "bash", *COMMANDS, text], capture_output=True, text=True, check=False
    )
    return run.stdout.removesuffix("\n") if run.returncode == 0 else None


@pytest.mark.parametrize(
    "text",
    [
        "sudo !!",
        "!!",
        "!-2",
        "!-3 | wc",
        "!ls",
        "!sys",
        "!?restart?",
        "less !$",
        "less !^",
        "less !*",
        "less !!:2",
        "less !!:$",
        "less !-2:1",
        "less !ls:$",
        "echo '!!'",
        "echo \\!!",
        'echo "!!"',
        "echo hi!",
        'echo "hi!"',
        "! true",
        "[ a != b ]",
        "echo $!",
        "echo ${!x}",
        "ls [!a]*",
        "a !! b !$ c",
    ],
)
def test_it_is_what_bash_makes_of_it(text):
    assert expanded(text, COMMANDS) == bash_expands(text)


@pytest.mark.parametrize("text", ["!nothing", "!-99", "!?nothing?", "!!:99", "^nothing^x", "", "!"])
def test_what_matches_nothing_stays(text):
    assert expanded(text, COMMANDS) == text


def test_a_correction():
    assert expanded("^passwd^shadow", COMMANDS) == "cat /etc/shadow /etc/group"
    assert expanded("^passwd^shadow^", COMMANDS) == "cat /etc/shadow /etc/group"


async def test_it_is_shown_before_it_runs():
    history = HistoryFile(None, str)
    history.add("systemctl restart x")
    async with seat(history=history) as at:
        at.keys("sudo !!\r")
        assert at.rows[0] == SIGN + "sudo systemctl restart x"
        await at.until(lambda at: at.rows[1].startswith("needs approval"))
        assert await at.line("\r") == "sudo systemctl restart x"


async def test_a_line_without_one_runs_at_once():
    history = HistoryFile(None, str)
    history.add("ls")
    async with seat(history=history) as at:
        assert await at.line("echo '!!' && ! false\r") == "echo '!!' && ! false"


async def test_what_was_expanded_is_not_expanded_again():
    history = HistoryFile(None, str)
    history.add("echo !echo")
    async with seat(history=history) as at:
        assert await at.line("!!\r\r") == "echo !echo"
