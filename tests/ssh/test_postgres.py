"""PostgreSQL through the bastion: real clients, a real server, and what it really ran."""

from __future__ import annotations

import asyncio
import json
import signal

import asyncpg
import psycopg
import pytest
import pytest_asyncio

from tests.harness.database import database
from tests.harness.postgres import PASSWORD

pytestmark = [pytest.mark.story, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory):
    async with database(tmp_path_factory.mktemp("pg")) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def psy(stage):
    async with await psycopg.AsyncConnection.connect(stage.dsn(), autocommit=True) as connection:
        yield connection


@pytest_asyncio.fixture(loop_scope="module")
async def apg(stage):
    connection = await asyncpg.connect(
        host="127.0.0.1", port=stage.port, user="app", database="app", ssl=False
    )
    try:
        yield connection
    finally:
        await connection.close()


async def one(connection, sql, *parameters, **options):
    cursor = await connection.execute(sql, parameters or None, **options)
    return (await cursor.fetchone())[0]


# --- psql ---------------------------------------------------------------------------------------


async def test_psql_never_needs_the_password(stage):
    ran = await stage.psql("-w", "-Atc", "SELECT current_user, count(*) FROM t")
    assert ran.stderr == ""
    assert ran.stdout == b"app|20\n"
    assert PASSWORD not in stage.bastion.audit() + stage.events()


async def test_psql_backslash_commands_work(stage):
    ran = await stage.psql("-At", stdin=b"\\d t\n\\dt\n\\du\n\\l\n\\copy t to stdout\n")
    assert ran.stderr == ""
    assert b"id|integer||not null|" in ran.stdout
    assert b"20\tv20" in ran.stdout


async def test_a_denied_statement_names_the_rule_and_leaves_the_session(stage):
    ran = await stage.psql("-At", stdin=b"DROP TABLE t;\nSELECT 'still here';\n")
    assert "denied by rule no-drop: Tables stay." in ran.stderr
    assert "HINT:  Ask the owner." in ran.stderr
    assert ran.stdout == b"still here\n"
    assert "DROP TABLE t" not in stage.server.log


async def test_nothing_of_a_message_runs_before_its_strictest_statement(stage):
    ran = await stage.psql("-c", "INSERT INTO t VALUES (77, 'x'); DROP TABLE t")
    assert ran.status != 0
    assert stage.server.admin("SELECT count(*) FROM t WHERE id = 77") == "0"


async def test_a_held_delete_runs_when_it_is_granted(stage):
    running = asyncio.create_task(
        stage.psql("-At", stdin=b"BEGIN;\nDELETE FROM people;\nROLLBACK;\nSELECT 'on';\n")
    )
    approval = await stage.bastion.pending()
    (held,) = stage.bastion.services.approvals.pending()
    assert held.question.request == b"DELETE FROM people;"
    assert ("runs", "an open transaction waits with it, and keeps its locks") in held.question.facts
    assert "DELETE FROM people" not in stage.server.log
    stage.bastion.answer(approval, grant=True)
    ran = await running
    assert f"NOTICE:  bastion: held for approval {approval}" in ran.stderr
    assert ran.stdout.split() == [b"BEGIN", b"DELETE", b"2", b"ROLLBACK", b"on"]
    assert "DELETE FROM people" in stage.server.log


async def test_a_held_delete_that_is_refused_is_an_error(stage):
    running = asyncio.create_task(stage.psql("-At", stdin=b"UPDATE t SET v = 1;\nSELECT 'on';\n"))
    stage.bastion.answer(await stage.bastion.pending(), grant=False, reason="not today")
    ran = await running
    assert "refused by bob (rule every-row): not today" in ran.stderr
    assert ran.stdout == b"on\n"
    assert "UPDATE t SET v = 1" not in stage.server.log


async def test_ctrl_c_withdraws_what_is_held(stage):
    process = await stage.bastion.start(
        "psql", "-X", "-At", "-d", stage.dsn(), "-c", "DELETE FROM t", "-c", "SELECT 'on'"
    )
    await stage.bastion.pending()
    process.send_signal(signal.SIGINT)
    stdout, stderr = await process.communicate()
    assert b"canceling statement due to user request" in stderr
    assert not stage.bastion.services.approvals.pending()
    assert b"DELETE FROM t\n" not in stage.server.log.encode()
    assert stdout == b"on\n" or b"canceling" in stderr


