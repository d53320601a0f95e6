"""What comes out of a database: secrets in cells of every type, and rows on record."""

from __future__ import annotations

import json
import re

import asyncpg
import psycopg
import pytest
import pytest_asyncio

from replay.happenings import HappeningsFile
from tests.harness.database import POLICY, TABLES, database

pytestmark = [pytest.mark.story, pytest.mark.asyncio(loop_scope="module")]

KEY = "AKIAIOSFODNN7EXAMPLE"
MARK = "AKIA[masked:aws-key:"
MORE = (
    TABLES
    + f"""
CREATE TYPE pair AS (a int, b text);
CREATE TABLE vault (id int, v text, j json, b jsonb, a text[], p pair, c varchar(40), y bytea);
INSERT INTO vault VALUES (1, 'x {KEY} y', '{{"k": "{KEY}"}}', '{{"k": "{KEY}"}}',
  ARRAY['a', '{KEY}'], ROW(1, '{KEY}'), '{KEY}', '{KEY}'::bytea),
  (2, 'plain', '{{}}', '[]', '{{}}', NULL, 'c', '\\x00');
CREATE TABLE cards (n bigint, u uuid, at date);
INSERT INTO cards VALUES (4012888888881881, '5f0c3a4e-0000-4000-8000-000000000001', '2024-02-29');
GRANT ALL ON vault, cards TO app, cert;
CREATE FUNCTION tells() RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'is {KEY}'; END $$;
"""
)
GRANTS = """
  - name: db-loose
    roles: [dev]
    targets: {names: [orders-db]}
    logins: [loose]
    mask: {without: [aws-key], also: [email]}
    session: {database: {results: none}}
    requests: {default: allow, opaque: allow}
  - name: db-json
    roles: [dev]
    targets: {names: [orders-db]}
    logins: [json]
    mask: {json: ["$.card.number", "$..ssn"]}
    session: {database: {results: none}}
    requests: {default: allow, opaque: allow}
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory):
    async with database(
        tmp_path_factory.mktemp("pg"),
        sql=MORE,
        terms="{results: rows}",
        policy=POLICY.replace("opaque: approve", "opaque: allow") + GRANTS,
        target="    roles: {app: app, loose: app, json: app}\n",
    ) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def psy(stage):
    async with await psycopg.AsyncConnection.connect(stage.dsn(), autocommit=True) as connection:
        yield connection


async def rows(connection, sql, **options):
    return await (await connection.execute(sql, **options)).fetchall()


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("prepare", [False, True])
async def test_secrets_in_cells_of_every_type(psy, binary, prepare):
    sql = "SELECT v, j, b, a, p, c, y FROM vault ORDER BY id"
    for _ in range(2):
        first, second = await rows(psy, sql, binary=binary, prepare=prepare)
        assert KEY not in str(first)
        text, one, other, array, pair, short, raw = first
        assert text.startswith(f"x {MARK}")
        assert text.endswith("] y")
        assert one["k"].startswith(MARK)
        assert other == one
        assert array == ["a", one["k"]]
        assert one["k"] in str(pair)
        assert short == one["k"]
        assert bytes(raw).decode() == one["k"]
        assert second == ("plain", {}, [], [], None, "c", b"\0")


async def test_asyncpg_reads_masked_values_of_every_type(stage):
    connection = await asyncpg.connect(
        host="127.0.0.1", port=stage.port, user="app", database="app", ssl=False
    )
    try:
        row = await connection.fetchrow("SELECT *, ROW(v, 1) AS r FROM vault WHERE id = $1", 1)
        assert KEY not in str(row)
        assert row["a"][1] == row["p"]["b"] == row["c"]
        assert row["r"][0].startswith(f"x {MARK}")
        line = await connection.fetchrow("SELECT n, u, at FROM cards")
        assert line["n"] == 4012888888881881
    finally:
        await connection.close()


async def test_what_is_no_text_stays_what_it_is(psy):
    [(number, uuid, day)] = await rows(psy, "SELECT n, u, at FROM cards")
    assert number == 4012888888881881
    assert str(uuid).startswith("5f0c3a4e")
    assert day.year == 2024
    [(text,)] = await rows(psy, "SELECT n::text FROM cards")
    assert text.startswith("[masked:card:") or "[masked:card:" in text


@pytest.mark.parametrize("options", ["", "(FORMAT csv)", "(FORMAT csv, HEADER)", "(FORMAT binary)"])
async def test_copies_are_masked(psy, options):
    async with psy.cursor().copy(f"COPY vault (id, v, a, c, b) TO STDOUT {options}") as copy:
        data = b"".join([bytes(block) async for block in copy])
    assert KEY.encode() not in data
    assert MARK.encode() in data


async def test_a_masked_copy_can_be_loaded_again(psy):
    await psy.execute("CREATE TEMP TABLE back (LIKE vault)")
    async with psy.cursor().copy("COPY vault TO STDOUT") as copy:
        data = b"".join([bytes(block) async for block in copy])
    async with psy.cursor().copy("COPY back FROM STDIN") as copy:
        await copy.write(data)
    assert await rows(psy, "SELECT count(*) FROM back WHERE j->>'k' LIKE 'AKIA%'") == [(1,)]


async def test_errors_notices_payloads_and_settings_are_masked(stage, psy):
    with pytest.raises(psycopg.errors.InvalidTextRepresentation) as caught:
        await psy.execute(f"SELECT ('{KEY}' || '')::int")
    assert MARK in str(caught.value)
    assert KEY not in str(caught.value)
    told = []
    psy.add_notice_handler(lambda notice: told.append(notice.message_primary))
    await psy.execute("SELECT tells()")
    assert told[0].startswith(f"is {MARK}")
    await psy.execute("LISTEN c")
    await psy.execute(f"NOTIFY c, '{KEY}'")
    async for note in psy.notifies(timeout=20, stop_after=1):
        assert note.payload.startswith(MARK)
    await psy.execute("SELECT set_config('application_name', %s, false)", (KEY,))
    assert psy.pgconn.parameter_status(b"application_name").startswith(MARK.encode())
    assert KEY not in stage.events() + stage.bastion.audit()


@pytest.mark.parametrize("megabytes", [1, 30])
async def test_a_long_cell_is_masked_in_a_stream(psy, megabytes):
    sql = f"SELECT repeat('words of it; ', {megabytes * 80_000}) || ' {KEY} ', 7, '{KEY}'"
    [(text, seven, last)] = await rows(psy, sql)
    assert text.endswith(" AKIA**************** ")
    assert (seven, last) == (7, "AKIA" + "*" * 16)


async def test_rows_are_on_record_as_the_client_got_them(stage, psy):
    await rows(psy, "SELECT id, v, NULL AS nothing FROM vault ORDER BY id")
    await rows(psy, "SELECT n, at, u FROM cards", binary=True)
    await rows(psy, "SELECT g FROM generate_series(1, 5000) g")
    events = [json.loads(line) for line in stage.events().splitlines()]
    kept = [event["fields"] for event in events if event["kind"] == "rows"]
    vault = next(one for one in kept if one["columns"] == ["id", "v", "nothing"])
    assert vault["rows"][0][1].startswith(f"x {MARK}")
    assert vault["rows"][1] == ["2", "plain", None]
    assert ["4012888888881881", "2024-02-29", "5f0c3a4e-0000-4000-8000-000000000001"] in [
        row for one in kept for row in one["rows"]
    ]
    done = [event["fields"] for event in events if event["kind"] == "query-done"]
    assert any(one.get("rows_left_out") == 4000 and one["rows"] == 5000 for one in done)
    assert any(one.get("masked") == {"aws-key": 1} for one in done)
    cast = "".join(path.read_text() for path in stage.bastion.casts())
    assert "2 | plain | (null)" in cast
    assert "4000 rows not recorded" in cast
    assert KEY not in cast
    noted = [one for one in stage.bastion.audited("masked") if one["stream"] == "database"]
    assert {"detector": "aws-key"} in noted[0]["secrets"]
    [channel] = [path for path in stage.bastion.casts() if "2 | plain | (null)" in path.read_text()]
    happened = HappeningsFile(channel.with_suffix(".events.jsonl")).read_new()
    told = [(one.kind, one.title) for one in happened]
    assert ("query", "SELECT id, v, NULL AS nothing FROM vault ORDER BY id") in told
    assert any(
        kind == "rows"
        and "from row 1: 1 | x AKIA[masked:" in title
        and "; 2 | plain | (null)" in title
        for kind, title in told
    )
    assert any(kind == "query-done" and "SELECT 2, 2 rows" in title for kind, title in told)


async def test_a_grant_says_what_is_masked_and_recorded(stage):
    async with await psycopg.AsyncConnection.connect(
        stage.dsn("loose"), autocommit=True
    ) as connection:
        [(key, mail)] = await rows(connection, f"SELECT '{KEY}', 'ann' || '@example.org' -- loose")
        assert key == KEY
        assert mail.startswith("[masked:email:")
    events = [json.loads(line) for line in stage.events().splitlines()]
    asked = next(one for one in events if "-- loose" in one["fields"].get("sql", ""))
    number = asked["fields"]["number"]
    done = [
        one["fields"]
        for one in events
        if one["kind"] == "query-done" and one["fields"]["rows"] is None
    ]
    assert [(one["number"], one["tag"], one["bytes"]) for one in done] == [(number, "SELECT", None)]
    assert not any(KEY in json.dumps(one) for one in events)


async def test_psql_shows_marks(stage):
    ran = await stage.psql(
        "-c", "SELECT v FROM vault WHERE id = 1", "-c", "\\copy vault(v) TO STDOUT"
    )
    assert KEY not in ran.stdout.decode() + ran.stderr
    assert ran.stdout.decode().count(MARK) == 2


@pytest.mark.parametrize("binary", [False, True])
async def test_values_of_json_are_masked_by_their_paths(stage, binary):
    card = '{"card": {"number": "42", "by": "x"}, "ssn": 7}'
    sql = f"""SELECT '{card}'::json, '[{{"ssn": "9"}}]'::jsonb"""
    async with await psycopg.AsyncConnection.connect(stage.dsn(user="json")) as connection:
        cursor = connection.cursor(binary=binary)
        [(one, other)] = await (await cursor.execute(sql)).fetchall()
    assert re.fullmatch(r"\[masked:json:....\]", one["card"].pop("number"))
    assert one == {"card": {"by": "x"}, "ssn": None}
    assert re.fullmatch(r"\[masked:json:....\]", other[0]["ssn"])
