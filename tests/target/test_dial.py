"""Dialling: a target is trusted for a reason, and every failure is one sentence."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time

import asyncssh
import pytest

from bastion.errors import DialError
from bastion.model import HostTrust, Secret, Target
from bastion.target import dial as dialling
from bastion.target.dial import Proof, dial
from tests.harness.sshd import SshdOptions, account, sshd


def never(_key):
    raise AssertionError("only a target that says so is trusted on first use")


def public(key):
    return key.export_public_key().decode().strip()


@contextlib.asynccontextmanager
async def dialled(server, trust, key, **options):
    options = {"accept_first": never, **options}
    target = Target(name="web1", host=server.host, port=server.port, trust=trust)
    connection = await dial(target, server.login, Proof(key=key), **options)
    try:
        yield connection
    finally:
        connection.close()
        await connection.connection.wait_closed()


async def refused(server, trust, key, **options):
    with pytest.raises(DialError) as failure:
        async with dialled(server, trust, key, **options):
            pass
    return str(failure.value)


async def test_a_pinned_key_is_trusted_and_another_is_not(plain_sshd, user_key):
    async with dialled(plain_sshd, HostTrust(pinned=(plain_sshd.host_key,)), user_key) as there:
        assert not there.lost.is_set()
    other = public(asyncssh.generate_private_key("ssh-ed25519"))
    said = await refused(plain_sshd, HostTrust(pinned=(other,)), user_key)
    assert "does not trust" in said
    assert "Accepted publickey" not in plain_sshd.log().split("Accepted publickey", 1)[1]


async def test_no_trust_is_no_trust(plain_sshd, user_key):
    assert "does not trust" in await refused(plain_sshd, HostTrust(), user_key)


@pytest.mark.parametrize(("names", "trusted"), [(["127.0.0.1"], True), (["elsewhere"], False)])
async def test_a_host_authority_is_trusted_for_the_name_dialled(tmp_path, user_key, names, trusted):
    authority = asyncssh.generate_private_key("ssh-ed25519")
    options = SshdOptions(
        authorized_keys=[public(user_key)], host_authority=authority, host_names=names
    )
    async with sshd(tmp_path / "ca", options) as server:
        trust = HostTrust(authorities=(public(authority),))
        if trusted:
            async with dialled(server, trust, user_key):
                pass
        else:
            await refused(server, trust, user_key)
        another = public(asyncssh.generate_private_key("ssh-ed25519"))
        assert "does not trust" in await refused(
            server, HostTrust(authorities=(another,)), user_key
        )


async def test_known_hosts_holds_the_key_for_the_address(plain_sshd, user_key, tmp_path):
    file = tmp_path / "known_hosts"
    file.write_text(f"[127.0.0.1]:{plain_sshd.port} {plain_sshd.host_key}\n")
    trust = HostTrust(known_hosts=str(file))
    async with dialled(plain_sshd, trust, user_key):
        pass
    file.write_text(f"[127.0.0.2]:{plain_sshd.port} {plain_sshd.host_key}\n")
    assert "does not trust" in await refused(plain_sshd, trust, user_key)
    file.write_text(f"@revoked [127.0.0.1]:{plain_sshd.port} {plain_sshd.host_key}\n")
    assert "does not trust" in await refused(plain_sshd, trust, user_key)
    file.unlink()
    assert "known_hosts" in await refused(plain_sshd, trust, user_key)


async def test_first_use_asks_its_keeper_and_nobody_else(plain_sshd, user_key):
    asked = []

    def keep(key):
        asked.append(key)
        return len(asked) == 1

    trust = HostTrust(first_use=True)
    async with dialled(plain_sshd, trust, user_key, accept_first=keep):
        pass
    assert "does not trust" in await refused(plain_sshd, trust, user_key, accept_first=keep)
    assert [key.split()[:2] for key in asked] == [plain_sshd.host_key.split()[:2]] * 2


async def test_a_wrong_key_is_one_sentence(plain_sshd):
    key = asyncssh.generate_private_key("ssh-ed25519")
    said = await refused(plain_sshd, HostTrust(pinned=(plain_sshd.host_key,)), key)
    assert said.startswith("target web1 does not let the bastion in as")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes accounts")
async def test_a_password_opens_and_a_wrong_one_does_not(tmp_path):
    with account(password="correct horse") as login:
        options = SshdOptions(passwords=True)
        async with sshd(tmp_path / "passwords", options) as server:
            target = Target(
                name="web1",
                host=server.host,
                port=server.port,
                trust=HostTrust(pinned=(server.host_key,)),
            )
            proof = Proof(password=Secret(b"correct horse"))
            connection = await dial(target, login, proof, accept_first=never)
            connection.close()
            await connection.connection.wait_closed()
            for wrong in (b"wrong", b"\xff\xfe"):
                with pytest.raises(DialError) as failure:
                    await dial(target, login, Proof(password=Secret(wrong)), accept_first=never)
                assert failure.value.__cause__ is None  # it would hold the password


@contextlib.asynccontextmanager
async def listening(serve):
    async def close_after(reader, writer):
        try:
            await serve(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(close_after, "127.0.0.1", 0)
    async with server:
        yield Target(name="web1", host="127.0.0.1", port=server.sockets[0].getsockname()[1])


async def failing(target):
    with pytest.raises(DialError) as failure:
        await dial(target, "root", Proof(), accept_first=never)
    return str(failure.value)


async def test_a_target_that_is_down():
    async with listening(None) as target:
        pass
    assert "refused the connection" in await failing(target)


async def test_a_name_that_is_none():
    assert "cannot be reached" in await failing(Target(name="web1", host="no.such.host.invalid"))


async def test_a_target_that_says_nothing_has_a_deadline(monkeypatch):
    monkeypatch.setattr(dialling, "LOGIN_SECONDS", 0.2)
    closed = asyncio.Event()

    async def silent(reader, _writer):
        while await reader.read(1000):
            pass
        closed.set()

    began = time.monotonic()
    async with listening(silent) as target:
        assert "did not answer in time" in await failing(target)
        await asyncio.wait_for(closed.wait(), 5)
    assert time.monotonic() - began < 3


async def test_a_target_that_speaks_another_language():
    async def http(_reader, writer):
        writer.write(b"SSH-1.5-old\r\n")

    async with listening(http) as target:
        assert "broke off" in await failing(target)


async def test_what_a_target_says_while_breaking_off_is_shown_visibly():
    def rude():
        class Rude(asyncssh.SSHServer):
            def begin_auth(self, username):
                raise asyncssh.DisconnectError(2, "\x1b]0;owned\x07 no")

        return Rude()

    key = asyncssh.generate_private_key("ssh-ed25519")
    acceptor = await asyncssh.listen("127.0.0.1", 0, server_factory=rude, server_host_keys=[key])
    trust = HostTrust(pinned=(public(key),))
    target = Target(name="web1", host="127.0.0.1", port=acceptor.get_port(), trust=trust)
    said = await failing(target)
    acceptor.close()
    await acceptor.wait_closed()
    assert "broke off" in said
    assert "\x1b" not in said
    assert "owned" in said
