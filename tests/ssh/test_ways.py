"""Ways in that go further: jumps in jumps, two targets, a shared connection, the menu."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal

import pytest

from tests.harness.running import POLICY, bastion

pytestmark = pytest.mark.story

BOTH = POLICY.replace("{names: [web1]}", "{names: [web1, web2]}")


@pytest.fixture
async def running(tmp_path):
    async with bastion(tmp_path, opaque="allow") as running:
        yield running


@pytest.fixture(params=["direct", "jump"])
def via(request):
    return request.param


async def test_two_targets_through_one_session(tmp_path):
    async with bastion(tmp_path, opaque="allow", policy=BOTH) as running:
        # A second name for the same sshd: what counts is that each has its own dial and record.
        config = running.directory / "ssh_config"
        shared = f"  ControlPath {tmp_path}/cm\n  ControlMaster auto\n  ControlPersist 20\n"
        config.write_text(config.read_text().replace("Host *\n", f"{shared}Host *\n", 1))
        ran = [await running.ssh(f"echo {n}", via="jump") for n in range(2)]
        assert [r.stdout for r in ran] == [b"0\n", b"1\n"]
        refused = await running.run("ssh", "-J", "bastion", f"{running.login}@web2", "echo 2")
        assert refused.status == 255
        assert len(running.audited("session-started")) == 1
        await running.run("ssh", "-O", "exit", "bastion")


async def test_a_jump_in_a_jump_goes_nowhere_else(running):
    ran = await running.run(
        "ssh", "-J", f"bastion,{running.login}@web1", f"{running.login}@web1", "echo in"
    )
    assert ran.stdout in {b"", b"in\n"}  # through the bastion both times, or not at all
    if ran.stdout:
        assert len(running.audited("channel-opened")) == 1


async def test_a_jump_with_a_wrong_login_says_why(running):
    ran = await running.run("ssh", "-J", "bastion", "nobody@web1", "echo in")
    assert (ran.status, ran.stdout) == (254, b"")
    assert "denied" in ran.stderr


async def test_a_master_whose_target_dies_says_so_and_dials_anew(running, via, tmp_path):
    control = ["-o", f"ControlPath={tmp_path}/cm", "-o", "ControlMaster=auto"]
    control += ["-o", "ControlPersist=20"]
    target = running.to_target(via)
    process = await running.start("ssh", *control, *target, "echo $PPID; exec sleep 60")
    parent = int(await asyncio.wait_for(process.stdout.readline(), 20))
    os.kill(parent, signal.SIGKILL)  # the target's sshd of this connection
    _, stderr = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 255
    assert "the connection to web1 broke off" in stderr.decode()
    ran = await running.run("ssh", *control, *target, "echo again")
    assert (ran.status, ran.stdout) == (0, b"again\n")
    assert len(running.audited("session-started")) == 1
    await running.run("ssh", *control, "-O", "exit", *target)


async def test_window_changes_reach_the_program(running):
    async with running.connect() as client:
        script = "trap 'stty size' WINCH; stty size; echo ready; while :; do sleep 0.05; done"
        process = await client.create_process(
            f"bash -c {script!r}", term_type="xterm", term_size=(80, 24)
        )
        assert (await process.stdout.readline()).strip() == "24 80"
        await process.stdout.readline()
        process.change_terminal_size(133, 44)
        assert (await asyncio.wait_for(process.stdout.readline(), 10)).strip() == "44 133"
    assert '"133x44"' in running.casts()[-1].read_text()


async def test_a_signal_while_a_request_is_held_withdraws_it(running, tmp_path):
    async with running.connect() as client:
        process = await client.create_process(f"touch {tmp_path}/marker")
        await running.pending()
        process.send_signal("INT")
        await asyncio.wait_for(process.wait(), 10)
        assert process.exit_status == 130
        assert not running.services.approvals.pending()
    assert not (tmp_path / "marker").exists()


async def test_half_a_close_leaves_the_other_half_open(running, via):
    process = await running.start(
        "ssh",
        *running.to_target(via),
        "cat; sleep 0.3; echo after",
        stdin=asyncio.subprocess.PIPE,
    )
    stdout, _ = await process.communicate(b"before\n")
    assert stdout == b"before\nafter\n"


async def test_a_quarter_of_a_gigabyte_of_stdin_arrives_whole(running):
    chunk = bytes(range(256)) * 4096
    digest = hashlib.sha256(chunk * 256).hexdigest()
    process = await running.start(
        "ssh", *running.to_target("direct"), "sha256sum", stdin=asyncio.subprocess.PIPE
    )
    for _ in range(256):
        process.stdin.write(chunk)
        await process.stdin.drain()
    stdout, _ = await process.communicate(b"")
    assert stdout.decode().split()[0] == digest
    assert running.audited("channel-ended")[-1]["stdin_sha256"] == digest


async def test_of_what_is_typed_no_hash_tells_a_password(running):
    async with running.connect() as connection:
        process = await connection.create_process(
            "stty -echo; echo ready; read -r it; echo ${#it}", term_type="xterm"
        )
        await process.stdout.readuntil("ready")
        process.stdin.write("hunter2\n")
        await process.wait()
    async with asyncio.timeout(20):
        while not (ended := running.audited("channel-ended")):
            await asyncio.sleep(0.01)
    assert (ended[-1]["stdin_bytes"], ended[-1]["stdin_sha256"]) == (8, "")
    assert "hunter2" not in running.audit()


async def test_the_menu_speaks_json(running):
    whoami = json.loads((await running.run("ssh", "bastion", "whoami", "--json")).stdout)
    assert (whoami["name"], whoami["roles"]) == ("alice", ["dev"])
    (target,) = json.loads((await running.run("ssh", "bastion", "targets", "--json")).stdout)
    assert (target["target"], target["logins"]) == ("web1", [running.login])


@pytest.mark.parametrize("command", ["no-such", "targets --nonsense", "'", "who\x1b[2Jami"])
async def test_what_the_menu_does_not_know_is_usage(running, command):
    ran = await running.run("ssh", "bastion", command)
    assert (ran.status, ran.stdout) == (2, b"")
    assert "ssh bastion targets" in ran.stderr
    assert "\x1b" not in ran.stderr
