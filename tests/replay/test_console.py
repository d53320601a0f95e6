"""The console against a real control service, driven by keys."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from textual import events
from textual.pilot import Pilot
from textual.widgets import Static

from bastion.events import Outcome
from bastion.policy.approvals import Operator
from bastion.policy.rules import ApprovalTerms
from bastion.tap.tail import Tail
from replay.console import app as console
from replay.console.app import ConsoleApp
from replay.console.link import by_path
from replay.console.live import LiveScreen
from replay.console.prompt import Prompt
from tests.control.desk import ME, QUESTION, Desk

LEAD = Operator(ME, "Lena", frozenset({"lead"}), "https://idp#lena")
Open = Callable[[], Awaitable[tuple[ConsoleApp, Pilot[str]]]]


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    desk = Desk(tmp_path, (LEAD,))
    await desk.service.start()
    yield desk
    await desk.close()


def hold(desk: Desk, request: bytes = b"rm \xff\x1b[2J", **terms: object) -> str:
    question = replace(QUESTION, request=request)
    known = {"approvers": ("lead",), **terms}
    return desk.board.ask(
        question,
        ApprovalTerms(**known),  # type: ignore[arg-type]
        lambda *end: desk.ends.append(end),
    )


async def until(pilot: Pilot[str], what: Callable[[], bool]) -> None:
    """Wait for something that a key or an event brings about."""
    async with asyncio.timeout(30):
        while not what():
            await pilot.pause(0.01)


def make(desk: Desk) -> ConsoleApp:
    return ConsoleApp(by_path(desk.path), again=True, clock=lambda: 200.0)


def lines(app: ConsoleApp, tab: str = "waiting") -> list[str]:
    return [row.text + (f" ({row.ended})" if row.ended else "") for row in app.rows_of(tab).lines]


def said(app: ConsoleApp, widget: str = "#said") -> str:
    return str(app.query_one(widget, Static).render())


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' eyes are quick; the one about slow eyes takes this back."""
    monkeypatch.setattr(console, "LOOK", 0.0)


async def test_a_key_grants_what_is_shown_whole(desk: Desk) -> None:
    approval = hold(desk)
    app = make(desk)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: len(lines(app)) == 1)
        await until(pilot, lambda: "request" in said(app, "#details"))
        assert "rm \\u{dcff}␛[2J" in said(app, "#details")
        assert QUESTION.hash in said(app, "#details")
        await pilot.press("g")
        await until(pilot, lambda: bool(desk.ends))
        assert desk.ends[0][:2] == (Outcome.GRANTED, ("Lena",))
        await until(pilot, lambda: lines(app)[0].endswith("(granted by Lena)"))
        assert f"{approval} granted" in said(app)


async def test_a_refusal_asks_for_a_reason(desk: Desk) -> None:
    hold(desk)
    app = make(desk)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: len(lines(app)) == 1)
        await pilot.press("r", "enter")
        assert app.query_one(Prompt).open, "no reason is no answer"
        await pilot.press(*"not now", "enter")
        await until(pilot, lambda: bool(desk.ends))
        assert desk.ends == [(Outcome.REFUSED, ("Lena",), "not now")]


async def test_the_cursor_stays_on_what_it_was_on_while_the_list_changes(desk: Desk) -> None:
    first = hold(desk, b"one")
    app = make(desk)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: len(lines(app)) == 1)
        second = hold(desk, b"two")
        third = hold(desk, b"three")
        await until(pilot, lambda: len(lines(app)) == 3)
        await pilot.press("down")
        rows = app.rows_of("waiting")
        assert rows.current is not None
        assert rows.current.key == second
        desk.board.withdraw(first, 201.0)
        await until(pilot, lambda: len(lines(app)) == 2)
        assert rows.current.key == second
        # Somebody else decides it just before the key: the key decides nothing else.
        desk.board.withdraw(second, 201.0)
        await until(pilot, lambda: bool(rows.current and rows.current.ended))
        await pilot.press("g")
        assert f"{second} is over: withdrawn" in said(app)
        assert [one.id for one in desk.board.pending()] == [third]
        await pilot.press("down")
        assert [row.key for row in rows.lines] == [third]


