"""The newest PostgreSQL, with its own psql: protocol 3.2, its cancel keys, pipelines of psql."""

from __future__ import annotations

import asyncio
import signal

import asyncpg
import psycopg
import pytest
import pytest_asyncio

from tests.harness.database import database
from tests.harness.postgres import newest_binaries

pytestmark = [pytest.mark.story, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory):
    directory = tmp_path_factory.mktemp("pg")
    async with database(directory, newest=True, terms="{mask: [people.ssn]}") as running:
        yield running


def words(stage, *more, **options):
    """psql of the newest release, and its words."""
    program = newest_binaries() / "psql"
    return (str(program), "-X", "-At", "-d", stage.dsn(**options), *more)


@pytest.mark.parametrize("version", ["3.0", "3.2"])
async def test_both_versions_of_the_protocol(stage, version):
    script = b"SHOW server_version_num;\n\\conninfo\n"
    ran = await stage.bastion.run(
        *words(stage, min_protocol_version=version, max_protocol_version=version), stdin=script
    )
    assert ran.stderr == ""
    assert int(ran.stdout.split()[0]) >= 180_000
    assert f"Protocol Version|{version}".encode() in ran.stdout


@pytest.mark.parametrize("version", ["3.0", "3.2"])
async def test_ctrl_c_with_a_key_of_any_length(stage, version):
    process = await stage.bastion.start(
        *words(
            stage, "-c", "SELECT pg_sleep(60)", max_protocol_version=version,
            application_name=f"v{version}",
        )
    )  # fmt: skip
    asleep = f"application_name = 'v{version}' AND wait_event = 'PgSleep'"
    async with asyncio.timeout(30):
        while not stage.server.admin(f"SELECT 1 FROM pg_stat_activity WHERE {asleep}"):
            await asyncio.sleep(0.05)
    process.send_signal(signal.SIGINT)
    async with asyncio.timeout(20):
        _, stderr = await process.communicate()
    assert b"canceling statement due to user request" in stderr


async def test_a_refusal_in_a_pipeline_of_psql(stage):
    script = b"""\\startpipeline
SELECT 1 \\bind \\sendpipeline
DROP TABLE t \\bind \\sendpipeline
SELECT 2 \\bind \\sendpipeline
\\syncpipeline
SELECT 3 \\bind \\sendpipeline
\\endpipeline
SELECT 'usable';
SELECT $1::int + 1 \\parse named
\\bind_named named 4 \\g
\\close_prepared named
"""
    ran = await stage.bastion.run(*words(stage), stdin=script)
    assert "denied by rule no-drop" in ran.stderr
    assert ran.stdout.split() == [b"1", b"3", b"usable", b"5"]


async def test_masks_copies_and_notices(stage):
    script = (
        b"SELECT ssn FROM people ORDER BY id;\nCREATE TEMP TABLE c (n int);\n\\copy c from pstdin\n"
        b"1\n2\n\\.\nCOPY c TO STDOUT;\nMERGE INTO c USING t ON id = n WHEN NOT MATCHED THEN"
        b" DO NOTHING WHEN MATCHED AND n > 1 THEN DELETE RETURNING merge_action(), n;\n"
    )
    ran = await stage.bastion.run(*words(stage), stdin=script)
    assert b"123-45" not in ran.stdout
    assert ran.stdout.endswith(b"1\n2\nDELETE|2\nMERGE 1\n")


async def test_old_and_new_rows_and_json_of_masked_columns(stage):
    refused = (
        "UPDATE people SET id = id WHERE id = 1 RETURNING to_jsonb(old)",
        "UPDATE people SET id = id WHERE id = 1 RETURNING WITH (OLD AS o) to_jsonb(o)",
        "UPDATE people SET id = id WHERE id = 1 RETURNING old.to_jsonb",
        "UPDATE people SET id = id WHERE id = 1 RETURNING WITH (NEW AS n) n.ssn || ''",
        "MERGE INTO people p USING t ON p.id = t.id WHEN MATCHED THEN DELETE RETURNING p.concat",
        "SELECT JSON_ARRAY(SELECT ssn FROM people)",
        "SELECT JSON_OBJECT('a': ssn) FROM people",
        "SELECT * FROM JSON_TABLE((SELECT to_json(p) FROM people p LIMIT 1), '$' COLUMNS (a text))",
        "SELECT any_value(ssn) FROM people",
        "SELECT max(p) FROM people p",
    )
    async with await psycopg.AsyncConnection.connect(stage.dsn(), autocommit=True) as one:
        sql = "UPDATE people SET id = id WHERE id = 1 RETURNING old.ssn, new.ssn, old, new"
        shown = await (await one.execute(sql)).fetchall()
        assert shown == [("[masked]", "[masked]", None, None)]
        for sql in refused:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                await one.execute(sql)


async def test_drivers_meet_the_newest_server(stage):
    async with await psycopg.AsyncConnection.connect(stage.dsn(), autocommit=True) as connection:
        async with connection.pipeline():
            found = [await connection.execute("SELECT %s::int8", (n,)) for n in range(50)]
            assert [(await one.fetchone())[0] for one in found] == list(range(50))
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await connection.execute("TRUNCATE t")
    connection = await asyncpg.connect(
        host="127.0.0.1", port=stage.port, user="app", database="app", ssl=False
    )
    assert await connection.fetchval("SELECT pg_backend_pid()") == connection.get_server_pid()
    rows = await connection.fetch("SELECT name, ssn FROM people WHERE id = $1", 1)
    assert rows[0]["name"] == "ann"
    assert rows[0]["ssn"] != "123-45-6789"
    await connection.close()
