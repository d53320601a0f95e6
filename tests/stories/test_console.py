"""Two approvers and one requester, over real ssh, on real terminals."""

import asyncio
import os
import shlex
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.harness.running import POLICY, Bastion, bastion

pytestmark = pytest.mark.story

TWO = (
    POLICY.replace(
        "    approval: {approvers: [oncall], wait: 30s}\n    examples: {match: [touch x]",
        "    approval: {approvers: [oncall], wait: 10m, count: 2}\n    examples: {match: [touch x]",
    )
    + """
console:
  - {name: desk, roles: oncall, may: [list, follow, kill]}
"""
)


class Terminals:
    """tmux windows of a fixed size, each running ssh as somebody."""

    def __init__(self, running: Bastion, folder: Path) -> None:
        self._running = running
        self._folder = folder
        self._tmux = ["tmux", "-S", str(folder / "tmux"), "-f", "/dev/null"]

    def start(self, name: str, groups: list[str], *words: str, columns: int, rows: int) -> None:
        """Run `ssh WORDS` as `name` in a terminal of 16 colours."""
        running = self._running
        running.issue(groups=groups, name=name, key=name)
        config = running.directory / f"config_{name}"
        text = running.ssh_config.read_text()
        config.write_text(text.replace(f"{running.directory}/id", f"{running.directory}/{name}"))
        ssh = shlex.join(["env", "TERM=xterm", "ssh", "-F", str(config), *words])
        size = ["-x", str(columns), "-y", str(rows)]
        self._run("new-session", "-d", "-s", name, *size, f"{ssh}; echo status $?; sleep 600")

    def keep(self, name: str) -> Path:
        """The file that holds every byte sent to that terminal from now on."""
        kept = self._folder / f"sent-{name}"
        self._run("pipe-pane", "-t", f"={name}:", f"cat > {kept}")
        return kept

    def press(self, name: str, *keys: str) -> None:
        """Type keys."""
        self._run("send-keys", "-t", f"={name}:", *keys)

    def screen(self, name: str) -> str:
        """What stands on that terminal now."""
        return self._run("capture-pane", "-p", "-t", f"={name}:")

    async def shows(self, name: str, text: str) -> str:
        """Wait until a text stands there."""
        try:
            async with asyncio.timeout(30):
                while text not in (shown := await asyncio.to_thread(self.screen, name)):
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"{text!r} never came:\n{self.screen(name)}") from None
        return shown

    def close(self) -> None:
        """End all of them."""
        subprocess.run([*self._tmux, "kill-server"], check=False, capture_output=True)

    def _run(self, *words: str) -> str:
        return subprocess.run(
            [*self._tmux, *words], check=True, capture_output=True, text=True
        ).stdout


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Bastion]:
    async with bastion(tmp_path, policy=TWO) as running:
        yield running


@pytest.fixture
async def terminals(running: Bastion, tmp_path: Path) -> AsyncIterator[Terminals]:
    terminals = Terminals(running, tmp_path)
    yield terminals
    terminals.close()


async def decide(terminals: Terminals, name: str, key: str, told: str) -> None:
    """Press a key, once; and once more where the console says that it was too early."""
    early = "has just appeared"
    async with asyncio.timeout(60):
        terminals.press(name, key)
        while told not in (shown := await asyncio.to_thread(terminals.screen, name)):
            if early in shown:
                terminals.press(name, "1")  # takes what was said away
                while early in await asyncio.to_thread(terminals.screen, name):
                    await asyncio.sleep(0.05)
                terminals.press(name, key)
            await asyncio.sleep(0.05)


async def test_two_approvers_let_one_command_go_on(running: Bastion, terminals: Terminals) -> None:
    made = Path(f"/tmp/story-{os.getpid()}")
    made.unlink(missing_ok=True)
    console = ["-t", "bastion", "console"]
    terminals.start("olga", ["oncall"], *console, columns=80, rows=24)
    terminals.start("otto", ["oncall"], *console, columns=120, rows=40)
    await terminals.shows("olga", "Nothing waits.")
    await terminals.shows("otto", "Nothing waits.")
    target = f"{running.login}@web1@bastion"
    asks = ["-t", target, f"touch {made} && echo went on"]
    terminals.start("alice", ["dev"], *asks, columns=100, rows=20)
    await terminals.shows("alice", "held for approval")

    shown = await terminals.shows("olga", f"runs         touch {made}")
    assert "needs        2 of oncall" in shown
    assert "alice" in shown
    assert all(len(line) <= 80 for line in shown.splitlines())
    await decide(terminals, "olga", "g", "Counted; 1 more must grant it.")
    await terminals.shows("otto", "1/2")
    assert not made.exists(), "one of two is not enough"
    await terminals.shows("otto", "granted so far by olga")
    await decide(terminals, "otto", "g", "granted by")
    await terminals.shows("alice", "went on")
    await terminals.shows("alice", "status 0")
    await terminals.shows("olga", "granted by olga, otto: ")
    made.unlink()

    terminals.press("olga", "3")
    await terminals.shows("olga", "+ granted")
    terminals.press("olga", "q")
    await terminals.shows("olga", "status 0")
    calls = [fields["call"]["method"] for fields in running.audited("control-call")]
    assert {"watch", "grant", "context"} <= set(calls), "watching is audited too"


