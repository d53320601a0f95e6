"""Masked columns of a database: they come out masked, and no other way tells what they hold."""

from __future__ import annotations

import functools
import io
import shutil
from pathlib import Path

import asyncpg
import psycopg
import pytest
import pytest_asyncio
import sqlalchemy
import sqlalchemy.ext.asyncio

from tests.fuzz.masked_sql import leaks
from tests.harness.database import database
from tests.masked_columns import (
    EITHER,
    EVASIONS,
    FOLLOWED,
    MASKS,
    ORDINARY,
    SCHEMA,
    SHOWN,
    STORIES,
    VALUES,
)
from tests.ssh.test_postgres_drivers import DRIVERS, JDBC

pytestmark = [pytest.mark.story, pytest.mark.asyncio(loop_scope="module")]

SSN = VALUES[0]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def masked(tmp_path_factory):
    async with database(
        tmp_path_factory.mktemp("pg"),
        sql=SCHEMA,
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


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("prepare", [False, True])
async def test_masked_columns_come_out_masked(psy, binary, prepare):
    for sql, rows in SHOWN.items():
        for _ in range(2):  # a prepared statement is executed again without a description
            cursor = await psy.execute(sql, binary=binary, prepare=prepare)
            assert await cursor.fetchall() == rows, sql


async def test_however_a_column_comes_out_it_is_masked_or_refused(psy):
    """What the server reports as the column is masked; what could be it is refused."""
    for sql in EITHER.strip().splitlines():
        try:
            shown = str(await (await psy.execute(sql)).fetchall())
        except psycopg.errors.InsufficientPrivilege as refused:
            shown = told(refused)
        assert not any(value in shown for value in VALUES), sql
        assert any(word in shown for word in ("[masked]", "masks", "(None,", "masked")), sql


async def test_evasions_of_a_mask_are_refused(masked, psy):
    for sql in EVASIONS.splitlines():
        if not sql or sql.startswith("--"):
            continue
        said = await refusal(psy, sql)
        assert "masked-column" in said, sql
        assert not any(value in said for value in VALUES), sql
    assert await (await psy.execute("SELECT 1")).fetchone() == (1,)


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


async def test_statements_that_nobody_would_write_show_no_masked_value(masked):
    """A slice of `python -m tests.fuzz.masked_sql`."""
    assert await leaks(masked.dsn(), range(40)) == []


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


# --- drivers and dumps ----------------------------------------------------------------------------


async def test_asyncpg_copies_masked_columns_out(masked):
    connection = await asyncpg.connect(
        host="127.0.0.1", port=masked.port, user="anybody", database="app", ssl=False
    )
    try:
        for form in ("text", "csv", "binary"):
            for copy in (
                functools.partial(connection.copy_from_table, "people", columns=["ssn", "born"]),
                functools.partial(
                    connection.copy_from_query, "SELECT ssn, born FROM people WHERE id = $1", 1
                ),
            ):
                out = io.BytesIO()
                await copy(output=out, format=form)
                assert b"[masked]" in out.getvalue()
                assert SSN.encode() not in out.getvalue()
    finally:
        await connection.close()


@pytest.mark.parametrize("driver", ["postgresql+psycopg", "postgresql+asyncpg"])
async def test_sqlalchemy_maps_a_masked_table(masked, driver):
    options = {"ssl": False} if driver.endswith("asyncpg") else {}
    engine = sqlalchemy.ext.asyncio.create_async_engine(
        f"{driver}://app@127.0.0.1:{masked.port}/app", connect_args=options
    )
    async with engine.connect() as connection:
        metadata = sqlalchemy.MetaData()
        await connection.run_sync(lambda one: metadata.reflect(one, only=["people", "uses_codes"]))
        people = metadata.tables["people"]
        chosen = sqlalchemy.select(people).where(people.c.id == 1)
        for _ in range(7):
            rows = (await connection.execute(chosen)).fetchall()
            assert rows == [(1, "ann", "[masked]", None)]
        stream = await connection.stream(sqlalchemy.select(people.c.ssn))
        assert {row.ssn async for row in stream} == {"[masked]"}
        update = people.update().where(people.c.id == 1).values(name="ann").returning(people)
        assert (await connection.execute(update)).fetchall() == rows
        await connection.rollback()
    await engine.dispose()


async def test_jdbc_reads_masked_columns_in_text_and_binary(masked):
    if shutil.which("javac") is None or not JDBC.exists():
        pytest.skip("no JDK or no libpostgresql-jdbc-java is installed, so JDBC cannot run")
    ran = await masked.bastion.run(
        "java", "-cp", str(JDBC), str(DRIVERS / "Masked.java"), str(masked.port), "app", wait=120
    )
    assert ran.stdout == b"fine\n", ran.stderr


@pytest.mark.parametrize("form", ["custom", "plain"])
async def test_a_dump_of_masked_columns_is_restored(masked, tmp_path, form):
    """What holds no mark is NULL: constraints that want something else there are left out."""
    name, file = f"masked_{form}", str(tmp_path / "dump")
    masked.server.admin(f"CREATE DATABASE {name}", "postgres")
    tables = [word for table in ("people", "made", "parts*", "part1") for word in ("-t", table)]
    words = ["-d", masked.dsn(), "-F", form, "-f", file, "--no-owner", "--no-acl", *tables]
    ran = await masked.bastion.run("pg_dump", *words)
    assert ran.stderr == ""
    assert not any(value.encode() in Path(file).read_bytes() for value in VALUES)
    into = f"host={masked.server.directory} port={masked.server.port} user=postgres dbname={name}"
    if form == "custom":
        ran = await masked.bastion.run("pg_restore", "-d", into, file)
    else:
        ran = await masked.bastion.run(
            "psql", "-Xq", "-v", "ON_ERROR_STOP=1", "-d", into, "-f", file
        )
    assert ran.stderr == ""
    shown = masked.server.admin("SELECT ssn, born FROM people WHERE id = 1", name)
    assert shown == "[masked]|"
    assert masked.server.admin("SELECT ssn, upper, v FROM made", name) == "[masked]|[MASKED]|x"
