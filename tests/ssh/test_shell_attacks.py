"""Gated shells whose client, relay, disk or target goes away, or lies, at any moment."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import soak
from tests.harness.shellrange import Person, shell_range

pytestmark = pytest.mark.story

HARM = "x=shut; ${x}down -h now"


def processes(scene: Path) -> list[int]:
    """The processes on the target that belong to a person's shell, by their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if (
                entry.name.isdigit()
                and f"HOME={scene}/".encode() in (entry / "environ").read_bytes()
            ):
                found.append(int(entry.name))
    return found


def on_the_target(temporary: Path) -> dict[int, bytes]:
    """All processes there, of any session: PID → command line."""
    found = {}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            environment = (entry / "environ").read_bytes() if entry.name.isdigit() else b""
            if f"TMPDIR={temporary}\0".encode() in environment:
                found[int(entry.name)] = (entry / "cmdline").read_bytes()
    return found


def relay_of(temporary: Path) -> int:
    """The relay there, which has begun a reader."""
    both = [pid for pid, words in on_the_target(temporary).items() if b"mkfifo" in words]
    (relay,) = [pid for pid in both if parent(pid) not in both]
    return relay


def stat(pid: int) -> list[str]:
    """State, parent, process group, session, terminal, its foreground group (proc(5))."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:6]
    except OSError:
        return ["gone", "0", "0", "0", "0", "0"]


def parent(pid: int) -> int:
    """The process that began this one."""
    return int(stat(pid)[1])


def has_the_terminal(person: Person, program: bytes) -> bool:
    """Whether it runs in the foreground: before, a hang-up of the terminal does not reach it."""
    running = on_the_target(person.range.temporary)
    mine = [
        stat(pid) for pid in processes(person.scene) if running.get(pid, b"").startswith(program)
    ]
    return any(group == foreground for _, _, group, _, _, foreground in mine)


def waits_for_a_line(person: Person) -> bool:
    """Whether the shell itself sleeps where it reads its FIFO, as far as the kernel tells that."""
    mine = processes(person.scene)
    for pid in mine:
        if parent(pid) not in mine and stat(pid)[0] == "S":
            with contextlib.suppress(OSError):
                where = Path(f"/proc/{pid}/wchan").read_text()
                return "pipe" in where or where in ("", "0")
    return False


async def becomes(condition: Callable[[], bool], what: str) -> None:
    """Wait for something that is not an event of ours."""
    try:
        async with asyncio.timeout(15):
            while not condition():
                await asyncio.sleep(0.02)
    except TimeoutError:
        listed = subprocess.run(["ps", "-eo", "pid,ppid,stat,wchan:20,args"], capture_output=True)
        raise AssertionError(f"{what}\n{listed.stdout.decode()}") from None


async def at_the_prompt(person: Person) -> None:
    await person.keys("echo half a line")


async def in_a_program(person: Person) -> None:
    await person.keys("sleep 300\r")
    await becomes(lambda: has_the_terminal(person, b"sleep"), "no program runs")


async def with_a_job(person: Person) -> None:
    await person.keys("sleep 300 &\r")
    await person.until(lambda p: "] " in p.screen and p.state == "PROMPT")
    # bash forgets to tell its jobs of a hang-up that comes while it runs its PROMPT_COMMAND.
    await becomes(lambda: waits_for_a_line(person), "the shell does not read its lines")


async def with_a_stopped_job(person: Person) -> None:
    await person.keys("cat\r")
    await person.settled()
    await person.keys("\x1a")
    await person.until(lambda p: "Stopped" in p.screen or "suspended" in p.screen)


async def while_a_line_is_held(person: Person) -> None:
    await person.keys("bash\r")
    await person.until(lambda p: p.state == "HELD")


async def while_a_step_is_held(person: Person) -> None:
    await person.keys("x=$RANDOM; $x$RANDOM a\r")
    await person.until(lambda p: "held for approval" in p.screen)


async def while_subshells_ask(person: Person) -> None:
    await person.keys("for i in 1 2 3; do ($RANDOM) & done; wait\r")
    await person.until(lambda p: "held for approval" in p.screen)


@pytest.mark.parametrize("shell", ["bash", "zsh"])
async def test_a_loop_that_nobody_can_decide_any_more_ends(tmp_path, shell):
    """Every step of it was refused, and it went on to the next for ever."""
    async with shell_range(tmp_path) as there:
        async with there.person(shell) as person:
            await person.prompt()
            loop = "x=sleep; while :; do $x 0.2; done"
            await person.keys(f"(trap '' HUP INT QUIT; {loop}) & disown\r")
            await person.settled()
            await becomes(lambda: len(processes(person.scene)) > 1, "the loop never began")
        await becomes(lambda: not processes(person.scene), "the loop is left")


@pytest.mark.parametrize("shell", ["bash", "zsh"])
async def test_a_client_that_goes_leaves_nothing_on_the_target(tmp_path, shell):
    states = (
        at_the_prompt, in_a_program, with_a_job, with_a_stopped_job, while_a_line_is_held,
        while_a_step_is_held, while_subshells_ask,
    )  # fmt: skip

    async with shell_range(tmp_path) as there:

        async def one(state) -> tuple[str, Path]:
            async with there.person(shell, approver="nobody") as person:
                await person.prompt()
                await state(person)
                assert processes(person.scene), state
            return state.__name__, person.scene

        scenes = await asyncio.gather(*map(one, states))
        for name, scene in scenes:
            # A job in the background is the person's own, as after any hang-up: bash tells it.
            await becomes(lambda scene=scene: not processes(scene), f"{name} left {scene}")
        await becomes(lambda: not list(there.temporary.iterdir()), "a directory is left")


@pytest.mark.parametrize(("shell", "which"), [("bash", "relay"), ("sh", "relay"), ("bash", "cat")])
async def test_a_relay_that_is_killed_ends_the_shell_and_leaves_nothing(tmp_path, shell, which):
    async with shell_range(tmp_path) as there, there.person(shell) as person:
        await person.prompt()
        await person.keys("sleep 1; echo 'af'ter\r")
        await person.until(lambda p: p.state == "RUNNING")
        commands = on_the_target(there.temporary)
        (cat,) = [pid for pid, words in commands.items() if words == b"cat\0"]
        os.kill(relay_of(there.temporary) if which == "relay" else cat, signal.SIGKILL)
        await person.until(lambda p: "lost its relay" in p.screen)
        await becomes(lambda: not on_the_target(there.temporary), "a process is left")
        assert not list(there.temporary.iterdir())


async def test_a_connection_that_breaks_off_is_not_blamed_on_the_relay(tmp_path):
    async with shell_range(tmp_path) as there, there.person("bash") as person:
        await person.prompt()
        stat = Path(f"/proc/{relay_of(there.temporary)}/stat").read_text()
        os.kill(int(stat.rpartition(")")[2].split()[1]), signal.SIGKILL)  # its parent: sshd
        await person.until(lambda p: "broke off" in p.screen)
        assert "relay" not in person.screen


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a small file system")
@pytest.mark.parametrize("shell", ["bash"])
async def test_a_full_disk_on_the_target_opens_nothing(tmp_path, shell):
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", small], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("this machine mounts nothing")
    try:
        async with shell_range(tmp_path, temporary=str(small)) as there:
            async with there.person(shell) as person:
                await person.prompt()
                (small / "filler").write_bytes(b"x" * _free(small))
                await person.keys(f"({HARM}); echo don''e\r")
                await person.settled()
                assert person.canary() == []
                await person.keys("\x03")
                await person.settled()
                assert person.canary() == []
            await becomes(lambda: not list(small.glob(".bastion*")), "a directory is left")
            (small / "more").write_bytes(b"x" * _free(small))
            async with there.person(shell) as person:
                await person.until(lambda p: p.gone, 30)
                assert "Send a command instead" in person.screen.replace("\n", " ")
    finally:
        subprocess.run(["umount", "-l", small], check=True)


def _free(directory: Path) -> int:
    return shutil.disk_usage(directory).free


LIAR = r"""#!/bin/sh
say() { printf "$@" > "$__bastion_dir/reports"; }
say 'R 77 0 bash 5.2.15\0'
while IFS= read -r line < "$__bastion_dir/lines"; do
  case $line in
    *__bastion_done*) %s ;;
  esac
