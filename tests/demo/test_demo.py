"""The demo as a stranger meets it: it says ready, its commands show what they should, it goes."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from pathlib import Path

import pytest

from bastion.demo.child import descendants, free_port
from bastion.demo.scene import Scene
from bastion.demo.show import text
from bastion.demo.steps import every_step
from tests.demo.test_sshd import runs

SCENE = Scene(Path("/tmp/bastion-demo"), 2222, login="me")


async def start(directory, *arguments):
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "bastion", "demo", "--port", str(free_port()), *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=os.environ | {"TMPDIR": str(directory)},
        cwd=directory,
        start_new_session=True,
    )


async def read_until(demo, line):
    """All lines up to the one that matches, and the processes that run then."""
    seen = []
    async with asyncio.timeout(60):
        while not seen or not re.search(line, seen[-1]):
            said = await demo.stdout.readline()
            assert said, "".join(seen)
            seen.append(said.decode())
    return seen, [demo.pid, *descendants(demo.pid)]


@pytest.fixture
def short(tmp_path_factory):
    """A directory whose name leaves room for a Unix socket's (108 bytes)."""
    return tmp_path_factory.mktemp("d")


@pytest.mark.story
@pytest.mark.timeout(240)
async def test_its_own_commands_show_what_they_should(short):
    demo = await start(short, "--check")
    seen, family = await read_until(demo, r"^(ok|FAILED) ")
    rest, _ = await demo.communicate()
    output = "".join(seen) + rest.decode()
    assert demo.returncode == 0, output
    assert output.startswith("ready\n")
    assert re.search(r"^demo check: (\d+) steps passed$", output, re.MULTILINE)
    assert "ok      Deleting every row waits inside the session" in output
    assert len(family) >= 4
    assert [pid for pid in family if runs(pid)] == []
    assert list(short.iterdir()) == []


@pytest.mark.story
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_ends_it_and_all_it_started(short, number):
    demo = await start(short)
    seen, family = await read_until(demo, "^ctrl-C ends it")
    assert seen[0] == "ready\n"
    demo.send_signal(number)
    async with asyncio.timeout(20):
        await demo.wait()
    assert demo.returncode == 0
    assert len(family) >= 4
    assert [pid for pid in family if runs(pid)] == []
    assert list(short.iterdir()) == []


@pytest.mark.story
async def test_a_check_that_is_cut_short_does_not_pass(short):
    demo = await start(short, "--check")
    await read_until(demo, "^ready")
    demo.send_signal(signal.SIGTERM)
    async with asyncio.timeout(20):
        await demo.communicate()
    assert demo.returncode == 1
    assert list(short.iterdir()) == []


async def test_a_port_that_is_taken_is_one_sentence(short):
    async with await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0) as taken:
        port = taken.sockets[0].getsockname()[1]
        demo = await start(short, "--port", str(port))
        said, _ = await demo.communicate()
    assert demo.returncode == 1
    assert said.decode().startswith(f"bastion: Port {port} cannot be used")
    assert said.count(b"\n") == 1


def test_every_command_stands_on_a_line_of_its_own_to_be_pasted(monkeypatch):
    monkeypatch.setattr("bastion.demo.steps.Step.possible", True)
    printed = re.findall(r"^\$ (.*)$", text(SCENE), re.MULTILINE)
    assert printed == [command for step in every_step(SCENE) for command in step.commands]
    assert all("/tmp/bastion-demo/" in command for command in printed)
