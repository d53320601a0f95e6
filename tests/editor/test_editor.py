"""The editor, driven by a terminal's bytes and looked at on a terminal's screen."""

from __future__ import annotations

import asyncio

import pytest

from bastion.editor.values import Prompt
from tests.editor.desk import APPROVAL, DENIED, PROMPT, SIGN, Seat, judged, seat


async def test_a_line_stays_on_the_screen_and_the_cursor_goes_below():
    async with seat() as at:
        assert await at.line("ls -la\r") == "ls -la"
        assert at.screen == SIGN + "ls -la"
        assert at.cursor == (1, 0)


async def test_after_enter_the_terminal_is_as_a_program_expects_it():
    async with seat() as at:
        await at.line("ls\r")
        for switched_on in ("2004", "7", "25"):
            modes = [
                at.written.rfind(f"\x1b[?{switched_on}{letter}".encode()) for letter in ("h", "l")
            ]
            on, off = modes
            assert (on > off) is (switched_on != "2004")
        assert b"\x1b[?1049" not in at.written
        assert b"\x1b[6n" not in at.written
        at.write(b"output\r\n")
        assert at.rows[:2] == [SIGN + "ls", "output"]


async def test_what_comes_after_enter_is_kept_and_not_run():
    async with seat() as at:
        assert await at.line("sleep 9\rreboot\r\x1b[A") == "sleep 9"
        assert at.editor.leftover() == b"reboot\r\x1b[A"
        assert at.editor.leftover() == b""
        at.keys("more")
        assert await at.line("ls\r") == "ls"
        assert at.editor.leftover() == b""


@pytest.mark.parametrize("enter", ["\r", "\n"])
async def test_both_bytes_are_enter(enter):
    async with seat() as at:
        assert await at.line("ls" + enter) == "ls"


async def test_ctrl_c_leaves_the_line_and_begins_a_fresh_one():
    async with seat() as at:
        at.keys("half a li\x03")
        assert at.rows[:2] == [SIGN + "half a li^C", SIGN.rstrip()]
        assert await at.line("ls\r") == "ls"


async def test_ctrl_d_ends_an_empty_line_only():
    async with seat() as at:
        at.keys("ab\x1b[D\x04\x04")
        assert at.rows[0] == SIGN + "a"
        at.keys("\x7f")
        with pytest.raises(EOFError):
            await at.line("\x04")
        assert at.cursor == (1, 0)


async def test_a_refused_line_comes_back_and_can_be_edited():
    async with seat(initial="rm -rf /") as at:
        assert at.rows[0] == SIGN + "rm -rf /"
        assert await at.line("tmp/x\r") == "rm -rf /tmp/x"


async def test_an_unfinished_command_gets_more_lines():
    async with seat() as at:
        at.keys("for i in 1 2; do\recho $i\r")
        await at.until(lambda at: at.rows[:3] == [SIGN + "for i in 1 2; do", "> echo $i", ">"])
        assert await at.line("done\r") == "for i in 1 2; do\necho $i\ndone"


async def test_a_here_document_ends_at_its_delimiter():
    async with seat() as at:
        assert await at.line("cat <<EOF\rhello\rEOF\r") == "cat <<EOF\nhello\nEOF"


async def test_alt_enter_is_a_newline():
    async with seat() as at:
        assert await at.line("echo a\x1b\recho b\r") == "echo a\necho b"


async def test_a_paste_is_inserted_not_executed():
    async with seat() as at:
        at.keys("\x1b[200~echo a\r\nreboot\r\n\x1b[201~")
        assert at.rows[:2] == [SIGN + "echo a", "> reboot"]
        assert await at.line("\r") == "echo a\nreboot"


async def test_a_line_begins_at_the_left_also_after_output_without_a_newline():
    async with seat() as at:
        await at.line("printf x\r")
        at.write(b"x")
        await at.start()
        assert at.rows[:3] == [SIGN + "printf x", "x%", SIGN.rstrip()]


async def test_a_line_higher_than_the_screen_stays_whole_in_the_scrollback():
    lines = [f"echo {number}" for number in range(30)]
    async with seat(rows=10) as at:
        at.keys("\x1b[200~" + "\r".join(lines) + "\x1b[201~")
        assert await at.line("\r") == "\n".join(lines)
        shown = [row.removeprefix("> ").removeprefix(SIGN) for row in at.everything.split("\n")]
        assert shown == lines


