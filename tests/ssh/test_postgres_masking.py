"""Masked columns of a database: they come out masked, and no other way tells what they hold."""

from __future__ import annotations

import asyncpg
import psycopg
import pytest
import pytest_asyncio

from tests.harness.database import TABLES, database

pytestmark = [pytest.mark.story, pytest.mark.asyncio(loop_scope="module")]

SSN = "123-45-6789"
VALUES = (SSN, "987-65-4321", "1980")
MORE = (
    TABLES
    + """
CREATE VIEW v_people AS SELECT id, upper(ssn) AS code FROM people;
CREATE VIEW v_names AS SELECT id, name FROM people;
CREATE VIEW v_whole AS SELECT p.id, p AS w, to_jsonb(p) AS j FROM people p;
CREATE TABLE staff (rank int) INHERITS (people);
INSERT INTO staff VALUES (9, 'zoe', '123-45-6789', NULL, 1);
CREATE FUNCTION reads() RETURNS SETOF text LANGUAGE sql AS 'SELECT ssn FROM people';
CREATE FUNCTION says() RETURNS void LANGUAGE plpgsql AS
    $$ BEGIN RAISE NOTICE '%', (SELECT ssn FROM people LIMIT 1); END $$;
CREATE FUNCTION calls() RETURNS text LANGUAGE plpgsql AS
    $$ BEGIN RETURN (SELECT r FROM reads() r LIMIT 1); END $$;
CREATE FUNCTION runs(text) RETURNS int LANGUAGE plpgsql AS $$ BEGIN EXECUTE $1; RETURN 1; END $$;
CREATE FUNCTION fetches(c refcursor) RETURNS text LANGUAGE plpgsql AS
    $$ DECLARE r record; BEGIN FETCH c INTO r; RETURN r::text; END $$;
CREATE FUNCTION adds_ssn(text, int) RETURNS text LANGUAGE sql AS
    'SELECT $1 || ssn FROM people WHERE id = $2';
CREATE AGGREGATE gathers (int) (sfunc = adds_ssn, stype = text);
CREATE VIEW v_reads AS SELECT * FROM reads();
CREATE VIEW v_where AS SELECT id FROM people WHERE ssn LIKE '1%';
CREATE VIEW v_plain AS SELECT id, ssn AS code FROM people;
CREATE VIEW v_of_view AS SELECT id, code AS c FROM v_plain;
CREATE TABLE given (id int, v text DEFAULT calls()); INSERT INTO given VALUES (1);
CREATE FUNCTION slug(text) RETURNS text LANGUAGE sql AS 'SELECT lower($1)';
CREATE FUNCTION names() RETURNS SETOF text LANGUAGE plpgsql AS
    $$ BEGIN RETURN QUERY SELECT slug(name) FROM people WHERE id > 0; END $$;
CREATE MATERIALIZED VIEW m_people AS SELECT id, ssn FROM people;
CREATE TABLE parts (id int, ssn text) PARTITION BY LIST (id);
CREATE TABLE part1 PARTITION OF parts FOR VALUES IN (1);
INSERT INTO parts VALUES (1, '123-45-6789');
CREATE TABLE above (id int, pin text);
CREATE TABLE below () INHERITS (above);
INSERT INTO below VALUES (1, '123-45-6789');
CREATE TABLE made (id int, ssn text, upper text GENERATED ALWAYS AS (upper(ssn)) STORED, v text);
INSERT INTO made VALUES (1, '123-45-6789', DEFAULT, 'x');
CREATE TABLE kept (id int, p people, list people[]);
INSERT INTO kept SELECT 1, p, ARRAY[p] FROM people p WHERE id = 1;
CREATE TABLE codes (ssn text PRIMARY KEY);
CREATE TABLE uses_codes (id int, code text REFERENCES codes);
INSERT INTO codes VALUES ('123-45-6789'); INSERT INTO uses_codes VALUES (1, '123-45-6789');
CREATE TABLE ruled (id int);
CREATE RULE shows AS ON INSERT TO ruled DO ALSO SELECT ssn FROM people;
CREATE FUNCTION ssn_of(int) RETURNS text LANGUAGE sql AS 'SELECT ssn FROM people WHERE id = $1';
CREATE OPERATOR @@@ (RIGHTARG = int, FUNCTION = ssn_of);
CREATE TYPE wrap AS (v text);
CREATE FUNCTION wrapped(int) RETURNS wrap LANGUAGE sql AS 'SELECT ROW(ssn_of($1))::wrap';
CREATE CAST (int AS wrap) WITH FUNCTION wrapped(int);
CREATE SCHEMA hr;
CREATE TABLE hr.pay (id int, ssn text);
CREATE SCHEMA plain;
CREATE TABLE plain.people (id int, ssn text); INSERT INTO plain.people VALUES (1, 'open');
CREATE EXTENSION hstore; CREATE EXTENSION tablefunc; CREATE EXTENSION dblink;
CREATE EXTENSION postgres_fdw; CREATE SERVER loop FOREIGN DATA WRAPPER postgres_fdw;
GRANT USAGE ON FOREIGN SERVER loop TO cert;
GRANT ALL ON ALL TABLES IN SCHEMA public TO cert; ALTER TABLE people OWNER TO cert;
GRANT ALL ON SCHEMA plain, public TO cert; GRANT ALL ON plain.people TO cert;
"""
)
MASKS = "moving.ssn, people.ssn, people.born, parts.ssn, below.pin, made.ssn, codes.ssn, hr.pay.ssn"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def masked(tmp_path_factory):
    async with database(
        tmp_path_factory.mktemp("pg"),
        sql=MORE,
        terms=f"{{mask: [{MASKS}], parameters: false}}",
        credential="certificate",
        logins="[cert]",
    ) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def psy(masked):
    async with await psycopg.AsyncConnection.connect(masked.dsn(), autocommit=True) as connection:
        yield connection


