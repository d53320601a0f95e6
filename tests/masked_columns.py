"""A database with masked columns, and statements that could tell what they hold."""

from __future__ import annotations

from tests.harness.database import TABLES

VALUES = ("123-45-6789", "987-65-4321", "1980")
"""Of masked columns."""
SCHEMA = (
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
CREATE TABLE paths (v text);
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

-- what is shown beside, and hides what is stored or compared
SELECT ssn, (SELECT ssn FROM people LIMIT 1) FROM people
INSERT INTO people (id, ssn, name) SELECT 902, name, ssn FROM people WHERE id = 1 RETURNING name
COPY (SELECT ssn, (SELECT ssn FROM people LIMIT 1) FROM people) TO STDOUT
WITH q AS (INSERT INTO people (id, ssn, name) SELECT 903, name, ssn FROM people RETURNING 1) TABLE q

-- other names for columns, and order by what is shown
WITH q (a, b, c, d) AS (DELETE FROM people WHERE id = 0 RETURNING *) SELECT lower(c) FROM q
WITH q (a, b, c, d) AS (INSERT INTO people (id) VALUES (904) RETURNING *) SELECT ROW(c) FROM q
WITH q AS (SELECT * FROM people) SELECT max(z) FROM q x (a, b, z)
WITH q AS (UPDATE people SET id = id WHERE id = 1 RETURNING *) SELECT (z) || '' FROM q x (a, b, z)
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
ALTER FUNCTION reads() RENAME TO reads_no_more
ALTER TYPE wrap RENAME TO unwrapped
CREATE TABLE more () INHERITS (people)
CREATE TABLE part9 PARTITION OF parts FOR VALUES IN (9)
ALTER TABLE t INHERIT people
CREATE TABLE z (ssn text REFERENCES codes (ssn))
"""
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
STORIES = """
PREPARE q AS SELECT ssn FROM people; CREATE TEMP TABLE z1 AS EXECUTE q
CREATE FUNCTION z2(anyelement) RETURNS text LANGUAGE sql AS 'TABLE t'; SELECT p.z2 FROM people p
PREPARE r AS SELECT ssn FROM people; EXPLAIN ANALYZE EXECUTE r (1); CREATE TABLE z3 AS EXECUTE r
"""
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
