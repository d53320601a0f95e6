"""What a terminal does to a line does not hide a secret from the masker."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bastion.tap import terminal
from bastion.tap.mask import Masker
from tests.tap.masking import DEFAULT

KEY = b"AKIAIOSFODNN7EXAMPLE"
VALUE = b"IOSFODNN7EXAMPLE"


def shown(data: bytes, *, columns: int = 0, size: int = 1000) -> bytes:
    masker = Masker(DEFAULT, columns=columns)
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    return b"".join([*map(masker.feed, pieces), masker.finish()])


TRICKS = {
    "colour": b"AKIA\x1b[31mIOSF\x1b[0mODNN7EXAMPLE",
    "colour between all": b"\x1b[1m".join(KEY[at : at + 1] for at in range(20)),
    "8-bit csi": b"AKIA\xc2\x9b31mIOSFODNN7EXAMPLE",
    "hyperlink": b"AKIA\x1b]8;;http://x\x1b\\IOSFODNN7EXAMPLE\x1b]8;;\x1b\\",
    "title": b"\x1b]0;AKIAIOSFODNN7EXAMPLE\x07",
    "no width": b"AKIA\xe2\x80\x8bIOSF\xc2\xadODNN7\xef\xbb\xbfEXAM\xcc\x81PLE",
    "nul": b"AKIA\x00IOSFODNN7EXAMPLE",
    "charset": b"AKIA\x1b(BIOSFODNN7EXAMPLE",
    "backspace": b"AKIAIOX\bSFODNN7EXAMPLE",
    "backspaces and erase": b"AKIAIOSFXXX\b\b\b\x1b[KODNN7EXAMPLE",
    "overstruck": b"".join(bytes([c, 8, c]) for c in KEY),
    "carriage return": b"xxxxxxxxxxxx7EXAMPLE\rAKIAIOSFODNN",
    "to the column": b"\x1b[13G7EXAMPLE\x1b[1GAKIAIOSFODNN",
    "to the left": b"            7EXAMPLE\x1b[20DAKIAIOSFODNN",
    "left before its end": b"AKIAIOSFODNN7EXAMPLE\b\b\b",
    "written over": b"AKIAIOSFODNN7EXAMPLE\rxxxx",
}


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
@pytest.mark.parametrize("name", TRICKS)
def test_a_trick_of_the_line_does_not_hide_it(name: str, size: int) -> None:
    seen = shown(b"$ " + TRICKS[name] + b"\r\n$ ", size=size)
    for end in (10, 12, 16):
        assert VALUE[:end] not in seen.replace(b"\b", b"")
    assert seen.endswith(b"\r\n$ ")
    letters = bytes(c for c in seen.split(b"masked")[0] if 48 <= c <= 57 or 65 <= c <= 90)
    assert VALUE not in letters


@pytest.mark.parametrize("wrap", [b"\r\n", b" \r", b"\n", b""])
def test_the_edge_of_the_window_does_not_hide_it(wrap: bytes) -> None:
    before = b"x" * 69 + b" "
    line = before + KEY[:10] + wrap + KEY[10:] + b"\r\n"
    for size in (1, 5, 1000):
        seen = shown(line, columns=80, size=size)
        assert b"DNN7EXAMPLE" not in seen
        assert seen.startswith(before + b"AKIA")


def test_colours_around_a_mark_are_kept() -> None:
    seen = shown(b"\x1b[31mAKIA\x1b[1mIOSFODNN7EXAMPLE\x1b[0m\r\n")
    assert seen.startswith(b"\x1b[31mAKIA\x1b[1m[masked:aws-key:")
    assert seen.endswith(b"]\x1b[0m\r\n")


def test_in_a_full_screen_program_the_width_is_kept() -> None:
    seen = shown(b"\x1b[?1049h\x1b[2;1HAKIAIOSFODNN7EXAMPLE ok\x1b[3;1H")
    assert seen == b"\x1b[?1049h\x1b[2;1HAKIA**************** ok\x1b[3;1H"


@pytest.mark.parametrize("move", [b"\r", b"\b" * 9, b"\x1b[20D", b"\x1b[1G", b"\x1b[2K\r"])
def test_going_back_over_characters_of_several_bytes_stops_at_the_line_s_beginning(
    move: bytes,
) -> None:
    data = "größe 漢字 …".encode() + move + KEY + b"\r\n"
    for size in (1, 4, 1000):
        assert VALUE not in shown(data, size=size)
        assert VALUE not in shown(data, size=size, columns=80)


MOVES = (
    *(b"\xc3\xa9", b"a", b"\r", b"\b", b"\x1b[3D", b"\x1b[2P", b"\xe6", b"\x1b[K"),
    *(b"\x1b[2@", b"\x1b[4X", b"\n", b"\x1b[1K", b"\x1b[7G", b"\x1b[2C"),
)


@given(st.lists(st.sampled_from(MOVES)), st.sampled_from([0, 2, 5]))
def test_no_mixture_of_moves_breaks_the_line(pieces: list[bytes], columns: int) -> None:
    assert shown(b"".join(pieces), columns=columns) == b"".join(pieces)


@pytest.mark.parametrize("move", [b"\x1b[999C", b"\x1b[999@", b"\x1b[9999G"])
def test_blanks_alone_make_no_endless_line(move: bytes) -> None:
    [*_, text] = terminal.read(move * 5000)
    assert len(text.data) <= terminal.LONGEST_BLANK


def test_what_is_no_secret_passes_unchanged() -> None:
    data = (
        b"\x1b[?25l\x1b[2J\x1b[1;1Hhello\x1b[5;10H\x1b[7mworld\x1b[m \b\x1b[K"
        b"\r\n\x1b]0;title\x07\xe2\x94\x80\xe2\x94\x80 caf\xc3\xa9\b\b\x1b[3P\r\n"
    )
    for size in (1, 2, 5, 1000):
        assert shown(data, size=size) == data
