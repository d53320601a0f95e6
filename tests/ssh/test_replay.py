"""`ssh -t bastion replay`: the player over SSH, with the caller's own rights, audited."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from replay.screen import AvtScreen
from tests.harness.running import POLICY, Bastion, bastion

pytestmark = pytest.mark.story

WATCHED = (
    POLICY.replace(
        "roles:\n",
        "roles:\n  lead: {match: {groups: lead}}\n  other: {match: {groups: other}}\n",
    )
    + """
console:
  - {name: leads, roles: lead, may: [replay, follow], people: [dev], targets: [web1]}
  - {name: others, roles: other, may: [replay], people: [oncall]}
"""
)


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Bastion]:
    async with bastion(tmp_path, policy=WATCHED) as running:
        assert (await running.ssh("echo", "the old secret of the dev")).status == 0
        yield running


class Terminal:
    """A person's terminal: what the SSH channel sends is played into an emulator."""

    def __init__(self, process: Any) -> None:
        self._process = process
        self.screen = AvtScreen(100, 30)

    async def until(self, shown: Callable[[str], bool]) -> str:
        """Read until the screen satisfies; the text of it."""
        async with asyncio.timeout(30):
            while not shown("\n".join(self.screen.text())):
                data = await self._process.stdout.read(65536)
                assert data, "\n".join(self.screen.text())
                self.screen.feed(data)
        return "\n".join(self.screen.text())

    def press(self, keys: str) -> None:
        self._process.stdin.write(keys)


def as_person(running: Bastion, group: str) -> Any:
    running.issue(groups=[group], name=f"{group}-person")
    return running.connect("me")


async def player(connection: Any) -> Terminal:
    process = await connection.create_process(
        "replay", term_type="xterm-256color", term_size=(100, 30)
    )
    return Terminal(process)


async def test_a_lead_finds_and_plays_what_a_dev_did(running: Bastion) -> None:
    async with as_person(running, "lead") as connection:
        terminal = await player(connection)
        await terminal.until(lambda text: "1 session " in text and "alice" in text)
        terminal.press("\r")
        await terminal.until(lambda text: "the old secret of the dev" in text and "0:00" in text)
        terminal.press("s")
        await terminal.until(lambda text: "files are written only where you run" in text)
        terminal.press("qq")
        assert (await terminal._process.wait()).exit_status == 0
    [watched] = running.audited("recording-watched")
    assert (watched["operator"], watched["channel"]) == ("https://idp.test#lead-person", "c1")


@pytest.mark.parametrize("group", ["other", "dev", "oncall"])
async def test_who_has_no_right_is_shown_nothing(running: Bastion, group: str) -> None:
    async with as_person(running, group) as connection:
        terminal = await player(connection)
        text = await terminal.until(lambda text: "0 sessions" in text)
        assert "alice" not in text
        terminal.press("q")
        await terminal._process.wait()
    assert running.audited("recording-watched") == []


async def test_a_live_session_is_followed(running: Bastion) -> None:
    process = await running.start("ssh", *running.to_target("direct"), "cat", stdin=-1)
    try:
        assert process.stdin is not None
        process.stdin.write(b"before\n")
        assert process.stdout is not None
        assert await process.stdout.readline() == b"before\n"
        async with as_person(running, "lead") as connection:
            terminal = await player(connection)
            await terminal.until(lambda text: "● live" in text)
            terminal.press("\r")
            await terminal.until(lambda text: "● LIVE" in text and "before" in text)
            process.stdin.write(b"and this just now\n")
            await terminal.until(lambda text: "and this just now" in text)
            terminal.press("qq")
            await terminal._process.wait()
    finally:
        process.kill()
        await process.communicate()


async def test_without_a_terminal_it_says_so(running: Bastion) -> None:
    ran = await running.run("ssh", "bastion", "replay")
    assert (ran.status, ran.stderr) == (
        2,
        "bastion: this needs a terminal: ssh -t bastion replay\n",
    )
