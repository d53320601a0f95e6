"""What a grant says of database sessions: read-only, roles made for a session."""

from __future__ import annotations

import asyncio

import asyncssh
import psycopg
import pytest
import pytest_asyncio

from tests.harness.database import TABLES, database, forward

pytestmark = [pytest.mark.story, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def reading(tmp_path_factory):
    async with database(
        tmp_path_factory.mktemp("pg"),
        sql=TABLES + "CREATE SEQUENCE s; GRANT ALL ON SEQUENCE s TO app;",
        terms="{read_only: true}",
        credential="temporary",
        logins="[reader, writer]",
        target="    roles: {reader: app, writer: app}\n"
        "  raw:\n    address: '127.0.0.1:9'\n    kind: tcp\n",
    ) as running:
        yield running


async def test_a_session_gets_a_role_of_its_own_that_ends_with_it(reading):
    ran = await reading.psql("-Atc", "SELECT session_user, current_user", user="reader")
    role, current = ran.stdout.decode().strip().split("|")
    assert role.startswith("bastion_")
    assert current == "app"
    async with asyncio.timeout(20):
        while reading.server.admin("SELECT rolname FROM pg_roles WHERE rolname LIKE 'bastion%'"):
            await asyncio.sleep(0.05)
    assert "VALID UNTIL" in reading.server.log
    assert reading.bastion.audited("role-made")[0]["role"] == role


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO t VALUES (1000, 'x')",
        "CREATE TABLE x (id int)",
        "SET default_transaction_read_only = off",
        "SET TRANSACTION READ WRITE",
        "BEGIN READ WRITE",
        "SELECT set_config('transaction_read_only', 'off', true)",
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
        "RESET default_transaction_read_only",
        "START TRANSACTION READ WRITE",
        "BEGIN ISOLATION LEVEL SERIALIZABLE, READ WRITE",
        "SET LOCAL transaction_read_only TO off",
        "SET default_transaction_read_only = DEFAULT",
        "SELECT set_config('default_transaction' || '_read_only', 'off', false)",
        "SELECT set_config(name, 'off', false) FROM pg_settings WHERE name LIKE 'default_tr%read%'",
        "UPDATE pg_settings SET setting = 'off' WHERE name = 'default_transaction_read_only'",
        "DO $$ BEGIN SET default_transaction_read_only = off; END $$",
        "DO $$ BEGIN EXECUTE 'SET default_transaction_read_' || 'only = off'; END $$",
        "SELECT lo_create(0)",
        "SELECT lo_from_bytea(0, 'x')",
        "SELECT lo_unlink(1)",
        "COPY t FROM STDIN",
        "SELECT 1 INTO x",
        "WITH d AS (DELETE FROM t WHERE id = 1 RETURNING *) SELECT * FROM d",
        "EXPLAIN ANALYZE DELETE FROM t WHERE id = 1",
        "PREPARE p AS DELETE FROM t WHERE id = 1",
        "ALTER ROLE app SET default_transaction_read_only = off",
    ],
)
async def test_a_read_only_session_stays_one(reading, sql):
    ran = await reading.psql("-c", sql, user="reader")
    assert "denied by rule read-only" in ran.stderr


async def test_after_all_that_a_session_still_only_reads(reading):
    """What resets every setting leaves it; the server refuses what only it can see."""
    async with await psycopg.AsyncConnection.connect(
        reading.dsn("reader"), autocommit=True
    ) as connection:
        for sql in ("RESET ALL", "DISCARD ALL", "BEGIN", "COMMIT", "SET ROLE app"):
            try:
                await connection.execute(sql)
            except psycopg.errors.InsufficientPrivilege:
                continue
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            await connection.execute("SELECT nextval('s')")
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            await connection.execute("SELECT * FROM t FOR UPDATE")


async def test_what_the_gate_does_not_see_the_server_refuses(reading):
    ran = await reading.psql("-Atc", "SHOW default_transaction_read_only", user="reader")
    assert ran.stdout == b"on\n"
    ran = await reading.psql("-c", "SELECT nextval('s')", user="reader")
    assert "read-only transaction" in ran.stderr


async def test_several_logins_want_a_name(reading):
    ran = await reading.psql("-c", "SELECT 1", user="root")
    assert "You are not root on orders-db" in ran.stderr
    assert "reader, writer" in ran.stderr


async def test_no_raw_tunnel_reaches_a_database_or_what_no_grant_forwards_to(reading):
    async with reading.bastion.connect("alice") as connection:
        for host, port, said in (("orders-db", 22, "not open"), ("raw", 9, "do not reach raw")):
            with pytest.raises(asyncssh.ChannelOpenError, match=said):
                await connection.open_connection(host, port)


async def test_the_bastion_says_what_a_database_is_reached_by(reading):
    ran = await reading.bastion.run("ssh", "bastion")
    assert "orders-db" in ran.stdout.decode() + ran.stderr
    ran = await reading.bastion.run("ssh", "reader@orders-db@bastion", "true")
    assert ran.status == 254
    assert "ssh -N -L" in ran.stderr


async def test_a_target_that_is_gone_is_told_in_one_sentence(reading):
    async with forward(reading.bastion) as port:
        ran = await reading.bastion.run(
            "psql",
            "-X",
            "-d",
            f"host=127.0.0.1 port={port} user=reader dbname=nowhere",
            "-c",
            "SELECT 1",
        )
    assert 'database "nowhere" does not exist' in ran.stderr
