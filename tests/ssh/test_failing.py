"""What fails inside the bastion never opens anything: it ends with a reason, and is told."""

from __future__ import annotations

import asyncio
import json
import logging

import asyncssh
import pytest
from asyncssh.constants import MSG_CHANNEL_OPEN, MSG_CHANNEL_REQUEST, MSG_GLOBAL_REQUEST
from asyncssh.packet import Boolean, String, UInt32

from bastion.errors import StoreError
from bastion.events import EndReason
from bastion.ssh import connection, listener
from tests.harness.running import POLICY, bastion

pytestmark = pytest.mark.story

FORWARDS = "{exec: true, pty: true, agent: true, forwards: [{kind: [direct-tcpip]}]}"
HELD_AGENT = POLICY.replace("approve: [held]", "approve: [held, held-agent]").replace(
    "rules:\n",
    "rules:\n  held-agent:\n    reason: a person looks first\n"
    "    forward: {kind: [agent, direct-tcpip], to: '*'}\n"
    "    examples: {match: [{forward: 'direct-tcpip db:1'}], no_match: [ls]}\n",
    1,
)


@pytest.fixture
async def running(tmp_path):
    async with bastion(tmp_path, opaque="allow") as running:
        yield running


async def until(condition):
    async with asyncio.timeout(15):
        while not condition():
            await asyncio.sleep(0.02)


def raw_channel(client):
    """A channel that asks for nothing by itself."""
    loop = asyncio.get_running_loop()
    return asyncssh.channel.SSHClientChannel(client, loop, "strict", None, "strict", 65536, 32768)


def full(*_arguments, **_fields):
    raise StoreError("the audit log cannot be written: No space left on device.")


@pytest.mark.parametrize("via", ["direct", "jump"])
async def test_an_audit_log_that_is_full_ends_the_session_with_the_reason(
    running, via, monkeypatch
):
    process = await running.start(
        "ssh",
        *running.to_target(via),
        "echo started; exec cat",
        stdin=asyncio.subprocess.PIPE,
    )
    await process.stdout.readline()
    monkeypatch.setattr(running.services.audit, "append", full)
    (session,) = running.sessions.live()
    session.note("anything")
    _, stderr = await asyncio.wait_for(process.communicate(), 10)
    monkeypatch.undo()
    assert process.returncode in {254, 255}
    assert b"No space left on device" in stderr
    assert not running.sessions.live()
    assert (await running.ssh("echo again")).stdout == b"again\n"


async def test_with_a_full_audit_log_no_session_begins_and_none_stays_counted(running, monkeypatch):
    monkeypatch.setattr(running.services.audit, "append", full)
    assert (await running.ssh("echo hi")).stdout == b""
    assert not running.sessions.live()
    monkeypatch.undo()
    assert (await running.ssh("echo hi")).stdout == b"hi\n"


async def test_deadlines_hold_while_locks_cannot_be_read(running, monkeypatch, caplog):
    """The clock's task used to die of the first error, and nothing ended any more."""
    async with running.connect() as client:
        await client.run("true")
        monkeypatch.setattr(running.services.ledger, "refresh", full)
        await until(lambda: "cannot be read" in caplog.text)
        running.clock.ahead = 601
        await asyncio.wait_for(client.wait_closed(), 5)
    assert running.audited("session-ended")[-1]["reason"] == "deadline"


async def test_locks_that_cannot_be_read_for_long_end_everything(running, monkeypatch):
    monkeypatch.setattr(listener, "BLIND_SECONDS", 0.5)
    async with running.connect() as client:
        await client.run("true")
        monkeypatch.setattr(running.services.ledger, "refresh", full)
        await asyncio.wait_for(client.wait_closed(), 5)
    assert running.audited("session-ended")[-1]["reason"] == "internal-error"


