"""Invariant 2: every control on every channel.

{shell, exec, pty-exec, sftp, scp, other subsystem, direct-tcpip, direct-streamlocal, tcpip-forward,
agent, x11} x {deny, approve, record, mask, lock, deadline}, with a real sshd behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import asyncssh
import pytest

from tests.harness.running import POLICY, Bastion, bastion

pytestmark = pytest.mark.story

REACHED = b"reached the target"

KINDS = [
    "shell",
    "exec",
    "pty-exec",
    "sftp",
    "scp",
    "subsystem",
    "direct-tcpip",
    "direct-streamlocal",
    "tcpip-forward",
    "agent",
    "x11",
]
TEXT = {"shell", "exec", "pty-exec", "subsystem"}
"""Channels whose cast holds the bytes themselves."""

NOTHING = "{exec: true, pty: true}"
EVERYTHING = """{pty: true, exec: true, files: true, shell: ungated, subsystems: [greet],
      agent: true, x11: true, environment: [LANG],
      forwards: [{kind: [direct-tcpip, direct-streamlocal, tcpip-forward]}]}"""
NO_EXEC = "{exec: false, pty: false}"

APPROVE = POLICY.replace("      approve: [held]\n", "      approve: [held, held-kinds]\n").replace(
    "rules:\n",
    """rules:
  held-kinds:
    reason: a person looks at everything here
    command: {program: [sh, cat]}
    file: {path: "**", operation: [read]}
    forward: {kind: [direct-tcpip, direct-streamlocal, tcpip-forward, agent, x11], to: "*"}
    session: {shell: true, subsystem: greet}
    examples:
      match: [cat x, {forward: "direct-tcpip db:1"}, {shell: true}, {subsystem: greet}]
      no_match: [ls, {subsystem: sftp}]
