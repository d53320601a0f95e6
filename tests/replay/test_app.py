import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.widgets import DataTable, Input, OptionList, Static

from replay.app import ReplayApp
from replay.castfile import CastFile
from replay.catalogue import Folder, open_tape
from replay.player import Player
from replay.tape import Tape, Track
from replay.terminal import ScreenView
from tests.replay import casts, sessions


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


def playing(tape: Tape | CastFile, clock: Clock, **options: object) -> ReplayApp:
    """An app that plays, with all of it indexed."""
    if isinstance(tape, CastFile):
        tape = Tape([Track("c", tape)])
    tape.read_on(1e9)
    return ReplayApp(player=Player(tape, clock=clock, **options))  # type: ignore[arg-type]


def player(app: ReplayApp) -> Player:
    [found] = [screen for screen in app.screen_stack if isinstance(screen, Player)]
    return found


def shown(app: ReplayApp) -> list[str]:
    view = player(app).query_one(ScreenView)
    return [view.render_line(y).text.rstrip() for y in range(view.size.height)]


def said(app: ReplayApp) -> str:
    return str(player(app).query_one("#status", Static).render())


def after(app: ReplayApp, seconds: float) -> list[str]:
    """What is shown when so much time has passed."""
    screen = player(app)
    assert isinstance(screen._clock, Clock)
    screen._clock.now += seconds
    screen.tick()
    return shown(app)


async def test_it_plays_by_the_clock(cast: CastFile, clock: Clock) -> None:
    app = playing(cast, clock)
    async with app.run_test(size=(80, 24)):
        assert shown(app)[:2] == ["line 0", ""]
        assert after(app, 2.5)[:4] == ["line 0", "line 1", "line 2", ""]
        assert "0:02 / 0:19 1×" in said(app)
        assert "ls␛[2J" in said(app)


async def test_keys_pause_seek_and_change_the_speed(cast: CastFile, clock: Clock) -> None:
    app = playing(cast, clock)
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
        assert "no command after this" in said(app)
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
    app = playing(cast, Clock())
    async with app.run_test() as pilot:
        await pilot.press("q")
    assert app.return_code == 0


async def test_a_small_window_follows_the_cursor(tmp_path: Path, clock: Clock) -> None:
    text = "".join(f"row {number}\r\n" for number in range(39))
    with casts.write(tmp_path / "x.cast", (0.0, "o", text), width=200, height=40) as cast:
        app = playing(cast, clock)
        async with app.run_test(size=(80, 24)) as pilot:
            player(app).tick()
            await pilot.pause()
            assert shown(app)[-2:] == ["row 38", ""]


async def test_damage_is_named_when_it_is_reached(tmp_path: Path, clock: Clock) -> None:
    with casts.write(tmp_path / "x.cast", (0.0, "o", "a"), (1.0, "o", "b"), tail=b"[2") as cast:
        app = playing(cast, clock)
        async with app.run_test(size=(80, 24)):
            assert "x.cast:4" not in said(app)
            assert after(app, 5.0)[0] == "ab"
            assert "x.cast:4" in said(app)


async def test_nothing_of_the_recording_is_taken_for_markup(tmp_path: Path, clock: Clock) -> None:
    text = "[bold]not bold[/bold] [@click=app.quit]x[/]"
    with casts.write(tmp_path / "x.cast", (0.0, "o", text), width=80, title="[red]") as cast:
        app = playing(cast, clock)
        async with app.run_test(size=(80, 24)):
            assert shown(app)[0] == text
            assert "[red]" in said(app)


async def test_a_recording_without_events(tmp_path: Path, clock: Clock) -> None:
    with casts.write(tmp_path / "x.cast") as cast:
        app = playing(cast, clock)
        async with app.run_test(size=(20, 3)) as pilot:
            await pilot.press("end", "m", "right", "space", "0")
            after(app, 1.0)
            assert "0:00 / 0:00" in said(app)


async def test_frame_by_frame_speeds_and_pauses(tmp_path: Path, clock: Clock) -> None:
    events = [(0.0, "o", "a"), (0.0, "o", "b"), (1.0, "o", "c"), (100.0, "o", "d")]
    with casts.write(tmp_path / "x.cast", *events) as cast:
        app = playing(cast, clock)
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.press("full_stop")
            assert after(app, 5)[0] == "abc"
            await pilot.press("comma")
            assert after(app, 5)[0] == "ab"
            await pilot.press("minus", "full_stop", "i")
            assert after(app, 0)[0] == "abc"
            assert "0:01 / 0:03 0.5×" in said(app)
            await pilot.press("space")
            assert after(app, 4)[0] == "abcd"
            await pilot.press("i")
            after(app, 0)
            assert "1:40 / 1:40" in said(app)


