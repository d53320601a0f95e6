"""Deadlines are absolute, revocation is live, and nothing goes on unrecorded (invariants 5, 6)."""

from __future__ import annotations

import asyncio
import time

import pytest

from bastion.store.ledger import Ledger
from tests.harness.running import bastion

pytestmark = pytest.mark.story

WAITS = "echo started; exec cat"
"""A command that would run for ever."""


@pytest.fixture
async def running(tmp_path):
    async with bastion(tmp_path) as running:
        yield running


@pytest.fixture(params=["direct", "jump"])
def via(request):
    return request.param


async def begun(running, via, command=WAITS):
    """A command that is running on the target, with its stdin open."""
    process = await running.start(
        "ssh", *running.to_target(via), command, stdin=asyncio.subprocess.PIPE
    )
    assert await asyncio.wait_for(process.stdout.readline(), 20) == b"started\n"
    return process


async def ended(process, within=2.0):
    """How it ended: status and stderr."""
    _, stderr = await asyncio.wait_for(process.communicate(), within + 5)
    return process.returncode, stderr.decode()


async def test_the_certificates_end_cuts_a_running_command(running, via):
    facts = running.issue(lifetime=4)
    process = await begun(running, via)
    status, stderr = await ended(process, 6)
    assert time.time() - facts.valid_before < 1.5
    assert status in {254, 255}
    assert "your access ended" in stderr


async def test_an_expired_certificate_opens_nothing(running):
    running.issue(lifetime=-1)
    ran = await running.ssh("echo hi")
    assert ran.status == 255
    assert "Permission denied" in ran.stderr
    assert "certificate-refused" in running.audit()


async def test_a_certificate_of_another_authority_opens_nothing(running, tmp_path):
    async with bastion_elsewhere(tmp_path) as other:
        other.issue()
        for name in ("id", "id-cert.pub"):
            (running.directory / name).write_bytes((other.directory / name).read_bytes())
    ran = await running.ssh("echo hi")
    assert (ran.status, ran.stdout) == (255, b"")


def bastion_elsewhere(tmp_path):
    (tmp_path / "other").mkdir()
    return bastion(tmp_path / "other")


async def test_a_revoked_serial_ends_live_sessions_and_opens_no_more(running, via):
    facts = running.issue()
    process = await begun(running, via)
    elsewhere = Ledger(running.directory / "state/bastion.db")
    revoked_at = time.monotonic()
    elsewhere.revoke(facts.serial, "lost laptop", time.time())
    elsewhere.close()
    _, stderr = await ended(process)
    assert time.monotonic() - revoked_at < 1.5
    assert "revoked" in stderr
    assert (await running.ssh("echo hi", via=via)).status == 255


@pytest.mark.parametrize("kind", ["identity", "target", "session", "certificate"])
async def test_a_lock_ends_what_it_covers_and_refuses_more(running, via, kind):
    facts = running.issue()
    process = await begun(running, via)
    services = running.services
    session = services.ledger.sessions(open_only=True)[0]["id"]
    values = {
        "identity": "alice",
        "target": "web1",
        "session": session,
        "certificate": str(facts.serial),
    }
    services.ledger.add_lock(kind, values[kind], "incident 7", None, "bob", time.time())
    status, stderr = await ended(process)
    assert status in {254, 255}
    assert "is locked: incident 7" in stderr
    again = await running.ssh("echo hi", via=via)
    if kind == "session":
        assert again.stdout == b"hi\n"
    else:
        assert again.stdout == b""
        assert again.status in {254, 255}


async def test_a_held_request_ends_with_its_session(running, via, tmp_path):
    facts = running.issue()
    process = await running.start("ssh", *running.to_target(via), f"touch {tmp_path}/m")
    await running.pending()
    running.services.ledger.revoke(facts.serial, "gone", time.time())
    await ended(process)
    assert running.services.approvals.pending() == ()
    assert not (tmp_path / "m").exists()


async def test_a_recording_that_cannot_be_written_ends_the_channel(running, via):
    process = await begun(running, via, "echo started; while read line; do echo $line; done")
    cast = running.casts()[-1]
    for drive in next(iter(running_sessions(running))).drives:
        drive._record.recording._files["cast"].close()  # as if the disk were gone
    process.stdin.write(b"more\n")
    status, stderr = await ended(process)
    assert status == 254
    assert "recording" in stderr.lower()
    assert b"more" not in cast.read_bytes()


def running_sessions(running):
    return running.sessions.live()


async def test_without_room_to_record_nothing_is_run(tmp_path):
    async with bastion(tmp_path, config="limits: {free_space: 900TB}\n") as running:
        ran = await running.ssh("echo hi")
    assert (ran.status, ran.stdout) == (254, b"")
    assert "free" in ran.stderr


async def test_a_killed_session_says_why(running, via):
    process = await begun(running, via)
    session = next(iter(running_sessions(running)))
    assert running.sessions.kill(session.id, "maintenance")
    _, stderr = await ended(process)
    assert "ended by an operator: maintenance" in stderr
