"""Use gated shells at random, for long: `python -m tests.soak --seconds 600 --sessions 4`.

Every session is a real `ssh -tt` before a real sshd. After whatever a person did, ctrl-C and a line
must still give that line's output and then a prompt: so prompt and program never disagree about who
has the keys. Nothing that is typed at a program, or ahead, may run.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import re
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.harness.shellrange import Person, Range, shell_range

PROMPT_SECONDS: Final = 20.0
HARM: Final = "shutdown -h now"


@dataclass
class Figures:
    """What a soak came to."""

    acts: int = 0
    lines: int = 0
    interrupts: int = 0
    resizes: int = 0
    desyncs: list[str] = field(default_factory=list)
    ran: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"acts {self.acts}, lines {self.lines}, ctrl-C {self.interrupts}, resizes "
            f"{self.resizes}, desynchronised {len(self.desyncs)}, ran undecided {len(self.ran)}"
        )


class User:
    """Somebody who does anything at any time."""

    def __init__(self, person: Person, chance: random.Random, figures: Figures) -> None:
        self.person = person
        self.chance = chance
        self.figures = figures
        self.acts: list[Callable[[], Awaitable[None]]] = [
            self.plain, self.plain, self.interrupted, self.reader, self.password, self.job,
            self.stopped, self.one_key, self.raw_program, self.ahead, self.denied, self.storm,
            self.completion, self.paste, self.many_lines, self.watched, self.output, self.resize,
        ]  # fmt: skip

    async def pause(self, most: float) -> None:
        """What a person takes before the next key."""
        await asyncio.sleep(self.chance.random() * most)

    async def line(self, text: str) -> None:
        """Enter a line."""
        self.figures.lines += 1
        await self.person.keys(text + "\r")

    async def interrupt(self) -> None:
        """ctrl-C."""
        self.figures.interrupts += 1
        await self.person.keys("\x03")

    async def running(self) -> bool:
        """Wait until a program has the keys; False where it is over already, or never began."""
        try:
            await self.person.until(lambda p: p.state == "RUNNING" and p._all_taken(), 1.0)
        except AssertionError:
            return False
        return True

    async def plain(self) -> None:
        await self.line(self.chance.choice(("true", "false", "cd /tmp", "ls", "pwd", "(exit 3)")))

    async def interrupted(self) -> None:
        await self.line("sleep 2")
        await self.pause(0.15)
        await self.interrupt()

    async def reader(self) -> None:
        await self.line("cat > /dev/null")
        if await self.running():
            await self.person.keys(f"{HARM}\r{HARM}\r")
            await self.pause(0.05)
            await self.person.keys("\x04")

    async def password(self) -> None:
        await self.line("read -rs secret")
        if await self.running():
            await self.person.keys(f"{HARM}\r")

    async def job(self) -> None:
        await self.line("sleep 0.2 &")
        await self.line(self.chance.choice(("jobs", "wait", "true")))

    async def stopped(self) -> None:
        await self.line("sleep 3")
        await self.pause(0.1)
        await self.person.keys("\x1a")
        await self.pause(0.2)
        await self.line("kill %%")

    async def one_key(self) -> None:
        await self.line("printf '\\e[?1049h'; read -rsn 1 key; printf '\\e[?1049l'")
        if await self.running():
            await self.person.keys(self.chance.choice(("q", "\x1b", "Z")))

    async def raw_program(self) -> None:
        await self.line("stty raw -echo; dd bs=1 count=3 of=/dev/null; stty sane")
        if await self.running():
            await self.person.keys("\x03\x1aq")

    async def ahead(self) -> None:
        await self.line("sleep 0.1")
        await self.person.keys(f"{HARM}\r" * self.chance.randrange(1, 4))

    async def denied(self) -> None:
        await self.line(HARM)

    async def storm(self) -> None:
        await self.line(self.chance.choice(("sleep 1", "true", "x=1; $x", "cat")))
        for _ in range(self.chance.randrange(2, 8)):
            await self.interrupt()
            await self.pause(0.02)

    async def completion(self) -> None:
        await self.person.keys(self.chance.choice(("ec\t", "ls /et\t", "cd /\t\t", "$HO\t")))
        await self.pause(0.1)

    async def paste(self) -> None:
        await self.person.keys("\x1b[200~echo pasted\n" + HARM + "\n\x1b[201~")

    async def many_lines(self) -> None:
        await self.person.keys("if true; then\recho inside\rfi\r")
        self.figures.lines += 1

    async def watched(self) -> None:
        await self.line("for w in echo printf; do $w a; done")
        if self.chance.random() < 0.3:
            await self.pause(0.05)
            await self.interrupt()

    async def output(self) -> None:
        await self.line("seq 3000")
        if self.chance.random() < 0.5:
            await self.interrupt()

    async def resize(self) -> None:
        self.figures.resizes += 1
        await self.person.resize(self.chance.randrange(5, 50), self.chance.randrange(20, 140))

    # --- the proof ----------------------------------------------------------------------------

    async def act(self) -> None:
        """Do something, then see that a line still works."""
        act = self.chance.choice(self.acts)
        self.figures.acts += 1
        await act()
        if self.chance.random() < 0.5:
            await self.resize()
        number = self.figures.acts
        try:
            await self._prove(number)
        except AssertionError as error:
            self.figures.desyncs.append(f"after {act.__name__}: {error}")
            raise

    async def _prove(self, number: int) -> None:
        person = self.person
        for _ in range(20):
            # Whoever has the keys gives them up; a program that is just starting may not hear.
            await self.interrupt()
            try:
                await person.until(lambda p: p.state == "PROMPT" and p._all_taken(), 1.0)
                break
            except AssertionError:
                await person.keys("\x1c")
        # A key right behind Enter is dropped with a refused line, so once more.
        await person.settled()
        await self.interrupt()
        await person.settled()
        await self.line(f"echo 'pr'oof-{number}-")
        await person.until(
            lambda p: bool(re.search(rf"proof-{number}-", p.screen)) and p.state == "PROMPT",
            PROMPT_SECONDS,
        )
        side = person.drive._shell if person.drive is not None else None
        assert side is not None
        assert side.editing, f"a prompt without an editor\n{person.screen}"


async def soak(seconds: float, sessions: int, shell: str, seed: int) -> Figures:
    """Let several people at it, each for that long, and for one act at least."""
    figures = Figures()

    async def one(number: int, there: Range) -> None:
        chance = random.Random(f"{seed}/{number}")
        async with there.person(shell) as person:
            await person.prompt()
            user = User(person, chance, figures)
            until = time.monotonic() + seconds
            with contextlib.suppress(AssertionError):
                await user.act()
                while time.monotonic() < until:
                    await user.act()
            figures.ran += person.canary()

    with tempfile.TemporaryDirectory() as folder:
        async with shell_range(Path(folder)) as there:
            await asyncio.gather(*(one(number, there) for number in range(sessions)))
    return figures


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--sessions", type=int, default=4)
    parser.add_argument("--shell", choices=("bash", "zsh", "sh"), default="bash")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    figures = asyncio.run(soak(given.seconds, given.sessions, given.shell, given.seed))
    print(figures)
    for desync in figures.desyncs:
        print(desync)
    return 1 if figures.desyncs or figures.ran else 0


if __name__ == "__main__":
    sys.exit(main())