async def test_ctrl_c_cancels_what_runs(stage):
    process = await stage.bastion.start(
        "psql", "-X", "-At", "-d", stage.dsn(), "-c", "SELECT pg_sleep(60)"
    )
    async with asyncio.timeout(30):
        while not stage.server.admin(
            "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state='active'"
            " AND usename = 'app'"
        ):
            await asyncio.sleep(0.05)
    process.send_signal(signal.SIGINT)
    async with asyncio.timeout(20):
        _, stderr = await process.communicate()
    assert b"canceling statement due to user request" in stderr


async def test_another_identity_cancels_nothing(stage, psy):
    """A cancel key is worth nothing without the identity that it was given to."""
    cancels = stage.bastion.services.cancels
    told: list[int] = []
    pid, live = psy.info.backend_pid, next(iter(cancels._live))
    (key,) = {one.key()[1] for one in cancels._live if one.key()[0] == pid}
    assert not cancels.cancel("somebody#else", "orders-db", pid, key, lambda: told.append(1))
    assert not cancels.cancel(live.identity, "other-db", pid, key, lambda: told.append(1))
    assert not cancels.cancel(
        live.identity, "orders-db", pid, bytes(len(key)), lambda: told.append(1)
    )
    assert len(told) == 3


async def test_a_closed_client_withdraws_what_it_asked(stage):
    process = await stage.bastion.start("psql", "-X", "-d", stage.dsn(), "-c", "DELETE FROM t")
    await stage.bastion.pending()
    process.kill()
    await process.wait()
    async with asyncio.timeout(20):
        while stage.bastion.services.approvals.pending():
            await asyncio.sleep(0.02)


async def test_copy_both_ways(stage):
    await stage.psql("-c", "CREATE TABLE copied (id int, v text)")
    lines = "".join(f"{n}\tvalue {n}\n" for n in range(50_000)).encode()
    ran = await stage.psql("-c", "COPY copied FROM STDIN", stdin=lines)
    assert ran.stderr == ""
    ran = await stage.psql("-c", "COPY copied TO STDOUT")
    assert ran.stdout == lines
    ran = await stage.psql("-c", "COPY copied FROM STDIN", stdin=b"x\ty\n")
    assert "invalid input syntax" in ran.stderr


async def test_pg_dump_and_restore(stage):
    ran = await stage.bastion.run("pg_dump", "-d", stage.dsn(), "-t", "t", "-t", "people")
    assert ran.status == 0, ran.stderr
    assert b"123-45-6789" in ran.stdout
    text = ran.stdout.replace(b"public.t", b"public.t2").replace(b"public.people", b"public.p2")
    text = text.replace(b"CONSTRAINT t_", b"CONSTRAINT t2_").replace(b"people_", b"p2_")
    lines = [one for one in text.split(b"\n") if b"OWNER" not in one and b"GRANT" not in one]
    restored = await stage.psql("-v", "ON_ERROR_STOP=1", stdin=b"\n".join(lines))
    assert restored.status == 0, restored.stderr
    assert stage.server.admin("SELECT count(*) FROM p2") == "2"


async def test_sslmode_require_is_told_why(stage):
    ran = await stage.bastion.run(
        "psql", "-X", "-d", stage.dsn(sslmode="require"), "-c", "SELECT 1"
    )
    assert "server does not support SSL" in ran.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"replication": "database"}, "replication protocol is not spoken"),
        ({"options": "'-c standard_conforming_strings=off'"}, "denied by rule pinned-setting"),
        ({"options": "'-B 16'"}, "cannot be given through the bastion"),
        ({"client_encoding": "SJIS"}, "client_encoding SJIS is not spoken"),
    ],
)
async def test_what_would_undo_the_gate_is_refused_at_the_door(stage, options, said):
    ran = await stage.bastion.run("psql", "-X", "-d", stage.dsn(**options), "-c", "SELECT 1")
    assert said in ran.stderr


