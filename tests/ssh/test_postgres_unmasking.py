"""Secrets and masked columns of a database are shown to whom people grant it, text by text."""

from __future__ import annotations

import asyncio

import psycopg
import pytest
import pytest_asyncio

from tests.harness.database import POLICY, TABLES, database

pytestmark = [pytest.mark.story, pytest.mark.asyncio(loop_scope="module")]

KEY = "AKIAIOSFODNN7EXAMPLE"
SSN = "123-45-6789"
CLEAR = "/* BASTION_UNMASK=1 */ "
UNMASK = POLICY.replace(
    "    session: {database: DATABASE}\n",
    "    session: {database: DATABASE}\n    mask: {unmask: {approvers: [oncall], wait: 30s}}\n",
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory):
    async with database(
        tmp_path_factory.mktemp("pg"),
        sql=TABLES + f"UPDATE people SET name = '{KEY}' WHERE id = 1;",
        terms="{mask: [people.ssn], unmask_columns: true, results: rows}",
        policy=UNMASK,
    ) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def psy(stage):
    async with await psycopg.AsyncConnection.connect(stage.dsn(), autocommit=True) as connection:
        yield connection


async def answered(stage, work, *, grant=True):
    task = asyncio.create_task(work)
    approval = await stage.bastion.pending()
    stage.bastion.answer(approval, grant=grant)
    return await task


async def rows(psy, sql, **options):
    return await (await psy.execute(sql, **options)).fetchall()


@pytest.mark.parametrize("prepare", [False, True])
async def test_what_people_grant_is_shown_and_recorded_masked(stage, psy, prepare):
    sql = CLEAR + "SELECT name, ssn, lower(ssn) FROM people WHERE id = %s"
    seen = await answered(stage, rows(psy, sql, params=(1,), prepare=prepare))
    assert seen == [(KEY, SSN, SSN)]
    [(name, ssn)] = await rows(psy, "SELECT name, ssn FROM people WHERE id = 1")
    assert name.startswith("AKIA[masked:")
    assert ssn == "[masked]"
    recorded = stage.events() + "".join(path.read_text() for path in stage.bastion.casts())
    assert '"clear": true' in recorded or '"clear":true' in recorded
    assert KEY not in recorded
    assert SSN not in recorded


async def test_a_refused_grant_shows_nothing(stage, psy):
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        await answered(stage, rows(psy, CLEAR + "SELECT ssn FROM people"), grant=False)


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TEMP TABLE x AS SELECT ssn FROM people",
        "DECLARE c CURSOR WITH HOLD FOR SELECT lower(ssn) FROM people",
        "SELECT set_config('a.b', ssn, false) FROM people",
        "SELECT most_common_vals FROM pg_stats",
    ],
)
async def test_a_masked_column_is_not_put_by(psy, sql):
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="masked-column"):
        await psy.execute(CLEAR + sql)
