"""Fewer packets say the same."""

from __future__ import annotations

import asyncio
import contextlib

import asyncssh
import pytest

from bastion.target.quick import QuickConnection


class Quick(QuickConnection, asyncssh.SSHServerConnection):
    """A server's connection."""


class Echo(asyncssh.SSHTCPSession):
    def connection_made(self, chan):
        self.chan = chan

    def data_received(self, data, datatype):
        self.chan.write(data)

    def eof_received(self):
        self.chan.write_eof()
        return True


class Server(asyncssh.SSHServer):
    def begin_auth(self, username):
        return False

    def connection_requested(self, *_):
        return Echo()


@contextlib.asynccontextmanager
async def connected(cipher, **options):
    """A client of plain asyncssh, and the server's side of its connection."""
    made = []
    loop = asyncio.get_running_loop()
    serving = asyncssh.SSHServerConnectionOptions(
        server_factory=Server,
        server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
        encryption_algs=[cipher],
        **options,
    )

    def make():
        made.append(Quick(loop, serving))
        return made[-1]

    async with await loop.create_server(make, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with asyncssh.connect(
            "127.0.0.1", port, known_hosts=None, config=None, client_keys=None, agent_path=None,
            encryption_algs=[cipher], **options,
        ) as client:  # fmt: skip
            yield client, made[0]


async def echoed(client, pieces):
    reader, writer = await client.open_connection("anywhere", 1)
    for piece in pieces:
        writer.write(piece)
    writer.write_eof()
    return await reader.read()


PIECES = [bytes([size % 251]) * size for size in (1, 15, 16, 17, 5000, 40_000, 1, 300)]
OFTEN = 20_000
"""Bytes between two key exchanges: several of them while the pieces go to and fro."""


@pytest.mark.parametrize(
    ("cipher", "options"),
    [
        ("aes128-gcm@openssh.com", {}),
        ("aes256-gcm@openssh.com", {"rekey_bytes": OFTEN}),
        ("aes256-gcm@openssh.com", {"compression_algs": ["zlib@openssh.com"]}),
        ("aes256-ctr", {"rekey_bytes": OFTEN}),
    ],
)
async def test_what_is_sent_comes_back(cipher, options):
    async with connected(cipher, **options) as (client, _):
        assert await echoed(client, PIECES) == b"".join(PIECES)


@pytest.mark.parametrize(
    ("cipher", "packets"), [("aes128-gcm@openssh.com", 1), ("aes256-ctr", 2), ("aes256-cbc", 2)]
)
async def test_an_empty_packet_goes_before_another_only_where_it_guards(cipher, packets):
    async with connected(cipher) as (client, quick):
        reader, writer = await client.open_connection("anywhere", 1)
        before = quick._send_seq
        for _ in range(5):
            writer.write(b"x")
            assert await reader.readexactly(1) == b"x"
        assert quick._send_seq == before + 5 * packets