@pytest.mark.parametrize(
    "sql",
    [
        "SET client_encoding TO sjis",
        "SET standard_conforming_strings = off",
        "SELECT set_config('standard_conforming_strings', 'off', false)",
        "SET backslash_quote = on",
    ],
)
async def test_settings_that_change_how_sql_is_read_stay(psy, sql):
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="pinned-setting"):
        await psy.execute(sql)
    assert await one(psy, "SELECT 1") == 1


# --- drivers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("prepare", [None, True])
async def test_psycopg(psy, binary, prepare):
    cursor = await psy.execute(
        "SELECT id, v FROM t WHERE id = %s AND v = %s", (3, "v3"), binary=binary, prepare=prepare
    )
    assert await cursor.fetchall() == [(3, "v3")]
    for _ in range(3):
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="no-drop"):
            await psy.execute("DROP TABLE t", prepare=prepare)
        assert await one(psy, "SELECT 1", prepare=prepare) == 1


async def test_a_refusal_really_aborts_the_transaction(stage):
    async with await psycopg.AsyncConnection.connect(stage.dsn()) as connection:
        await connection.execute("INSERT INTO t VALUES (500, 'half')")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await connection.execute("TRUNCATE t")
        assert connection.info.transaction_status == psycopg.pq.TransactionStatus.INERROR
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            await connection.execute("SELECT 1")
        await connection.rollback()
        assert await one(connection, "SELECT count(*) FROM t WHERE id = 500") == 0


async def test_psycopg_pipeline(stage, psy):
    async with psy.pipeline():
        first = await psy.execute("SELECT 1")
        second = await psy.execute("SELECT v FROM t WHERE id = %s", (2,))
        assert await first.fetchone() == (1,)
        assert await second.fetchone() == ("v2",)


async def drops_in_a_pipeline(psy):
    async with psy.pipeline():
        await psy.execute("SELECT 1")
        await psy.execute("DROP TABLE t")
        await psy.execute("SELECT 2")


async def test_a_refusal_in_a_pipeline_ends_the_pipeline_alone(psy):
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        await drops_in_a_pipeline(psy)
    assert await one(psy, "SELECT 3") == 3


async def test_psycopg_executemany_and_copy(psy):
    await psy.execute("CREATE TEMP TABLE many (id int, v text)")
    async with psy.cursor() as cursor:
        await cursor.executemany("INSERT INTO many VALUES (%s, %s)", [(n, "x") for n in range(300)])
        async with cursor.copy("COPY many FROM STDIN (FORMAT binary)") as copy:
            copy.set_types(["int4", "text"])
            for n in range(100):
                await copy.write_row((n, "y"))
    assert await one(psy, "SELECT count(*) FROM many") == 400


async def test_asyncpg(apg):
    assert await apg.fetchval("SELECT $1::int + 1", 41) == 42
    for _ in range(3):
        rows = await apg.fetch("SELECT id, v FROM t WHERE id < $1 ORDER BY id", 3)
        assert [tuple(row) for row in rows] == [(1, "v1"), (2, "v2")]
    with pytest.raises(asyncpg.InsufficientPrivilegeError) as caught:
        await apg.execute("DROP TABLE t")
    assert caught.value.hint == "Ask the owner."
    async with apg.transaction():
        async for row in apg.cursor("SELECT id FROM t ORDER BY id"):
            assert row["id"] > 0
    async with apg.transaction():
        statement = await apg.prepare("SELECT v FROM t WHERE id = $1")
        assert [await statement.fetchval(n) for n in (1, 2, 3)] == ["v1", "v2", "v3"]


async def test_asyncpg_times_out_of_a_hold_and_goes_on(stage, apg):
    with pytest.raises(TimeoutError):
        await apg.execute("DELETE FROM t", timeout=1)
    assert await apg.fetchval("SELECT 1") == 1
    assert not stage.bastion.services.approvals.pending()


async def test_a_prepared_statement_is_held_when_it_is_executed(stage, apg):
    statement = await apg.prepare("UPDATE people SET name = $1")
    assert not stage.bastion.services.approvals.pending()
    running = asyncio.create_task(statement.fetch("eve"))
    approval = await stage.bastion.pending()
    (held,) = stage.bastion.services.approvals.pending()
    assert held.question.request == b"UPDATE people SET name = $1 -- $1 = 'eve'"
    stage.bastion.answer(approval, grant=False)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await running
    assert stage.server.admin("SELECT name FROM people WHERE id = 1") == "ann"