done
"""


@pytest.mark.parametrize(
    "lie",
    [
        # A prompt whose canary was never refused.
        r"""say 'P 77 1 %s 0 0 %s /\0Q 77 1 %s\0' "${line#* }" "${line#* }" "${line#* }" """,
        # A report without an end, a flood, and what is no report.
        r"""head -c 300000 /dev/zero | tr '\0' a > "$__bastion_dir/reports" """,
        r"""while :; do say '+S 1%s 1 aaaaaaaa\0' $i; i=$((i + 1)); done""",
        r"""say 'S 77\0X 1 2 3\0'""",
    ],
    ids=["no-canary", "no-end", "flood", "nonsense"],
)
async def test_a_target_that_lies_gets_no_prompt(tmp_path, lie):
    """Its shell speaks the reports' form; it cannot make a prompt without the canary."""
    async with shell_range(tmp_path) as there:
        liar = there.fakes / "bash"
        liar.write_text(LIAR.replace("%s", lie, 1))
        liar.chmod(0o755)
        async with there.person("bash") as person:
            await person.until(lambda p: p.gone, 30)
            assert "bastion: the shell on the target" in person.screen.replace("\n", "")
            assert person.verdicts() == []


@pytest.mark.parametrize("shell", ["bash", "zsh"])
async def test_whatever_is_typed_at_whatever_time_nothing_runs_undecided(shell):
    """A slice of the soak; what it says of prompts and keys needs a machine that is not busy
    (python -m tests.soak)."""
    figures = await soak.soak(5, 4, shell, seed=7)
    assert figures.ran == []
    assert figures.acts >= 4