async def test_a_reason_goes_to_what_it_was_typed_for(desk: Desk) -> None:
    first = hold(desk, b"one")
    second = hold(desk, b"two")
    app = make(desk)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: len(lines(app)) == 2)
        await pilot.press("r", *"bad")
        desk.board.withdraw(first, 201.0)
        await until(pilot, lambda: "(withdrawn)" in lines(app)[0])
        await pilot.press("enter")
        await until(pilot, lambda: "No approval" in said(app))
        assert [one.id for one in desk.board.pending()] == [second]


async def test_what_has_just_appeared_is_not_decided_by_a_key_in_flight(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "LOOK", 60.0)
    hold(desk)
    app = make(desk)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: len(lines(app)) == 1)
        await pilot.press("g")
        assert "has just appeared" in said(app)
        assert len(desk.board.pending()) == 1


async def test_equal_requests_are_granted_where_the_rule_lets(desk: Desk) -> None:
    hold(desk, b"one", repeat=600.0)
    app = make(desk)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: len(lines(app)) == 1)
        await pilot.press("G")
        await until(pilot, lambda: len(lines(app, "locks")) == 1)
        hold(desk, b"one", repeat=600.0)
        await until(pilot, lambda: len(desk.ends) == 2)
        await pilot.press("4", "u", *"enough", "enter")
        await until(pilot, lambda: not desk.board.repeats())


async def test_two_approvers_see_each_others_decisions_at_once(desk: Desk) -> None:
    hold(desk, b"one")
    one, other = make(desk), make(desk)
    async with one.run_test(size=(80, 24)) as pilot, other.run_test(size=(120, 40)) as second:
        await until(pilot, lambda: len(lines(one)) == 1)
        await until(second, lambda: len(lines(other)) == 1)
        await pilot.press("g")
        await until(second, lambda: lines(other)[0].endswith("(granted by Lena)"))


async def test_who_may_not_decide_any_more_is_told_why(desk: Desk) -> None:
    approval = hold(desk, b"one", count=2)
    other = hold(desk, b"two", approvers=("boss",))
    app = make(desk)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: len(lines(app)) == 2)
        await pilot.press("g")
        await until(pilot, lambda: "1/2" in lines(app)[0])
        await pilot.press("g")
        assert said(app) == f"You granted {approval} already; 1 more must grant it."
        await pilot.press("j", "g")
        assert said(app) == f"{other} is not yours to decide: it needs boss."


async def test_help_has_the_whole_window_until_something_is_looked_at(desk: Desk) -> None:
    hold(desk, b"one")
    app = make(desk)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "request" in said(app, "#details"))
        await pilot.press("question_mark")
        hold(desk, b"two")
        await until(pilot, lambda: len(lines(app)) == 2)
        assert "q              leave" in said(app, "#details")
        assert not app.query_one("#lists").size.height
        await pilot.press("escape")
        await until(pilot, lambda: "request" in said(app, "#details"))
        assert app.query_one("#lists").size.height


async def test_a_live_session_is_followed_in_place(desk: Desk) -> None:
    tail = desk.live.shown["c1"] = Tail(80, 24)
    tail.feed(b"$ make\r\n")
    hold(desk)
    app = make(desk)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: len(lines(app)) == 1)
        await pilot.press("f")
        live = app.query_one(LiveScreen)
        await until(pilot, lambda: live.display and "$ make" in live.render_line(0).text)
        tail.feed(b"\x1b[2J\x1b[Hdone \x1b]0;pwned\x07")
        await until(pilot, lambda: "done" in live.render_line(0).text)
        await pilot.press("z")
        assert app.screen.has_class("zoomed")
        await pilot.press("escape")
        await until(pilot, lambda: "follow-ended" in desk.audited())
        assert not live.display


