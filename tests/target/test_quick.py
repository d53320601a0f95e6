"""The short way of channel data is asyncssh's own way, only shorter."""

from __future__ import annotations

import asyncio
import contextlib

import asyncssh
import pytest
from asyncssh.constants import MSG_CHANNEL_DATA
from asyncssh.crypto.cipher import GCMCipher
from hypothesis import given, settings
from hypothesis import strategies as st

from bastion.target.quick import KeptCipher, QuickConnection

TEXTS = st.lists(st.binary(min_size=16, max_size=80), max_size=5)
LAST_NONCES = b"abcd" + b"\xff" * 8


@settings(max_examples=50, deadline=None)
@given(key=st.binary(min_size=16, max_size=16), texts=TEXTS, start=st.sampled_from([0, 8]))
def test_the_kept_cipher_is_asyncsshs(key, texts, start):
    iv = LAST_NONCES if start else bytes(range(12))
    theirs, ours = GCMCipher("aes128-gcm", key, iv), KeptCipher(key, iv)
    back = KeptCipher(key, iv)
    for text in texts:
        header = len(text).to_bytes(4, "big")
        packet, mac = theirs.encrypt_and_sign(header, text)
        assert ours.encrypt_and_sign(header, text) == (packet, mac)
        assert back.peek(header, packet[4:] + mac) == text
        assert back.verify_and_decrypt(header, packet[4:], mac) == text


def test_a_wrong_tag_opens_nothing():
    cipher = KeptCipher(bytes(16), bytes(12))
    assert cipher.peek(b"head", bytes(48)) == b""
    assert cipher.verify_and_decrypt(b"head", bytes(32), bytes(16)) is None


class Quick(QuickConnection, asyncssh.SSHServerConnection):
    """A server's connection; what arrives is cut anew where `cut` is set, or its bits are."""

    cut = 0
    spoilt = False

    def data_received(self, data, datatype=None):
        if self.spoilt:
            data = data[:-1] + bytes([data[-1] ^ 1])
        step = self.cut or len(data)
        for start in range(0, len(data), step):
            if self._transport:
                super().data_received(data[start : start + step], datatype)


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
        ("chacha20-poly1305@openssh.com", {}),
        ("aes256-ctr", {}),
    ],
)
@pytest.mark.parametrize("cut", [0, 7])
async def test_what_is_sent_comes_back_however_it_arrives(cipher, options, cut):
    async with connected(cipher, **options) as (client, quick):
        quick.cut = cut
        assert await echoed(client, PIECES) == b"".join(PIECES)
        takes = cipher.startswith("aes") and "gcm" in cipher and "compression_algs" not in options
        assert (quick._cipher_in is not None) == (quick._cipher_out is not None) == takes


async def test_no_empty_packet_goes_before_another():
    async with connected("aes128-gcm@openssh.com") as (client, quick):
        reader, writer = await client.open_connection("anywhere", 1)
        before = quick._send_seq
        for _ in range(5):
            writer.write(b"x")
            assert await reader.readexactly(1) == b"x"
        assert quick._send_seq == before + 5


async def test_a_spoilt_packet_ends_the_connection():
    async with connected("aes128-gcm@openssh.com") as (client, quick):
        reader, writer = await client.open_connection("anywhere", 1)
        quick.spoilt = True
        writer.write(b"never seen")
        with pytest.raises((asyncssh.Error, ConnectionError)):
            await reader.readexactly(1)
        await quick.wait_closed()


async def test_data_for_no_channel_ends_the_connection():
    async with connected("aes128-gcm@openssh.com") as (client, quick):
        body = (77).to_bytes(4, "big") + (1).to_bytes(4, "big") + b"x"
        client.send_packet(MSG_CHANNEL_DATA, body)
        await quick.wait_closed()


async def test_data_beyond_the_window_ends_the_connection():
    async with connected("aes128-gcm@openssh.com") as (client, quick):
        _, writer = await client.open_connection("anywhere", 1)
        quick._channels[0]._recv_window = 3
        writer.write(b"four")
        await quick.wait_closed()