async def test_the_verdict_is_shown_when_the_typing_pauses():
    async with seat() as at:
        at.keys("sudo reboot")
        await at.until(lambda at: at.rows[1] == DENIED.text)
        at.keys("\x15systemctl stop x")
        await at.until(lambda at: at.rows[1] == APPROVAL.text)
        at.keys("\x15ls")
        await at.until(lambda at: at.rows[1] == "")
        assert at.cursor == (0, len(SIGN) + 2)
        assert await at.line("\r") == "ls"


async def test_half_a_command_has_no_verdict():
    asked = []

    def outlook(text):
        asked.append(text)
        return judged(text)

    async with seat(outlook=outlook) as at:
        at.keys("echo 'reboot")
        await asyncio.sleep(0.2)
        assert (asked, at.rows[1]) == ([], "")
        at.keys("'")
        await at.until(lambda at: at.rows[1] == DENIED.text)


async def test_the_verdict_is_gone_from_the_scrollback():
    async with seat() as at:
        at.keys("reboot")
        await at.until(lambda at: "denied" in at.screen)
        await at.line("\r")
        assert at.everything == SIGN + "reboot"


async def test_a_character_cut_by_chunks_is_one_character():
    async with seat() as at:
        for byte in "é世👍".encode():
            at.keys(bytes([byte]))
        assert await at.line("\r") == "é世👍"


async def test_wide_and_combining_characters_keep_the_cursor_right():
    async with seat() as at:
        at.keys("世界\x1b[D")
        assert at.cursor == (0, len(SIGN) + 2)
        assert await at.line("e\u0301x\x1b[D\x7f\r") == "世x界"


async def test_a_resize_draws_anew():
    async with seat(80, 10) as at:
        at.keys("echo " + "x" * 40)
        at.vt.resize(40, 10)
        at.editor.resize(40, 10)
        at.keys("y")
        assert at.rows[-1] == "" or "y" in at.screen
        assert await at.line("\r") == "echo " + "x" * 40 + "y"
        assert at.cursor[1] == 0


async def test_several_editors_do_not_mix():
    seats = [await Seat(vi=bool(number % 2)).start() for number in range(8)]
    text = [f"echo {number} " + "x" * number for number in range(8)]
    for place in range(max(map(len, text))):
        for number, at in enumerate(seats):
            at.keys(text[number][place : place + 1])
        await asyncio.sleep(0)
    for number, at in enumerate(seats):
        assert at.rows[0] == SIGN + text[number].rstrip()
        assert await at.line("\r") == text[number]
        await at.leave()


async def test_the_end_of_a_session_leaves_the_terminal_clean():
    at = await Seat().start()
    at.keys("half")
    await at.leave()
    assert (at.rows[0], at.cursor) == (SIGN + "half", (1, 0))
    assert at.written.rfind(b"\x1b[?2004l") > at.written.rfind(b"\x1b[?2004h")


@pytest.mark.parametrize(
    ("prompt", "shown"),
    [
        (PROMPT, "deploy@web1:/srv/app$ "),
        (Prompt("root", "db", "/"), "root@db:/# "),
        (Prompt("ann", "web1", "/home/ann/x", home="/home/ann"), "ann@web1:~/x$ "),
        (Prompt("ann", "web1", "/home/anna", home="/home/ann"), "ann@web1:/home/anna$ "),
        (Prompt("ann", "web1", status=127), "ann@web1 [127]$ "),
        (Prompt("ann", "web1", ungated=True), "ungated ann@web1$ "),
        (Prompt("ann", "web1", watched=True), "ann@web1+$ "),
        (Prompt("ann", "web1", "/a/\x1b]0;x\x07\u202eb"), "ann@web1:/a/␛]0;x␇\\u{202e}b$ "),
        (
            Prompt("ann", "web1", "/one/two/three/four/five/six/seven/eight"),
            "ann@web1:…/four/five/six/seven/eight$ ",
        ),
    ],
)
async def test_the_prompt(prompt, shown):
    async with seat(prompt=prompt) as at:
        at.keys("x")
        assert at.rows[0] == shown + "x"


async def test_every_line_has_its_own_prompt():
    """The prompt of a session's first line was kept for all that followed."""
    async with seat() as at:
        await at.line("cd /var\r")
        await at.start(Prompt("deploy", "web1", "/var"))
        assert at.rows[1] == "deploy@web1:/var$"


async def test_what_a_job_says_stands_above_the_line():
    async with seat() as at:
        at.keys("half a li")
        at.editor.interject(lambda: at.write(b"[1]+  Done\r\n"))
        assert at.rows[:2] == ["[1]+  Done", SIGN + "half a li"]
        assert await at.line("ne\r") == "half a line"
