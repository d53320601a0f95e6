"""A database that means harm: the bastion stays small and alive, the client is told why."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
import pytest_asyncio

from bastion.target import postgres as target
from bastion.wire import postgres as wire
from tests.harness.database import POLICY, forward
from tests.harness.hostile_postgres import COLUMN, GREETING, LOGGED_IN, hostile
from tests.harness.running import bastion
from tests.ssh.test_memory import GROWTH, MB, resident

pytestmark = [pytest.mark.story, pytest.mark.asyncio(loop_scope="module")]

TLS = (80877103).to_bytes(4, "big")


class Stage:
    """A bastion before the hostile server, reached in clear and with TLS."""

    def __init__(self, running, server, plain, encrypted):
        self.bastion = running
        self.server = server
        self.plain = plain
        self.encrypted = encrypted


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory):
    directory = tmp_path_factory.mktemp("hostile")
    (directory / "password").write_text("the password that it must not get")
    (directory / "password").chmod(0o600)
    async with hostile(directory) as server:
        common = f"kind: postgres, credential: {{password: 'file:{directory}/password'}}"
        address = f"address: '127.0.0.1:{server.port}'"
        config = (
            f"  orders-db: {{{address}, {common}, tls: disable}}\n"
            f"  tls-db: {{{address}, {common}, tls_ca: {server.ca}}}\n"
        )
        policy = POLICY.replace("LOGINS", "[app]").replace("DATABASE", "{}")
        policy = policy.replace("names: [orders-db]", "names: [orders-db, tls-db]")
        async with (
            bastion(directory, policy=policy, config=config) as running,
            forward(running) as plain,
            forward(running, "tls-db:5432") as encrypted,
        ):
            yield Stage(running, server, plain, encrypted)


@pytest_asyncio.fixture(loop_scope="module")
async def alive(stage):
    """Whatever the server did, the next session goes on as if nothing had been."""
    yield
    stage.server.behave = well
    async with client(stage.plain) as one:
        assert b"Z" in dict(await one.answers())
        one.say(wire.query("select 1"))
        assert (b"C", b"SELECT 1\0") in await one.answers()


async def well(peer):
    await peer.greet()
    await peer.query()
    await peer.say(COLUMN, wire.encode_row([b"1"]), wire.encode(b"C", b"SELECT 1\0"))
    await peer.say(wire.ready("I"))
    await peer.gone()


def named(one):
    """What a case expects; a function would be named by its address."""
    return one if isinstance(one, str) else "server"


class Client:
    """A client that reads messages, whatever they are."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    def say(self, data):
        self.writer.write(data)

    async def answer(self):
        kind = await self.reader.readexactly(1)
        size = int.from_bytes(await self.reader.readexactly(4), "big")
        return kind, await self.reader.readexactly(size - 4)

    async def answers(self):
        """All up to ReadyForQuery, or the end."""
        found = []
        async with asyncio.timeout(30):
            with contextlib.suppress(asyncio.IncompleteReadError):
                while not found or found[-1][0] != b"Z":
                    found.append(await self.answer())
        return found


