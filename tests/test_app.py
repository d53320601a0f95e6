"""The composition root: policies come into force whole or not at all, and all ends that began."""

from __future__ import annotations

import asyncio
import logging
import os

import pytest

from bastion.errors import BastionError, StoreError
from tests.harness.running import bastion

pytestmark = pytest.mark.story


@pytest.fixture
async def running(tmp_path):
    async with bastion(tmp_path, opaque="allow") as running:
        yield running


async def until(condition):
    async with asyncio.timeout(15):
        while not condition():
            await asyncio.sleep(0.02)


def replace(path, text):
    """As editors save: never half a file."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.rename(path)


async def test_a_bad_policy_leaves_the_old_one_in_force_and_a_good_one_reaches_live_sessions(
    running, caplog
):
    path = running.directory / "policy.yaml"
    good = path.read_text()
    caplog.set_level(logging.INFO, "bastion")
    async with running.connect() as client:
        assert (await client.run("echo 1")).stdout == "1\n"
        before = running.services.policy()
        replace(path, good.replace("reboot, shutdown]", "reboot, shutdown, echo"))
        await until(lambda: running.audited("policy-refused"))
        assert running.services.policy() is before
        assert "policy.yaml:21:47: not YAML" in running.audited("policy-refused")[0]["reason"]
        assert "stays in force" in caplog.text
        assert (await client.run("echo 2")).stdout == "2\n"
        replace(path, good.replace("reboot, shutdown]", "reboot, shutdown, echo]"))
        await until(lambda: running.audited("policy-loaded"))
        refused = await client.run("echo 3")
        assert (refused.exit_status, refused.stdout) == (254, "")
        assert "no-reboot" in refused.stderr


async def test_a_policy_whose_examples_fail_does_not_come_into_force(running):
    path = running.directory / "policy.yaml"
    replace(path, path.read_text().replace("match: [reboot]", "match: [ls]"))
    await until(lambda: running.audited("policy-refused"))
    assert (await running.ssh("reboot")).status == 254


async def test_a_policy_that_cannot_be_audited_does_not_come_into_force(running, monkeypatch):
    path = running.directory / "policy.yaml"
    policy = running.services.policy
    before = policy()

    def full(*_arguments, **_fields):
        raise StoreError("the disk is full.")

    path.write_text(path.read_text().replace("no-reboot", "no-boots"))
    with monkeypatch.context() as patch:
        patch.setattr(running.services.audit, "append", full)
        with pytest.raises(StoreError):
            policy.reload()
    assert policy() is before


async def test_a_wrong_policy_at_the_start_stops_the_start(tmp_path):
    with pytest.raises(BastionError, match=r"policy\.yaml:\d+:\d+"):
        async with bastion(tmp_path, policy="version: 1\nsurprise: 1\n"):
            pass


async def test_one_bastion_to_a_state_directory(running, tmp_path):
    from bastion import app
    from bastion.config import load_config

    with pytest.raises(StoreError):
        async with app.running(load_config(running.directory / "bastion.yaml")):
            pass


async def test_many_sessions_leave_no_descriptor_and_no_task_behind(running):
    async def one(number):
        async with running.connect() as client:
            return (await client.run(f"echo {number}")).stdout

    await asyncio.gather(*(one(number) for number in range(10)))
    await until(lambda: not running.sessions.live())
    before, tasks = len(os.listdir("/proc/self/fd")), len(asyncio.all_tasks())
    for batch in range(3):
        said = await asyncio.gather(*(one(f"{batch}-{number}") for number in range(20)))
        assert said == [f"{batch}-{number}\n" for number in range(20)]
    await until(lambda: not running.sessions.live())
    await until(lambda: len(asyncio.all_tasks()) <= tasks)
    await until(lambda: len(os.listdir("/proc/self/fd")) <= before)
    assert len(running.services.admission._sources) == 1