""",
    1,
)


@dataclass
class Reach:
    """A channel that reached the target: what came from there, and when it ends."""

    seen: bytes
    ended: Callable[[], Awaitable[object]]
    kept: object = None
    """What must live as long as the channel."""


@dataclass
class World:
    """What a channel may reach."""

    running: Bastion
    directory: Path
    port: int
    opened: list[asyncio.StreamWriter] = field(default_factory=list)

    @property
    def file(self) -> Path:
        return self.directory / "content.txt"


@contextlib.asynccontextmanager
async def world(tmp_path, content=REACHED, **options) -> AsyncIterator[World]:
    """A bastion, and services that only the target reaches; all of them say `content`."""
    (tmp_path / "content.txt").write_bytes(content + b"\n")

    async def greet(reader, writer):
        writer.write(content + b"\n")
        await reader.read()
        writer.close()

    greeter = await asyncio.start_server(greet, "127.0.0.1", 0)
    unix = await asyncio.start_unix_server(greet, str(tmp_path / "greeter.sock"))
    script = tmp_path / "greet"
    script.write_text(f"#!/bin/sh\ncat {tmp_path}/content.txt\nexec cat\n")
    script.chmod(0o755)
    extra = [f"Subsystem greet {script}", "X11Forwarding yes"]
    async with (
        greeter,
        unix,
        bastion(tmp_path, opaque="allow", sshd_extra=extra, **options) as running,
    ):
        here = World(running, tmp_path, greeter.sockets[0].getsockname()[1])
        yield here
        for writer in here.opened:
            writer.close()


@contextlib.asynccontextmanager
async def connected(world: World, kind: str) -> AsyncIterator[asyncssh.SSHClientConnection]:
    running = world.running
    key = asyncssh.read_private_key(str(running.directory / "id"))
    certificate = asyncssh.read_certificate(str(running.directory / "id-cert.pub"))
    async with asyncssh.connect(
        "127.0.0.1",
        running.port,
        username=f"{running.login}@web1",
        client_keys=[(key, certificate)],
        known_hosts=None,
        config=None,
        agent_path=None,
        agent_forwarding=str(world.directory / "agent.sock") if kind == "agent" else False,
        x11_display="localhost:77",
        x11_auth_path=str(world.directory / "xauth"),
    ) as connection:
        yield connection


async def reach(kind: str, connection: asyncssh.SSHClientConnection, world: World) -> Reach:
    """Open a channel of this kind and read what the target says; raises where it is refused."""
    if kind in {"shell", "exec", "pty-exec", "subsystem", "agent", "x11"}:
        return await reach_program(kind, connection, world)
    if kind == "sftp":
        sftp = await connection.start_sftp_client()
        file = await sftp.open(str(world.file), "rb")
        return Reach(await file.read(), sftp.wait_closed)
    if kind == "scp":
        process = await connection.create_process(f"scp -f {world.file}", encoding=None)
        process.stdin.write(b"\0\0")
        seen = await until(process.stdout, b"\n")
        seen += await until(process.stdout, b"\n")
        return Reach(check(seen, process), process.stdout.read)
    return await reach_forward(kind, connection, world)


async def reach_program(kind, connection, world) -> Reach:
    content = f"cat {world.file}; exec cat"
    commands = {
        "exec": content,
        "pty-exec": content,
        "agent": f'test -S "$SSH_AUTH_SOCK" || exit 1; {content}',
        "x11": f'test -n "$DISPLAY" || exit 1; {content}',
    }
    process = await connection.create_process(
        commands.get(kind),
        subsystem="greet" if kind == "subsystem" else None,
        term_type="xterm" if kind in {"shell", "pty-exec"} else None,
        request_pty="force" if kind in {"shell", "pty-exec"} else False,
        x11_forwarding="ignore_failure" if kind == "x11" else False,
        encoding=None,
    )
    if kind == "shell":
        process.stdin.write(f"cat {world.file}; exec cat\n".encode())
    mark = world.file.read_bytes()[-6:-1]
    seen = check(await until(process.stdout, mark), process)
    return Reach(seen, process.stdout.read, process)


async def reach_forward(kind, connection, world) -> Reach:
    if kind == "direct-tcpip":
        reader, _ = await connection.open_connection("127.0.0.1", world.port)
        return Reach(await until(reader, b"\n"), reader.read)
    if kind == "direct-streamlocal":
        reader, _ = await connection.open_unix_connection(str(world.directory / "greeter.sock"))
        return Reach(await until(reader, b"\n"), reader.read)
    content = world.file.read_bytes()

    def accept(_host, _port):
        async def serve(reader, writer):
            writer.write(content)
            await reader.read()

        return serve

    listener = await connection.start_server(accept, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.get_port())
    world.opened.append(writer)
    return Reach(await until(reader, b"\n"), reader.read)


async def until(reader, mark: bytes, process=None) -> bytes:
    try:
        return await reader.readuntil(mark)
    except asyncio.IncompleteReadError as error:
        return check(error.partial, process)


def check(seen: bytes, process) -> bytes:
    if not seen:
        raise asyncssh.ChannelOpenError(0, "nothing came")
    return seen


REFUSED = (asyncssh.Error, asyncssh.SFTPError, asyncssh.ChannelListenError, OSError)


async def refused(kind, connection, here) -> bool:
    """Whether nothing of the target could be read, however the refusal shows."""
    try:
        seen = await reach(kind, connection, here)
    except REFUSED:
        return True
    return REACHED not in seen.seen


@pytest.mark.parametrize("kind", KINDS)
async def test_what_is_not_granted_is_refused_with_a_reason(tmp_path, kind):
    session = NO_EXEC if kind in {"exec", "pty-exec", "scp"} else NOTHING
    async with world(tmp_path, session=session) as here, connected(here, kind) as connection:
        assert await refused(kind, connection, here)
        verdicts = [
            entry["fields"]
            for entry in map(json.loads, here.running.audit().splitlines())
            if entry["kind"] == "verdict" and entry["fields"]["action"] == "deny"
        ]
        assert len(verdicts) == 1, verdicts
        assert "not granted" in verdicts[0]["reason"] or "certificate" in verdicts[0]["reason"]


@pytest.mark.parametrize("kind", KINDS)
async def test_what_needs_approval_waits_for_it(tmp_path, kind):
    async with (
        world(tmp_path, session=EVERYTHING, policy=APPROVE) as here,
        connected(here, kind) as connection,
    ):
        reaching = asyncio.create_task(reach(kind, connection, here))
        granted = 0
        while not reaching.done():
            pending = asyncio.create_task(here.running.pending())
            await asyncio.wait({reaching, pending}, return_when=asyncio.FIRST_COMPLETED)
            if reaching.done():
                pending.cancel()
                break
            here.running.answer(await pending, grant=True)
            granted += 1
        seen = await reaching
        assert granted >= 1
        assert REACHED in seen.seen


@pytest.mark.parametrize("kind", KINDS)
async def test_what_is_allowed_is_recorded_and_a_lock_ends_it(tmp_path, kind):
    async with world(tmp_path, session=EVERYTHING) as here, connected(here, kind) as connection:
        seen = await reach(kind, connection, here)
        assert REACHED in seen.seen
        casts = here.running.casts()
        assert casts, "no recording"
        if kind in TEXT:
            assert REACHED.decode() in casts[-1].read_text()
        locked_at = time.monotonic()
        here.running.services.ledger.add_lock(
            "target", "web1", "incident", None, "bob", time.time()
        )
        with contextlib.suppress(asyncssh.Error, OSError):
            await asyncio.wait_for(seen.ended(), 5)
        assert time.monotonic() - locked_at < 1.5
        assert '"reason":"locked"' in here.running.audit()


@pytest.mark.parametrize("kind", KINDS)
async def test_the_deadline_ends_it(tmp_path, kind):
    async with world(tmp_path, session=EVERYTHING) as here, connected(here, kind) as connection:
        seen = await reach(kind, connection, here)
        assert REACHED in seen.seen
        here.running.clock.ahead = 600.5  # the certificate was for ten minutes
        over_at = time.monotonic()
        with contextlib.suppress(asyncssh.Error, OSError):
            await asyncio.wait_for(seen.ended(), 5)
        assert time.monotonic() - over_at < 1.5
    assert '"reason":"deadline"' in here.running.audit()


@pytest.mark.parametrize("kind", KINDS)
async def test_the_targets_credential_never_shows(tmp_path, kind):
    """The target echoes the key that opened it: it reaches neither a text client nor the disk."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    secret = key.export_private_key("openssh")
    (tmp_path / "key").write_bytes(secret)
    (tmp_path / "key").chmod(0o600)
    public = key.export_public_key().decode().strip()
    (tmp_path / "authorized").write_text(public + "\n")
    async with (
        world(
            tmp_path,
            content=b"before " + secret.strip() + b" after",
            session=EVERYTHING,
            target_extra=f"\n    credential: {{key: 'file:{tmp_path}/key'}}",
            authorized_keys=[public],
        ) as here,
        connected(here, kind) as connection,
    ):
        seen = await reach(kind, connection, here)
        if kind in TEXT:
            assert b"[masked:private-key:" in seen.seen
        state = here.running.directory / "state"
        body = secret.splitlines()[2]
        for path in state.rglob("*"):
            if path.is_file() and path.name != "control.sock":
                assert body not in path.read_bytes(), path