def told(error: psycopg.Error) -> str:
    """All that an error says."""
    diag = error.diag
    said = (diag.message_primary, diag.message_detail, diag.message_hint, diag.context)
    return " ".join(one or "" for one in said)


async def refusal(connection: psycopg.AsyncConnection[object], sql: str) -> str:
    """What a statement is refused with; "" if it is not."""
    try:
        await connection.execute(sql)
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.QueryCanceled) as refused:
        return told(refused)
    return ""


SHOWN = {
    "SELECT id, ssn FROM people ORDER BY id LIMIT 2": [(1, "[masked]"), (2, "[masked]")],
    "SELECT ssn AS harmless FROM people WHERE id = 1": [("[masked]",)],
    "SELECT born FROM people WHERE id = 1": [(None,)],
    "SELECT q.ssn FROM (SELECT * FROM people) q WHERE q.id = 1": [("[masked]",)],
    "WITH q AS (SELECT ssn, id FROM people) SELECT ssn FROM q WHERE id = 1": [("[masked]",)],
    "SELECT ssn FROM staff": [("[masked]",)],
    "UPDATE people SET name = name WHERE id = 1 RETURNING ssn": [("[masked]",)],
    "SELECT * FROM ONLY people p WHERE id = 1": [(1, "ann", "[masked]", None)],
    "SELECT id, ssn FROM m_people WHERE id = 1 LIMIT 1": [(1, "[masked]")],
    "SELECT id, code FROM v_people LIMIT 1": [(None, "[masked]")],  # which computes with it
    "SELECT id, c FROM v_of_view WHERE id = 2 LIMIT 1": [(2, "[masked]")],
    "SELECT id FROM v_where LIMIT 1": [(None,)],
    "SELECT reads FROM v_reads LIMIT 1": [("[masked]",)],
    "SELECT id, v FROM given": [(1, "[masked]")],
    "SELECT ssn FROM parts": [("[masked]",)],
    "SELECT ssn AS x FROM part1": [("[masked]",)],
    "SELECT pin FROM above": [("[masked]",)],
    "SELECT upper, v FROM made": [("[masked]", "x")],
    "SELECT p, list FROM kept": [(None, None)],
    "SELECT code FROM uses_codes": [("[masked]",)],
    "SELECT query FROM pg_stat_activity LIMIT 1": [("[masked]",)],
}


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("prepare", [False, True])
async def test_masked_columns_come_out_masked(psy, binary, prepare):
    for sql, rows in SHOWN.items():
        for _ in range(2):  # a prepared statement is executed again without a description
            cursor = await psy.execute(sql, binary=binary, prepare=prepare)
            assert await cursor.fetchall() == rows, sql


