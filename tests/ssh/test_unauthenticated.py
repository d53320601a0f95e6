"""Whoever has not logged in costs little, learns nothing, and stops nobody."""

from __future__ import annotations

import asyncio
import contextlib
import time

import asyncssh
import pytest

from tests.harness.running import bastion

pytestmark = pytest.mark.story


@pytest.fixture
async def running(tmp_path):
    async with bastion(tmp_path, opaque="allow") as running:
        yield running


async def raw(running, local="127.0.0.1"):
    return await asyncio.open_connection("127.0.0.1", running.port, local_addr=(local, 0))


async def test_a_handshake_has_a_deadline(tmp_path):
    async with bastion(tmp_path, config="limits: {handshake: 1s}\n") as running:
        began = time.monotonic()
        reader, writer = await raw(running)
        assert (await reader.readline()).startswith(b"SSH-2.0-OpenSSH_bastion")
        with contextlib.suppress(ConnectionResetError):
            await asyncio.wait_for(reader.read(), 10)
        assert 0.5 < time.monotonic() - began < 4
        assert running.audited("handshake-expired")
        writer.close()


async def test_three_hundred_idle_connections_do_not_stop_a_login(running):
    # From more addresses than one, for a single address has a limit of its own.
    idle = [await raw(running, f"127.0.0.{2 + number // 18}") for number in range(300)]
    began = time.monotonic()
    assert (await running.ssh("echo hi")).stdout == b"hi\n"
    assert time.monotonic() - began < 10
    for _, writer in idle:
        writer.transport.abort()


async def test_an_address_that_fails_again_and_again_has_to_wait(running):
    key = asyncssh.generate_private_key("ssh-ed25519")
    seen = ""
    for _ in range(8):
        try:
            await running.connect(client_keys=[key])
        except (asyncssh.PermissionDenied, ConnectionError):
            continue
        except asyncssh.Error as error:
            seen = str(error)
    reader, writer = await raw(running)
    line = await reader.readline()
    writer.close()
    assert b"too many failures from 127.0.0.1" in line, (line, seen)
    running.clock.ahead = 750
    running.issue(lifetime=1300)
    assert (await running.run("ssh", "bastion", "whoami")).status == 0


async def test_too_many_tries_end_the_connection(running):
    keys = [asyncssh.generate_private_key("ssh-ed25519") for _ in range(40)]
    with pytest.raises(asyncssh.DisconnectError, match="Too many authentication failures"):
        await running.connect(client_keys=keys)


@pytest.mark.parametrize(
    "user",
    [
        "@web1",
        "deploy@",
        "a@b@web1",
        "a%b@web1",
        "@",
        "%",
        "Ünïcödé@web1",
        "x" * 1000,
        "a\u202eb@web1",
    ],
)
async def test_odd_user_names_end_in_a_sentence(running, user):
    ran = await running.run("ssh", "-l", user, "bastion", "echo hi")
    assert ran.stdout == b""
    assert ran.status in {2, 254, 255}
    assert ran.stderr.strip()
    assert "\u202e" not in running.audit()


async def test_a_nul_in_the_user_name_is_refused(running):
    with pytest.raises((asyncssh.Error, ValueError)):
        async with running.connect("root\0@web1") as client:
            await client.run("echo hi")
    assert (await running.ssh("echo hi")).stdout == b"hi\n"


async def test_no_such_target_and_no_grant_answer_alike(tmp_path):
    more = "  secret-db:\n    address: '127.0.0.1:1'\n    trust_on_first_use: true\n"
    async with bastion(tmp_path, config=more) as running:
        said = []
        for target in ("secret-db", "nosuch-db"):
            ran = await running.run("ssh", f"{running.login}@{target}@bastion", "ls")
            assert (ran.status, ran.stdout) == (254, b"")
            jumped = await running.run("ssh", "-J", "bastion", f"{running.login}@{target}", "ls")
            assert jumped.status == 255
            said.append(ran.stderr.replace(target, "X") + jumped.stderr.replace(target, "X"))
        assert said[0] == said[1]


async def test_a_version_that_is_none_is_dropped(running):
    for line in (b"GET / HTTP/1.1\r\n\r\n", b"SSH-2.0-" + b"x" * 5000 + b"\r\n", b"\xff" * 70000):
        reader, writer = await raw(running)
        writer.write(line)
        with contextlib.suppress(ConnectionResetError):
            await asyncio.wait_for(reader.read(), 10)
        writer.close()
    assert (await running.ssh("echo hi")).stdout == b"hi\n"
