"""A target that means harm: it reaches neither the client's terminal nor the bastion's memory."""

from __future__ import annotations

import asyncio
import contextlib

import asyncssh
import pytest
from asyncssh.constants import MSG_CHANNEL_DATA, MSG_CHANNEL_OPEN, MSG_CHANNEL_REQUEST
from asyncssh.packet import Boolean, String, UInt32

from bastion.events import EndReason
from bastion.ssh import dialler
from tests.harness.running import bastion

pytestmark = pytest.mark.story


class Session(asyncssh.SSHServerSession):
    """A target's channel that lets a function of the test answer a command."""

    def __init__(self, behave):
        self.behave = behave
        self.command = ""
        self.received = bytearray()
        self.lost = asyncio.Event()

    def connection_made(self, chan):
        self.chan = chan

    def exec_requested(self, command):
        self.command = command
        return True

    def session_started(self):
        self.behave(self)

    def data_received(self, data, datatype):
        self.received += data

    def eof_received(self):
        return True

    def signal_received(self, signal):
        self.chan.exit_with_signal(signal, False, "as you wish")

    def connection_lost(self, exc):
        self.lost.set()


class Target(asyncssh.SSHServer):
    """Lets everybody in."""

    sessions: list[Session]

    def connection_made(self, conn):
        self.conn = conn
        self.connections.append(conn)

    def begin_auth(self, username):
        return False

    def session_requested(self):
        session = Session(self.behave)
        self.sessions.append(session)
        return self.conn.create_server_channel(encoding=None), session


@contextlib.asynccontextmanager
async def hostile(tmp_path, behave, base=Target, **options):
    """A bastion before a target whose commands `behave(session)` answers."""

    class Here(base):
        pass

    Here.sessions, Here.connections = [], []
    Here.behave = staticmethod(behave)
    key = asyncssh.generate_private_key("ssh-ed25519")
    public = key.export_public_key().decode().strip()
    acceptor = await asyncssh.listen("127.0.0.1", 0, server_factory=Here, server_host_keys=[key])
    address = f"127.0.0.1:{acceptor.get_port()}"
    async with bastion(
        tmp_path, address=address, target=f'host_key: "{public}"', opaque="allow", **options
    ) as running:
        running.hostile = Here
        yield running
    acceptor.close()
    for connection in Here.connections:
        connection.abort()
        await connection.wait_closed()
    await acceptor.wait_closed()


def finish(session):
    session.chan.write(b"fine\n")
    session.chan.exit(0)


async def test_a_target_that_never_opens_the_channel_has_a_deadline(tmp_path, monkeypatch):
    class Slow(Target):
        async def _never(self):
            await asyncio.Event().wait()

        def session_requested(self):
            return self.conn.create_server_channel(encoding=None), self._never()

    monkeypatch.setattr(dialler, "OPEN_SECONDS", 0.3)
    async with hostile(tmp_path, finish, Slow) as running:
        ran = await running.ssh("ls")
    assert (ran.status, ran.stdout) == (254, b"")
    assert "target web1 did not open the channel in time" in ran.stderr


async def test_a_command_that_ends_while_it_is_opened_does_not_run_on(tmp_path):
    started = asyncio.Event()

    class Slow(Session):
        def exec_requested(self, command):
            started.set()
            return super().exec_requested(command)

    class Held(Target):
        """Takes the command, and answers that it did only when told."""

        def session_requested(self):
            session = Slow(self.behave)
            self.sessions.append(session)
            channel = self.conn.create_server_channel(encoding=None)
            report = channel._report_response

            def late(result):
                if session.command:
                    channel.answer = lambda: report(result)
                else:
                    report(result)

            channel._report_response = late
            return channel, session

    async with (
        hostile(tmp_path, lambda _session: None, Held) as running,
        running.connect() as client,
    ):
        asking = asyncio.create_task(client.run("ls"))
        await asyncio.wait_for(started.wait(), 10)
        (session,) = running.sessions.live()
        for drive in tuple(session.drives):
            drive.end(EndReason.LOCKED, "locked while it was opened")
        assert (await asking).exit_status == 254
        await asyncio.wait_for(running.hostile.sessions[0].lost.wait(), 5)


@pytest.mark.parametrize("via", ["direct", "jump"])
async def test_a_connection_that_breaks_off_mid_command_is_said(tmp_path, via):
    def die(session):
        session.chan.write(b"half")
        asyncio.get_running_loop().call_later(0.1, session.chan.get_connection().abort)

    async with hostile(tmp_path, die) as running:
        ran = await running.ssh("ls", via=via)
        assert ran.status == 255
        assert ran.stdout == b"half"
        assert "the connection to web1 broke off" in ran.stderr
        assert running.audited("channel-ended")[-1]["reason"] == "target-left"


async def test_the_next_channel_dials_anew(tmp_path):
    def once(session):
        if len(running.hostile.connections) == 1:
            session.chan.get_connection().abort()
        else:
            finish(session)

    async with hostile(tmp_path, once) as running, running.connect() as client:
        first = await client.run("ls")
        second = await client.run("ls")
    assert (first.exit_status, second.exit_status) == (255, 0)
    assert second.stdout == "fine\n"


async def test_data_after_eof_harms_nobody_else(tmp_path):
    def rude(session):
        session.chan.write_eof()
        session.chan.send_packet(MSG_CHANNEL_DATA, String(b"more"))

    async with hostile(tmp_path, rude) as running:
        ran = await running.ssh("ls")
        assert (ran.status, ran.stdout) == (255, b"")
        running.hostile.behave = staticmethod(finish)
        assert (await running.ssh("ls")).stdout == b"fine\n"


