"""What a client sets for itself: its encoding, its options; and when it takes something back."""

from __future__ import annotations

import asyncio

import pg8000.exceptions
import pg8000.native
import psycopg
import pytest
import pytest_asyncio

from bastion.policy.sql.encodings import CODECS, text_of
from tests.harness.database import TABLES, database

pytestmark = [pytest.mark.story, pytest.mark.asyncio(loop_scope="module")]

MASKED = """
ALTER TABLE people ADD COLUMN größe text; UPDATE people SET größe = 'tall';
CREATE VIEW sizes AS SELECT id, größe AS size FROM people; GRANT ALL ON sizes TO app;
"""
SHOWN_LATER = [(b"\x8f\xa2\xb7", "EUC_JP")]
"""What Python reads as ASCII and the server as nothing at all."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory):
    directory = tmp_path_factory.mktemp("pg")
    terms = "{mask: [people.größe], masked_elsewhere: approve}"
    async with database(directory, terms=terms, sql=TABLES + MASKED) as running:
        yield running


def connect(stage, **options):
    return psycopg.AsyncConnection.connect(stage.dsn(), autocommit=True, **options)


def sequences(encoding):
    """Every character of an encoding, as Python reads it."""
    singles = [bytes([one]) for one in range(1, 256)]
    pairs = [bytes([one, two]) for one in range(128, 256) for two in range(128, 256)]
    wide = [b"\x8f" + pair for pair in pairs] if encoding == "EUC_JP" else []
    many = pairs + wide if encoding.startswith("EUC") else []
    each = [one for one in singles + many if (one, encoding) not in SHOWN_LATER]
    return [one for one in each if text_of(one, encoding) is not None]


@pytest.mark.parametrize("encoding", sorted(set(CODECS) - {"UTF8"}))
async def test_the_gate_reads_every_character_as_the_server_does(stage, encoding):
    whole = b"".join(sequences(encoding))
    said = stage.server.admin(f"SELECT encode(convert_to(convert_from('\\x{whole.hex()}',"
                              f" '{encoding}'), 'UTF8'), 'hex')")  # fmt: skip
    assert bytes.fromhex(said).decode() == text_of(whole, encoding)


async def test_a_client_speaks_its_own_encoding(stage):
    async with await connect(stage, client_encoding="latin1") as connection:
        assert connection.info.encoding == "iso8859-1"
        await connection.execute("CREATE TEMP TABLE größen (n int, v text)")
        await connection.execute("INSERT INTO größen VALUES (1, 'fünf'), (2, %s)", ["zwölf"])
        rows = await (await connection.execute("SELECT v FROM größen ORDER BY n")).fetchall()
        assert rows == [("fünf",), ("zwölf",)]
        await connection.execute("SET client_encoding TO 'WIN1251'")
        assert (await (await connection.execute("SELECT 'да'")).fetchone()) == ("да",)
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="client_encoding BIG5"):
            await connection.execute("SET client_encoding TO 'BIG5'")
        await connection.execute("RESET client_encoding")
        assert connection.info.encoding == "iso8859-1"
    assert "zwölf" in stage.events().encode().decode("unicode_escape")


async def test_columns_are_masked_whatever_the_client_encodes_their_names_in(stage):
    async with await connect(stage, client_encoding="latin1") as connection:
        rows = await (await connection.execute("SELECT größe FROM people")).fetchall()
        assert rows == [("[masked]",)] * 2
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="refused by"):
            await answered(stage, connection, "SELECT upper(größe) FROM people", grant=False)


@pytest.mark.parametrize("column", ["größe FROM people", "size FROM sizes"])
async def test_a_masked_column_elsewhere_waits_for_people_where_the_policy_says_so(stage, column):
    """Though of a view only the catalog tells that it shows one."""
    async with await connect(stage) as connection:
        sql = "SELECT upper({}) || '' FROM {}".format(*column.split(" FROM "))
        cursor = await answered(stage, connection, sql, grant=True)
        assert await cursor.fetchall() == [("TALL",)] * 2


async def answered(stage, connection, sql, *, grant):
    task = asyncio.create_task(connection.execute(sql))
    approval = await stage.bastion.pending()
    stage.bastion.answer(approval, grant=grant)
    return await task


async def test_options_are_decided_as_a_set_of_them(stage):
    options = "-c geqo=off -c standard_conforming_strings=on --work_mem=1MB -c my.own=a\\ b"
    async with await connect(stage, options=options) as connection:
        for name, value in (("geqo", "off"), ("work_mem", "1MB"), ("my.own", "a b")):
            cursor = await connection.execute(f"SELECT current_setting('{name}')")
            assert await cursor.fetchone() == (value,)


async def test_a_cancel_is_over_when_its_connection_is(stage):
    """It reached the server later, and ended the client's next statement instead."""
    async with await connect(stage) as connection:
        for _ in range(10):
            await connection.cancel_safe()
            await connection.execute("SELECT pg_sleep(0.02)")


async def test_a_client_learns_from_the_code_why_it_was_not_let_in(stage):
    """A test runner makes the database then, a pool waits for a place."""
    with pytest.raises(psycopg.OperationalError, match='"nowhere" does not exist') as told:
        await psycopg.AsyncConnection.connect(stage.dsn(dbname="nowhere"))
    assert told.value.sqlstate is None  # libpq keeps it to itself
    connection = pg8000.native.Connection
    with pytest.raises(pg8000.exceptions.DatabaseError) as said:
        await asyncio.to_thread(
            connection, "app", host="127.0.0.1", port=stage.port, database="nowhere"
        )
    assert said.value.args[0]["C"] == "3D000"
