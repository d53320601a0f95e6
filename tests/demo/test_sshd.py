"""The launcher gives a real server that is ready, trusts what it is told, and leaves nothing."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path

import asyncssh
import pytest

from bastion.demo.child import descendants
from bastion.demo.sshd import terminals_fail
from bastion.errors import BastionError
from tests.harness.sshd import SshdOptions, account, sshd


def public(key: asyncssh.SSHKey) -> str:
    return key.export_public_key().decode().strip()


def trust(host_key):
    return ([asyncssh.import_public_key(host_key)], [], [])


def runs(pid):
    """Whether it runs: one that has ended stays listed (state Z) until its parent asks for it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def connect(server, login, key, certificate=None, **options):
    return asyncssh.connect(
        server.host,
        server.port,
        username=login,
        client_keys=[(key, certificate) if certificate else key],
        known_hosts=options.pop("known_hosts", trust(server.host_key)),
        config=None,
        **options,
    )


async def test_a_key_opens_the_account_that_runs_it(plain_sshd, user_key):
    async with connect(plain_sshd, plain_sshd.login, user_key) as connection:
        result = await connection.run("id -un; exit 3", check=False)
    assert (result.stdout, result.exit_status) == (f"{plain_sshd.login}\n", 3)
    await plain_sshd.child.wait_for("Starting session: command for")


async def test_a_certificate_opens_the_login_that_it_names(tmp_path, user_key):
    authority = asyncssh.generate_private_key("ssh-ed25519")
    host_authority = asyncssh.generate_private_key("ssh-ed25519")
    options = SshdOptions(user_authorities=[public(authority)], host_authority=host_authority)
    async with sshd(tmp_path / "s", options) as server:
        trusted = ([], [host_authority.convert_to_public()], [])
        mine = authority.generate_user_certificate(user_key, "me", principals=[server.login])
        async with connect(server, server.login, user_key, mine, known_hosts=trusted) as connection:
            assert (await connection.run("echo in")).stdout == "in\n"
        other = authority.generate_user_certificate(user_key, "me", principals=["somebody"])
        with pytest.raises(asyncssh.PermissionDenied):
            await connect(server, server.login, user_key, other, known_hosts=trusted)


async def test_principals_can_be_named(tmp_path, user_key):
    authority = asyncssh.generate_private_key("ssh-ed25519")
    directory = tmp_path / "s"
    login = os.environ.get("USER") or "root"
    async with sshd(directory, SshdOptions(user_authorities=[public(authority)])) as plain:
        login = plain.login
    options = SshdOptions(user_authorities=[public(authority)], principals={login: ["web-admins"]})
    async with sshd(directory, options) as server:
        named = authority.generate_user_certificate(user_key, "me", principals=["web-admins"])
        async with connect(server, login, user_key, named) as connection:
            assert (await connection.run("echo in")).stdout == "in\n"


async def test_nothing_is_left_running(tmp_path, user_key):
    options = SshdOptions(authorized_keys=[public(user_key)])
    async with sshd(tmp_path / "s", options) as server:
        connection = await connect(server, server.login, user_key)
        program = await connection.create_process("echo begun; exec tail -f /dev/null")
        assert await program.stdout.readline() == "begun\n"
        family = [server.child.pid, *descendants(server.child.pid)]
        assert len(family) >= 3
    assert [pid for pid in family if runs(pid)] == []
    connection.abort()


async def test_a_port_that_is_taken_is_told_at_once(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(BastionError, match="Address already in use"):
            async with sshd(tmp_path / "s", SshdOptions(port=port)):
                pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes accounts")
async def test_an_account_of_its_own_with_a_password(tmp_path):
    async with contextlib.AsyncExitStack() as stack:
        login = stack.enter_context(account(password="correct horse"))
        server = await stack.enter_async_context(sshd(tmp_path / "s", SshdOptions(passwords=True)))
        options = {"client_keys": None, "agent_path": None, "password": "correct horse"}
        async with asyncssh.connect(
            server.host,
            server.port,
            username=login,
            known_hosts=trust(server.host_key),
            config=None,
            **options,
        ) as connection:
            assert (await connection.run("id -un")).stdout == f"{login}\n"


async def test_whether_terminals_can_be_had_is_known(plain_sshd, user_key):
    async with connect(plain_sshd, plain_sshd.login, user_key) as connection:
        try:
            result = await connection.run("test -t 0", term_type="vt100", check=False)
            had = result.exit_status == 0
        except asyncssh.Error:
            had = False
    assert had is not terminals_fail()
