"""Terminals that cannot be drawn on: echo, a few keys, no escape sequence ever."""

from __future__ import annotations

import pytest

from bastion.editor.terminal import can_draw, has_colours
from bastion.editor.values import Prompt
from tests.editor.desk import SIGN, seat


@pytest.mark.parametrize("term", ["dumb", "", "unknown", "vt52", "adm3a", "xterm\x1b[", "emacs"])
async def test_no_escape_sequence_is_written(term):
    async with seat(term=term, prompt=Prompt("ann", "web1", "/x\x1b[31m", status=2)) as at:
        at.keys("ec\x7fcho \x1b[A\x1b[D\x1bx 'é世\r\x1b[200~b\rc\x1b[201~")
        assert await at.line("'\r") == "echo x 'é世\nb\nc'"
        assert b"\x1b" not in at.written


@pytest.mark.parametrize(
    "term", ["xterm", "xterm-256color", "screen.xterm-256color", "linux", "tmux"]
)
def test_what_people_have_can_be_drawn_on(term):
    assert can_draw(term)
    assert has_colours(term)


async def test_without_colours_nothing_is_said_by_colour_alone():
    async with seat(
        term="vt100", prompt=Prompt("root", "web1", "/x", status=2, ungated=True)
    ) as at:
        at.keys("reboot")
        await at.until(lambda at: at.rows[1] == "denied by no-reboot: production does not reboot")
        assert at.rows[0] == "ungated root@web1:/x [2]# reboot"
        assert b"\x1b[0;3" not in at.written
        assert b"\x1b[0;4" not in at.written


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ("abc\x7f\x08x\r", "ax"),
        ("abc def\x17x\r", "abc x"),
        ("abc\x15x\r", "x"),
        ("abc\x03x\r", "x"),
        ("a\tb\r", "a\tb"),
        ("a\0b\r", "ab"),
        ("世界\x7fx\r", "世x"),
        ("ab\x04\r", "ab"),
        ("for i in a\rdo echo $i\rdone\r", "for i in a\ndo echo $i\ndone"),
    ],
)
async def test_keys(keys, line):
    async with seat(term="dumb") as at:
        for byte in keys.encode():
            if at.reading.done():
                break
            at.keys(bytes([byte]))
        assert await at.line() == line


async def test_what_is_on_the_screen_is_what_was_typed():
    async with seat(term="dumb") as at:
        at.keys("ls x\x7f\x7f -l")
        assert at.rows[0] == SIGN + "ls -l"
        assert await at.line("\rnext") == "ls -l"
        assert at.cursor == (1, 0)
        assert at.editor.leftover() == b"next"


async def test_the_end_and_a_refused_line():
    async with seat(term="dumb", initial="rm x") as at:
        assert at.rows[0] == SIGN + "rm x"
        assert await at.line("y\r") == "rm xy"
        with pytest.raises(EOFError):
            await at.line("\x04")


async def test_a_flood_is_bounded():
    async with seat(term="dumb") as at:
        at.keys(b"x" * 200_000)
        assert len(at.editor._editor._line) == 64 * 1024
        assert b"\a" in at.written