async def test_a_session_that_cannot_be_judged_ends_and_the_others_are_judged(
    running, monkeypatch, caplog
):
    async with running.connect() as first, running.connect() as second:
        await first.run("true")
        await second.run("true")
        strange, ordinary = sorted(running.sessions.live(), key=lambda s: s.started_at)
        judge = running.services.ledger.lock_on

        def judged(identity, target, session_id, *rest):
            if session_id == strange.id:
                raise RuntimeError("a bug")
            return judge(identity, target, session_id, *rest)

        monkeypatch.setattr(running.services.ledger, "lock_on", judged)
        await until(lambda: strange.ended)
        assert strange.ended is EndReason.INTERNAL
        assert ordinary.ended is None
        running.sessions.kill(ordinary.id, "over")
    assert "a bug" in caplog.text


async def test_a_grant_that_is_over_runs_nothing_between_two_looks_of_the_clock(
    tmp_path, monkeypatch
):
    """A command used to run for up to a quarter of a second after its grant's own deadline."""
    session = "{pty: true, exec: true, deadline: 60s}"
    async with bastion(tmp_path, opaque="allow", session=session) as running:
        async with running.connect() as client:
            assert (await client.run("echo 1")).stdout == "1\n"
            monkeypatch.setattr(running.sessions, "enforce", lambda: None)
            running.clock.ahead = 61
            ran = await client.run(f"echo 2; echo > {tmp_path}/marker")
            assert (ran.exit_status, ran.stdout) == (254, "")
            assert "the time that your grant gives" in ran.stderr
            assert not (tmp_path / "marker").exists()
        jumped = await running.ssh("echo 3", via="jump")
        assert jumped.stdout == b"3\n"  # a new session has its own time
        running.clock.ahead = 0


async def test_undecodable_messages_leave_an_audit_line(running):
    for kind, fields in [
        (MSG_CHANNEL_OPEN, (UInt32(5000),)),
        (MSG_GLOBAL_REQUEST, (String(b"tcpip-forward"), Boolean(True), UInt32(9999))),
        (MSG_CHANNEL_REQUEST, (UInt32(77), String(b"exec"), Boolean(True))),
    ]:
        before = len(running.audited("connection-fault"))
        async with running.connect() as client:
            client.send_packet(kind, *fields)
            await asyncio.wait_for(client.wait_closed(), 5)
        faults = running.audited("connection-fault")
        assert len(faults) == before + 1
        assert faults[-1]["reason"]
    assert not running.sessions.live()


async def test_channels_that_ask_for_nothing_are_counted_too(running):
    """Only channels with a request used to count, and each costs memory."""
    async with running.connect() as client:
        limit = running.services.limits.channels_per_session
        opened = [raw_channel(client) for _ in range(limit)]
        await asyncio.gather(*(channel._open(b"session") for channel in opened))
        with pytest.raises(asyncssh.ChannelOpenError, match="too many channels"):
            await client.run("true")
        with pytest.raises(asyncssh.ChannelOpenError, match="too many channels"):
            await client.open_connection("web1", 22)
    assert (await running.ssh("echo hi")).stdout == b"hi\n"


async def test_an_environment_without_end_is_not_kept(running):
    value = "x" * 10_000
    async with running.connect() as client:
        ran = await client.run("echo hi", env={f"EVIL_{n}": value for n in range(100)})
        assert ran.stdout == "hi\n"
    (refused,) = running.audited("environment-refused")
    assert len(refused["names"]) == connection.ENVIRONMENT_LIMIT // 10_000


async def test_an_agent_that_waits_is_withdrawn_with_its_channel_and_opens_nothing(tmp_path):
    async with (
        bastion(tmp_path, opaque="allow", policy=HELD_AGENT, session=FORWARDS) as running,
        running.connect() as client,
    ):
        channel = raw_channel(client)
        await channel._open(b"session")
        channel._session = asyncssh.SSHClientSession()
        channel._send_request(b"auth-agent-req@openssh.com", want_reply=True)
        approval = await running.pending()
        channel._send_request(b"exec", String(f"echo > {tmp_path}/marker"), want_reply=True)
        second = await client.run("echo meanwhile")
        assert second.stdout == "meanwhile\n"
        assert not (tmp_path / "marker").exists()
        channel.close()
        await until(lambda: not running.services.approvals.pending())
        assert running.services.ledger.approval(approval)["state"] == "withdrawn"
        assert not (tmp_path / "marker").exists()
        assert (await client.run("echo still")).stdout == "still\n"