async def test_a_console_ends_with_its_certificate_and_the_held_command_with_its_refusal(
    running: Bastion, terminals: Terminals
) -> None:
    terminals.start("olga", ["oncall"], "-t", "bastion", "console", columns=80, rows=24)
    await terminals.shows("olga", "Nothing waits.")
    target = f"{running.login}@web1@bastion"
    terminals.start("alice", ["dev"], "-t", target, "touch x", columns=100, rows=20)
    await terminals.shows("olga", "asked by alice")
    await decide(terminals, "olga", "r", "because:")
    terminals.press("olga", "-l", "not on a friday")
    terminals.press("olga", "Enter")
    await terminals.shows("alice", "refused by olga (rule held): not on a friday.")
    await terminals.shows("alice", "status 254")
    running.clock.ahead += 700
    shown = await terminals.shows("olga", "status 25")
    assert "your access ended" in shown, "the screen is put away, and the reason can be read"
    assert "Waiting 0" not in shown


FULL_SCREEN = """
awk 'BEGIN { for (n = 1; n <= 300000; n++) printf "x" }'
printf '\\033[?1049h\\033[2J\\033[1;1Hthe header\\033[9;1Hthe footer'
awk 'BEGIN { for (n = 1; n <= 9000; n++) printf "\\033[4;1Hcount %05d", n }'
printf '\\033]52;c;cHduZWQ=\\007\\033]0;pwned\\007\\033[21t\\033[201~\\033[c\\033[5i'
printf '\\033P$qm\\033\\\\'
printf '\\033Pq#0;2;0;0;0~~\\033\\\\\\033_Gf=24;AAAA\\033\\\\\\033[?1003h\\033[5;1Hdrawn'
read line
printf '\\033[?1049l'
"""


ACTING = (
    b"\x1b]52", b"\x1b]0;pwned", b"\x1b[21t", b"\x1b[201~", b"\x1b[c", b"\x1b[5i", b"\x1bP",
    b"\x1b_G",
)  # fmt: skip
"""Clipboard, title, a report of it, the end of a paste, identification, printer, settings and
pictures, a picture of another kind: none of them may reach whoever follows."""


async def test_a_full_screen_program_is_joined_late_at_its_present_screen(tmp_path: Path) -> None:
    script = tmp_path / "watch.sh"
    script.write_text(FULL_SCREEN)
    async with bastion(tmp_path, policy=TWO, opaque="allow") as running:
        terminals = Terminals(running, tmp_path)
        try:
            target = f"{running.login}@web1@bastion"
            terminals.start("alice", ["dev"], "-t", target, f"sh {script}", columns=60, rows=9)
            await terminals.shows("alice", "drawn")
            terminals.start("olga", ["oncall"], "-t", "bastion", "console", columns=80, rows=24)
            sent = terminals.keep("olga")
            await terminals.shows("olga", "Live 2")
            terminals.press("olga", "2")
            await terminals.shows("olga", "alice")
            await join(terminals, "olga", "alice", "count 09000")
            shown = terminals.screen("olga")
            assert "the header" in shown, shown
            assert "the footer" in shown, shown
            assert b"the footer" in sent.read_bytes()
            assert [one for one in ACTING if one in sent.read_bytes()] == []
        finally:
            terminals.close()


async def join(terminals: Terminals, name: str, whom: str, text: str) -> None:
    """Go to somebody's session, and follow it."""
    async with asyncio.timeout(30):
        while not any(
            line.startswith("›") and whom in line
            for line in (await asyncio.to_thread(terminals.screen, name)).splitlines()
        ):
            terminals.press(name, "j")
            await asyncio.sleep(0.1)
    terminals.press(name, "f")
    await terminals.shows(name, text)