@contextlib.asynccontextmanager
async def client(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    one = Client(reader, writer)
    one.say(wire.startup([("user", "app"), ("database", "app")]))
    try:
        yield one
    finally:
        writer.close()


def error(answers):
    """The message of the last error, which ended the session."""
    assert answers[-1][0] == b"E", answers[-1]
    fields = wire.decode_fields(answers[-1][1])
    assert fields["V"] == "FATAL"
    return fields["M"]


# --- the login ----------------------------------------------------------------------------------


def scram(first):
    """Begin SCRAM, then answer the client's first message with what `first` makes of its nonce."""

    async def behave(peer):
        await peer.packet()
        await peer.say(wire.encode(b"R", (10).to_bytes(4, "big") + b"SCRAM-SHA-256\0\0"))
        nonce = (await peer.message())[1].rpartition(b"r=")[2].decode()
        await peer.say(wire.encode(b"R", (11).to_bytes(4, "big") + first(nonce).encode()))
        await peer.message()
        proof = b"v=" + b"A" * 43 + b"="
        await peer.say(wire.encode(b"R", (12).to_bytes(4, "big") + proof), GREETING)
        await peer.gone()

    return behave


def says(*data):
    async def behave(peer):
        await peer.packet()
        await peer.say(*data)
        await peer.gone()

    return behave


def auth(code, rest=b""):
    return wire.encode(b"R", code.to_bytes(4, "big") + rest)


SALT = "s=c2FsdHNhbHRzYWx0"


@pytest.mark.parametrize(
    ("behave", "said"),
    [
        (scram(lambda nonce: f"r={nonce}x,{SALT},i=4096"), "does not verify"),
        (scram(lambda nonce: f"r={nonce}x,{SALT},i=9000000"), "9000000 rounds"),
        (scram(lambda nonce: f"r={nonce}x,{SALT},i=2000000000"), "does not verify"),
        (scram(lambda nonce: f"r={nonce}x,{SALT},i=0"), "does not verify"),
        (scram(lambda nonce: f"r={nonce}x,{SALT},i=-5"), "does not verify"),
        (scram(lambda nonce: f"r={nonce}x,{SALT},i=x"), "does not verify"),
        (scram(lambda nonce: f"r={nonce}x,{SALT}"), "does not verify"),
        (scram(lambda nonce: f"r={nonce}x,s=!!,i=4096"), "does not verify"),
        (scram(lambda _: f"r=another,{SALT},i=4096"), "does not verify"),
        (scram(lambda _: "\x00\x00"), "does not verify"),
        (scram(lambda _: ""), "does not verify"),
        (says(auth(3)), "in the clear without TLS"),
        (says(auth(5, b"salt")), "in the clear without TLS"),
        (says(auth(5)), "in the clear without TLS"),
        (says(auth(7)), "in the clear without TLS"),
        (says(auth(11, b"r=")), "without TLS"),
        (says(auth(10, b"OAUTHBEARER\0\0")), "kind of login"),
        (says(wire.encode(b"R", b"\0")), "does not speak PostgreSQL"),
        (says(wire.encode(b"v", bytes(8))), "does not log in as PostgreSQL does"),
        (says(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "does not"),
        (says(b"\0" * 100), "does not speak PostgreSQL"),
        (says(wire.encode(b"E", b"garbage")), "does not speak PostgreSQL"),
        (says(wire.error("28P01", "no \x1b]0;you\x07 entry", fatal=True)), "no ␛]0;you␇"),
        (says(wire.notice("x") * 1000), "does not end"),
        (says(LOGGED_IN, wire.setting("a", "x" * 900_000) * 150, GREETING), "too much"),
        (says(LOGGED_IN, b"S\x7f\xff\xff\xff"), "does not speak PostgreSQL"),
        (says(LOGGED_IN, wire.encode(b"K", bytes(3)), wire.ready("I")), "BackendKeyData"),
        (says(LOGGED_IN, wire.encode(b"K", bytes(8)) * 2, wire.ready("I")), "type 'K'"),
    ],
    ids=named,
)
async def test_a_login_that_is_none(stage, behave, said):
    stage.server.behave = behave
    async with client(stage.plain) as one:
        assert said in error(await one.answers())


@pytest.mark.parametrize(
    "key", [b"", wire.encode(b"K", bytes(300)), wire.encode(b"K", bytes(8))], ids=len
)
async def test_any_key_of_a_server_is_the_servers_own(stage, key):
    stage.server.behave = says(LOGGED_IN, key, wire.ready("I"))
    async with client(stage.plain) as one:
        kinds = [kind for kind, _ in await one.answers()]
        assert kinds == [b"R", *[b"K"] * (1 if key else 0), b"Z"]


async def test_a_login_has_a_deadline(stage, monkeypatch):
    monkeypatch.setattr(target, "LOGIN_SECONDS", 0.3)
    half = LOGGED_IN + b"S\0\0\0\x10"
    silences = iter([b"", b"N", auth(10, b"SCRAM-SHA-256\0\0"), LOGGED_IN, half])

    async def behave(peer):
        await says(next(silences))(peer)

    async def told():
        async with client(stage.plain) as one:
            return error(await one.answers())

    stage.server.behave = behave
    for said in await asyncio.gather(*(told() for _ in range(5))):
        assert "did not finish the login in time" in said


async def test_a_login_that_trickles_has_the_same_deadline(stage, monkeypatch):
    monkeypatch.setattr(target, "LOGIN_SECONDS", 0.3)

    async def behave(peer):
        await peer.packet()
        for byte in GREETING * 1000:
            await peer.say(bytes([byte]))
            await asyncio.sleep(0.05)

    stage.server.behave = behave
    async with client(stage.plain) as one:
        assert "in time" in error(await one.answers())


# --- TLS ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"N", "does not encrypt"),
        (b"E", "does not encrypt"),
        (wire.error("08P01", "no"), "before encryption"),
        (b"S" + bytes(20), "before encryption"),
        (b"S", "broke off"),
    ],
)
async def test_tls_is_not_talked_away(stage, answer, said):
    async def behave(peer):
        assert await peer.packet() == TLS
        await peer.say(answer)
        if answer == b"S":
            await peer.reader.read(10)
            await peer.say(b"this is no TLS, and never was")
        await peer.gone()

    stage.server.behave = behave
    async with client(stage.encrypted) as one:
        assert said in error(await one.answers())