async def type_in(pilot: object, key: str, text: str) -> None:
    await pilot.press(key)  # type: ignore[attr-defined]
    pilot.app.screen.query_one(Input).value = text  # type: ignore[attr-defined]
    await pilot.press("enter")  # type: ignore[attr-defined]


async def test_text_on_the_screen_is_found_and_gone_to(cast: CastFile, clock: Clock) -> None:
    app = playing(cast, clock)
    async with app.run_test(size=(80, 24)) as pilot:
        await type_in(pilot, "slash", "LINE")
        after(app, 0)
        await type_in(pilot, "slash", "line 1")
        for _ in range(50):
            after(app, 0)
        assert "11 found" in said(app)
        await pilot.press("n")
        assert "line 1" in after(app, 0)
        await pilot.press("n")
        assert "line 10" in after(app, 0)
        assert "2 of 11" in said(app)
        await pilot.press("N")
        assert after(app, 0)[2] == ""
        timeline = str(player(app).query_one("#timeline", Static).render())
        assert "▲" in timeline


async def test_places_are_typed(cast: CastFile, clock: Clock) -> None:
    app = playing(cast, clock)
    async with app.run_test(size=(80, 24)) as pilot:
        await type_in(pilot, "colon", "0:07")
        assert "line 7" in after(app, 0)
        await type_in(pilot, "g", "50%")
        assert "0:09" in (after(app, 0), said(app))[1]
        await type_in(pilot, "g", "[bold]")
        after(app, 0)
        assert "[bold] is no time" in said(app)
        await pilot.press("slash", "escape")
        assert not player(app).has_class("asking")


async def test_a_session_of_several_channels_is_one_timeline(tmp_path: Path, clock: Clock) -> None:
    folder = sessions.write(tmp_path)
    app = playing(open_tape(sorted(folder.glob("*.cast"))), clock)
    async with app.run_test(size=(130, 24)) as pilot:
        assert after(app, 2)[0] == "$ ls"
        assert after(app, 9)[0] == "copied"
        assert after(app, 10)[0] == "$ ls"
        listing = player(app).query_one("#list", OptionList)
        assert listing.option_count == 4
        said_there = [str(listing.get_option_at_index(n).prompt) for n in range(4)]
        assert said_there[1].split() == ["0:02", "✗", "c1", "deny", "rm", "-rf", "/etc"]
        await pilot.press("home", "d")
        after(app, 0)
        assert "deny: rm -rf /etc (rule no-rm, reason No." in said(app)
        assert "0:02" in said(app)
        await pilot.press("a")
        assert "0:20" in (after(app, 0), said(app))[1]
        await pilot.press("e")
        after(app, 0)
        assert "no error after this" in said(app)
        await pilot.press("E")
        assert "0:12" in (after(app, 0), said(app))[1]
        await pilot.press("t", "t")
        assert after(app, 0)[0] == "copied"


async def test_the_list_goes_where_it_points(tmp_path: Path, clock: Clock) -> None:
    folder = sessions.write(tmp_path)
    app = playing(open_tape(sorted(folder.glob("*.cast"))), clock)
    async with app.run_test(size=(80, 24)) as pilot:
        assert not player(app).has_class("listed")
        await pilot.press("c", "down", "down", "down", "enter")
        after(app, 0)
        assert "0:12" in said(app)
        await pilot.press("c")
        assert not player(app).has_class("listed")


async def test_the_screen_is_copied_as_text(cast: CastFile, clock: Clock) -> None:
    app = playing(cast, clock)
    async with app.run_test(size=(80, 24)) as pilot:
        after(app, 1.5)
        await pilot.press("y")
        assert app.clipboard == "line 0\nline 1\n"


async def test_it_saves_by_the_ending_and_overwrites_nothing(
    cast: CastFile, clock: Clock, tmp_path: Path
) -> None:
    app = playing(cast, clock)
    async with app.run_test(size=(80, 24)) as pilot:
        for name, what in (("a.txt", "written"), ("a.txt", "there already"), ("a.png", ".svg")):
            await type_in(pilot, "s", str(tmp_path / name))
            await app.workers.wait_for_complete()
            after(app, 0)
            assert what in player(app)._label
        assert (tmp_path / "a.txt").read_text().splitlines()[-1] == "line 19"