async def test_execute_of_a_statement_that_was_seen_is_decided_by_its_text(stage, psy):
    await psy.execute("PREPARE fine AS SELECT v FROM t WHERE id = 4")
    assert await one(psy, "EXECUTE fine") == "v4"
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="no-drop"):
        await psy.execute("DO $$ BEGIN EXECUTE 'x'; DROP TABLE t; END $$")


async def test_function_calls_by_number_are_refused(stage, psy):
    ran = await stage.psql("-c", "\\lo_import /etc/hostname")
    assert "Functions are not called by their number here" in ran.stderr


async def test_notices_and_notifications_arrive(stage):
    async with await psycopg.AsyncConnection.connect(stage.dsn(), autocommit=True) as listening:
        await listening.execute("LISTEN there")
        await stage.psql("-c", "NOTIFY there, 'hello'")
        async with asyncio.timeout(20):
            async for notification in listening.notifies(stop_after=1):
                assert notification.payload == "hello"


async def test_a_secret_in_a_cell_is_masked_counted_and_no_end(stage, psy):
    """Metrics took the audit of a masked cell for that of a stream, and the session ended."""
    secret = "npm_" + "1A2b3C4d5E6f7G8h9I0jK1l2M3n4O5p6Q7r8"
    for _ in range(2):
        assert secret not in await one(psy, "SELECT %s::text", secret)
    assert stage.bastion.audited("masked")[-1]["secrets"]


async def test_the_process_id_of_a_connection_is_the_servers(psy):
    """By it SQL names sessions: in NOTIFY, pg_stat_activity, pg_terminate_backend, lock waits."""
    assert await one(psy, "SELECT pg_backend_pid()") == psy.info.backend_pid


async def test_large_rows_and_many_rows(psy):
    assert await one(psy, "SELECT length(repeat('x', 5000000))") == 5_000_000
    assert len(await one(psy, "SELECT repeat('x', 5000000)")) == 5_000_000
    cursor = await psy.execute("SELECT n, repeat('y', 50) FROM generate_series(1, 100000) n")
    assert len(await cursor.fetchall()) == 100_000


async def test_what_crashes_the_parser_crashes_nothing_else(psy):
    """An 80 KB statement of nested expressions ends libpg_query's process, and no session."""
    with pytest.raises(psycopg.Error):
        await psy.execute("SELECT " + "(" * 200_000 + "1" + ")" * 200_000)
    with pytest.raises(psycopg.Error):
        await psy.execute("SELECT 1" + "+1" * 100_000)
    assert await one(psy, "SELECT 1") == 1


async def test_bytes_that_are_no_utf8_are_refused(psy):
    with pytest.raises(psycopg.errors.CharacterNotInRepertoire, match="not UTF8"):
        await psy.execute(b"SELECT '\xbf\x5c'")
    assert await one(psy, "SELECT 1") == 1


async def test_syntax_errors_are_told_at_once_and_at_their_place(psy):
    with pytest.raises(psycopg.errors.SyntaxError, match="selec") as told:
        await psy.execute("select 'ü';\n  selec 1")
    assert told.value.diag.statement_position == "15"


# --- the record -----------------------------------------------------------------------------------


async def test_every_statement_is_on_record(stage, psy):
    await psy.execute("SELECT v FROM t WHERE id < %s", (6,))
    with pytest.raises(psycopg.errors.DivisionByZero):
        await psy.execute("SELECT 1 / %s", (0,))
    events = [json.loads(line) for line in stage.events().splitlines()]
    queries = [event["fields"] for event in events if event["kind"] == "query"]
    done = [event["fields"] for event in events if event["kind"] == "query-done"]
    asked = next(one for one in queries if one["sql"] == "SELECT v FROM t WHERE id < $1")
    assert asked["parameters"] == ["6"]
    assert asked["action"] == "allow"
    assert any(one["rows"] == 5 and one["tag"] == "SELECT 5" for one in done)
    assert any(one["sqlstate"] == "22012" for one in done)
    cast = "".join(path.read_text() for path in stage.bastion.casts())
    assert "SELECT v FROM t WHERE id < $1" in cast
    assert '"kind":"database"' in stage.bastion.audit() or "database app" in stage.bastion.audit()
