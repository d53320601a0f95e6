"""What looks after recordings runs by itself, one at a time, and ends with the bastion."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bastion.store.upkeep import Upkeep


@contextlib.asynccontextmanager
async def running(upkeep: Upkeep) -> AsyncIterator[None]:
    task = asyncio.create_task(upkeep.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(path: Path, text: str) -> None:
    async with asyncio.timeout(20):
        while not path.exists() or text not in path.read_text():
            await asyncio.sleep(0.01)


async def test_it_runs_when_something_ended_and_now_and_then(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    append = f"open({str(ran)!r}, 'a').write('x')"
    upkeep = Upkeep([sys.executable, "-c", append], after=0, every=3600)
    async with running(upkeep):
        upkeep.wake()
        upkeep.wake()
        await until(ran, "x")
        upkeep.wake()
        await until(ran, "xx")
    async with running(Upkeep([sys.executable, "-c", append], after=0, every=0.01)):
        await until(ran, "xxxx")


async def test_what_fails_is_told_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fail = "import sys; print('no room', file=sys.stderr); sys.exit(3)"
    upkeep = Upkeep([sys.executable, "-c", fail], after=0)
    async with running(upkeep):
        for count in (1, 2):
            upkeep.wake()
            async with asyncio.timeout(20):
                while caplog.text.count("no room") < count:
                    await asyncio.sleep(0.01)
    gone = Upkeep([str(tmp_path / "none")], after=0)
    async with running(gone):
        gone.wake()
        async with asyncio.timeout(20):
            while "cannot be tidied up" not in caplog.text:
                await asyncio.sleep(0.01)


async def test_it_ends_with_the_bastion(tmp_path: Path) -> None:
    started = tmp_path / "pid"
    tell = f"open({str(started)!r}, 'w').write(f'{{os.getpid()}} ')"
    wait = f"import os, threading; {tell}; threading.Event().wait(60)"
    upkeep = Upkeep([sys.executable, "-c", wait], after=0)
    async with running(upkeep):
        upkeep.wake()
        await until(started, " ")
    with pytest.raises(ProcessLookupError):
        os.kill(int(started.read_text()), 0)