async def test_it_says_that_the_bastion_is_gone_and_comes_back_with_it(desk: Desk) -> None:
    hold(desk, b"one")
    app = make(desk)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: len(lines(app)) == 1)
        await desk.service.stop()
        await until(pilot, lambda: "NOT CONNECTED" in said(app, "#head"))
        await pilot.press("g")
        await until(pilot, lambda: "not connected" in said(app))
        hold(desk, b"two")
        await desk.service.start()
        await until(pilot, lambda: "Lena" in said(app, "#head"))
        await until(pilot, lambda: len(lines(app)) == 2)


async def test_a_broken_glass_is_loud_until_it_is_put_away(desk: Desk) -> None:
    app = make(desk)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "Lena" in said(app, "#head"))
        desk.publish("break-glass", approval={"name": "ann", "target": "db"}, reason="fire\x1b[2J")
        alarm = app.query_one("#alarm", Static)
        await until(pilot, lambda: bool(alarm.display))
        assert "ann on db: fire␛[2J" in said(app, "#alarm")
        await pilot.press("x")
        assert not alarm.display


async def test_a_list_is_filtered_and_tabs_are_kept_apart(desk: Desk) -> None:
    hold(desk, b"apt update")
    hold(desk, b"reboot")
    app = make(desk)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: len(lines(app)) == 2)
        await pilot.press("slash", *"reb", "enter")
        await until(pilot, lambda: "reboot" in lines(app)[-1])
        await pilot.press("down")
        assert len(lines(app)) == 1
        await pilot.press("escape")
        await until(pilot, lambda: len(lines(app)) == 2)


async def test_what_is_not_ones_own_to_decide_is_shown_and_not_decided(desk: Desk) -> None:
    hold(desk, approvers=("boss",))
    app = make(desk)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: len(lines(app)) == 1)
        await pilot.press("g")
        assert "not yours to decide" in said(app)


async def test_a_lock_takes_a_time_and_a_reason(desk: Desk) -> None:
    hold(desk)
    app = make(desk)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: len(lines(app)) == 1)
        await pilot.press("L", *"30m gone mad", "enter")
        await until(pilot, lambda: len(lines(app, "locks")) == 1)
        [lock] = desk.ledger.locks(201.0)
        assert (lock.value, lock.reason, lock.until) == (QUESTION.identity, "gone mad", 2000.0)


async def test_a_reason_that_is_typed_fast_is_no_key_of_the_console(desk: Desk) -> None:
    """`r` and then `gone`: the g must not grant, however soon it comes."""
    hold(desk)
    app = make(desk)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: len(lines(app)) == 1)
        for key in "rgone":
            app.post_message(events.Key(key, key))
        app.post_message(events.Key("enter", None))
        await until(pilot, lambda: bool(desk.ends))
        assert desk.ends == [(Outcome.REFUSED, ("Lena",), "gone")]


async def test_the_reason_can_be_read_while_it_is_typed(desk: Desk) -> None:
    hold(desk)
    app = make(desk)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: len(lines(app)) == 1)
        await pilot.press("r", *"not now")
        screen = [strip.text for strip in app.screen._compositor.render_strips()]
        assert any("because:" in line and "not now" in line for line in screen), screen


async def test_a_hostile_screen_freezes_no_approver(desk: Desk) -> None:
    """64 KiB that an emulator needs seconds for, as the last screen of a held request."""
    tail = desk.live.shown["c1"] = Tail(100, 20)
    bomb = b"A\x1b[65535b\x1b[9999;9999H"
    tail.feed(bomb * (60_000 // len(bomb)))
    hold(desk)
    app = make(desk)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "costs too much" in said(app, "#details"))
        began = time.perf_counter()
        await pilot.press("g")
        await until(pilot, lambda: bool(desk.ends))
        assert time.perf_counter() - began < 5