async def test_a_verified_server_may_ask_for_the_password_and_does_not_get_it_twice(stage):
    async def behave(peer):
        await peer.packet()
        await peer.say(b"S")
        await peer.writer.start_tls(stage.server.context)
        await peer.packet()
        await peer.say(auth(3))
        assert (await peer.message())[1] == b"the password that it must not get\0"
        await peer.say(GREETING)
        await peer.gone()

    stage.server.behave = behave
    async with client(stage.encrypted) as one:
        assert (await one.answers())[-1] == (b"Z", b"I")


# --- a session ------------------------------------------------------------------------------------


def answers(*data, end=False):
    """Greet, wait for a query, answer it."""

    async def behave(peer):
        await peer.greet()
        await peer.query()
        await peer.say(*data)
        if not end:
            await peer.gone()

    return behave


ROW = wire.encode_row([b"1"])


@pytest.mark.parametrize(
    ("behave", "said"),
    [
        (answers(b"T\x7f\xff\xff\xff" + bytes(100)), "claims 2147483647 bytes"),
        (answers(b"E\x3f\xff\xff\xff" + bytes(100)), "claims 1073741823 bytes"),
        (answers(b"D\0\0\0\0"), "claims 0 bytes"),
        (answers(b"?\0\0\0\x04"), "type '?', unknown"),
        (answers(wire.encode(b"W", b"\0\0\0")), "type 'W', unknown"),
        (answers(LOGGED_IN), "type 'R', unknown"),
        (answers(wire.encode(b"K", bytes(8))), "type 'K', unknown"),
        (answers(wire.encode(b"v", bytes(8))), "type 'v', unknown"),
        (answers(wire.encode(b"V", bytes(4))), "a call that nobody made"),
        (answers(wire.encode(b"1")), "what nobody asked"),
        (answers(wire.encode(b"Z", b"?")), "ready in a way"),
        (answers(wire.encode(b"C", b"SELECT 1\0"), wire.ready("I"), ROW), "nobody asked for"),
        (answers(wire.ready("I"), wire.encode(b"C", b"X\0")), "what nobody asked"),
        (answers(wire.ready("I"), wire.encode(b"G", bytes(3))), "a copy that nobody asked for"),
        (answers(wire.ready("I"), wire.encode(b"H", bytes(3))), "a copy that nobody asked for"),
        (answers(wire.setting("client_encoding", "SJIS")), "client_encoding"),
        (answers(wire.setting("standard_conforming_strings", "\x1b[2Joff")), "became ␛[2Joff"),
        (answers(wire.encode(b"S", b"no end")), "malformed ParameterStatus"),
        (answers(wire.encode(b"T", b"\xff\xff")), "malformed RowDescription"),
        (answers(wire.encode(b"E", b"Mx")), "malformed ErrorResponse"),
        (answers(b"D\0\0", end=True), "broke off"),
        (answers(end=True), "broke off"),
    ],
    ids=named,
)
async def test_what_no_server_says_ends_the_session_with_a_sentence(stage, behave, said):
    stage.server.behave = behave
    async with client(stage.plain) as one:
        await one.answers()
        one.say(wire.query("select 1"))
        while (found := await one.answers()) and found[-1][0] == b"Z":
            continue
        assert said in error(found)