EITHER = """
SELECT ssn FROM people OFFSET 0
SELECT ssn FROM (SELECT * FROM people OFFSET 0) q
WITH q AS MATERIALIZED (SELECT * FROM people) SELECT ssn FROM q
SELECT p.ssn FROM people p NATURAL JOIN (SELECT 1 AS id) q
SELECT p.ssn FROM t JOIN people p USING (id)
SELECT q.ssn FROM t, LATERAL (SELECT ssn FROM people p WHERE p.id = t.id) q
SELECT ssn FROM people FOR UPDATE
SELECT ssn FROM people TABLESAMPLE SYSTEM (100)
SELECT (p).ssn FROM people p
SELECT ssn::text FROM people
SELECT DISTINCT ssn FROM people
SELECT ssn FROM people GROUP BY ssn
SELECT p FROM people p
SELECT w, j FROM v_whole
SELECT p.* FROM people p FULL JOIN t USING (id)
INSERT INTO people VALUES (70, 'x', 'y', NULL) RETURNING ssn
UPDATE people SET name = name WHERE id = 1 RETURNING people
SELECT ssn, row_number() OVER () FROM people
TABLE people
"""


async def test_however_a_column_comes_out_it_is_masked_or_refused(psy):
    """What the server reports as the column is masked; what could be it is refused."""
    for sql in EITHER.strip().splitlines():
        try:
            shown = str(await (await psy.execute(sql)).fetchall())
        except psycopg.errors.InsufficientPrivilege as refused:
            shown = told(refused)
        assert not any(value in shown for value in VALUES), sql
        assert any(word in shown for word in ("[masked]", "masks", "(None,", "masked")), sql


