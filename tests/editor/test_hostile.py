"""What a hostile client, clipboard or target may send, and what must not come of it."""

from __future__ import annotations

import asyncio
import random
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prompt_toolkit.input.ansi_escape_sequences import ANSI_SEQUENCES
from prompt_toolkit.keys import Keys

from bastion.editor import caches, drawn
from bastion.editor.history import HistoryFile
from bastion.editor.keys import MAX_REPORT, KeyDecoder
from bastion.editor.values import MAX_LINE
from bastion.model import visible
from tests.editor.desk import SIGN, Seat, seat

SAFE = re.compile(r"[\x20-\x7e]*")


async def test_keys_that_mean_nothing_here_insert_nothing():
    """Most of a terminal's sequences are bound to nothing; they are no text either."""
    async with seat() as at:
        for text, key in ANSI_SEQUENCES.items():
            at.keys("\x15\x0b")
            if text.startswith("\x1b") and key not in ENDING:
                at.keys(text.encode("latin-1"))
                assert "\x1b" not in at.editor._drawn._line.text, (text, key)


async def settled(at):
    """All keys that were fed are handled."""
    while at.editor._drawn._timer is not None and len(at.editor._drawn._decoder):
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("typed", "line", "shown"),
    [
        (b"a\xffb", "a\ufffdb", "a\ufffdb"),
        (b"a\xc3(b", "a\ufffd(b", "a\ufffd(b"),
        (b"a\xc2\x9b31mb", "a\x9b31mb", "a\\u{9b}31mb"),
        (b"\x1b[200~a\0b\x1b[31mc\x1b[201~", "a\ufffdb\x1b[31mc", "a\ufffdb␛[31mc"),
        ("a\u202eb\u200bc".encode(), "a\u202eb\u200bc", "a\\u{202e}b\\u{200b}c"),
        (b"a\x16\x1bb", "a\x1bb", "a␛b"),
        (b"a\x16\x07", "a\x07", "a␇"),
        (b"\x1b[200~a\tb\x1b[201~", "a\tb", "a␉b"),
        (b"\xed\xa0\x80x", "\ufffd\ufffd\ufffdx", "\ufffd\ufffd\ufffdx"),
    ],
)
async def test_nothing_reaches_the_line_unseen(typed, line, shown):
    async with seat() as at:
        at.keys(typed)
        assert at.rows[0] == SIGN + shown
        assert await at.line(b"\r") == line
        assert b"\0" not in at.written
        assert at.rows[0] == SIGN + shown


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(codec="utf-8"), max_size=60))
async def test_the_screen_shows_every_character_that_would_run(text):
    """Also after Enter, when the line is in the scrollback and in the recording."""
    async with seat(400, 6, is_complete=lambda text: True) as at:
        at.keys("\x1b[200~" + text.replace("\x1b", "") + "\x1b[201~")
        line = await at.line("\r") if at.reading else ""
        body = at.written.decode().rpartition("/srv/app")[2]
        drawn = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", body).removeprefix("$")
        expected = "".join(visible(each) for each in line if each != "\n")
        assert re.sub(r"[\s\x08>]", "", drawn) == re.sub(r"[\s>]", "", expected)


async def test_a_paste_of_a_megabyte_is_refused_with_a_bell():
    async with seat() as at:
        at.keys("echo a")
        at.keys(b"\x1b[200~" + b"x" * (1 << 20))
        assert len(at.editor._drawn._decoder) < 16
        at.keys(b"y" * 1000 + b"\x1b[201~")
        assert b"\a" in at.written
        assert await at.line(" b\r") == "echo a b"


async def test_a_paste_in_one_piece_is_refused_whole_and_what_follows_it_is_not():
    async with seat() as at:
        assert await at.line(b"\x1b[200~" + b"x" * (1 << 20) + b"\x1b[201~ls\r") == "ls"


