"""Commands, through both ways in: LOGIN@TARGET@bastion and -J."""

from __future__ import annotations

import asyncio
import hashlib
import signal

import pytest

from tests.harness.running import bastion

pytestmark = pytest.mark.story


@pytest.fixture
async def running(tmp_path):
    async with bastion(tmp_path) as running:
        yield running


@pytest.fixture(params=["direct", "jump"])
def via(request):
    return request.param


async def test_output_error_and_status_come_back_as_they_are(running, via):
    ran = await running.ssh("echo out; echo err >&2; exit 7", via=via)
    assert (ran.status, ran.stdout, ran.stderr) == (7, b"out\n", "err\n")


async def test_a_signal_comes_back_as_a_signal(running, via):
    ran = await running.ssh("kill -TERM $$", via=via)
    assert ran.status == 255  # what OpenSSH's client gives for an exit-signal


async def test_stdin_reaches_the_end_of_the_command(running, via):
    data = bytes(range(256)) * 4096 * 8
    ran = await running.ssh("sha256sum; echo done", via=via, stdin=data)
    assert ran.stdout.decode().split() == [hashlib.sha256(data).hexdigest(), "-", "done"]


async def test_a_terminal_is_a_terminal(running, via):
    ran = await running.run("ssh", "-tt", *running.to_target(via), "tty; stty size")
    assert ran.stdout.startswith(b"/dev/pts/")


async def test_a_denied_command_never_reaches_the_target(running, via):
    ran = await running.ssh("echo before; reboot", via=via)
    assert ran.status == 254
    assert ran.stdout == b""
    assert "denied by rule no-reboot: production does not reboot. ask the on-call." in ran.stderr
    assert "Starting session: command" not in running.target.log()


async def test_a_held_command_runs_exactly_when_it_is_granted(running, via, tmp_path):
    marker = tmp_path / "marker"
    asking = asyncio.create_task(running.ssh(f"touch {marker}", via=via))
    approval = await running.pending()
    assert not marker.exists()
    running.answer(approval, grant=True)
    ran = await asking
    assert (ran.status, marker.exists()) == (0, True)
    assert f"held for approval {approval} by rule held" in ran.stderr
    assert ran.stderr.endswith("bastion: granted by bob.\n")


async def test_a_refused_command_does_not_run(running, via, tmp_path):
    marker = tmp_path / "marker"
    asking = asyncio.create_task(running.ssh(f"touch {marker}", via=via))
    running.answer(await running.pending(), grant=False, reason="not today")
    ran = await asking
    assert (ran.status, marker.exists()) == (254, False)
    assert "refused by bob (rule held): not today." in ran.stderr


async def test_a_requester_who_leaves_withdraws(running, via, tmp_path):
    process = await running.start("ssh", *running.to_target(via), f"touch {tmp_path}/marker")
    await running.pending()
    process.send_signal(signal.SIGTERM)
    await process.wait()
    async with asyncio.timeout(10):
        while running.services.approvals.pending():
            await asyncio.sleep(0.01)
    assert not (tmp_path / "marker").exists()


async def test_stdin_before_the_verdict_is_not_lost(running, via, tmp_path):
    asking = asyncio.create_task(
        running.ssh(f"touch {tmp_path}/m; cat", via=via, stdin=b"early bytes")
    )
    running.answer(await running.pending(), grant=True)
    assert (await asking).stdout == b"early bytes"


async def test_ssh_bastion_lists_the_targets(running):
    ran = await running.run("ssh", "bastion")
    assert ran.status == 0
    assert f"{running.login}@web1@bastion" in ran.stdout.decode()


async def test_the_cast_holds_the_bytes(running, via):
    text = "grüße 世界 \U0001f600\n" * 500
    ran = await running.ssh("cat", via=via, stdin=text.encode())
    assert ran.stdout == text.encode()
    cast = running.casts()[-1]
    played = await running.run("asciinema", "cat", str(cast))
    assert played.stdout == text.encode()
