"""Targets of kind tcp: a raw tunnel where a grant forwards to it, and none otherwise."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time

import asyncssh
import pytest

from tests.harness.running import POLICY, bastion

pytestmark = pytest.mark.story

GRANTS = """
  - name: pipes
    roles: [dev]
    targets: {names: [pipe, other]}
    logins: [any]
    session: {forwards: [{kind: direct-tcpip, to: "pipe:*"}]}
    requests: {default: allow}
"""


@pytest.fixture
async def service():
    """Answers every byte with its complement, and says goodbye at the end of its input."""
    seen = []

    async def serve(reader, writer):
        writer.write(b"hello ")
        while data := await reader.read(65536):
            seen.append(data)
            writer.write(data.translate(bytes(255 - n for n in range(256))))
            await writer.drain()
        writer.write(b" bye")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], seen


@pytest.fixture
async def running(tmp_path, service):
    port, _ = service
    lines = "".join(
        f"  {name}:\n    address: '127.0.0.1:{port}'\n    kind: {kind}\n{more}"
        for name, kind, more in (
            ("pipe", "tcp", ""),
            ("other", "tcp", ""),
            ("db", "postgres", f"    credential: {{password: 'file:{tmp_path}/id'}}\n"),
        )
    )
    policy = POLICY.replace("rules:\n", GRANTS.lstrip("\n") + "rules:\n", 1)
    async with bastion(tmp_path, policy=policy, config=lines) as running:
        yield running, port


async def test_a_granted_tunnel_carries_bytes_both_ways_and_is_counted(running, service):
    bastion, port = running
    data = bytes(range(256)) * 8192
    async with bastion.connect("alice") as connection:
        reader, writer = await connection.open_connection("pipe", port, encoding=None)
        assert await reader.readexactly(6) == b"hello "
        got = asyncio.create_task(reader.read())
        writer.write(data)
        writer.write_eof()
        answer = await asyncio.wait_for(got, 60)
    assert answer == bytes(255 - n for n in range(256)) * 8192 + b" bye"
    assert b"".join(service[1]) == data
    async with asyncio.timeout(20):
        while not (ended := bastion.audited("channel-ended")):
            await asyncio.sleep(0.05)
    assert ended[-1]["stdin_bytes"] == len(data)
    assert ended[-1]["stdin_sha256"] == hashlib.sha256(data).hexdigest()


async def test_what_is_not_granted_reaches_nothing(running, service):
    bastion, port = running
    async with bastion.connect("alice") as connection:
        for host, to, said in (
            ("other", port, "forward"),
            ("pipe", port + 1, "is not open"),
            ("db", port, "do not reach db"),
            ("127.0.0.1", port, "is not a target"),
        ):
            with pytest.raises(asyncssh.ChannelOpenError, match=said):
                await connection.open_connection(host, to)
    assert service[1] == []


async def test_a_lock_cuts_a_tunnel(running):
    bastion, port = running
    async with bastion.connect("alice") as connection:
        reader, _writer = await connection.open_connection("pipe", port, encoding=None)
        assert await reader.readexactly(6) == b"hello "
        bastion.services.ledger.add_lock("target", "pipe", "incident", None, "bob", time.time())
        async with asyncio.timeout(10):
            with contextlib.suppress(asyncssh.Error, OSError):
                assert await reader.read() == b""
        with pytest.raises(asyncssh.ChannelOpenError, match="locked"):
            await connection.open_connection("pipe", port)
