"""Access that is asked for, granted for a time, and ends when it ends (FIELD class L)."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bastion.model import ExecRequest
from bastion.policy.rules import Action
from bastion.ssh.session import Place
from bastion.store.access import AccessGrant
from tests.harness.running import POLICY, Bastion, bastion

ACCESS = (
    POLICY.replace(
        "roles:\n",
        "roles:\n  admin: {}\n  boss: {match: {groups: boss}}\n",
    )
    + """
requestable:
  - name: admins
    who: [oncall]
    role: admin
    targets: [web1]
    max: 2h
    default: 30m
    approval: {approvers: [boss], wait: 10m}
console:
  - {name: bosses, roles: boss, may: [list, revoke, kill, lock]}
"""
).replace("    roles: [dev]\n", "    roles: [dev, admin]\n")


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Bastion]:
    async with bastion(tmp_path, policy=ACCESS) as running:
        running.issue(groups=["oncall"], name="olga")
        yield running


async def as_boss(running: Bastion, *words: str) -> Any:
    """Run one of the bastion's commands as somebody who approves."""
    running.issue(groups=["boss"], name="bea", key="boss")
    key = str(running.directory / "boss")
    config = str(running.directory / "ssh_config_boss")
    text = running.ssh_config.read_text().replace(f"{running.directory}/id", key)
    Path(config).write_text(text)
    return await running.run("env", "ssh", "-F", config, "bastion", *words)


async def test_a_role_is_asked_for_granted_used_and_over(running: Bastion) -> None:
    denied = await running.ssh("echo", "in")
    assert denied.status == 254
    assert "ssh bastion request web1" in denied.stderr
    words = ["request", "web1", "--for", "1h", "--reason", "it's", "down", "--wait", "--json"]
    asking = asyncio.create_task(running.run("ssh", "bastion", *words))
    request = await running.pending()
    listed = await as_boss(running, "approvals")
    assert "role admin on web1 for 1h" in listed.stdout.decode()
    assert "it's down" in listed.stdout.decode()
    own = await running.run("ssh", "bastion", "grant", request)
    assert own.status == 254
    assert "of their own" in own.stderr
    granted = await as_boss(running, "grant", request)
    assert granted.stdout.decode().endswith("Granted.\n"), granted.stderr
    asked = await asking
    assert (asked.status, json.loads(asked.stdout)["state"]) == (0, "granted")
    assert (await running.ssh("echo", "in")).stdout == b"in\n"
    running.clock.ahead += 3601
    running.issue(groups=["oncall"], name="olga", lifetime=3601 + 600)
    assert (await running.ssh("echo", "in")).status == 254


async def test_help_that_was_asked_for_is_an_answer(running: Bastion) -> None:
    asked = await running.run("ssh", "bastion", "request", "--help")
    assert (asked.status, asked.stderr) == (0, "")
    assert b"--for 30m" in asked.stdout
    wrong = await running.run("ssh", "bastion", "request", "--fro", "30m")
    assert (wrong.status, wrong.stdout) == (2, b"")


async def grant(running: Bastion, seconds: str = "1h") -> str:
    ran = await running.run("ssh", "bastion", "request", "admin", "--for", seconds, "--reason", "x")
    assert ran.status == 0, ran.stderr
    request = ran.stdout.decode().strip()
    assert (await as_boss(running, "grant", request)).status == 0
    return request


async def start_sleep(running: Bastion) -> asyncio.subprocess.Process:
    process = await running.start("ssh", *running.to_target("direct"), "echo in; sleep 60")
    assert process.stdout is not None
    assert await process.stdout.readline() == b"in\n"
    return process


async def test_a_live_session_gains_access_at_once_and_loses_it_in_the_middle_of_a_command(
    running: Bastion,
) -> None:
    async with running.connect() as connection:
        refused = await connection.run("echo in")
        assert refused.exit_status == 254
        request = await grant(running)
        assert (await connection.run("echo in")).stdout == "in\n"
        process = await connection.create_process("echo in; sleep 60")
        assert await process.stdout.readline() == "in\n"
        revoked = await as_boss(running, "revoke", request, "--reason", "enough")
        assert revoked.status == 0, revoked.stderr
        async with asyncio.timeout(2):
            ended = await process.wait()
        assert ended.exit_status == 254
        assert "was taken back" in str(ended.stderr)
        assert (await connection.run("echo in")).exit_status == 254
    told = await running.run("ssh", "bastion", "requests", request)
    assert told.stdout.decode() == f"{request} granted by bea (it is over)\n"


async def test_a_grant_that_is_used_at_its_last_moment_lasts_no_longer(running: Bastion) -> None:
    await grant(running, "40s")
    running.clock.ahead += 25
    process = await start_sleep(running)
    running.clock.ahead += 15
    async with asyncio.timeout(3):
        _, stderr = await process.communicate()
    assert process.returncode == 254
    assert b"is over" in stderr