@pytest.mark.parametrize(
    "tag",
    [b"SELECT " + b"9" * 5000, b"", b"\xff\xfe", b"SELECT \xd9\xa3", b"SELECT -1", b"\x1b[2J"],
)
async def test_any_tag_is_a_tag(stage, tag):
    stage.server.behave = answers(wire.encode(b"C", tag + b"\0"), wire.ready("I"))
    async with client(stage.plain) as one:
        await one.answers()
        one.say(wire.query("select 1"))
        assert await one.answers() == [(b"C", tag + b"\0"), (b"Z", b"I")]


async def test_the_servers_last_word_reaches_the_client(stage):
    fatal = wire.error("57P01", "terminating", fatal=True)
    stage.server.behave = answers(COLUMN, ROW, fatal, end=True)
    async with client(stage.plain) as one:
        await one.answers()
        one.say(wire.query("select 1"))
        assert [kind for kind, _ in await one.answers()] == [b"T", b"D", b"E"]


async def test_what_an_error_says_acts_on_no_recording(stage):
    evil = wire.error("XX000", "\x1b]0;title\x07\x1b[2J\r\n\u202eevil")
    stage.server.behave = answers(evil, wire.ready("I"))
    async with client(stage.plain) as one:
        await one.answers()
        one.say(wire.query("select 1"))
        await one.answers()
    newest = max(stage.bastion.casts(), key=lambda path: path.stat().st_mtime)
    text = newest.read_text()
    assert "title" in text
    assert "\\u001b" not in text
    assert "\u202e" not in text


async def test_a_client_leaves_a_server_that_fell_silent_in_the_middle(stage, alive):
    gone = asyncio.Event()

    async def behave(peer):
        await peer.greet()
        await peer.query()
        await peer.say(COLUMN, b"D\0\0\1\0half")
        await peer.gone()
        gone.set()

    stage.server.behave = behave
    async with client(stage.plain) as one:
        await one.answers()
        one.say(wire.query("select 1"))
        assert (await one.answer())[0] == b"T"
    async with asyncio.timeout(20):
        await gone.wait()


# --- memory ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "flood",
    [
        b"D\x3f\xff\xff\xff\0\1\x3f\xff\xff\xf5",
        wire.notice("n" * 1000)
        + wire.setting("application_name", "s" * 1000)
        + wire.encode(b"A", bytes(4) + b"channel\0" + b"p" * 1000 + b"\0"),
        COLUMN + ROW * 3000,
        ROW * 3000,
    ],
    ids=["one-row", "asides", "rows", "undescribed"],
)
async def test_a_flood_is_as_large_as_its_client_reads(stage, alive, flood):
    taken = 0

    async def behave(peer):
        nonlocal taken
        await peer.greet()
        await peer.query()
        data = flood
        while True:
            await peer.say(data)
            taken = peer.sent
            data = bytes(65536) if flood[:2] == b"D\x3f" else flood

    stage.server.behave = behave
    before = resident()
    async with client(stage.plain) as one:
        await one.answers()
        one.say(wire.query("select 1"))
        for _ in range(15 * MB // 65536):
            await one.reader.readexactly(65536)
        read, seen = taken, -1
        async with asyncio.timeout(30):
            while seen != taken:  # the client reads no more: nor is the server read
                seen = taken
                await asyncio.sleep(0.3)
        assert taken - read < 40 * MB
        assert resident() - before < GROWTH + 12 * MB