EVASIONS = """
SELECT ssn::bytea FROM people
SELECT ssn COLLATE "C" FROM people
SELECT CASE WHEN true THEN ssn END FROM people
SELECT first_value(ssn) OVER () FROM people
SELECT ssn FROM people UNION SELECT 'x'
SELECT ssn FROM people p FULL JOIN people q USING (ssn)
SELECT unnest(ARRAY[ssn]) FROM people
SELECT to_jsonb(p)->>'ssn' FROM people p
SELECT xmlelement(name a, ssn) FROM people
SELECT ssn::int FROM people
SELECT ROW(p.*) FROM people p
SELECT string_agg(ssn, ',') FROM people
SELECT array_agg(p) FROM people p
SELECT json_agg(p) FROM people p
SELECT count(*) FROM people GROUP BY substr(ssn, 1, 1)
SELECT id FROM people WHERE ssn > '5'
SELECT id FROM people WHERE (id, ssn) IN ((1, '1'))
SELECT 1 FROM people p JOIN t ON t.v = p.ssn
SELECT id FROM people ORDER BY 1, ssn
SELECT id, rank() OVER (ORDER BY ssn) FROM people
UPDATE t SET v = p.ssn FROM people p WHERE t.id = p.id
INSERT INTO people (id, name) SELECT 80, ssn FROM people
DELETE FROM t USING people p WHERE p.ssn LIKE '1%' AND t.id = p.id
CREATE VIEW w AS SELECT ssn AS s FROM people
CREATE INDEX ON people ((1 / (ssn = 'x')::int))
SELECT * FROM parts WHERE ssn = '1'
SELECT lower(ssn) FROM part1
SELECT lower(ssn) FROM m_people
DECLARE c CURSOR FOR SELECT lower(ssn) FROM people
PREPARE x AS SELECT lower(ssn) FROM people
SELECT histogram_bounds FROM pg_catalog.pg_stats
SELECT stavalues1 FROM pg_statistic
EXPLAIN SELECT 1 FROM people WHERE ssn = 'x'
SELECT table_to_xml('people', true, true, '')
SELECT table_to_xml('PEOPLE', true, true, '')
SELECT table_to_xml('"people"', true, true, '')
SELECT table_to_xml(('peo' || 'ple')::regclass, true, true, '')
SELECT query_to_xml('select s' || 'sn from people', true, true, '')
SELECT schema_to_xml('public', true, true, '')
DO $$ BEGIN EXECUTE 'create temp table y as select s' || 'sn from people'; END $$
SELECT setval('s', ssn::int) FROM people
MERGE INTO t USING people p ON t.id = p.id WHEN MATCHED THEN UPDATE SET v = p.ssn
SELECT substr(ssn, 1, 3) FROM people
SELECT ssn || '' FROM people
SELECT ssn::varchar FROM people
SELECT max(ssn) FROM people
SELECT row_to_json(p) FROM people p
SELECT p::text FROM people p
SELECT name FROM people UNION ALL SELECT ssn FROM people
SELECT (SELECT ssn FROM people LIMIT 1)
SELECT 1 FROM people WHERE ssn LIKE '123%'
SELECT id FROM people ORDER BY ssn
SELECT 1 / (CASE WHEN ssn = '1' THEN 0 ELSE 1 END) FROM people
UPDATE people SET name = ssn WHERE id = 1 RETURNING name
CREATE TEMP TABLE x AS SELECT ssn FROM people
INSERT INTO t SELECT 900, ssn FROM people
SELECT set_config('application_name', ssn, false) FROM people
SELECT pg_notify('c', ssn) FROM people
EXPLAIN ANALYZE SELECT 1 FROM people WHERE ssn = '1'
SELECT most_common_vals FROM pg_stats WHERE tablename = 'people'
DO $$ BEGIN RAISE NOTICE '%', (SELECT ssn FROM people LIMIT 1); END $$
SELECT lower(code) FROM v_people
SELECT * FROM reads()
SELECT says()
SELECT calls()
SELECT runs('select 1')
SELECT fetches('c')
SELECT gathers(id) FROM people
SELECT id FROM people WHERE id IN (SELECT id FROM v_where)
DO $$ DECLARE c refcursor := 'c'; r record; BEGIN FETCH c INTO r; END $$
CREATE FUNCTION z() RETURNS int LANGUAGE plpgsql AS $$ BEGIN PERFORM calls(); RETURN 1; END $$
COPY people TO STDOUT (NULL 'x\\')
COPY (SELECT lower(ssn) FROM people) TO STDOUT
COPY people TO STDOUT; SELECT 1
SELECT query_to_xml('select ssn from people', true, true, '')

-- the whole row of what is no table, and rows handed to functions by a dot
WITH q AS (SELECT * FROM people) SELECT q FROM q
SELECT q FROM (SELECT * FROM people) q
SELECT q FROM (SELECT ssn FROM people) q
SELECT p.to_jsonb FROM people p
SELECT people.row_to_json FROM people
SELECT public.people.quote_literal FROM people
SELECT p.hstore FROM people p
SELECT p.json_agg FROM people p
SELECT q.to_jsonb FROM (SELECT ssn FROM people) q
SELECT (u.p).ssn FROM people p, LATERAL (SELECT p) u
CREATE FUNCTION z() RETURNS text LANGUAGE sql BEGIN ATOMIC SELECT ssn FROM people; END
WITH q AS (SELECT ssn FROM people) SELECT q.to_jsonb FROM q
SELECT q.to_jsonb FROM (SELECT id AS to_jsonb, ssn FROM people) q (a, b)
INSERT INTO people AS p VALUES (1, 'ann') ON CONFLICT (id) DO UPDATE SET id = 1 RETURNING p.to_jsonb
CREATE TEMP VIEW z AS SELECT p.to_jsonb FROM people p

-- other names for columns, and order by what is shown
SELECT j.c || '' FROM (people p JOIN t ON true) AS j (a, b, c, d, e, f)
SELECT id, ssn FROM people ORDER BY 2
SELECT id, ssn AS s FROM people ORDER BY s
SELECT * FROM people ORDER BY 3
SELECT ssn, count(*) FROM people GROUP BY 1
SELECT DISTINCT ON (2) id, ssn FROM people
SELECT id FROM (SELECT id, ssn FROM people ORDER BY 2) q
SELECT id FROM people p WHERE EXISTS (SELECT ssn INTERSECT SELECT '1')

-- what holds the same values elsewhere
SELECT lower(upper) FROM made
SELECT v FROM made WHERE upper LIKE '1%'
SELECT lower(pin) FROM above
SELECT row_to_json(a) FROM above a
SELECT (p).ssn FROM kept
SELECT list[1].ssn FROM kept
SELECT lower(code) FROM uses_codes
SELECT j->>'ssn' FROM v_whole
SELECT (w).ssn FROM v_whole
SELECT id FROM pg_stat_activity WHERE query LIKE '%9%'
SELECT pg_stat_get_backend_activity(1)
SELECT * FROM pg_stats_ext

-- code behind operators, types, rules, triggers; other servers
SELECT @@@ 1
INSERT INTO t SELECT 900, @@@ 1
SELECT (1::wrap).v
SELECT CAST(1 AS wrap)
INSERT INTO ruled VALUES (1)
CREATE TRIGGER z BEFORE UPDATE ON people EXECUTE FUNCTION suppress_redundant_updates_trigger()
CREATE RULE z AS ON UPDATE TO people DO ALSO INSERT INTO t VALUES (1, OLD::text)
CREATE POLICY z ON people USING (true)
CREATE FUNCTION z(p people) RETURNS text LANGUAGE sql AS 'SELECT $1.ssn'
CREATE INDEX ON people (hash_record(people))
CREATE FOREIGN TABLE z (ssn text) SERVER loop OPTIONS (table_name 'people')
IMPORT FOREIGN SCHEMA public FROM SERVER loop INTO public
CREATE USER MAPPING FOR app SERVER loop
SELECT * FROM dblink('dbname=app', 'select ssn from people') AS d (x text)
SELECT * FROM crosstab('select id, name, ssn from people') AS c (id int, a text)
SELECT * FROM crosstab('select 1, 2, 3', 'select ssn from people') AS c (id int, a text)
SELECT ts_rewrite('a'::tsquery, 'select ssn::tsquery, ssn::tsquery from people')
SELECT * FROM ts_stat('select to_tsvector(ssn) from people')
SELECT pg_read_file('base/1/1259')

-- other names for tables
ALTER TABLE people RENAME TO others
ALTER TABLE people RENAME COLUMN ssn TO code
ALTER TABLE people SET SCHEMA pg_temp
ALTER TABLE people ADD COLUMN x text GENERATED ALWAYS AS (ssn) STORED
ALTER TABLE people ALTER COLUMN name TYPE text USING ssn
ALTER VIEW v_people RENAME COLUMN code TO c
ALTER MATERIALIZED VIEW m_people RENAME TO m
ALTER SCHEMA hr RENAME TO rh
CREATE TABLE more () INHERITS (people)
CREATE TABLE part9 PARTITION OF parts FOR VALUES IN (9)
ALTER TABLE t INHERIT people
CREATE TABLE z (ssn text REFERENCES codes (ssn))
"""


