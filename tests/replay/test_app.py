from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.widgets import Static

from replay.app import ReplayApp
from replay.castfile import CastFile
from replay.terminal import ScreenView
from tests.replay import casts


class Clock:
    """Stands still until it is told."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def cast(tmp_path: Path) -> Iterator[CastFile]:
    events = [(float(second), "o", f"line {second}\r\n") for second in range(20)]
    events.insert(10, (9.5, "m", "here"))
    with casts.write(tmp_path / "x.cast", *events, title="ls\x1b[2J") as cast:
        yield cast


@pytest.fixture
def clock() -> Clock:
    return Clock()


def shown(app: ReplayApp) -> list[str]:
    view = app.query_one(ScreenView)
    return [view.render_line(y).text.rstrip() for y in range(view.size.height)]


def said(app: ReplayApp) -> str:
    return str(app.query_one("#status", Static).render())


def after(app: ReplayApp, seconds: float) -> list[str]:
    """What is shown when so much time has passed."""
    assert isinstance(app._clock, Clock)
    app._clock.now += seconds
    app.tick()
    return shown(app)


async def test_it_plays_by_the_clock(cast: CastFile, clock: Clock) -> None:
    app = ReplayApp(cast, clock=clock)
    async with app.run_test(size=(80, 24)):
        assert shown(app)[:2] == ["line 0", ""]
        assert after(app, 2.5)[:4] == ["line 0", "line 1", "line 2", ""]
        assert "0:02 / 0:19 1×" in said(app)
        assert "ls␛[2J" in said(app)


async def test_keys_pause_seek_and_change_the_speed(cast: CastFile, clock: Clock) -> None:
    app = ReplayApp(cast, clock=clock)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("space")
        assert after(app, 5.0)[1] == ""
        await pilot.press("right")
        assert after(app, 0)[5] == "line 5"
        await pilot.press("left", "left")
        assert after(app, 0)[1] == ""
        await pilot.press("m")
        assert "line 9" in after(app, 0)
        assert "here" in said(app)
        await pilot.press("m")
        after(app, 0)
        assert "no marker" in said(app)
        await pilot.press("end")
        assert "line 19" in after(app, 0)
        await pilot.press("0")
        assert after(app, 0)[1] == ""
        await pilot.press("5", "plus", "plus", "minus")
        assert "line 9" in after(app, 0)
        assert "2×" in said(app)
        await pilot.press("space")
        assert "line 10" in after(app, 0.5)


async def test_it_leaves(cast: CastFile) -> None:
    app = ReplayApp(cast)
    async with app.run_test() as pilot:
        await pilot.press("q")
    assert app.return_code == 0


async def test_a_small_window_follows_the_cursor(tmp_path: Path, clock: Clock) -> None:
    text = "".join(f"row {number}\r\n" for number in range(39))
    with casts.write(tmp_path / "x.cast", (0.0, "o", text), width=200, height=40) as cast:
        app = ReplayApp(cast, clock=clock)
        async with app.run_test(size=(80, 24)) as pilot:
            app.tick()
            await pilot.pause()
            assert shown(app)[-2:] == ["row 38", ""]


async def test_damage_is_named_when_it_is_reached(tmp_path: Path, clock: Clock) -> None:
    with casts.write(tmp_path / "x.cast", (0.0, "o", "a"), (1.0, "o", "b"), tail=b"[2") as cast:
        app = ReplayApp(cast, clock=clock)
        async with app.run_test(size=(80, 24)):
            assert "x.cast:4" not in said(app)
            assert after(app, 5.0)[0] == "ab"
            assert "x.cast:4" in said(app)


async def test_nothing_of_the_recording_is_taken_for_markup(tmp_path: Path, clock: Clock) -> None:
    text = "[bold]not bold[/bold] [@click=app.quit]x[/]"
    with casts.write(tmp_path / "x.cast", (0.0, "o", text), width=80, title="[red]") as cast:
        app = ReplayApp(cast, clock=clock)
        async with app.run_test(size=(80, 24)):
            assert shown(app)[0] == text
            assert "[red]" in said(app)


async def test_a_recording_without_events(tmp_path: Path, clock: Clock) -> None:
    with casts.write(tmp_path / "x.cast") as cast:
        app = ReplayApp(cast, clock=clock)
        async with app.run_test(size=(20, 3)) as pilot:
            await pilot.press("end", "m", "right", "space", "0")
            after(app, 1.0)
            assert "0:00 / 0:00" in said(app)
