"""A small SSH server that keeps the login channel's promise, and a real ssh-agent."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncssh

from bastion.identity.ca import Authority
from tests.identity.authorities import ALICE, Grant

SAID = (
    "To log in, open:     https://idp.example/device\n"
    "and enter the code:  ABCD-EFGH\n"
    "or open, at once:    https://idp.example/device?user_code=ABCD-EFGH\n"
    "Waiting for you there; ctrl-C ends it.\n"
)


@dataclass
class SmallBastion:
    authority: Authority
    host_key: asyncssh.SSHKey
    port: int = 0
    said: str = SAID
    status: int = 0
    certificate: str | None = None
    """Printed instead of a good one."""
    targets: list[str] = field(default_factory=lambda: ["web-1", "db-1"])
    commands: list[str] = field(default_factory=list)
    lifetime: int = 600
    waits_for: Path | None = None
    """The login is done when this file is there."""


class _Server(asyncssh.SSHServer):
    def __init__(self, bastion: SmallBastion) -> None:
        self._bastion = bastion
        self._key: asyncssh.SSHKey | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._conn = conn

    def begin_auth(self, username: str) -> bool:
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        self._conn.set_extra_info(bare_key=key)
        return username == "login"

    def validate_ca_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        trusted = self._bastion.authority.trusted_user_keys(time.time())
        return key.public_data in {known.public_data for known in trusted}


@asynccontextmanager
async def small_bastion(
    directory: Path, *, host_certificate: bool = True
) -> AsyncIterator[SmallBastion]:
    authority = Authority.create(directory / "ca")
    host_key = asyncssh.generate_private_key("ssh-ed25519")
    bastion = SmallBastion(authority, host_key)
    keys: list[object] = [host_key]
    if host_certificate:
        issued = authority.sign_host(host_key, ["127.0.0.1", "localhost"], now=time.time())
        keys = [(host_key, issued.certificate)]

    async def answer(channel: asyncssh.SSHServerProcess[bytes]) -> None:
        bastion.commands.append(channel.command or "")
        if channel.command == "targets --json":
            rows = [{"target": name, "kind": "ssh"} for name in bastion.targets]
            rows.append({"target": "orders-db", "kind": "postgres"})
            channel.stdout.write(json.dumps(rows).encode())
            channel.exit(0)
            return
        channel.stderr.write(bastion.said.encode())
        key = channel.get_extra_info("bare_key")
        line = bastion.certificate
        if line is None:
            grant = Grant(principals=("bastion",), lifetime_seconds=bastion.lifetime)
            line = authority.sign_user(key, grant, ALICE, session_id="s", now=time.time()).line
        while bastion.waits_for and not bastion.waits_for.exists():
            await asyncio.sleep(0.05)
        if bastion.status == 0:
            channel.stdout.write(f"{line}\n".encode())
        channel.exit(bastion.status)

    server = await asyncssh.listen(
        "127.0.0.1",
        0,
        server_host_keys=keys,
        server_factory=lambda: _Server(bastion),
        process_factory=answer,
        encoding=None,
    )
    bastion.port = server.get_port()
    async with server:
        yield bastion


@asynccontextmanager
async def ssh_agent(directory: Path) -> AsyncIterator[str]:
    """A real ssh-agent; gives the path of its socket."""
    path = directory / "agent.sock"
    agent = await asyncio.create_subprocess_exec(
        "ssh-agent", "-D", "-a", str(path), stdout=asyncio.subprocess.PIPE
    )
    assert agent.stdout is not None
    await agent.stdout.readline()  # it says where it is once it is there
    try:
        yield str(path)
    finally:
        agent.terminate()
        await agent.wait()


async def run(
    *command: str | Path, env: dict[str, str], stdin: bytes = b""
) -> tuple[int, str, str]:
    """Run a program; gives status, stdout, stderr."""
    program = await asyncio.create_subprocess_exec(
        *map(str, command),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=env,
    )
    async with asyncio.timeout(40):
        out, err = await program.communicate(stdin)
    assert program.returncode is not None
    return program.returncode, out.decode(), err.decode()
