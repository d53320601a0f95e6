"""What keys do, emacs's and vi's, as people have them in their fingers."""

from __future__ import annotations

import pytest

from bastion.editor import drawn
from tests.editor.desk import SIGN, seat


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ("abc\x01x\x05y", "xabcy"),
        ("ab cd\x17x", "ab x"),
        ("ab cd\x1b\x7fx", "ab x"),
        ("ab cd\x15x", "x"),
        ("ab cd\x1bb\x0bx", "ab x"),
        ("ab cd\x15\x19\x19", "ab cdab cd"),
        ("ab\x15cd\x15\x19\x1by", "ab"),
        ("ab cd\x1bbX", "ab Xcd"),
        ("ab\x14", "ba"),
        ("ab cd\x1bb\x1bu", "ab CD"),
        ("ab cd\x1bb\x1bc", "ab Cd"),
        ("ab cd\x1bb\x1bd", "ab "),
        ("abc\x1b[1;5Dx", "xabc"),
        ("abc\x1b[Hx\x1b[Fy", "xabcy"),
        ("abc\x1bOHx\x1bOFy", "xabcy"),
        ("abc\x1b[D\x1b[3~", "ab"),
        ("abc\x02\x02\x04", "ac"),
        ("abc\x1f", ""),
        ("ab cd\x1f", "ab "),
        ("ab cd\x1f\x1fx", "x"),
        ("a\x1b5b", "abbbbb"),
        ("ab cd\x1b#", "#ab cd"),
        ("a b\x16\tc", "a b\tc"),
        ("a\x1bxb", "ab"),
        ("ab\x1dax", "abx"),
    ],
)
async def test_emacs(keys, line):
    async with seat() as at:
        entered = await at.line(keys if keys.endswith("#") else keys + "\r")
        assert entered == line


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ("ab cd\x1bbdwx", "ab"),
        ("ab cd\x1b0dw", "cd"),
        ("ab cd\x1bA!", "ab cd!"),
        ("ab cd\x1bIx", "xab cd"),
        ("ab cd\x1b0cwxy\x1b", "xy cd"),
        ("ab cd\x1bdd", ""),
        ("abc\x1bxp", "abc"),
        ("abc\x1bhrX", "aXc"),
        ("ab\x1b~", "aB"),
        ("ab cd\x1bbD", "ab "),
        ("abc\x1bu", ""),
        ("abc\x1b3hia", "aabc"),
        ("ab 'c d' e\x1bhhhdi'", "ab '' e"),
        ("ab cd ef\x1b02cwx", "x ef"),
        ("ab\x1b0cwx", "x"),
        ("ab cd\x1b0ccx", "x"),
    ],
)
async def test_vi(keys, line):
    async with seat(vi=True) as at:
        assert await at.line(keys + "\r") == line


async def test_vi_shows_its_mode_and_can_be_switched():
    async with seat() as at:
        at.editor.vi = True
        at.keys("ab")
        assert "\x1b[0;7m$" not in at.written.decode()
        at.keys("\x1b")
        await at.until(lambda at: b"\x1b[0;7m$" in at.written)
        assert await at.line("x\r") == "a"
        at.editor.vi = False
        assert await at.line("ab\x01x\r") == "xab"


async def test_escape_alone_is_escape_after_a_moment(monkeypatch):
    monkeypatch.setattr(drawn, "ESCAPE_TIME", 0.01)
    async with seat(vi=True) as at:
        at.keys("ab\x1b")
        await at.until(lambda at: b"\x1b[0;7m$" in at.written)
        assert await at.line("0ix\r") == "xab"


@pytest.mark.parametrize("keys", ["\x18(", "\x18e", "\x18\x05", "\x1b*", "\x1a"])
async def test_what_would_run_elsewhere_or_for_ever_rings_the_bell(keys):
    async with seat() as at:
        at.keys("ls " + keys)
        assert b"\a" in at.written
        assert await at.line("\r") == "ls "


async def test_vi_has_no_macros_and_no_outside_editor():
    async with seat(vi=True) as at:
        at.keys("ls\x1bqa@av\x1b")
        assert await at.line("\r") == "ls"


async def test_clearing_the_screen_keeps_the_line():
    async with seat() as at:
        await at.line("ls\r")
        await at.start()
        at.keys("half\x0c")
        assert at.rows[0] == SIGN + "half"
        assert await at.line("x\r") == "halfx"


async def test_a_paste_that_the_terminal_never_ends_ends_by_itself(monkeypatch):
    monkeypatch.setattr(drawn, "PASTE_TIME", 0.01)
    async with seat() as at:
        at.keys("\x1b[200~echo a\r")
        await at.until(lambda at: at.rows[0] == SIGN + "echo a")
        assert await at.line("\r") == "echo a"