async def test_more_than_one_exit_status_is_none(tmp_path):
    def twice(session):
        for status in (0, 7):
            session.chan.send_packet(
                MSG_CHANNEL_REQUEST, String(b"exit-status"), Boolean(False), UInt32(status)
            )

    async with hostile(tmp_path, twice) as running:
        ran = await running.ssh("ls")
        assert ran.stdout == b""
        running.hostile.behave = staticmethod(finish)
        assert (await running.ssh("ls")).status == 0


OPENINGS = {
    "forwarded-tcpip": String(b"127.0.0.1") + UInt32(22) + String(b"evil") + UInt32(1),
    "forwarded-streamlocal@openssh.com": String(b"/x") + String(b""),
    "auth-agent@openssh.com": b"",
    "x11": String(b"evil") + UInt32(1),
    "session": b"",
    "direct-tcpip": String(b"127.0.0.1") + UInt32(22) + String(b"evil") + UInt32(1),
    "made-up\x1b[2J": b"",
}


async def test_what_a_target_opens_unasked_is_refused_and_audited(tmp_path):
    def opens(session):
        connection = session.chan.get_connection()
        for number, (kind, rest) in enumerate(OPENINGS.items()):
            fields = [UInt32(77 + number), UInt32(65536), UInt32(32768), rest]
            connection.send_packet(MSG_CHANNEL_OPEN, String(kind.encode()), *fields)
        finish(session)

    async with hostile(tmp_path, opens) as running, running.connect() as client:
        assert (await client.run("ls")).stdout == "fine\n"
        said = [entry["refused"] for entry in running.audited("target-asked-for-more")]
    assert [text.removeprefix("channel ") for text in said[:-1]] == list(OPENINGS)[:-1]
    assert "\x1b" not in said[-1]


async def test_a_target_that_opens_without_end_is_cut_off(tmp_path):
    def opens(session):
        connection = session.chan.get_connection()
        for number in range(1000):
            fields = [UInt32(number), UInt32(65536), UInt32(32768)]
            connection.send_packet(MSG_CHANNEL_OPEN, String(b"x11"), *fields, OPENINGS["x11"])

    async with hostile(tmp_path, opens) as running:
        assert "broke off" in (await running.ssh("ls")).stderr
        assert len(running.audited("target-asked-for-more")) == 100


async def test_packets_of_one_byte_are_not_agreed_to(tmp_path):
    """2 MB of such a window are two million packets, and nobody else is served meanwhile."""

    class Tiny(Target):
        def connection_made(self, conn):
            super().connection_made(conn)
            confirm = conn.send_channel_open_confirmation
            conn.send_channel_open_confirmation = lambda a, b, window, _size: confirm(
                a, b, window, 1
            )

    async with hostile(tmp_path, finish, Tiny) as running:
        ran = await running.ssh("ls")
    assert (ran.status, ran.stdout) == (254, b"")
    assert "target web1 broke off" in ran.stderr


async def test_what_an_exit_signal_says_is_shown_visibly(tmp_path):
    def dies(session):
        session.chan.exit_with_signal("\x1b[31mSEGV", True, "\x1b]0;owned\x07" + "x" * 100_000)

    async with hostile(tmp_path, dies) as running, running.connect() as client:
        ran = await client.run("ls")
    assert ran.exit_signal, ran
    signal, dumped, message, _ = ran.exit_signal
    assert dumped
    assert "\x1b" not in signal + message
    assert len(message) < 1000


async def test_a_signal_reaches_the_program_and_its_end_comes_back(tmp_path):
    started = asyncio.Event()

    async with (
        hostile(tmp_path, lambda _session: started.set()) as running,
        running.connect() as client,
    ):
        process = await client.create_process("ls")
        await asyncio.wait_for(started.wait(), 10)
        process.send_signal("USR1")
        await asyncio.wait_for(process.wait(), 10)
    assert process.exit_signal[:3] == ("USR1", False, "as you wish")


async def test_a_refusal_of_the_target_is_shown_visibly(tmp_path):
    class No(Target):
        def session_requested(self):
            raise asyncssh.ChannelOpenError(2, "\x1b[2J go away " + "x" * 100_000)

    async with hostile(tmp_path, finish, No) as running:
        ran = await running.ssh("ls")
    assert ran.status == 254
    assert "target web1 refused it:" in ran.stderr
    assert "\x1b" not in ran.stderr
    assert len(ran.stderr) < 1000


async def test_more_than_the_window_is_refused(tmp_path):
    def floods(session):
        for _ in range(800):
            session.chan.send_packet(MSG_CHANNEL_DATA, String(b"x" * 10_000))

    async with hostile(tmp_path, floods) as running, running.connect() as client:
        await client.create_process("ls")  # which nobody reads
        async with asyncio.timeout(20):
            while not running.audited("channel-ended"):
                await asyncio.sleep(0.05)
    assert running.audited("channel-ended")[-1]["reason"] == "target-left"


async def test_a_target_that_closes_while_a_request_is_held_changes_nothing(tmp_path):
    async with hostile(tmp_path, finish) as running, running.connect() as client:
        await client.run("ls")
        asking = asyncio.create_task(client.run("touch x"))
        approval = await running.pending()
        for connection in running.hostile.connections:
            connection.abort()
        (session,) = running.sessions.live()
        for dialled in session._dialled.values():
            await asyncio.wait_for(dialled.result().connection.lost.wait(), 5)
        running.answer(approval, grant=True)
        ran = await asking
    assert (ran.exit_status, ran.stdout) == (0, "fine\n")
    assert running.hostile.sessions[-1].command == "touch x"
