"""What a grant says of database sessions: masked columns, read-only, roles made for a session."""

from __future__ import annotations

import asyncio

import asyncpg
import asyncssh
import psycopg
import pytest
import pytest_asyncio

from tests.harness.database import TABLES, database, forward

pytestmark = [pytest.mark.story, pytest.mark.asyncio(loop_scope="module")]

SSN = "123-45-6789"
MORE = (
    TABLES
    + """
CREATE VIEW v_people AS SELECT id, upper(ssn) AS code FROM people;
CREATE TABLE staff (rank int) INHERITS (people);
INSERT INTO staff VALUES (9, 'zoe', '123-45-6789', NULL, 1);
CREATE FUNCTION reads() RETURNS SETOF text LANGUAGE sql AS 'SELECT ssn FROM people';
CREATE FUNCTION says() RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE '123-45-6789'; END $$;
CREATE MATERIALIZED VIEW m_people AS SELECT id, ssn FROM people;
CREATE TABLE parts (id int, ssn text) PARTITION BY LIST (id);
CREATE TABLE part1 PARTITION OF parts FOR VALUES IN (1);
INSERT INTO parts VALUES (1, '123-45-6789');
GRANT ALL ON v_people, staff, m_people, parts, part1 TO app, cert;
"""
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def masked(tmp_path_factory):
    async with database(
        tmp_path_factory.mktemp("pg"),
        sql=MORE,
        terms="{mask: [people.ssn, people.born, parts.ssn], parameters: false}",
        credential="certificate",
        logins="[cert]",
    ) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def psy(masked):
    async with await psycopg.AsyncConnection.connect(masked.dsn(), autocommit=True) as connection:
        yield connection


@pytest.mark.parametrize(
    "sql",
    [
        "ALTER TABLE people RENAME TO others",
        "ALTER TABLE people RENAME COLUMN ssn TO code",
        "ALTER TABLE people SET SCHEMA pg_temp",
        "CREATE TABLE more () INHERITS (people)",
        "CREATE TABLE part9 PARTITION OF parts FOR VALUES IN (9)",
        "ALTER TABLE t INHERIT people",
    ],
)
async def test_a_masked_table_keeps_its_name_and_its_columns_to_itself(psy, sql):
    """Masks go by what tables were called when the session began."""
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="masked table"):
        await psy.execute(sql)


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SELECT id, ssn FROM people ORDER BY id LIMIT 2", [(1, "[masked]"), (2, "[masked]")]),
        ("SELECT ssn AS harmless FROM people WHERE id = 1", [("[masked]",)]),
        ("SELECT born FROM people WHERE id = 1", [(None,)]),
        ("SELECT q.ssn FROM (SELECT * FROM people) q WHERE q.id = 1", [("[masked]",)]),
        ("WITH q AS (SELECT ssn, id FROM people) SELECT ssn FROM q WHERE id = 1", [("[masked]",)]),
        ("SELECT ssn FROM staff", [("[masked]",)]),
        ("SELECT code FROM v_people LIMIT 1", [("[masked]",)]),
        ("UPDATE people SET name = name WHERE id = 1 RETURNING ssn", [("[masked]",)]),
        ("SELECT * FROM ONLY people p WHERE id = 1", [(1, "ann", "[masked]", None)]),
        ("SELECT ssn FROM m_people LIMIT 1", [("[masked]",)]),
        ("SELECT ssn FROM parts", [("[masked]",)]),
        ("SELECT ssn AS x FROM part1", [("[masked]",)]),
    ],
)
@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("prepare", [False, True])
async def test_masked_columns_come_out_masked(psy, sql, rows, binary, prepare):
    for _ in range(2):  # a prepared statement is executed again without a description
        cursor = await psy.execute(sql, binary=binary, prepare=prepare)
        assert await cursor.fetchall() == rows


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT ssn FROM people OFFSET 0",
        "SELECT ssn FROM (SELECT * FROM people OFFSET 0) q",
        "WITH q AS MATERIALIZED (SELECT * FROM people) SELECT ssn FROM q",
        "SELECT p.ssn FROM people p NATURAL JOIN (SELECT 1 AS id) q",
        "SELECT p.ssn FROM t JOIN people p USING (id)",
        "SELECT q.ssn FROM t, LATERAL (SELECT ssn FROM people p WHERE p.id = t.id) q",
        "SELECT ssn FROM people FOR UPDATE",
        "SELECT ssn FROM people TABLESAMPLE SYSTEM (100)",
        "SELECT (p).ssn FROM people p",
        "SELECT ssn::text FROM people",
        "SELECT DISTINCT ssn FROM people",
        "SELECT ssn FROM people GROUP BY ssn",
        "SELECT p FROM people p",
        "SELECT p.* FROM people p FULL JOIN t USING (id)",
        "INSERT INTO people VALUES (70, 'x', 'y', NULL) RETURNING ssn",
    ],
)
async def test_however_a_column_comes_out_it_is_masked_or_refused(psy, sql):
    """What the server reports as the column is masked; what could be it is refused."""
    try:
        shown = str(await (await psy.execute(sql)).fetchall())
    except psycopg.errors.InsufficientPrivilege as refused:
        shown = str(refused)
    assert SSN not in shown
    assert any(word in shown for word in ("[masked]", "masked-column", "[(None,)"))


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT ssn::bytea FROM people",
        'SELECT ssn COLLATE "C" FROM people',
        "SELECT CASE WHEN true THEN ssn END FROM people",
        "SELECT first_value(ssn) OVER () FROM people",
        "SELECT ssn FROM people UNION SELECT 'x'",
        "SELECT ssn FROM people p FULL JOIN people q USING (ssn)",
        "SELECT unnest(ARRAY[ssn]) FROM people",
        "SELECT to_jsonb(p)->>'ssn' FROM people p",
        "SELECT xmlelement(name a, ssn) FROM people",
        "SELECT ssn::int FROM people",
        "SELECT ROW(p.*) FROM people p",
        "SELECT string_agg(ssn, ',') FROM people",
        "SELECT array_agg(p) FROM people p",
        "SELECT json_agg(p) FROM people p",
        "SELECT count(*) FROM people GROUP BY substr(ssn, 1, 1)",
        "SELECT id FROM people WHERE ssn > '5'",
        "SELECT id FROM people WHERE (id, ssn) IN ((1, '1'))",
        "SELECT 1 FROM people p JOIN t ON t.v = p.ssn",
        "SELECT id FROM people ORDER BY 1, ssn",
        "SELECT id, rank() OVER (ORDER BY ssn) FROM people",
        "UPDATE t SET v = p.ssn FROM people p WHERE t.id = p.id",
        "INSERT INTO people (id, name) SELECT 80, ssn FROM people",
        "DELETE FROM t USING people p WHERE p.ssn LIKE '1%' AND t.id = p.id",
        "CREATE VIEW w AS SELECT ssn AS s FROM people",
        "CREATE INDEX ON people ((1 / (ssn = 'x')::int))",
        "SELECT * FROM parts WHERE ssn = '1'",
        "SELECT lower(ssn) FROM part1",
        "SELECT lower(ssn) FROM m_people",
        "DECLARE c CURSOR FOR SELECT lower(ssn) FROM people",
        "PREPARE x AS SELECT lower(ssn) FROM people",
        "SELECT histogram_bounds FROM pg_catalog.pg_stats",
        "SELECT stavalues1 FROM pg_statistic",
        "EXPLAIN SELECT 1 FROM people WHERE ssn = 'x'",
        "SELECT table_to_xml('people', true, true, '')",
        "SELECT query_to_xml('select s' || 'sn from people', true, true, '')",
        "SELECT schema_to_xml('public', true, true, '')",
        "DO $$ BEGIN EXECUTE 'create temp table y as select s' || 'sn from people'; END $$",
        "SELECT setval('s', ssn::int) FROM people",
        "MERGE INTO t USING people p ON t.id = p.id WHEN MATCHED THEN UPDATE SET v = p.ssn",
        "SELECT substr(ssn, 1, 3) FROM people",
        "SELECT ssn || '' FROM people",
        "SELECT ssn::varchar FROM people",
        "SELECT max(ssn) FROM people",
        "SELECT row_to_json(p) FROM people p",
        "SELECT p::text FROM people p",
        "SELECT name FROM people UNION ALL SELECT ssn FROM people",
        "SELECT (SELECT ssn FROM people LIMIT 1)",
        "SELECT 1 FROM people WHERE ssn LIKE '123%'",
        "SELECT id FROM people ORDER BY ssn",
        "SELECT 1 / (CASE WHEN ssn = '1' THEN 0 ELSE 1 END) FROM people",
        "UPDATE people SET name = ssn WHERE id = 1 RETURNING name",
        "CREATE TEMP TABLE x AS SELECT ssn FROM people",
        "INSERT INTO t SELECT 900, ssn FROM people",
        "SELECT set_config('application_name', ssn, false) FROM people",
        "SELECT pg_notify('c', ssn) FROM people",
        "EXPLAIN ANALYZE SELECT 1 FROM people WHERE ssn = '1'",
        "SELECT most_common_vals FROM pg_stats WHERE tablename = 'people'",
        "DO $$ BEGIN RAISE NOTICE '%', (SELECT ssn FROM people LIMIT 1); END $$",
        "SELECT lower(code) FROM v_people",
        "SELECT * FROM reads()",
        "SELECT says()",
        "COPY people TO STDOUT (NULL 'x\\')",
        "COPY (SELECT lower(ssn) FROM people) TO STDOUT",
        "COPY people TO STDOUT; SELECT 1",
        "SELECT query_to_xml('select ssn from people', true, true, '')",
    ],
)
async def test_evasions_of_a_mask_are_refused(masked, psy, sql):
    with pytest.raises(
        (psycopg.errors.InsufficientPrivilege, psycopg.errors.QueryCanceled)
    ) as caught:
        await psy.execute(sql)
    assert "masked-column" in str(caught.value)
    assert SSN not in str(caught.value)
    assert await (await psy.execute("SELECT 1")).fetchone() == (1,)


