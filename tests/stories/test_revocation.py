"""`bastion ca revoke` while somebody works: refused at once, and the live session ends."""

from __future__ import annotations

import asyncio
import os
import pwd
import sys
import time
from pathlib import Path

import pytest

from bastion.identity.ca import Rotation
from tests.harness.running import bastion
from tests.identity.small_bastion import run

pytestmark = pytest.mark.story


async def test_a_revoked_serial_ends_its_session(tmp_path: Path) -> None:
    user = pwd.getpwuid(os.getuid()).pw_name
    async with bastion(tmp_path, config=f"operators: [{{unix_user: {user}}}]\n") as running:
        facts = running.issue()
        working = await running.start("ssh", *running.to_target("direct"), "echo on; sleep 60")
        assert working.stdout is not None
        assert await working.stdout.readline() == b"on\n"
        status, out, err = await run(
            sys.executable, "-m", "bastion", "ca", "revoke", str(facts.serial),
            "--reason", "laptop stolen", "--config", tmp_path / "bastion.yaml",
            env=dict(os.environ),
        )  # fmt: skip
        ended = f"{facts.serial} is revoked; sessions and channels ended: 2.\n"
        assert (status, out) == (0, ended), err
        revoked_at = time.monotonic()
        _, told = await asyncio.wait_for(working.communicate(), 10)
        assert time.monotonic() - revoked_at < 1
        assert working.returncode != 0
        assert b"revoked" in told
        again = await running.ssh("echo", "again")
        assert again.status == 255
        assert again.stdout == b""


async def test_a_rotation_reaches_a_running_bastion_and_locks_nobody_out(tmp_path: Path) -> None:
    async with bastion(tmp_path) as running:
        before = running.issue()
        Rotation(tmp_path / "state" / "ca", "user").rotate(time.time(), 1000)
        assert (await running.ssh("echo", "old")).stdout == b"old\n"
        after = running.issue()
        assert after.authority != before.authority
        assert (await running.ssh("echo", "new")).stdout == b"new\n"
        # after a theft: nothing that the old key signed counts any more
        stolen = running.issue()
        assert stolen.authority == after.authority
        Rotation(tmp_path / "state" / "ca", "user").rotate(time.time(), 0)
        assert (await running.ssh("echo", "stolen")).status == 255