async def test_more_requests_than_may_wait_end_the_connection(tmp_path):
    async with (
        bastion(tmp_path, opaque="allow", policy=HELD_AGENT, session=FORWARDS) as running,
        running.connect() as client,
    ):
        channel = raw_channel(client)
        await channel._open(b"session")
        channel._session = asyncssh.SSHClientSession()
        channel._send_request(b"auth-agent-req@openssh.com")
        await running.pending()
        for _ in range(1000):
            channel._send_request(b"env", String(b"A"), String(b"x" * 1000))
        await asyncio.wait_for(client.wait_closed(), 10)
        await until(lambda: not running.services.approvals.pending())
        assert "Too many requests" in running.audited("connection-fault")[-1]["reason"]


async def test_a_forward_that_people_refused_says_so(tmp_path):
    """It used to say that it was held, for ever."""
    async with (
        bastion(tmp_path, opaque="allow", policy=HELD_AGENT, session=FORWARDS) as running,
        running.connect() as client,
    ):
        opening = asyncio.create_task(client.open_connection("127.0.0.1", 9))
        running.answer(await running.pending(), grant=False, reason="not there")
        with pytest.raises(asyncssh.ChannelOpenError, match=r"refused by bob .*: not there"):
            await opening


async def test_nothing_is_kept_of_inner_connections_and_approvals_that_are_over(running):
    """A session's list of endings used to grow with each of them."""
    async with running.connect("alice") as outer:
        for _ in range(5):
            async with asyncssh.connect(
                "web1", 22, tunnel=outer, username=running.login, known_hosts=None, config=None
            ) as inner:
                assert (await inner.run("echo hi")).stdout == "hi\n"
        (session,) = running.sessions.live()
        await until(lambda: not session.endings)
        assert not session.drives


async def test_log_lines_cannot_be_forged(running, caplog):
    caplog.set_level(logging.INFO)
    async with running.connect() as client:
        await client.run("echo 'x\n2026 ERROR forged\x1b[2J'")
        await client._make_global_request(b"a\nb\x1b[2J@example.com")
    for line in running.audit().splitlines():
        json.loads(line)
        assert "\x1b" not in line
    assert "forged" not in caplog.text


async def test_a_connection_that_the_client_does_not_take_back_leaves_nothing_open(tmp_path):
    """Its recording and its drive used to stay for as long as the session."""
    forwards = "{exec: true, forwards: [{kind: [tcpip-forward]}]}"
    async with (
        bastion(tmp_path, opaque="allow", session=forwards) as running,
        running.connect() as client,
    ):

        def refuse(_host, _port):
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_CONNECT_FAILED, "no")

        listening = await client.create_server(refuse, "127.0.0.1", 0)
        port = listening.get_port()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()
        (session,) = running.sessions.live()
        await until(lambda: not session.drives)
        assert running.audited("channel-ended")[-1]["reason"] == "client-left"


async def test_what_arrives_while_nobody_is_logged_in_does_not_pile_up(running):
    """A client may send on and on while its packet waits for a handler."""
    async with running.connect() as client:
        (session,) = running.sessions.live()
        server = session.line._conn
        handler, server._recv_handler = server._recv_handler, lambda: False
        for _ in range(200):
            client._transport.write(b"x" * 100_000)
        await until(lambda: server._input_held)
        assert len(server._inpbuf) < 2 * 1024 * 1024
        server._recv_handler = handler
        client.abort()
        server.abort()
