"""Run the demo's own commands, finish the login as a person would, and check what each shows."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qs, urlsplit

import httpx2

from bastion.demo.steps import Step

STEP_SECONDS: Final = 60.0
BESIDE_SECONDS: Final = 20.0
_LOGIN_PAGE: Final = re.compile(rb"https?://[!-~]+[?]user_code=[!-~]+")


@dataclass
class Run:
    """One command while it runs; what it has said so far, of stdout and stderr alike."""

    shell: asyncio.subprocess.Process
    output: bytearray = field(default_factory=bytearray)
    ended: bool = False
    news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def read(self) -> int:
        """Collect what it says until it ends; gives its exit status."""
        assert self.shell.stdout is not None
        while chunk := await self.shell.stdout.read(65536):
            self.output += chunk
            await self._tell()
        self.ended = True
        await self._tell()
        return await self.shell.wait()

    async def _tell(self) -> None:
        async with self.news:
            self.news.notify_all()

    async def wait_for(self, pattern: re.Pattern[bytes]) -> bytes:
        """The first text that matches, once it was said; Failure when it ends without."""
        async with self.news:
            await self.news.wait_for(lambda: pattern.search(self.output) or self.ended)
        found = pattern.search(self.output)
        if found is None:
            raise Failure(f"        ended without saying {pattern.pattern.decode()}")
        return found[0]


class Failure(Exception):
    """A step did not show what it must."""


async def check(steps: tuple[Step, ...], say: Callable[[str], None]) -> bool:
    """Run every step; one line each, and all that a failed one said. True when none failed."""
    failed = 0
    for step in steps:
        try:
            await run(step)
        except Failure as failure:
            failed += 1
            say(f"FAILED  {step.title}\n        $ {step.command}\n{failure}")
        else:
            say(f"ok      {step.title}")
    passed = len(steps) - failed
    say(f"demo check: {passed} steps passed" + (f", {failed} failed" if failed else ""))
    return not failed


async def run(step: Step) -> None:
    """Run one step, with what happens beside it."""
    shell = await asyncio.create_subprocess_shell(
        step.command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    going = Run(shell)
    try:
        async with asyncio.timeout(STEP_SECONDS), asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(going.read())
            if step.login:
                tasks.create_task(_log_in(going, step.login))
            if step.beside:
                tasks.create_task(_beside(going, step.beside))
    except TimeoutError:
        raise Failure(f"{_shown(going)}\n        not done after {STEP_SECONDS:g} s") from None
    except ExceptionGroup as group:
        raise Failure(f"{_shown(going)}\n{group.exceptions[0]}") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(shell.pid, signal.SIGKILL)
    _compare(step, reading.result(), going)


def _compare(step: Step, status: int, going: Run) -> None:
    text = going.output.decode(errors="replace")
    missing = [shown for shown in step.shows if shown not in text]
    if status != step.status:
        raise Failure(f"{_shown(going)}\n        exit status {status}, expected {step.status}")
    if missing:
        raise Failure(f"{_shown(going)}\n        does not show {missing}")


def _shown(going: Run) -> str:
    text = going.output.decode(errors="replace")[-2000:]
    return "\n".join(f"        | {line}" for line in text.splitlines())


async def _log_in(going: Run, name: str) -> None:
    """Do at the provider's page what a person does there: confirm the code, be somebody."""
    url = (await going.wait_for(_LOGIN_PAGE)).decode()
    parts = urlsplit(url)
    form = {"user_code": parse_qs(parts.query)["user_code"][0], "username": name}
    async with httpx2.AsyncClient(trust_env=False) as browser:
        page = await browser.post(parts._replace(query="").geturl(), data=form)
    if "authorized" not in page.text:
        raise Failure(f"        the provider's page refused {name}: {page.status_code}")


async def _beside(going: Run, steps: tuple[Step, ...]) -> None:
    """Run what belongs into another terminal, once this one says that it waits."""
    async with asyncio.timeout(BESIDE_SECONDS):
        await going.wait_for(re.compile(rb"(?i)held|waiting"))
    for step in steps:
        await run(step)