@pytest.mark.parametrize(
    ("sql", "copied"),
    [
        ("COPY people TO STDOUT", b"1\tann\t[masked]\t\\N\n"),
        ("COPY people (ssn, id) TO STDOUT", b"[masked]\t1\n"),
        ("COPY part1 TO STDOUT", b"1\t[masked]\n"),
        ("COPY (SELECT ssn AS x, id FROM people WHERE id = 1) TO STDOUT", b"[masked]\t1\n"),
        (
            "COPY people TO STDOUT (FORMAT csv, HEADER, DELIMITER ';', FORCE_QUOTE (ssn))",
            b'id;name;ssn;born\n1;ann;"[masked]";\n',
        ),
        ("COPY people (ssn, id) TO STDOUT (DELIMITER '[')", b"\\[masked][1\n"),
        ("COPY people (born, ssn) TO STDOUT (NULL 'nil')", b"nil\t[masked]\n"),
        ("COPY people (ssn, id) TO STDOUT (ENCODING 'SJIS')", b"[masked]\t1\n"),
        ("COPY people (ssn) TO STDOUT (FORMAT binary)", b"\0\1\xff\xff\xff\xff"),
    ],
)
async def test_masked_columns_are_copied_out_masked(psy, sql, copied):
    async with psy.cursor().copy(sql) as copy:
        data = b"".join([bytes(block) async for block in copy])
    rows = data.splitlines(keepends=True)  # in any order: other tests have updated some
    assert copied in data or set(copied.splitlines(keepends=True)) <= set(rows)
    assert SSN.encode() not in data
    assert b"1980" not in data
    assert await (await psy.execute("SELECT 1")).fetchone() == (1,)