async def test_a_dear_drawing_is_not_done_for_every_key(monkeypatch):
    monkeypatch.setattr(drawn, "DEAR", 0.0)
    monkeypatch.setattr(drawn, "REST", 20)
    async with seat() as at:
        at.keys("ab")
        drawn_once = len(at.written)
        at.keys("\x02")
        at.keys("c")
        assert len(at.written) == drawn_once
        await at.until(lambda at: at.rows[0] == SIGN + "acb")
        assert await at.line("d\r") == "acdb"
        assert at.rows[0] == SIGN + "acdb"


async def test_what_is_typed_at_the_end_of_a_long_line_is_echoed_before_it_is_drawn(monkeypatch):
    monkeypatch.setattr(drawn, "DEAR", 0.0)
    async with seat(columns=30) as at:
        before = len(at.written)
        at.keys("e")
        at.keys("cho ")
        assert at.written[before:] == b"echo "
        assert (at.rows[0], at.cursor) == (SIGN + "echo", (0, len(SIGN) + 5))
        at.keys("é")
        at.keys("over the margin")
        await at.until(lambda at: at.rows[1] == "er the margin")
        at.keys("\x7f!")
        at.keys("?")
        await at.until(lambda at: at.rows[1] == "er the margi!?")
        assert await at.line("\x01#\x05$\r") == "#echo éover the margi!?$"
        assert at.rows[:2] == [SIGN + "#echo éo", "ver the margi!?$"]


async def test_a_line_grows_to_its_bound_and_not_further():
    async with seat() as at:
        at.keys(b"\x1b[200~" + b"x" * (MAX_LINE - 1) + b"\x1b[201~")
        at.keys("yz")
        await settled(at)
        assert b"\a" in at.written
        assert await at.line("\r") == "x" * (MAX_LINE - 1) + "y"


async def test_killing_and_yanking_make_no_giant():
    async with seat() as at:
        at.keys(b"\x1b[200~" + b"x" * 60000 + b"\x1b[201~\x15")
        at.keys(b"\x1b9" + b"9" * 30 + b"\x19")
        await settled(at)
        assert len(at.editor._drawn._line.text) <= MAX_LINE


async def test_undo_and_recalled_lines_are_bounded(monkeypatch):
    monkeypatch.setattr(drawn, "DEAR", 0.0)
    monkeypatch.setattr(drawn, "REST", 1000)
    history = HistoryFile(None, str)
    for number in range(1000):
        history.add(f"echo {number}")
    async with seat(history=history) as at:
        line = at.editor._drawn._line
        for _ in range(45):
            at.keys(b"\x10\x1b[200~" + b"x" * 60000 + b"\x1b[201~")
            await settled(at)
        assert sum(map(len, line._working_lines)) <= 3 << 20
        for _ in range(40):
            at.keys(b"a\x1b[D")
            await settled(at)
        assert sum(len(text) for text, _ in line._undo_stack) <= 2 << 20


@pytest.mark.parametrize(
    "flood",
    [
        b"\x1b" * 100_000,
        b"\x1b[" * 50_000,
        b"\x1b[" + b"1;" * 50_000,
        b"\x1b]0;" + b"x" * 100_000,
        b"\x1bP1$" + b"x" * 100_000,
        b"\x1b[M" * 30_000,
        b"\x1b[200~" * 20_000,
        b"\x1b[24;80R" * 10_000,
        b"\x80" * 100_000,
        b"\xf0" * 100_000,
        bytes(set(range(1, 32)) - {3, 4, 10, 13}) * 1000,
        b"\x18(" + b"a" * 100 + b"\x18)" + b"\x18e" * 1000,
    ],
    ids=lambda flood: repr(flood[:6]),
)
@pytest.mark.parametrize("vi", [False, True])
async def test_a_flood_holds_up_nobody(flood, vi, monkeypatch):
    """Another editor in the same loop answers between the slices, and memory stays bounded."""
    monkeypatch.setattr(drawn, "SLICE", 0.004)
    async with seat(vi=vi) as other, seat(vi=vi) as at:
        for start in range(0, len(flood), 8192):
            at.keys(flood[start : start + 8192])
            assert len(at.editor._drawn._decoder) <= 2 * MAX_LINE + 8192
        await asyncio.sleep(0)
        other.keys("x")
        await asyncio.sleep(0)
        assert other.rows[0] == SIGN + "x"


