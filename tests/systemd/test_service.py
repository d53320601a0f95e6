"""The service as systemd runs it: on a socket it is handed, saying when it is ready."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sys

import asyncssh
import pytest

from bastion.demo.child import free_port, running
from tests.bench.stage import write_config


@pytest.fixture
def config(tmp_path):
    key = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().strip()
    return write_config(tmp_path, free_port(), "127.0.0.1:22", key)


def serve(config):
    return [sys.executable, "-m", "bastion", "serve", "--config", str(config)]


async def banner(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(20):
        line = await reader.readline()
    writer.close()
    await writer.wait_closed()
    return line


@pytest.mark.story
@pytest.mark.skipif(
    not shutil.which("systemd-socket-activate"), reason="systemd-socket-activate is not installed"
)
async def test_it_takes_the_socket_that_systemd_holds(tmp_path, config):
    port = free_port()
    activate = ["systemd-socket-activate", "--listen", f"127.0.0.1:{port}", *serve(config)]
    async with running(activate, log=tmp_path / "log") as service:
        await service.wait_for("Listening on")
        assert (await banner(port)).startswith(b"SSH-2.0-")
        await service.wait_for("^ready$")


@pytest.mark.story
async def test_it_says_when_it_is_ready_and_when_it_stops(tmp_path, config):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(tmp_path / "notify"))
        notify.setblocking(False)
        loop = asyncio.get_running_loop()
        env = os.environ | {"NOTIFY_SOCKET": str(tmp_path / "notify")}
        async with asyncio.timeout(30):
            async with running(serve(config), log=tmp_path / "log", env=env):
                assert await loop.sock_recv(notify, 64) == b"READY=1"
            assert await loop.sock_recv(notify, 64) == b"STOPPING=1"