async def test_where_files_are_not_the_viewers_none_is_written(
    cast: CastFile, clock: Clock
) -> None:
    app = playing(cast, clock, saves=False)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("s")
        after(app, 0)
        assert "files are written only where you run bastion" in said(app)
        assert not player(app).has_class("asking")


async def test_what_is_live_is_followed_until_one_looks_back(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "c.cast"
    casts.write(path, (0.0, "o", "one\r\n")).close()
    tape = open_tape([path], live=True)
    app = playing(tape, clock)
    async with app.run_test(size=(80, 24)) as pilot:
        assert "LIVE" in (after(app, 0), said(app))[1]
        with path.open("a") as file:
            file.write('[5.0,"o","two"]\n[6.0,"o","thr')
        assert after(app, 0)[:2] == ["one", "two"]
        await pilot.press("home")
        assert after(app, 0)[:2] == ["one", ""]
        with path.open("a") as file:
            file.write('ee"]\n')
        (tmp_path / "c.events.jsonl").write_text(
            json.dumps({"time": 5.5, "kind": "verdict", "fields": {"action": "deny"}}) + "\n"
        )
        assert after(app, 0)[:2] == ["one", ""]
        await pilot.press("d")
        assert "0:05" in (after(app, 0), said(app))[1]
        await pilot.press("f")
        assert after(app, 0)[:2] == ["one", "twothree"]


async def test_the_keys_are_shown_and_any_key_hides_them(cast: CastFile, clock: Clock) -> None:
    app = playing(cast, clock)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("question_mark")
        assert "find text on the screen" in str(app.screen.query_one(Static).render())
        await pilot.press("z")
        assert app.screen is player(app)


async def test_a_folder_is_listed_searched_and_played(tmp_path: Path) -> None:
    sessions.write(tmp_path, "one")
    sessions.write(tmp_path, "two", identity="bob\x1b[2J", at=2_000_000_000.0)
    app = ReplayApp(catalogue=Folder(tmp_path))
    async with app.run_test(size=(100, 24)) as pilot:
        await app.workers.wait_for_complete()
        await pilot.pause()
        table = app.screen.query_one(DataTable)
        rows = [[str(cell) for cell in table.get_row_at(n)] for n in range(table.row_count)]
        assert [row[1] for row in rows] == ["bob␛[2J", "alice"]
        await type_in(pilot, "slash", "RM -RF")
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert table.row_count == 2
        await type_in(pilot, "slash", "alice")
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert table.row_count == 1
        await pilot.press("enter")
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert isinstance(app.screen, Player)
        await pilot.press("q")
        assert app.screen.query_one(DataTable)
        await pilot.press("q")
    assert app.return_code == 0


async def test_a_shell_in_which_nothing_is_decided_is_marked(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "c.cast"
    casts.write(path, (0.0, "o", "$ ")).close()
    fields = {"request": "(interactive shell)", "action": "allow", "rule": "shell-ungated"}
    event = {"time": 0.0, "kind": "verdict", "fields": fields}
    (tmp_path / "c.events.jsonl").write_text(json.dumps(event) + "\n")
    app = playing(open_tape([path]), clock)
    async with app.run_test(size=(130, 24)):
        assert "UNGATED" in (after(app, 0), said(app))[1]
        option = player(app).query_one("#list", OptionList).get_option_at_index(0)
        assert "ungated (interactive shell)" in str(option.prompt)


async def test_a_click_on_the_timeline_goes_there(cast: CastFile, clock: Clock) -> None:
    app = playing(cast, clock)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.click("#timeline", offset=(40, 0))
        assert "0:09" in (after(app, 0), said(app))[1]
        await pilot.click("#timeline", offset=(79, 0))
        assert "0:19 / 0:19" in (after(app, 0), said(app))[1]


async def test_what_takes_long_to_read_is_played_from_its_beginning_then(
    tmp_path: Path, clock: Clock
) -> None:
    path = tmp_path / "c.cast"
    line = "x" * 70 + "\r\n"
    casts.write(path, (0.0, "o", line * 60_000), (1.0, "o", "end"), (2.0, "o", ".")).close()
    tape = open_tape([path])
    app = ReplayApp(player=Player(tape, clock=clock))
    async with app.run_test(size=(80, 24)):
        assert "reading" in said(app)
        while not tape.ready:
            after(app, 0)
        after(app, 0.5)
        assert "▶ 0:00 / 0:02" in said(app)
