"""Forwards of every kind: refused with a reason unless granted, and working where they are."""

from __future__ import annotations

import asyncio
import shutil

import asyncssh
import pytest

from tests.harness.running import bastion

pytestmark = pytest.mark.story

GRANTED = """{pty: true, exec: true, files: true, agent: true, x11: true,
      environment: [LANG, DISPLAY],
      forwards: [{kind: [direct-tcpip, direct-streamlocal, tcpip-forward, streamlocal-forward]}]}"""


@pytest.fixture
async def refusing(tmp_path):
    async with bastion(tmp_path) as running:
        yield running


@pytest.fixture
async def granting(tmp_path):
    async with bastion(tmp_path, session=GRANTED, opaque="allow") as running:
        yield running


@pytest.fixture
async def echo():
    """A TCP service that only the target can reach, as far as the client is concerned."""

    async def serve(reader, writer):
        writer.write(b"hello ")
        while data := await reader.read(100):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def connect(running, user=None, **options):
    key = asyncssh.read_private_key(str(running.directory / "id"))
    certificate = asyncssh.read_certificate(str(running.directory / "id-cert.pub"))
    return asyncssh.connect(
        "127.0.0.1",
        running.port,
        username=user or f"{running.login}@web1",
        client_keys=[(key, certificate)],
        known_hosts=None,
        config=None,
        agent_path=None,
        **options,
    )


async def test_forwards_are_refused_with_the_rule(refusing, echo):
    async with connect(refusing) as connection:
        with pytest.raises(asyncssh.ChannelOpenError, match="not granted"):
            await connection.open_connection("127.0.0.1", echo)
        with pytest.raises(asyncssh.ChannelOpenError, match="not granted"):
            await connection.open_unix_connection("/run/docker.sock")
        with pytest.raises(asyncssh.ChannelListenError):
            await connection.start_server(lambda _h, _p: None, "127.0.0.1", 0)
    for kind in ("direct-tcpip", "direct-streamlocal", "tcpip-forward"):
        assert f'"request":"{kind}' in refusing.audit()


async def test_a_forward_to_what_is_no_target_is_refused(refusing, echo):
    async with connect(refusing, user="alice") as connection:
        with pytest.raises(asyncssh.ChannelOpenError, match="is not a target"):
            await connection.open_connection("127.0.0.1", echo)


async def test_agent_and_x11_are_refused(refusing):
    ran = await refusing.run(
        "ssh", "-A", *refusing.to_target("direct"), 'echo "agent=$SSH_AUTH_SOCK"'
    )
    assert ran.stdout == b"agent=\n"


async def test_direct_tcpip_through_the_target(granting, echo):
    async with connect(granting) as connection:
        reader, writer = await connection.open_connection("127.0.0.1", echo)
        writer.write(b"world")
        writer.write_eof()
        assert await reader.read() == b"hello world"
    assert f"direct-tcpip 127.0.0.1:{echo}" in granting.audit()
    assert len(granting.casts()) == 1


async def test_direct_streamlocal_through_the_target(granting, tmp_path):
    path = str(tmp_path / "service.sock")

    async def serve(reader, writer):
        writer.write(await reader.read(100))
        writer.close()

    async with await asyncio.start_unix_server(serve, path), connect(granting) as connection:
        reader, writer = await connection.open_unix_connection(path)
        writer.write(b"over a socket")
        assert await reader.read() == b"over a socket"


async def test_a_remote_forward_brings_connections_back(granting):
    def accept(_host, _port):
        async def serve(reader, writer):
            writer.write(b"back: " + await reader.read(100))
            writer.close()

        return serve

    async with connect(granting) as connection:
        listener = await connection.start_server(accept, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.get_port())
        writer.write(b"to the client")
        assert await reader.read() == b"back: to the client"
        writer.close()


@pytest.mark.skipif(shutil.which("ssh-agent") is None, reason="no ssh-agent")
async def test_a_granted_agent_is_reachable_on_the_target(granting, tmp_path):
    agent = await granting.start("ssh-agent", "-D", "-a", str(tmp_path / "agent"))
    async with asyncio.timeout(10):
        while not (tmp_path / "agent").exists():
            await asyncio.sleep(0.01)
    granting.environment["SSH_AUTH_SOCK"] = str(tmp_path / "agent")
    await granting.run("ssh-add", "-q", str(tmp_path / "id"))
    forwarding = ["-A", "-o", f"IdentityAgent={tmp_path}/agent"]
    ran = await granting.run("ssh", *forwarding, *granting.to_target("direct"), "ssh-add -l")
    agent.terminate()
    await agent.wait()
    assert b"ED25519" in ran.stdout, ran.stderr


async def test_granted_x11_sets_a_display(granting):
    async with connect(granting) as connection:
        try:
            ran = await connection.run("echo $DISPLAY", x11_forwarding="ignore_failure")
        except (asyncssh.Error, ValueError) as error:
            pytest.fail(str(error))
    assert ran.exit_status == 0


async def test_the_environment_passes_by_allow_list(tmp_path):
    async with bastion(
        tmp_path,
        session="{pty: true, exec: true, environment: [LC_BASTION, LANG]}",
        opaque="allow",
        sshd_extra=["AcceptEnv *"],
    ) as running:
        async with connect(running) as connection:
            ran = await connection.run(
                "echo $LC_BASTION:$LD_PRELOAD:$EVIL",
                env={"LC_BASTION": "yes", "LD_PRELOAD": "/x.so", "EVIL": "1"},
            )
        assert ran.stdout == "yes::\n"
        assert '"LD_PRELOAD"' in running.audit()


async def test_unknown_requests_leave_an_audit_line(refusing):
    async with connect(refusing) as connection:
        await connection._make_global_request(b"no-such@example.com")
        process = await connection.create_process("true")
        await process.channel._make_request(b"strange@example.com")
        await process.wait()
    assert "no-such@example.com" in refusing.audit()
    assert "strange@example.com" in refusing.audit()
