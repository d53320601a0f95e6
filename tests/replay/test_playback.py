import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.playback import Playback, bar, clock, parse_place

times = st.lists(st.floats(0, 1000), max_size=30).map(sorted)


def test_events_happen_when_their_time_has_come() -> None:
    playback = Playback([0.0, 1.0, 1.0, 2.0])
    assert playback.count == 1
    playback.advance(0.99)
    assert playback.count == 1
    playback.advance(0.01)
    assert playback.count == 3
    playback.advance(100.0)
    assert (playback.count, playback.playing, playback.position) == (4, False, 2.0)


def test_speed_and_pause() -> None:
    playback = Playback([0.0, 100.0], speed=4.0)
    playback.advance(2.0)
    assert playback.position == 8.0
    playback.toggle()
    playback.advance(2.0)
    assert playback.position == 8.0
    playback.change_speed(1)
    assert playback.speed == 8
    playback.change_speed(9)
    assert playback.speed == 16
    playback.change_speed(-99)
    assert playback.speed == 0.5


def test_played_from_the_end_it_begins_again() -> None:
    playback = Playback([0.0, 1.0])
    playback.advance(5.0)
    playback.toggle()
    assert (playback.position, playback.playing) == (0.0, True)


def test_long_pauses_are_shortened_and_short_ones_kept() -> None:
    playback = Playback([1.0, 100.0, 101.5], idle_limit=2.0)
    assert [playback.at(number) for number in range(3)] == [1.0, 3.0, 4.5]
    assert playback.duration == 4.5


@given(times, st.lists(st.one_of(st.floats(-50, 2000), st.booleans()), max_size=10))
def test_the_position_never_leaves_the_timeline(moments: list[float], steps: list[object]) -> None:
    playback = Playback(moments, idle_limit=5.0)
    for step in steps:
        if isinstance(step, bool):
            playback.toggle()
        elif isinstance(step, float):
            playback.seek(step)
            playback.advance(abs(step))
        assert 0 <= playback.position <= playback.duration
        assert playback.count <= len(moments)
    playback.seek(playback.duration)
    assert playback.count == len(moments)


def test_an_empty_recording_is_at_its_end() -> None:
    playback = Playback([])
    playback.advance(1.0)
    assert (playback.count, playback.duration, playback.ended) == (0, 0.0, True)


@pytest.mark.parametrize(
    ("text", "place"),
    [("90", 90), ("1:02", 62), ("1:00:05", 3605), ("45%", 45), ("200%", 100), (" 7 ", 7)],
)
def test_a_place_is_a_time_or_a_percent(text: str, place: float) -> None:
    assert parse_place(text, 100.0) == place


@pytest.mark.parametrize("text", ["", "x", "1:x", "-5", "nan", "inf", "%", "1e999"])
def test_what_is_no_place_is_told(text: str) -> None:
    assert parse_place(text, 100.0) is None


def test_steps_go_to_the_next_time_at_which_something_shows() -> None:
    playback = Playback([0.0, 1.0, 1.0, 2.0])
    counts = []
    for step in (1, 1, 1, -1, -1, -1, -1):
        playback.step(step)
        counts.append(playback.count)
    assert counts == [3, 4, 4, 3, 1, 1, 1]
    assert not playback.playing


@given(times, times, st.floats(0, 20))
def test_a_timeline_that_grows_is_the_same(
    some: list[float], more: list[float], idle: float
) -> None:
    moments = sorted(some + more)
    whole, grown = Playback(moments, idle_limit=idle), Playback([], idle_limit=idle)
    for moment in moments:
        grown.extend([moment])
    assert [grown.at(n) for n in range(len(moments))] == [whole.at(n) for n in range(len(moments))]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (62.9, "1:02"), (3605, "1:00:05"), (360000, "100:00:00")]
)
def test_the_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def test_the_bar() -> None:
    assert bar(0.0, 10.0, 5, {}) == "●────"
    assert bar(5.0, 10.0, 5, {4: "◆"}) == "━━●─◆"
    assert bar(10.0, 10.0, 5, {}) == "━━━━●"
    assert bar(0.0, 0.0, 3, {}) == "━━●"
    assert bar(0.0, 0.0, 0, {}) == ""
