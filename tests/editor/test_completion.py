"""Tab, as it looks on the screen; the target answers what it likes."""

from __future__ import annotations

import asyncio

import pytest

from bastion.editor import completion
from bastion.editor.values import CompletionKind
from tests.editor.desk import SIGN, seat


async def test_one_candidate_is_inserted_with_a_blank():
    async with seat() as at:
        at.answers[("command", "sys")] = ["systemctl"]
        at.keys("sys\t")
        await at.until(lambda at: at.rows[0] == SIGN + "systemctl")
        assert at.cursor == (0, len(SIGN + "systemctl "))
        assert at.questions[0].kind is CompletionKind.COMMAND


async def test_a_directory_goes_on():
    async with seat() as at:
        at.answers[("path", "/e")] = ["/etc/", "/etc"]
        at.answers[("path", "/etc/pass")] = ["/etc/passwd"]
        at.keys("cat /e\t")
        await at.until(lambda at: at.rows[0] == SIGN + "cat /etc/")
        at.keys("pass\t")
        await at.until(lambda at: at.rows[0] == SIGN + "cat /etc/passwd")
        assert await at.line("\r") == "cat /etc/passwd "


async def test_what_can_only_be_a_directory_goes_on_too():
    async with seat() as at:
        at.answers[("directory", "/v")] = ["/var"]
        at.keys("cd /v\t")
        await at.until(lambda at: at.rows[0] == SIGN + "cd /var/")


async def test_first_what_they_share_then_the_list_then_one_by_one():
    async with seat() as at:
        at.answers[("path", "/v")] = ["/var/log", "/var/lib", "/var/local"]
        at.keys("ls /v\t")
        await at.until(lambda at: at.rows[0] == SIGN + "ls /var/l")
        assert at.rows[1] == ""
        at.keys("\t")
        await at.until(lambda at: at.rows[1] == "lib    local  log")
        at.keys("\t")
        await at.until(lambda at: at.rows[0] == SIGN + "ls /var/lib")
        at.keys("\t\t\x1b[Z")
        await at.until(lambda at: at.rows[0] == SIGN + "ls /var/local")
        at.keys("\r")
        await at.until(lambda at: at.rows[1] == "")
        assert await at.line("/x\r") == "ls /var/local/x"


async def test_ctrl_g_puts_back_what_was_typed():
    async with seat() as at:
        at.answers[("path", "a")] = ["ab", "ac"]
        at.keys("ls a\t")
        await at.until(lambda at: b"\a" in at.written)
        at.keys("\t\t")
        await at.until(lambda at: at.rows[0] == SIGN + "ls ab")
        assert await at.line("\x07\r") == "ls a"


async def test_the_rest_of_the_line_stays():
    async with seat() as at:
        at.answers[("path", "fi")] = ["file one"]
        at.keys("cp fi there" + "\x1b[D" * 6 + "\t")
        await at.until(lambda at: at.rows[0] == SIGN + "cp file\\ one there")


async def test_a_slow_target_holds_up_no_key():
    release = asyncio.Event()

    async def complete(asked):
        await release.wait()
        return [asked.word + "-late"]

    async with seat(complete=complete) as at:
        at.keys("ls x\t")
        await at.until(lambda at: at.rows[1] == "asking the target …")
        at.keys("yz")
        await at.until(lambda at: at.rows[0] == SIGN + "ls xyz")
        assert at.rows[1] == ""
        release.set()
        assert await at.line("\r") == "ls xyz"


async def test_a_target_without_an_answer_is_given_up(monkeypatch):
    monkeypatch.setattr(completion, "DEADLINE", 0.05)

    async def complete(asked):
        await asyncio.Event().wait()

    async with seat(complete=complete) as at:
        at.keys("ls x\t")
        await at.until(lambda at: "did not answer" in at.rows[1])
        assert await at.line("\r") == "ls x"


async def test_what_the_target_answers_cannot_act_on_the_terminal_or_the_line():
    evil = [
        "x\x1b]0;owned\x07",
        "x\nreboot",
        "x\u202ey",
        "x" * 5000,
        "y",
        "",
        "x; reboot #",
        "x\x00",
    ]
    async with seat() as at:
        at.answers[("path", "x")] = [*evil, "x; reboot #"]
        at.keys("ls x\t")
        await at.until(lambda at: at.rows[0] == SIGN + "ls x\\;\\ reboot\\ \\#")
        assert b"owned" not in at.written


async def test_a_thousand_names_do_not_fill_the_screen():
    async with seat(80, 24) as at:
        at.answers[("path", "f")] = [f"f{number:06}" for number in range(100_000)]
        at.keys("ls f\t\t")
        await at.until(lambda at: "f000" in at.rows[0])
        at.keys("\t\t")
        await at.until(lambda at: "more" in at.screen)
        assert len(at.screen.split("\n")) <= 14
        assert await at.line("\x03ls\r") == "ls"


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("ls --hum\t", "ls --human-readable "),
        ("tar --dir\t", "tar --directory="),
        ("git stat\t", "git status "),
    ],
)
async def test_options_are_known_without_asking(typed, line):
    async with seat() as at:
        at.keys(typed)
        assert await at.line("\r") == line
        assert at.questions == []


@pytest.mark.parametrize(
    ("typed", "question", "answer", "line"),
    [
        ("echo $HO\t", ("variable", "HO"), "HOME", "echo $HOME "),
        ("echo ${HO\t", ("variable", "HO"), "HOME", "echo ${HOME}"),
        ("ls ~ro\t", ("user", "ro"), "root", "ls ~root/"),
        ("ls 'it\t", ("path", "it"), "it's", "ls 'it'\\''s' "),
        ('ls "a\t', ("path", "a"), "a$b", 'ls "a\\$b" '),
        ("ls ~/a\t", ("path", "~/a"), "~/a b", "ls ~/a\\ b "),
    ],
)
async def test_each_kind_is_written_as_it_was_begun(typed, question, answer, line):
    async with seat() as at:
        at.answers[question] = [answer]
        before = len(at.written)
        at.keys(typed)
        await at.until(lambda at: line.strip() in at.rows[0] and len(at.written) > before)
        assert await at.line("\r") == line


async def test_a_second_tab_before_the_answer_asks_for_the_list():
    release = asyncio.Event()

    async def complete(asked):
        await release.wait()
        return ["xa", "xb"]

    async with seat(complete=complete) as at:
        at.keys("ls x\t\t")
        release.set()
        await at.until(lambda at: at.rows[1] == "xa  xb")