async def test_reports_of_a_terminal_are_no_keys():
    async with seat() as at:
        at.keys("a\x1b[12;40R\x1b[?62;4c\x1b]11;rgb:ff/ff/ff\x07\x1bP1$r0m\x1b\\\x1b[<0;3;4Mb")
        assert await at.line("\x1b[M !!\r") == "ab"


async def test_a_report_without_end_does_not_swallow_what_follows():
    async with seat() as at:
        at.keys(b"\x1b]11;" + b"x" * (MAX_REPORT + 10))
        assert (await at.line("ls\r")).endswith("ls")


def keys_of(chunks):
    decoder, found = KeyDecoder(), []
    for chunk in chunks:
        decoder.feed(chunk)
        while (pressed := decoder.next()) is not None:
            found += [(str(each.key), each.data) for each in pressed]
    return found


SEQUENCES = [each.encode("latin-1") for each in ANSI_SEQUENCES]
ENDING = (Keys.ControlM, Keys.ControlJ, Keys.ControlC, Keys.ControlD, Keys.BracketedPaste)
"""Keys that end a line, or the random keys."""
STREAM = st.lists(
    st.sampled_from([*SEQUENCES, b"a", "é世👍".encode(), b"\xff", b"\x1b[999;1x", b"\x1b]1;x\x07"])
    | st.binary(max_size=5)
)


@given(STREAM, st.randoms(use_true_random=False))
def test_any_cut_of_the_bytes_is_the_same_keys(pieces, chance: random.Random):
    data = b"".join(pieces)
    cuts = sorted(chance.randrange(len(data) + 1) for _ in range(chance.randrange(12)))
    chunks = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    assert keys_of(chunks) == keys_of([data])


@pytest.mark.parametrize("seed", range(12))
async def test_no_order_of_keys_breaks_the_editor(seed):
    """Random keys, emacs's and vi's, resizes between: afterwards it still reads a line."""
    chance = random.Random(seed)
    history = HistoryFile(None, str)
    for command in ("ls", 'echo "two\nlines"', "x" * 200):
        history.add(command)
    keys = [text.encode("latin-1") for text, key in ANSI_SEQUENCES.items() if key not in ENDING]
    keys += ["é".encode(), b"\xff", b"\x1b", b"\x1b[200~x\ny\x1b[201~"] * 5
    keys += [bytes([byte]) for byte in range(32, 127)] * 2
    at = await Seat(40, 8, history=history, vi=bool(seed % 2)).start()
    for _ in range(400):
        at.keys(chance.choice(keys))
        await asyncio.sleep(0)
        if at.reading.done():  # ctrl-O and Alt-# are Enter, too
            await at.line()
            await at.start()
        if chance.random() < 0.02:
            columns, rows = chance.choice([(10, 3), (200, 50), (2, 1), (40, 8)])
            at.vt.resize(max(columns, 2), rows)
            at.editor.resize(columns, rows)
    await settled(at)
    at.keys("\x03")
    await settled(at)
    assert await at.line("ls\r") == "ls"
    await at.leave()


async def test_the_process_does_not_remember_what_was_typed(monkeypatch):
    monkeypatch.setattr(caches, "MAX_WIDTHS", 100)
    async with seat() as at:
        for number in range(300):
            at.keys(f"\x15secret {number}")
        await settled(at)
        assert len(caches._CHAR_SIZES_CACHE) < 400
    assert caches._CHAR_CACHE.size == caches.MAX_CHARACTERS
