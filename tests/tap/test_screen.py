"""Secrets that a program puts together on the screen never stand there whole."""

from __future__ import annotations

import itertools
import time

import avt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bastion.errors import TargetFault
from bastion.tap.known import Known
from bastion.tap.mask import Masker
from bastion.tap.screen import ScreenGuard
from tests.tap.masking import BODY, DEFAULT, PEM, SECRETS, core

KEY = b"AKIAIOSFODNN7EXAMPLE"


def shown(
    *pieces: bytes, columns: int = 80, rows: int = 24, known: tuple[bytes, ...] = ()
) -> bytes:
    masker = Masker(DEFAULT, known, columns=columns)
    guard = ScreenGuard(DEFAULT, Known(known), columns, rows)
    out = [guard.show(masker.feed(piece)) for piece in pieces]
    return b"".join([*out, guard.show(masker.finish())])


def screen(data: bytes, columns: int = 80, rows: int = 24) -> str:
    terminal = avt.Vt(columns, rows, scrollback_limit=0)
    terminal.feed_str(data.decode("utf-8", "replace"))
    return "".join(line.text.ljust(columns) for line in terminal.view())


STROKES = {
    "second half first": [b"\x1b[2J\x1b[5;13H7EXAMPLE", b"\x1b[5;1HAKIAIOSFODNN"],
    "in one piece": [b"\x1b[2J\x1b[5;13H7EXAMPLE\x1b[5;1HAKIAIOSFODNN\x1b[9;9H"],
    "by rows": [b"\x1b[5;1HAKIAIOSF", b"\x1b[9;1Hx", b"\x1b[5;9HODNN7EXAMPLE"],
    "joined by deletion": [b"\x1b[3;1HAKIAIOSF...ODNN7EXAMPLE", b"\x1b[3;9H\x1b[3P"],
    "joined by scrolling": [
        b"\x1b[1;69HAKIAIOSFODNN",
        b"\x1b[2;1Hmiddle\x1b[3;1H7EXAMPLE rest",
        b"\x1b[2;1H\x1b[M",
    ],
    "at an edge after a word": [b"\x1b[2;70Hxxxxxxx\x1b[3;1HAKIAIOSF", b"\x1b[3;9HODNN7EXAMPLE"],
    "inserted": [b"\x1b[4;1HAKIA7EXAMPLE", b"\x1b[4;5H\x1b[8@IOSFODNN"],
    "repeated": [b"\x1b[4;1HAKIAIOSFODNN7EXAMPL", b"\x1b[6;1H", b"\x1b[4;20HE\x1b[6;1H"],
    "wrapped by the edge": [b"\x1b[1;71H" + KEY[:10] + KEY[10:]],
}


@pytest.mark.parametrize("name", STROKES)
def test_what_strokes_put_together_is_not_whole_on_the_screen(name: str) -> None:
    seen = shown(*STROKES[name])
    assert KEY.decode() in screen(b"".join(STROKES[name]))
    assert KEY.decode() not in screen(seen)
    assert KEY.decode() not in screen(seen).replace(" ", "")


@pytest.mark.parametrize("kind", ["aws-key", "github-token", "jwt", "card", "gitlab-token"])
def test_letter_by_letter_most_of_it_is_never_shown(kind: str) -> None:
    text = SECRETS[kind].encode()
    strokes = [b"\x1b[7;%dH%c\x1b[9;1H" % (at + 1, byte) for at, byte in enumerate(text)]
    if kind != "card":  # a number may be any number until it is whole
        strokes = [stroke.replace(b"\x1b[9;1H", b"") for stroke in strokes]
    most = core(kind).decode()[10:]
    seen = screen(shown(*strokes, columns=200), columns=200)
    assert core(kind).decode() not in seen
    if kind != "card":
        assert most not in seen
        assert sum(letter == "*" for letter in seen) >= len(most)


def test_an_exact_secret_in_strokes_is_masked_too() -> None:
    seen = shown(b"\x1b[2;8Hr2!", b"\x1b[2;1Hx hunte\x1b[5;1H", known=(b"hunter2!",))
    assert "hunter2!" not in screen(seen)


