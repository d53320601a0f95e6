"""The gate of shells with real shells behind it, on a terminal of our own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bastion.model import Dialect, StepRequest, Target
from bastion.policy.decide import decide
from tests.fuzz.gated_fuzz import Fuzz
from tests.fuzz.step_fuzz import POLICY, WHO
from tests.harness.localshell import LocalShell

pytestmark = pytest.mark.story
ROUNDS = 20


@contextlib.asynccontextmanager
async def local_shell(folder: Path, dialect: Dialect) -> AsyncIterator[LocalShell]:
    """A gated shell at its first prompt."""
    if shutil.which(dialect.value) is None:
        pytest.skip(f"{dialect.value} is not installed")
    target = Target("x", dialect=dialect)
    (folder / "tmp").mkdir()
    shell = LocalShell(lambda asked: decide(POLICY, WHO, target, "app", asked), dialect)
    await shell.start(folder, {"PATH": os.environ["PATH"]}, folder / "tmp")
    try:
        yield shell
    finally:
        await shell.leave()


@pytest.mark.parametrize("dialect", Dialect)
async def test_ctrl_c_at_any_moment_of_a_line_leaves_a_terminal_on_which_it_works(
    tmp_path, dialect
):
    """It may hit the line, what the shell says at its end, or the moment between two commands."""
    async with local_shell(tmp_path, dialect) as shell:
        chance = random.Random(3)
        for _ in range(ROUNDS):
            shell.enter("stty raw -echo; true; stty sane")
            while not shell.gate._begun:
                shell.changed.clear()
                await shell.changed.wait()
            await asyncio.sleep(chance.random() * 0.01)
            shell.keys(b"\x03")
            assert await shell.prompt(20)
            assert shell.edits[-1].text == "", "the line was not refused"
            shell.enter("stty -a > modes; stty sane")
            assert await shell.prompt(20)
            assert {"isig", "icanon"} <= set((tmp_path / "modes").read_text().split())
        assert not shell.ended


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
async def test_an_error_in_the_hook_of_zsh_lets_nothing_run(tmp_path):
    """Under `set -u` an unset variable ended the hook, and the trap with it: the step ran."""
    trial = Fuzz(tmp_path, Dialect.ZSH, 1)
    try:
        for line in ("set -- reboot a; set -u", '"$@" | builtin $nope - DEBUG', '"$@" || $nope'):
            await trial.line(line)
    finally:
        if trial.shell is not None:
            await trial.shell.leave()
    assert trial.wrong == []
    assert trial.figures.steps > 0


@pytest.mark.parametrize("dialect", [Dialect.BASH, Dialect.ZSH])
@pytest.mark.parametrize("assigned", ["x=$(seq 30000)", "x=($(seq 300))"])
async def test_a_variable_that_is_larger_than_a_report_does_not_end_the_shell(
    tmp_path, dialect, assigned
):
    async with local_shell(tmp_path, dialect) as shell:
        shell.enter(f"{assigned}; $x > untold")
        assert await shell.prompt(20)
        assert not shell.ended
        assert not (tmp_path / "untold").exists(), "what cannot be told ran"
        shell.enter("echo on > told")
        assert await shell.prompt(20)
        assert (tmp_path / "told").read_text() == "on\n"


@pytest.mark.parametrize("dialect", [Dialect.BASH, Dialect.ZSH])
async def test_a_loop_in_the_background_goes_on_while_lines_are_entered(tmp_path, dialect):
    """The answer to its step was taken away when the next line began, and it waited for ever."""
    async with local_shell(tmp_path, dialect) as shell:

        def of_the_loop() -> int:
            return sum(isinstance(one.request, StepRequest) for one in shell.decided)

        shell.enter("x=true; (while :; do $x; done) &")
        assert await shell.prompt(20)
        for _ in range(ROUNDS):
            shell.enter("echo on > /dev/null")
            assert await shell.prompt(20)
        before = of_the_loop()
        async with asyncio.timeout(20):
            while of_the_loop() < before + 10:
                shell.changed.clear()
                await shell.changed.wait()
        assert not shell.ended


@pytest.mark.parametrize("dialect", Dialect)
async def test_ctrl_c_wakes_a_shell_that_something_has_stopped(tmp_path, dialect):
    """Nothing would ever end the line: the prompt, and the keys, were gone until the hang-up."""
    async with local_shell(tmp_path, dialect) as shell:
        shell.enter("p=$$")
        assert await shell.prompt(20)
        shell.enter("kill -s STOP $p; true")
        stopped = os.WSTOPPED | os.WEXITED | os.WNOWAIT
        await asyncio.to_thread(os.waitid, os.P_PID, shell._shell.pid, stopped)
        shell.keys(b"\x03")
        assert await shell.prompt(20)
        shell.enter("echo wo''ken")
        assert await shell.prompt(20)
        assert b"woken" in shell.shown
