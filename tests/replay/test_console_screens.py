"""The console's whole screen, as text, at the smallest size and a larger one.

What it should look like stands in screens/; python -m tests.replay.test_console_screens writes it
anew, to be looked at before it is kept.
"""

import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from bastion.tap.tail import Tail
from replay.console.app import ConsoleApp
from tests.control.desk import Desk
from tests.replay.test_console import LEAD, hold, make, said, until

FOLDER = Path(__file__).with_name("screens")
SIZES = {"80x24": (80, 24), "120x40": (120, 40)}


async def screen(desk: Desk, size: tuple[int, int], *keys: str) -> str:
    """Everything that is on the screen after these keys, line by line."""
    tail = desk.live.shown["c1"] = Tail(40, 5)
    tail.feed(b"$ vi x\r\nno such \x1b[31mthing\x1b[0m\r\n")
    desk.board._new_id = iter(("k7f3", "m2ta", "p9qd")).__next__  # type: ignore[method-assign]
    hold(desk, b"rm -rf /srv/app\x1b[2J", count=2)
    hold(desk, b"systemctl restart shop", approvers=("boss",))
    lock = desk.ledger.add_lock("identity", "eve", "incident", None, "Lena", 150.0)
    app: ConsoleApp = make(desk)
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: "what this person" in said(app, "#details"))
        await until(pilot, lambda: len(app.rows_of("locks").lines) == 1)
        await pilot.press(*keys)
        await pilot.pause()
        strips = app.screen._compositor.render_strips()
    shown = "".join(f"{strip.text.rstrip()}\n" for strip in strips)
    return shown.replace(lock.id, "0a1b2c")


SCREENS: dict[str, tuple[str, ...]] = {"waiting": (), "locks": ("4",), "keys": ("question_mark",)}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", SCREENS)
async def test_the_screen_is_as_it_was_looked_at(tmp_path: Path, name: str, size: str) -> None:
    shown = await _on_a_desk(tmp_path, lambda desk: screen(desk, SIZES[size], *SCREENS[name]))
    assert shown == (FOLDER / f"console-{name}-{size}.txt").read_text()
    columns, rows = SIZES[size]
    lines = shown.splitlines()
    assert len(lines) == rows
    assert max(map(len, lines)) <= columns


async def _on_a_desk(folder: Path, show: Callable[[Desk], Awaitable[str]]) -> str:
    desk = Desk(folder, (LEAD,))
    await desk.service.start()
    try:
        return await show(desk)
    finally:
        await desk.close()


async def _write() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, keys in SCREENS.items():
        for size, cells in SIZES.items():
            with tempfile.TemporaryDirectory() as folder:
                shown = await _on_a_desk(
                    Path(folder), lambda desk, cells=cells, keys=keys: screen(desk, cells, *keys)
                )
            (FOLDER / f"console-{name}-{size}.txt").write_text(shown)
            sys.stdout.write(shown)


if __name__ == "__main__":
    asyncio.run(_write())
