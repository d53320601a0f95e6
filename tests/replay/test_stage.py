from itertools import accumulate
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bastion.errors import CastFault
from bastion.wire.asciicast import CastEvent
from replay.screen import AvtScreen, Screen, Transcript
from replay.stage import Stage

ALL = 10**9


class Events:
    def __init__(self, *events: tuple[str, str]) -> None:
        self.events = [CastEvent(0.0, code, data) for code, data in events]

    def event(self, number: int) -> CastEvent:
        return self.events[number]


def text(screen: Screen) -> list[str]:
    rows = [screen.row(number) for number in range(screen.size[1])]
    return ["".join(run for run, _ in row).rstrip() for row in rows]


def stage_of(*events: tuple[str, str]) -> Stage:
    return Stage(Events(*events), AvtScreen(20, 4), len(events))


def test_forwards_and_backwards_show_the_same() -> None:
    stage = stage_of(("o", "one\r\n"), ("r", "30x5"), ("o", "\x1b[31mtwo"), ("m", "x"), ("o", "!"))
    shown = []
    for count in range(6):
        assert stage.show(count, ALL)
        shown.append((stage.screen.size, text(stage.screen), stage.screen.cursor))
    for count in (5, 0, 3, 1, 4, 2):
        stage.show(count, ALL)
        assert (stage.screen.size, text(stage.screen), stage.screen.cursor) == shown[count]


pieces = st.lists(
    st.text(alphabet="ab \x1b[;?0123456789hlmHJKABCD\r\n中é", max_size=8), max_size=12
)


@given(pieces, st.lists(st.integers(0, 12), max_size=6))
@settings(deadline=None, max_examples=50)
def test_seeking_gives_what_playing_gives(texts: list[str], seeks: list[int]) -> None:
    stage = stage_of(*(("o", piece) for piece in texts))
    for count in (min(seek, len(texts)) for seek in seeks):
        stage.show(count, ALL)
        played = AvtScreen(20, 4)
        for piece in texts[:count]:
            played.feed(piece)
        assert text(stage.screen) == text(played)


def steps(stage: Stage, count: int) -> int:
    """How many looks at the clock the way takes."""
    frames = 1
    while not stage.show(count, 0):
        frames += 1
    assert stage.count == count
    return frames


def test_a_long_way_is_gone_in_pieces_and_remembered() -> None:
    line = "x" * 9 + "\n"
    stage = stage_of(*(("o", line * 10_000) for _ in range(40)))
    frames = steps(stage, 40)
    assert frames > 40 * 10
    assert steps(stage, 39) < frames / 2, "a keyframe is nearer than the beginning"


def test_an_event_of_megabytes_can_be_interrupted() -> None:
    stage = stage_of(("o", "y" * 5_000_000), ("o", "\x1b[2J\x1b[Hend"))
    assert not stage.show(2, 0)
    assert stage.show(0, ALL)
    assert text(stage.screen) == [""] * 4
    assert stage.show(2, ALL)
    assert text(stage.screen)[0] == "end"


def test_a_bomb_of_resizes_stays_small() -> None:
    sizes = ("4294967295x4294967295", "0x0", "1x1", "1000x500", "2x1")
    stage = stage_of(*(("r", size) for _ in range(20) for size in sizes), ("o", "中中中"))
    assert stage.show(101, ALL)
    assert stage.screen.size == (2, 1)
    assert AvtScreen(1000, 500).size == (500, 200)
    assert stage.fault == ""


def test_what_cannot_be_read_any_more_ends_it_where_it_was() -> None:
    class Failing(Events):
        def event(self, number: int) -> CastEvent:
            if number == 2:
                raise CastFault("gone")
            return super().event(number)

    stage = Stage(Failing(*(("o", letter) for letter in "abcd")), AvtScreen(20, 4), 4)
    assert stage.show(4, ALL)
    assert (text(stage.screen)[0], stage.fault, stage.limit) == ("ab", "line 4: gone", 2)
    assert stage.show(1, ALL)
    assert stage.show(4, ALL)
    assert text(stage.screen)[0] == "ab"


HOSTILE = {
    "clipboard": "\x1b]52;c;aGk=\x07",
    "title": "\x1b]0;pwned\x07",
    "device control": "\x1bPq#0;2;0;0;0\x1b\\",
    "bidi": "a\u202eb",
    "zero width": "a\u200bb\ufeffc",
    "C1": "\x9b31mred\x85",
    "private use": "\ue000\U000f0000",
    "delete": "a\x7fb",
    "tags": "a\U000e0041b",
    "combining": "e\u0301",
    "unfinished": "\x1b]0;" + "x" * 10_000,
    "parameters": "\x1b[" + "9" * 10_000 + "m",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_cannot_leave_the_screen(name: str) -> None:
    screen = AvtScreen(20, 4)
    screen.feed(HOSTILE[name])
    for number in range(4):
        row = "".join(run for run, _ in screen.row(number))
        assert row.isprintable()
        assert "\ue000" not in row
    transcript = Transcript(20, 4)
    assert list(transcript.feed(HOSTILE[name])) == []


@given(
    st.lists(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=30), max_size=5)
)
@settings(deadline=None, max_examples=50)
def test_rows_always_fill_their_cells(texts: list[str]) -> None:
    from rich.cells import cell_len

    screen = AvtScreen(10, 3)
    for piece in texts:
        screen.feed(piece)
        for number in range(3):
            assert sum(cell_len(run) for run, _ in screen.row(number)) == 10


def test_raw_newlines_begin_at_the_left() -> None:
    screen = AvtScreen(20, 4, raw_newlines=True)
    screen.feed("one\ntwo")
    assert text(screen)[:2] == ["one", "two"]


def test_wrapped_lines_are_whole_again(tmp_path: Path) -> None:
    transcript = Transcript(10, 3, raw_newlines=True)
    lines = [*transcript.feed("a" * 25 + "\nb\nc\nd\ne"), *transcript.flush()]
    assert lines == ["a" * 25, "b", "c", "d", "e"]
    assert list(accumulate(map(len, lines)))[-1] == 29


@pytest.mark.parametrize("clear", ["\x1b[2J", "\x1b[H\x1b[J", "\x1bc", "\x1b[H\x1b[2J\x1b[3J"])
@pytest.mark.parametrize("cut", range(6))
def test_what_was_cleared_away_is_in_the_transcript(clear: str, cut: int) -> None:
    transcript = Transcript(20, 4)
    lines = [*transcript.feed("one\r\ntwo" + clear[:cut]), *transcript.feed(clear[cut:])]
    lines += [*transcript.feed("\x1b[Hthree"), *transcript.flush()]
    assert [line for line in lines if line] == ["one", "two", "three"]


def test_a_full_screen_program_is_not_in_the_transcript() -> None:
    transcript = Transcript(20, 4)
    lines = [*transcript.feed("one\r\n\x1b[?1049h\x1b[2J\x1b[Hvim")]
    assert (transcript.on_other_screen, transcript.screen()[0]) == (True, "vim")
    lines += [*transcript.feed("\x1b[?1049ltwo"), *transcript.flush()]
    assert lines == ["one", "two"]
