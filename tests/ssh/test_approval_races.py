"""The races around approvals that others lost: classes B and L of the field, each as a test."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import asyncssh
import pytest

from bastion.errors import AnswerRefused
from bastion.policy.approvals import Answer
from tests.harness.running import POLICY, Bastion, bastion

RACES = (
    POLICY.replace(
        "    approval: {approvers: [oncall], wait: 30s}\n    examples: {match: [touch x]",
        "    approval: {approvers: [oncall], wait: 10m, repeat: 10m, break_glass: [dev]}\n"
        "    examples: {match: [touch x]",
    ).replace("      approve: [held]\n", "      approve: [held, held-forward]\n")
    + """
  held-forward:
    reason: a person looks first
    forward: {kind: direct-tcpip}
    examples: {match: [{forward: "direct-tcpip db:5432"}], no_match: [ls]}
"""
)
FORWARDS = (
    "{pty: true, exec: true, files: true, forwards: [{kind: direct-tcpip, to: '127.0.0.1:*'}]}"
)


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Bastion]:
    async with bastion(tmp_path, policy=RACES, session=FORWARDS) as running:
        yield running


async def held(running: Bastion, count: int) -> list[str]:
    """The ids of what waits, once there are so many."""
    async with asyncio.timeout(20):
        while len(found := [one.id for one in running.services.approvals.pending()]) != count:
            await asyncio.sleep(0.01)
    return found


def answered(running: Bastion, approval: str, repeat: float = 0.0, name: str = "bob") -> None:
    question = running.services.approvals.find(approval).question  # type: ignore[union-attr]
    roles = frozenset({"oncall", "boss", "dev"})
    answer = Answer(f"unix#{name}", name, roles, True, "", time.time(), question.hash, repeat)
    running.services.approvals.answer(approval, answer)


async def test_a_forward_opened_while_a_command_is_held_is_held_by_itself(
    running: Bastion,
) -> None:
    """B (GHSA-xm63-rjwf-r3g8): forwards opened while pending, then unrecorded."""
    port = int(running.target.address.rpartition(":")[2])
    async with running.connect() as connection:
        process = await connection.create_process("touch /tmp/never; echo ran")
        [command] = await held(running, 1)
        opening = asyncio.create_task(connection.open_connection("127.0.0.1", port))
        forward = next(one for one in await held(running, 2) if one != command)
        assert running.audited("target-dialled") == [], "nothing is opened while one is pending"
        answered(running, command)
        await process.wait()
        assert not opening.done(), "the grant was for the command alone"
        running.answer(forward, grant=False, reason="no")
        with pytest.raises(asyncssh.ChannelOpenError, match="refused by bob"):
            await opening


async def test_nothing_waits_any_more_when_the_client_is_gone(running: Bastion) -> None:
    """B: approvals left pending after close."""
    process = await running.start("ssh", *running.to_target("direct"), "touch x")
    [approval] = await held(running, 1)
    process.kill()
    await process.wait()
    await held(running, 0)
    row = running.services.ledger.approval(approval)
    assert row is not None
    assert row["state"] == "withdrawn"


async def test_a_grant_is_for_the_bytes_that_were_shown_and_for_one_use(running: Bastion) -> None:
    """L: not bound to the input that runs."""
    async with running.connect() as connection:
        first = await connection.create_process("touch /tmp/x-first; echo first")
        [one] = await held(running, 1)
        second = await connection.create_process("touch /tmp/x-other; echo second")
        other = next(each for each in await held(running, 2) if each != one)
        question = running.services.approvals.find(one).question  # type: ignore[union-attr]
        wrong = Answer("unix#b", "b", frozenset({"oncall"}), True, "", 0.0, question.hash)
        with pytest.raises(AnswerRefused, match="not what is asked"):
            running.services.approvals.answer(other, wrong)
        running.services.approvals.answer(one, wrong)
        assert (await first.wait()).stdout == "first\n"
        with pytest.raises(AnswerRefused, match="No approval"):
            running.services.approvals.answer(one, replace(wrong, approver_id="unix#c"))
        assert await held(running, 1) == [other]
        again = await connection.create_process("touch /tmp/x-first; echo first")
        await held(running, 2)
        for process in (second, again):
            process.close()
        await held(running, 0)


async def test_one_person_in_several_groups_is_one_person(running: Bastion, tmp_path: Path) -> None:
    """L: groups counted instead of people."""
    policy = running.directory / "policy.yaml"
    policy.write_text(policy.read_text().replace("wait: 10m,", "wait: 10m, count: 2,"))
    running.services.policy.reload()  # type: ignore[attr-defined]
    process = await running.start("ssh", *running.to_target("direct"), "touch /tmp/x; echo ran")
    [approval] = await held(running, 1)
    answered(running, approval)
    with pytest.raises(AnswerRefused, match="answered already"):
        answered(running, approval)
    answered(running, approval, name="carol")
    stdout, _ = await process.communicate()
    assert stdout == b"ran\n"


async def test_equal_commands_run_in_that_session_alone_until_it_is_taken_back(
    running: Bastion,
) -> None:
    command = "touch /tmp/x-equal; echo ran"
    async with running.connect() as connection, running.connect() as other:
        process = await connection.create_process(command)
        [approval] = await held(running, 1)
        answered(running, approval, repeat=600.0)
        assert (await process.wait()).stdout == "ran\n"
        again = await connection.run(command)
        assert again.stdout == "ran\n"
        assert "an equal request was approved" in str(again.stderr)
        elsewhere = await other.create_process(command)
        await held(running, 1)
        elsewhere.close()
        await held(running, 0)
        running.services.approvals.end_repeat(approval, "bob", "enough")
        held_again = await connection.create_process(command)
        await held(running, 1)
        held_again.close()


async def test_a_broken_glass_lets_its_own_person_go_on_and_tells_everybody(
    running: Bastion,
) -> None:
    told: list[str] = []
    running.services.feed.listen(lambda happening: told.append(happening.kind))
    process = await running.start("ssh", *running.to_target("direct"), "touch /tmp/x; echo ran")
    [approval] = await held(running, 1)
    broken = await running.run(
        "ssh", "bastion", "break-glass", approval, "--reason", "site", "is", "down"
    )
    assert broken.status == 0, broken.stderr
    stdout, stderr = await process.communicate()
    assert stdout == b"ran\n"
    assert f"ssh bastion break-glass {approval}" in stderr.decode()
    assert "break-glass" in told
    [audited] = running.audited("break-glass")
    assert audited["reason"] == "site is down"
    running.issue(groups=["oncall"], name="mallory")
    other = await running.run("ssh", "bastion", "break-glass", approval, "--reason", "x")
    assert other.status == 254


async def test_held_requests_end_as_withdrawn_when_the_bastion_stops(tmp_path: Path) -> None:
    async with bastion(tmp_path, policy=RACES, session=FORWARDS) as first:
        process = await first.start("ssh", *first.to_target("direct"), "touch x")
        [approval] = await held(first, 1)
    await process.wait()
    assert process.returncode in {254, 255}
    async with bastion(tmp_path, policy=RACES, session=FORWARDS) as second:
        assert second.services.approvals.pending() == ()
        row = second.services.ledger.approval(approval)
        assert row is not None
        assert row["state"] == "withdrawn"