async def test_a_grant_outlives_a_restart(
    tmp_path: Path,
) -> None:
    async with bastion(tmp_path, policy=ACCESS) as first:
        first.issue(groups=["oncall"], name="olga")
        request = await grant(first)
    async with bastion(tmp_path, policy=ACCESS) as second:
        [held] = second.services.access.of("https://idp.test#olga")
        assert held.id == request
        second.issue(groups=["oncall"], name="olga")
        whoami = await second.run("ssh", "bastion", "whoami")
        assert "granted     admin on web1 until " in whoami.stdout.decode()
        assert (await second.ssh("echo", "in")).stdout == b"in\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["admin", "--for", "3h", "--reason", "x"], "2h at most"),
        (["admin"], "Say why"),
        (["boss", "--reason", "x"], "you may ask for: admin"),
        (["web9", "--reason", "x"], "you may ask for: admin"),
    ],
)
async def test_what_the_policy_does_not_offer_is_not_asked(
    running: Bastion, words: list[str], told: str
) -> None:
    ran = await running.run("ssh", "bastion", "request", *words)
    assert (ran.status, running.services.approvals.pending()) == (254, ())
    assert told in ran.stderr


async def test_a_request_that_nobody_waits_for_is_listed_and_taken_back(running: Bastion) -> None:
    ran = await running.run("ssh", "bastion", "request", "admin", "--reason", "x")
    request = ran.stdout.decode().strip()
    listed = await running.run("ssh", "bastion", "requests")
    assert f"{request}  waits" in listed.stdout.decode()
    assert (await running.run("ssh", "bastion", "requests", request)).status == 3
    assert (await running.run("ssh", "bastion", "withdraw", request)).status == 0
    assert (await running.run("ssh", "bastion", "requests", request)).status == 6


async def test_a_refusal_has_its_own_status_and_words(running: Bastion) -> None:
    ran = await running.run("ssh", "bastion", "request", "admin", "--reason", "x")
    request = ran.stdout.decode().strip()
    waiting = await running.start("ssh", "bastion", "requests", request, "--wait")
    refused = await as_boss(running, "refuse", request, "--reason", "not", "today")
    assert refused.status == 0, refused.stderr
    stdout, _ = await waiting.communicate()
    assert waiting.returncode == 4
    assert b"refused by bea: not today" in stdout


async def test_a_target_that_may_be_asked_for_is_asked_for_at_the_prompt(
    running: Bastion,
) -> None:
    async with running.connect() as connection:
        process = await connection.create_process("echo in", term_type="xterm")
        shown = await process.stdout.readuntil("gives up)? ")
        assert "You may ask boss for the role admin there, for 30m." in shown
        process.stdin.write("migratinh\x7fg\r")
        request = await running.pending()
        [held] = running.services.approvals.pending()
        assert ("requester's reason", "migrating") in held.question.facts
        assert (await as_boss(running, "grant", request)).status == 0
        ended = await process.wait()
        assert ended.exit_status == 0
        assert str(ended.stdout).endswith("access was granted by bea\r\nin\r\n")
    assert any("You may ask boss" in cast.read_text() for cast in running.casts()), "recorded"


@pytest.mark.parametrize("keys", ["\r", "because\r\x03", "\x03", "x\x04"])
async def test_the_prompt_is_given_up(running: Bastion, keys: str) -> None:
    async with running.connect() as connection:
        process = await connection.create_process("echo in", term_type="xterm")
        await process.stdout.readuntil("gives up)? ")
        process.stdin.write(keys)
        ended = await process.wait()
        assert ended.exit_status == 254
        assert str(ended.stdout).endswith("given up; nothing was run.\r\n")
    assert running.services.approvals.pending() == ()


async def test_a_client_that_leaves_at_the_prompt_takes_its_request_back(
    running: Bastion,
) -> None:
    async with running.connect() as connection:
        process = await connection.create_process("echo in", term_type="xterm")
        await process.stdout.readuntil("gives up)? ")
        process.stdin.write("x\r")
        request = await running.pending()
    async with asyncio.timeout(10):
        while running.services.approvals.find(request) is not None:
            await asyncio.sleep(0.01)
    row = running.services.ledger.approval(request)
    assert row is not None
    assert row["state"] == "withdrawn"


async def test_a_grant_that_is_taken_back_at_once_leaves_nothing_open(running: Bastion) -> None:
    """Given, used and taken back between two looks of the clock."""
    now = running.clock()
    grant = AccessGrant(
        "g1", "https://idp.test#olga", "olga", "admin", ("*",), "x", "", ("bea",), now, now + 600
    )
    async with running.connect() as connection:
        assert (await connection.run("echo in")).exit_status == 254
        [session] = running.sessions.live()
        running.services.access.give(grant)
        place = Place(running.services.targets["web1"], running.login)
        assert session.verdict(place, ExecRequest("sleep 60")).action is Action.ALLOW
        process = await connection.create_process("echo in; sleep 60")
        assert await process.stdout.readline() == "in\n"
        running.services.access.revoke("g1", "bea", "enough")
        running.sessions.enforce()
        async with asyncio.timeout(2):
            assert (await process.wait()).exit_status == 254


async def test_a_shell_that_was_asked_for_at_the_prompt_is_the_one_that_the_grant_gives(
    tmp_path: Path,
) -> None:
    """Gated where the grant says so: the gate is chosen by what holds once access is granted."""
    async with bastion(
        tmp_path, policy=ACCESS, session="{pty: true, exec: true, shell: gated}"
    ) as running:
        running.issue(groups=["oncall"], name="olga")
        async with running.connect() as connection:
            process = await connection.create_process(term_type="xterm")
            await process.stdout.readuntil("gives up)? ")
            process.stdin.write("x\r")
            assert (await as_boss(running, "grant", await running.pending())).status == 0
            await process.stdout.readuntil("access was granted by bea")
            process.stdin.write("reboot\r")
            async with asyncio.timeout(60):
                await process.stdout.readuntil("no-reboot")
