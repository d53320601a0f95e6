"""Hold gated shells against what ran: `python -m tests.fuzz.gated_fuzz --lines 9000 --seed 7`.

Random lines are entered in long-lived shells that are started, fed and watched by the real gate,
relay and start-up file. Stubs log their words. The policy denies two of them and all that cannot be
told: if one of those ran, or anything of a line that was refused, the gate missed it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bastion.model import Dialect, LineRequest, Request, StepRequest, Target
from bastion.policy.actions import Action
from bastion.policy.decide import decide
from bastion.policy.rules import Verdict
from tests.fuzz.apart import apart
from tests.fuzz.shell_fuzz import Sandbox, _calls, _small_files
from tests.fuzz.step_fuzz import BEFORE, POLICY, WHO, forbidden, made
from tests.harness.localshell import LocalShell

PATIENCE: Final = 1.0
"""Seconds for a line that waits or loops; then comes ctrl-C."""
LINES_EACH: Final = 200
"""After so many lines a fresh shell takes over: what lines did to the old one wears it out."""
NEEDED: Final = ("stty", "sleep")


@dataclass
class Figures:
    """What a run came to."""

    lines: int = 0
    executing: int = 0
    missed: int = 0
    understood: int = 0
    watched: int = 0
    steps: int = 0
    opaque: int = 0
    denied: int = 0
    shells: int = 0
    stuck: int = 0
    """Lines that neither ended nor obeyed ctrl-C: the shell was given up."""

    def __str__(self) -> str:
        return (
            f"lines {self.lines}, executing {self.executing}, missed {self.missed}, understood "
            f"{self.understood}, opaque {self.opaque}, denied {self.denied}, watched "
            f"{self.watched} ({self.steps} steps), shells {self.shells}, stuck {self.stuck}"
        )


class Fuzz:
    """Shells one after the other, and what their lines did."""

    def __init__(self, folder: Path, dialect: Dialect, seed: int) -> None:
        self.dialect = dialect
        self.sandbox = Sandbox(folder)
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        self.chance = random.Random(seed)
        self.figures = Figures()
        self.wrong: list[str] = []
        self.shell: LocalShell | None = None
        self._read = 0
        for name in (*NEEDED, dialect.value):
            link = self.sandbox.programs / name
            if not link.exists():
                link.symlink_to(os.path.realpath(shutil.which(name) or name))

    def _decide(self, request: Request) -> Verdict:
        return decide(POLICY, WHO, Target("x", dialect=self.dialect), "app", request)

    async def fresh(self) -> LocalShell:
        """A new shell, with or without variables, functions and start-up files."""
        if self.shell is not None:
            await self.shell.leave()
        self.figures.shells += 1
        shutil.rmtree(self.sandbox.work, ignore_errors=True)
        self.sandbox.work.mkdir()
        kind = self.chance.choice(("plain", "variables", "functions", "files"))
        rc = BEFORE if kind == "files" else ""
        for name in (".bashrc", ".zshrc", ".profile"):
            (self.sandbox.work / name).write_text(f"PATH={self.sandbox.programs}\n{rc}")
        shell = LocalShell(self._decide, self.dialect, own_files=kind == "files")
        self.shell = shell
        environment = {
            "PATH": str(self.sandbox.programs), "FUZZ_LOG": str(self.sandbox.log),
            "FUNCNEST": "20", "LC_ALL": "C.UTF-8",
        }  # fmt: skip
        await shell.start(self.sandbox.work, environment, self.temporary)
        for line in BEFORE.strip().splitlines():
            if kind == "functions" or (kind == "variables" and "()" not in line):
                shell.enter(line)
                await shell.prompt(PATIENCE)
        return shell

    def calls(self) -> list[list[str]]:
        """The words of every stub that ran since the last look."""
        if not self.sandbox.log.exists():
            return []
        data = self.sandbox.log.read_bytes()
        new, self._read = data[self._read :], len(data)
        return _calls(new.decode("utf-8", "surrogateescape"))

    async def line(self, line: str) -> None:
        """Enter one line, see it to its end, and judge what ran."""
        shell = self.shell
        if shell is None or shell.ended or not shell.at_prompt:
            shell = await self.fresh()
            self.calls()
        shell.decided.clear()
        shell.enter(line)
        if not await shell.prompt(PATIENCE):
            shell.keys(b"\x03")
            if not await shell.prompt(PATIENCE):
                self.figures.stuck += 1
                self.shell = None
                await shell.leave()
        self._count(shell, line)

    def _count(self, shell: LocalShell, line: str) -> None:
        figures = self.figures
        figures.lines += 1
        whole = [one for one in shell.decided if isinstance(one.request, LineRequest)]
        figures.steps += sum(isinstance(one.request, StepRequest) for one in shell.decided)
        verdict = whole[0].verdict if whole else None
        if verdict is None or verdict.action is not Action.ALLOW:
            figures.opaque += verdict is not None and verdict.rule == "opaque"
            figures.denied += verdict is not None and verdict.rule != "opaque"
        elif verdict.watch or any(isinstance(one.request, StepRequest) for one in shell.decided):
            figures.watched += 1
        else:
            figures.understood += 1
        calls = self.calls()
        figures.executing += bool(calls)
        ran = forbidden(calls)
        if ran:
            figures.missed += 1
            self.wrong.append(f"{self.dialect.value}: {line!r} ran {ran}")
            print(self.wrong[-1], flush=True)


async def fuzz(count: int, seed: int, dialect: Dialect, seconds: float = 1e9) -> Fuzz:
    """Try `count` lines, or as many as there is time for."""
    until = time.monotonic() + seconds
    with _small_files(), tempfile.TemporaryDirectory() as folder:
        trial = Fuzz(Path(folder), dialect, seed)
        try:
            for number, line in enumerate(made(seed)):
                if number >= count or time.monotonic() > until:
                    break
                if number % LINES_EACH == LINES_EACH - 1:
                    await trial.fresh()
                await trial.line(line)
        finally:
            if trial.shell is not None:
                await trial.shell.leave()
    return trial


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=1e9)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--shell", choices=("bash", "zsh"), default="bash")
    given = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        trial = asyncio.run(fuzz(given.lines, given.seed, Dialect(given.shell), given.seconds))
        print(trial.figures)
        return 1 if trial.wrong else 0
    return 130


if __name__ == "__main__":
    apart("tests.fuzz.gated_fuzz")
    sys.exit(main())
