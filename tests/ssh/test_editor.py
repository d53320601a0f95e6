"""What VS Code Remote does: a script into `bash` on stdin, then a SOCKS forward to its server."""

from __future__ import annotations

import asyncio
import contextlib
import shutil

import pytest

from bastion.demo.child import free_port
from tests.harness.running import bastion

pytestmark = pytest.mark.story

SESSION = """{pty: true, exec: true, files: true,
      forwards: [{kind: direct-tcpip, to: ["127.0.0.1:*", "localhost:*"]}]}"""

SCRIPT = b"""
echo "uname=$(uname -s)"
printf 'listeningOn==%s==\\n' PORT
exec sleep 60
"""


@contextlib.asynccontextmanager
async def editor_server():
    """What the editor's server on the target would be: HTTP on a loopback port there."""

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\neditor")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("via", ["direct", "jump"])
async def test_an_editor_reaches_its_server_through_the_same_connection(tmp_path, via):
    socks = free_port()
    async with (
        editor_server() as port,
        bastion(tmp_path, session=SESSION, opaque="allow") as running,
    ):
        process = await running.start(
            "ssh",
            "-T",
            "-D",
            str(socks),
            *running.to_target(via),
            "bash",
            stdin=asyncio.subprocess.PIPE,
        )
        process.stdin.write(SCRIPT.replace(b"PORT", str(port).encode()))
        process.stdin.write_eof()
        async with asyncio.timeout(20):
            while b"listeningOn" not in await process.stdout.readline():
                pass
        url = f"http://127.0.0.1:{port}/"
        ran = await running.run("curl", "-sS", "--socks5-hostname", f"127.0.0.1:{socks}", url)
        assert ran.stdout == b"editor", ran.stderr
        refused = await running.run(
            "curl", "-sS", "--socks5-hostname", f"127.0.0.1:{socks}", "http://192.0.2.1:80/"
        )
        assert refused.status != 0
        process.terminate()
        await process.communicate()
        assert f"direct-tcpip 127.0.0.1:{port}" in running.audit()
        assert "direct-tcpip 192.0.2.1:80" in running.audit()