def test_what_is_drawn_again_is_masked_again() -> None:
    strokes = [b"\x1b[5;13H7EXAMPLE", b"\x1b[5;1HAKIAIOSFODNN"]
    seen = shown(*strokes, b"\x1b[5;1HAKIAIOSFODNN", b"\x1b[5;13H7EXAMPLE", b"\x1b[5;1HAKIA")
    assert "IOSFODNN7EXAMPLE" not in screen(seen)


def test_what_stands_there_already_is_not_masked_again() -> None:
    guard = ScreenGuard(DEFAULT, Known(), 80, 24)
    pieces = [b"\x1b[5;1Hhello", b"\x1b[6;1Hworld\xc3", b"\xa9\x1b[7;1H", b"\xff\xfe", b"plain\r\n"]
    assert [guard.show(piece) for piece in pieces] == pieces
    assert guard.masked == []


def test_the_event_tells_a_kind_and_no_value() -> None:
    guard = ScreenGuard(DEFAULT, Known(), 80, 24)
    guard.show(b"\x1b[2J\x1b[5;13H7EXAMPLE")
    guard.show(b"\x1b[5;1HAKIAIOSFODNN")
    [fact] = guard.masked
    assert (fact.detector, fact.length) == ("aws-key", 16)


@given(st.lists(st.integers(1, 30), max_size=30), st.integers(0, 2**32))
def test_vim_reads_a_file_and_no_cut_shows_a_secret(cuts: list[int], seed: int) -> None:
    places = sorted({0, len(VIM), *(seed * cut % len(VIM) for cut in cuts)})
    pieces = [VIM[a:b] for a, b in itertools.pairwise(places)]
    assert KEY.decode() in screen(VIM)
    assert KEY.decode() not in screen(shown(*pieces))


def test_garbage_never_breaks_it_but_by_a_target_fault() -> None:
    guard = ScreenGuard(DEFAULT, Known(), 2, 1)
    for piece in (
        b"\xe6\xbc\xa2\xe5\xad\x97",
        b"\x1b[9999;9999H",
        b"\x1b[65535b",
        b"\x1b[1;1r\x1bM",
    ):
        try:
            guard.show(piece)
            guard.resize(1, 50_000)
            guard.resize(2, 1)
        except TargetFault:
            return


@pytest.mark.parametrize(
    ("columns", "rows", "bomb"), [(2, 200, b"x\x1b[65535b"), (500, 200, b"\x1b#8")]
)
def test_what_is_dear_to_emulate_ends_its_channel_and_holds_nobody_up(
    columns: int, rows: int, bomb: bytes
) -> None:
    """A window of the requester's choice, and a few kilobytes: half a minute for everybody."""
    guard = ScreenGuard(DEFAULT, Known(), columns, rows, time.thread_time)
    with pytest.raises(TargetFault, match="costs too much"):
        guard.show(bomb * 4000)


VIM = (
    b"\x1b[?1049h\x1b[?1h\x1b=\x1b[H\x1b[2J\x1b[1;24r\x1b[1;1Hline one\r\n"
    b"aws = \x1b[33mAKIAIOSF\x1b[0mODNN7EXAMPLE\x1b[3;1H\x1b[94m~\x1b[4;1H~\x1b[0m"
    b'\x1b[24;1H"file" 2L, 40B\x1b[24;63H1,1\x1b[11CAll\x1b[1;1H\x1b[?25h'
)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_a_sequence_that_is_cut_moves_together_what_a_whole_one_would(size: int) -> None:
    text = b"AKIA<-->IOSFODNN7EXAMPLE and so on\x1b[30D\x1b[4P\x1b[9;1H"
    seen = shown(*(text[at : at + size] for at in range(0, len(text), size)))
    assert KEY.decode() in screen(text)
    assert KEY.decode() not in screen(seen)


def test_a_key_behind_line_numbers_is_masked_row_by_row() -> None:
    lines = PEM.split("\n")
    strokes = [
        b"\x1b[%d;1H\x1b[33m%3d \x1b[m%s\x1b[K" % (n + 1, n, line.encode())
        for n, line in enumerate(lines, start=1)
    ]
    seen = screen(shown(b"\x1b[?1049h\x1b[2J", *strokes, b"\x1b[20;1H"))
    assert BODY not in seen
    assert seen.count("*" * 60) >= len(lines) - 3