async def test_what_does_not_exist_is_not_copied_and_the_session_goes_on(psy):
    with pytest.raises(psycopg.errors.UndefinedColumn):
        async with psy.cursor().copy("COPY people (nothing) TO STDOUT"):
            pass
    async with psy.transaction():
        with pytest.raises(psycopg.errors.UndefinedColumn):
            async with psy.transaction(), psy.cursor().copy("COPY people (no) TO STDOUT"):
                pass
        assert await (await psy.execute("SELECT 1")).fetchone() == (1,)


async def test_what_cannot_touch_a_masked_table_keeps_its_errors(psy):
    with pytest.raises(psycopg.errors.UniqueViolation, match=r"\(id\)=\(1\) already exists"):
        await psy.execute("INSERT INTO t VALUES (1, 'x')")
    with pytest.raises(psycopg.errors.InvalidTextRepresentation, match='integer: "abc"'):
        await psy.execute("SELECT ('ab' || 'c')::int")


async def test_errors_keep_values_to_themselves(psy):
    with pytest.raises(psycopg.errors.UniqueViolation, match="people_pkey") as caught:
        await psy.execute("INSERT INTO people (id, ssn) VALUES (1, %s)", (SSN,))
    assert caught.value.diag.message_detail is None  # where the values are
    with pytest.raises(psycopg.errors.InvalidTextRepresentation, match="withheld by the bastion"):
        await psy.execute("SELECT id FROM people WHERE id = 'a'::int")
    with pytest.raises(psycopg.errors.UniqueViolation, match="withheld by the bastion"):
        await psy.execute(
            "DO $$ BEGIN PERFORM id FROM people; RAISE 'a value' USING ERRCODE = '23505'; END $$"
        )
    with pytest.raises(psycopg.errors.UndefinedTable, match="no_such_table"):
        await psy.execute("SELECT * FROM no_such_table")


async def test_asyncpg_reads_masked_rows(masked):
    connection = await asyncpg.connect(
        host="127.0.0.1", port=masked.port, user="anybody", database="app", ssl=False
    )
    try:
        rows = await connection.fetch("SELECT id, ssn, born FROM people WHERE id = $1", 1)
        assert [tuple(row) for row in rows] == [(1, "[masked]", None)]
        async with connection.transaction():
            async for row in connection.cursor("SELECT ssn FROM people", prefetch=1):
                assert row["ssn"] == "[masked]"
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.fetch("SELECT lower(ssn) FROM people")
    finally:
        await connection.close()


async def test_a_cursor_of_sql_is_masked(psy):
    async with psy.transaction():
        await psy.execute("DECLARE c CURSOR FOR SELECT ssn FROM people")
        assert await (await psy.execute("FETCH 1 FROM c")).fetchall() == [("[masked]",)]


async def test_values_are_kept_off_the_record(masked, psy):
    await psy.execute("SELECT 1 FROM people WHERE id = %s", (424242,))
    assert "424242" not in masked.events() + masked.bastion.audit()
    assert SSN not in "".join(path.read_text() for path in masked.bastion.casts())


# --- read-only, and a role for each session -------------------------------------------------------


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
