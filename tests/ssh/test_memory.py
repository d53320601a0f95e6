"""Bounded (invariant 8): whoever does not read, on either side, leaves the memory flat."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
from pathlib import Path

import asyncssh
import pytest
from asyncssh.constants import MSG_GLOBAL_REQUEST, MSG_KEXINIT
from asyncssh.packet import Boolean, String

from bastion.target import bounded
from tests.harness.running import POLICY, bastion
from tests.harness.sftppackets import INIT, REMOVE, packet
from tests.ssh.test_hostile_target import hostile

pytestmark = pytest.mark.story

MB = 1024 * 1024
GROWTH = 20 * MB
FIVE_GB = "head -c 5G /dev/zero"
HUGE = 2**32 - 1
SFTP = "{exec: true, files: true, subsystems: [sftp]}"


def resident() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def settled(measure) -> int:
    """Wait until what is measured grows no more; fail long before a machine is full."""
    before, calm = -1, 0
    async with asyncio.timeout(30):
        while calm < 8:
            await asyncio.sleep(0.05)
            now = measure()
            calm = calm + 1 if now == before else 0
            before = now
            assert now < 300 * MB, "it goes on and on"
    return before


def recorded(running):
    """Bytes that were recorded: all that was taken from the target."""
    return lambda: sum(cast.stat().st_size for cast in running.casts())


class Wide:
    """A tunnel whose channel has a window that never fills."""

    def __init__(self, connection):
        self.connection = connection

    def create_connection(self, factory, host, port):
        return self.connection.create_connection(factory, host, port, window=HUGE)


@contextlib.asynccontextmanager
async def connected(running, via):
    """The connection that TCP carries, and the one that runs commands."""
    if via == "direct":
        async with running.connect() as client:
            yield client, client
        return
    async with (
        running.connect("alice") as outer,
        asyncssh.connect(
            "web1", 22, tunnel=Wide(outer), username=running.login, known_hosts=None, config=None
        ) as inner,
    ):
        yield outer, inner


@pytest.fixture(params=["direct", "jump"])
def via(request):
    return request.param


@pytest.fixture
async def running(tmp_path):
    async with bastion(tmp_path, opaque="allow") as running:
        await running.ssh("head -c 30M /dev/zero")  # what is allocated once is allocated
        for cast in running.casts():
            cast.unlink()
        yield running


async def test_a_client_that_does_not_read_its_channel(running, via):
    async with connected(running, via) as (_, client):
        before = resident()
        await client.create_process(FIVE_GB, encoding=None)
        await settled(recorded(running))
        assert resident() - before < GROWTH


async def test_a_client_with_a_huge_window_that_does_not_read_tcp(running, via):
    async with connected(running, via) as (carrier, client):
        process = await client.create_process(FIVE_GB, encoding=None, window=HUGE)
        await process.stdout.read(1000)
        process.channel.resume_reading = lambda: None
        before = resident()
        carrier._transport.pause_reading()
        await settled(recorded(running))
        assert resident() - before < GROWTH
        carrier._transport.abort()


async def test_a_client_that_never_finishes_a_key_exchange(running, via, monkeypatch):
    monkeypatch.setattr(bounded, "EXCHANGE_SECONDS", 3.0)
    async with connected(running, via) as (carrier, client):
        process = await client.create_process(FIVE_GB, encoding=None, window=HUGE)
        await process.stdout.read(1000)
        before = resident()
        carrier._packet_handlers = {
            **carrier._packet_handlers,
            MSG_KEXINIT: lambda *_arguments: True,
        }
        carrier._send_kexinit()
        await settled(recorded(running))
        assert resident() - before < GROWTH
        await asyncio.wait_for(carrier.wait_closed(), 10)


async def test_a_target_that_does_not_read(running, via):
    async with connected(running, via) as (_, client):
        process = await client.create_process("sleep 100", encoding=None)
        before, sent = resident(), 0
        with contextlib.suppress(TimeoutError):
            while sent < 300 * MB:
                process.stdin.write(bytes(MB))
                await asyncio.wait_for(process.stdin.drain(), 1)
                sent += MB
        assert sent < 20 * MB
        assert resident() - before < GROWTH


async def test_what_is_sent_while_a_silent_target_is_dialled_is_not_kept_without_end(tmp_path):
    connections = []
    silent = await asyncio.start_server(lambda *ends: connections.append(ends), "127.0.0.1", 0)
    address = f"127.0.0.1:{silent.sockets[0].getsockname()[1]}"
    async with (
        bastion(tmp_path, address=address, opaque="allow") as running,
        running.connect() as client,
    ):
        process = await client.create_process("cat > /dev/null", encoding=None)
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < 300 * MB:
                process.stdin.write(bytes(MB))
                await asyncio.wait_for(process.stdin.drain(), 1)
                sent += MB
        assert connections
        assert sent < 10 * MB
    for _, writer in connections:
        writer.close()
    silent.close()


async def test_a_target_with_a_huge_window_that_does_not_read_tcp(tmp_path):
    def stalls(session):
        session.chan.get_connection()._transport.pause_reading()

    class Wide(asyncssh.SSHServer):
        def connection_made(self, conn):
            self.conn = conn
            self.connections.append(conn)

        def begin_auth(self, username):
            return False

        def session_requested(self):
            from tests.ssh.test_hostile_target import Session

            return self.conn.create_server_channel(encoding=None, window=HUGE), Session(self.behave)

    async with hostile(tmp_path, stalls, Wide) as running, running.connect() as client:
        process = await client.create_process("ls", encoding=None)
        before, sent = resident(), 0
        with contextlib.suppress(TimeoutError):
            while sent < 300 * MB:
                process.stdin.write(bytes(MB))
                await asyncio.wait_for(process.stdin.drain(), 1)
                sent += MB
        assert sent < 40 * MB
        assert resident() - before < GROWTH


async def test_a_client_that_asks_and_does_not_read_the_answers(running, monkeypatch):
    monkeypatch.setattr(bounded, "REPLY_LIMIT", MB // 2)
    async with running.connect() as client:
        before = resident()
        client._transport.pause_reading()
        sent = 0
        async with asyncio.timeout(60):
            while client._transport is not None and not client._transport.is_closing():
                for _ in range(200):
                    client.send_packet(
                        MSG_GLOBAL_REQUEST, String(b"keepalive@openssh.com"), Boolean(True)
                    )
                sent += 200
                while client._transport and client._transport.get_write_buffer_size() > MB:
                    await asyncio.sleep(0.01)
                await asyncio.sleep(0)
                if not running.sessions.live():
                    break
        assert sent < 500_000
        assert resident() - before < GROWTH


async def test_a_client_that_asks_during_a_key_exchange_and_never_ends_it(running):
    async with running.connect() as client:
        before = resident()
        kept = client._packet_handlers
        client._packet_handlers = {**kept, MSG_KEXINIT: lambda *_arguments: True}
        client._send_kexinit()
        client._kex_complete = True  # it goes on with the old keys
        async with asyncio.timeout(60):
            while running.sessions.live():
                for _ in range(500):
                    client.send_packet(
                        MSG_GLOBAL_REQUEST, String(b"keepalive@openssh.com"), Boolean(True)
                    )
                await asyncio.sleep(0)
        assert resident() - before < GROWTH


async def test_denied_file_requests_whose_answers_nobody_reads(tmp_path):
    policy = POLICY.replace("deny: [no-reboot]", "deny: [no-reboot, no-removing]").replace(
        "rules:\n",
        "rules:\n  no-removing:\n    reason: nothing is removed here\n"
        "    file: {path: '**', operation: [remove]}\n"
        "    examples: {match: [{file: 'remove /x'}], no_match: [ls]}\n",
        1,
    )
    async with (
        bastion(tmp_path, policy=policy, opaque="allow", session=SFTP) as running,
        running.connect() as client,
    ):
        process = await client.create_process(subsystem="sftp", encoding=None, window=16384)
        process.stdin.write(packet(INIT, 3))
        await process.stdout.read(9)
        process.channel.pause_reading()
        process.channel.resume_reading = lambda: None
        before, sent = resident(), 0
        with contextlib.suppress(TimeoutError, BrokenPipeError, ConnectionError):
            while sent < 400_000:
                for number in range(1000):
                    process.stdin.write(packet(REMOVE, number, b"/no/such/file"))
                await asyncio.wait_for(process.stdin.drain(), 1)
                sent += 1000
        assert sent < 400_000
        assert resident() - before < GROWTH