async def test_evasions_of_a_mask_are_refused(masked, psy):
    for sql in EVASIONS.splitlines():
        if not sql or sql.startswith("--"):
            continue
        said = await refusal(psy, sql)
        assert "masked-column" in said, sql
        assert not any(value in said for value in VALUES), sql
    assert await (await psy.execute("SELECT 1")).fetchone() == (1,)


FOLLOWED = """
ALTER TABLE moving RENAME TO moved
SELECT ssn FROM moved
SELECT lower(ssn) FROM moved
ALTER TABLE moved RENAME COLUMN ssn TO code; CREATE VIEW v_moved AS SELECT code AS c FROM moved
SELECT code FROM moved
SELECT lower(code) FROM moved
SELECT c FROM v_moved
SELECT lower(c) FROM v_moved
ALTER TABLE moved SET SCHEMA hr; ALTER SCHEMA hr RENAME TO moved_too
SELECT code FROM moved_too.moved
SELECT lower(code) FROM moved_too.moved
CREATE FUNCTION reads_too() RETURNS text LANGUAGE sql AS 'SELECT ssn FROM people LIMIT 1'
SELECT reads_too()
CREATE TABLE part2 PARTITION OF parts FOR VALUES IN (2); INSERT INTO parts VALUES (2, '123-45-6789')
SELECT ssn FROM part2
SELECT lower(ssn) FROM part2
"""


async def test_what_other_sessions_make_and_rename_is_followed(masked, psy):
    admin = masked.server.admin
    admin("CREATE TABLE moving (id int, ssn text); INSERT INTO moving VALUES (1, '123-45-6789')")
    grant = "GRANT ALL ON ALL TABLES IN SCHEMA public TO cert"
    admin(grant)
    async with await psycopg.AsyncConnection.connect(masked.dsn(), autocommit=True) as one:
        assert await (await one.execute("SELECT ssn FROM moving")).fetchone() == ("[masked]",)
        for sql in FOLLOWED.strip().splitlines():
            if not sql.startswith("SELECT"):
                admin(f"{sql}; {grant}")
                continue
            said = await refusal(one, sql)
            assert ("masked-column" in said) == ("(" in sql), sql
            if not said:
                rows = await (await one.execute(sql)).fetchall()
                assert rows == [("[masked]",)], sql
    assert await (await psy.execute("SELECT count(*) FROM people")).fetchone() is not None


async def test_a_table_that_another_session_makes_anew_is_not_shown(masked):
    masked.server.admin("CREATE TABLE anew (id int, v text); GRANT ALL ON anew TO cert")
    async with await psycopg.AsyncConnection.connect(masked.dsn(), autocommit=True) as one:
        await one.execute("SELECT v FROM anew")
        masked.server.admin(
            "DROP TABLE anew; CREATE TABLE anew (id int, v text); GRANT ALL ON anew TO cert"
        )
        with pytest.raises(psycopg.OperationalError, match="tables have changed"):
            await one.execute("SELECT v FROM anew")


