"""Many database sessions, and clients that die in the middle of anything: nothing stays."""

from __future__ import annotations

import asyncio
import contextlib
import os

import psycopg
import pytest
import pytest_asyncio
import sqlalchemy as sa

from bastion.wire import postgres as wire
from tests.harness.database import database

pytestmark = [pytest.mark.story, pytest.mark.asyncio(loop_scope="module")]

SESSIONS = 60
AT_ONCE = 15
LAZY = {"descriptors": 20, "tasks": 10}
"""What may be made once, when first needed: another reader of SQL. A leak is one a session."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory):
    async with database(tmp_path_factory.mktemp("pg")) as running:
        await running.psql("-c", "SELECT 1")  # what is made once, as readers of SQL, is made
        yield running


def held(stage):
    """What a session holds: backends, tasks, descriptors, cancel keys, drives."""
    backends = stage.server.admin("SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'")
    services = stage.bastion.services
    return {
        "backends": int(backends),
        "tasks": len(asyncio.all_tasks()),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "keys": len(services.cancels._live),
        "questions": len(services.approvals.pending()),
        "drives": sum(len(one.drives) for one in stage.bastion.sessions.live()),
    }


@contextlib.asynccontextmanager
async def nothing_stays(stage):
    """All that is there afterwards was there before."""
    before = {what: count + LAZY.get(what, 0) for what, count in held(stage).items()}
    yield
    now = held(stage)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(20):
            while any(now[what] > before[what] for what in before):
                await asyncio.sleep(0.1)
                now = held(stage)
    assert {what: now[what] for what in now if now[what] > before[what]} == {}


async def raw(stage, *messages):
    """A client that has logged in, and sends messages without reading on."""
    reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
    writer.write(wire.startup([("user", "app"), ("database", "app")]))
    await reader.readuntil(wire.ready("I"))
    writer.write(b"".join(messages))
    await writer.drain()
    return reader, writer


async def test_sessions_in_bulk(stage):
    """Some are closed, some go away without a word."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(number):
        async with gate:
            if number % 3:
                async with await psycopg.AsyncConnection.connect(stage.dsn()) as connection:
                    await connection.execute("SELECT 1")
            else:
                _, writer = await raw(stage, wire.query("SELECT 1"))
                writer.transport.abort()

    async with nothing_stays(stage):
        await asyncio.gather(*map(one, range(SESSIONS)))


COPY = wire.query("COPY t FROM STDIN")
DELETES = wire.query("DELETE FROM t")
PORTAL = (
    wire.parse("s", "SELECT generate_series(1, 100)")
    + wire.encode(b"B", b"p\0s\0" + bytes(6))
    + wire.encode(b"E", b"p\0\0\0\0\5")
)


@pytest.mark.parametrize(
    "messages",
    [
        wire.query("SELECT pg_sleep(600)")[:-3],
        wire.query("BEGIN") + wire.query("UPDATE t SET v = v WHERE id = 1"),
        COPY + wire.encode(b"d", b"77\tx\n"),
        COPY + wire.encode(b"d", b"77\tx\n")[:-2],
        wire.query("SELECT repeat('x', 1000) FROM generate_series(1, 1000000)"),
        wire.query("COPY (SELECT repeat('x', 1000) FROM generate_series(1, 1000000)) TO STDOUT"),
        DELETES,
        PORTAL + wire.encode(b"H"),
        PORTAL * 50,
        wire.encode(b"S") * 5000,
    ],
    ids=[
        "half a message", "in a transaction", "copying in", "half a row", "not reading",
        "copying out", "held", "a portal", "pipelining", "syncs",
    ],
)  # fmt: skip
async def test_a_client_that_dies_leaves_nothing(stage, messages):
    async with nothing_stays(stage):
        _, writer = await raw(stage, messages)
        if messages == DELETES:
            await stage.bastion.pending()
        writer.transport.abort()
    assert stage.server.admin("SELECT count(*) FROM t") == "20"


async def test_a_client_that_dies_at_the_door_leaves_nothing(stage):
    startup = wire.startup([("user", "app"), ("database", "app")])
    async with nothing_stays(stage):
        for size in (0, 1, 4, 7, 8, 20, len(startup) - 1, len(startup)):
            _, writer = await asyncio.open_connection("127.0.0.1", stage.port)
            writer.write(startup[:size])
            await writer.drain()
            writer.transport.abort()


async def test_a_pool_resets_its_connections(stage):
    """What pools send between two users of a connection."""

    def story():
        engine = sa.create_engine(
            f"postgresql+psycopg://app@127.0.0.1:{stage.port}/app", pool_size=2, max_overflow=0
        )

        @sa.event.listens_for(engine, "reset")
        def reset(connection, _record, _state):
            connection.rollback()
            connection.autocommit = True
            for sql in ("SET SESSION AUTHORIZATION DEFAULT", "RESET ALL", "DISCARD ALL"):
                connection.execute(sql)
            connection.autocommit = False

        for number in range(12):
            with engine.connect() as connection:
                connection.exec_driver_sql("SET application_name = 'changed'")
                connection.execute(sa.text("SELECT v FROM t WHERE id = :n"), {"n": number}).all()
                with pytest.raises(sa.exc.DBAPIError, match="no-drop"):
                    connection.exec_driver_sql("DROP TABLE t")
        engine.dispose()

    async with nothing_stays(stage):
        await asyncio.to_thread(story)