async def test_what_a_session_makes_itself_is_shown(masked):
    async with await psycopg.AsyncConnection.connect(masked.dsn()) as one:
        await one.execute("CREATE TABLE own AS SELECT id, name FROM people WHERE id = 1")
        await one.execute("ALTER TABLE own ADD COLUMN more int")
        await one.execute("ALTER TABLE own RENAME TO owned")
        await one.execute("DECLARE c CURSOR FOR SELECT * FROM owned")
        for sql in ("SELECT * FROM owned", "FETCH ALL c"):
            assert await (await one.execute(sql)).fetchall() == [(1, "ann", None)]
        await one.rollback()


STORIES = """
PREPARE q AS SELECT ssn FROM people; CREATE TEMP TABLE z1 AS EXECUTE q
CREATE FUNCTION z2(anyelement) RETURNS text LANGUAGE sql AS 'TABLE t'; SELECT p.z2 FROM people p
PREPARE r AS SELECT ssn FROM people; EXPLAIN ANALYZE EXECUTE r (1); CREATE TABLE z3 AS EXECUTE r
"""


async def test_evasions_of_several_steps_are_refused_at_the_last(masked):
    for story in STORIES.strip().splitlines():
        async with await psycopg.AsyncConnection.connect(masked.dsn(), autocommit=True) as one:
            steps = story.split("; ")
            for step in steps[:-1]:
                try:
                    await one.execute(step)
                except psycopg.errors.SyntaxError:
                    continue
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="masked"):
                await one.execute(steps[-1])


ORDINARY = """
SELECT name, count(*) FROM people GROUP BY name ORDER BY 2, 1
SELECT id FROM people ORDER BY 1
SELECT * FROM people ORDER BY 1
SELECT p.name, t.v FROM people p JOIN t ON t.id = p.id WHERE t.v LIKE 'v%' ORDER BY lower(p.name)
SELECT lower(name) FROM v_names
SELECT slug(name) FROM people
SELECT * FROM names()
SELECT m.id + 1 FROM m_people m JOIN people p ON p.id = m.id
SELECT q.count, q.name FROM (SELECT name, count(*) FROM people GROUP BY name) q
SELECT q.max FROM (SELECT max(id) FROM people) q
SELECT q.n FROM people p, generate_series(1, 2) q (n)
SELECT n FROM people, generate_series(1, 2) n
EXPLAIN SELECT * FROM people WHERE id = 1
EXPLAIN (ANALYZE, VERBOSE) SELECT name FROM people ORDER BY name
CREATE TEMP TABLE like_people (LIKE people INCLUDING ALL)
CREATE TEMP TABLE near_t (id int, t_id int, note text)
ALTER TABLE near_t ADD COLUMN more text, ALTER COLUMN note TYPE varchar
CREATE INDEX ON people (name)
CREATE INDEX ON people (lower(name)) WHERE id > 5
CREATE FUNCTION pg_temp.plus(a int, b int) RETURNS int LANGUAGE sql AS 'SELECT a + b'
SELECT pg_temp.plus(1, 2)
INSERT INTO people (id, ssn) VALUES (300, '0') ON CONFLICT (id) DO UPDATE SET name = excluded.name
UPDATE people SET ssn = '001' WHERE id = 300
DELETE FROM people WHERE id = 300
SELECT pid, state, query FROM pg_stat_activity WHERE state = 'active'
SELECT count(DISTINCT name), max(id) FROM people HAVING count(*) > 1
"""


async def test_ordinary_statements_on_a_masked_database_run(psy):
    for sql in ORDINARY.strip().splitlines():
        try:
            await psy.execute(sql)
        except psycopg.Error as error:
            pytest.fail(f"{sql}: {told(error)}")


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
        ("COPY people (ssn) TO STDOUT (FORMAT binary)", b"\0\1\0\0\0\x08[masked]"),
        ("COPY people (born) TO STDOUT (FORMAT binary)", b"\0\1\xff\xff\xff\xff"),
        ("COPY made TO STDOUT", b"1\t[masked]\tx\n"),  # without what is generated
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


async def test_what_does_not_parse_is_a_syntax_error_still(psy):
    with pytest.raises(psycopg.errors.SyntaxError, match="does not parse"):
        await psy.execute("SELECT ssn FROM FROM people")
    with pytest.raises(psycopg.errors.UndefinedFunction, match="no_such"):
        await psy.execute("SELECT no_such(1)")


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
