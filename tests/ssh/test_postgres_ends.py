"""What ends a database session ends it at the server: mid-statement, with the role made for it."""

from __future__ import annotations

import asyncio
import time

import psycopg
import pytest
import pytest_asyncio

from bastion.store.access import AccessGrant
from bastion.store.ledger import Ledger
from tests.harness.database import POLICY, TABLES, database, forward

pytestmark = [pytest.mark.story, pytest.mark.asyncio(loop_scope="module")]

LENT = (
    POLICY.replace("roles:\n", "roles:\n  lent: {}\n", 1).replace(
        "  - name: db\n    roles: [dev]", "  - name: db\n    roles: [dev, lent]"
    )
    + """
requestable:
  - {name: lent, who: [oncall], role: lent, max: 2h, approval: {approvers: [oncall], wait: 10m}}
"""
)
RUNS = (
    "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT pg_sleep%'"
)
ROLES = "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'bastion%'"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory):
    async with database(
        tmp_path_factory.mktemp("pg"),
        sql=TABLES,
        credential="temporary",
        policy=LENT,
        logins="[reader, writer]",
        target="    roles: {reader: app, writer: app}\n",
    ) as running:
        yield running


async def until(server, sql, wanted):
    async with asyncio.timeout(30):
        while server.admin(sql) != wanted:
            await asyncio.sleep(0.05)


def lock(stage, session, _facts):
    stage.bastion.services.ledger.add_lock(
        "session", session.id, "incident 7", None, "bob", time.time()
    )
    return "is locked: incident 7"


def revoke(stage, _session, facts):
    elsewhere = Ledger(stage.bastion.directory / "state/bastion.db")
    elsewhere.revoke(facts.serial, "lost laptop", time.time())
    elsewhere.close()
    return "your certificate was revoked"


def kill(stage, session, _facts):
    assert stage.bastion.sessions.kill(session.id, "maintenance")
    return "ended by an operator: maintenance"


def take_back(stage, _session, _facts):
    stage.bastion.services.access.revoke("g1", "bea", "enough")
    return "was taken back"


def wait(stage, _session, _facts):
    stage.bastion.clock.ahead += 3600
    return "your access ended"


@pytest.mark.parametrize("how", [lock, revoke, kill, take_back, wait])
async def test_the_end_of_a_session_cancels_what_runs_and_drops_its_role(stage, how):
    running, server = stage.bastion, stage.server
    groups = ["oncall"] if how is take_back else ["dev"]
    facts = running.issue(name="olga", groups=groups)
    now = running.clock()
    if how is take_back:
        running.services.access.give(
            AccessGrant(
                "g1",
                "https://idp.test#olga",
                "olga",
                "lent",
                ("*",),
                "",
                "",
                ("bea",),
                now,
                now + 600,
            )
        )
    async with forward(running) as port:
        [session] = [one for one in running.sessions.live() if one.identity.name == "olga"]
        connection = await psycopg.AsyncConnection.connect(
            f"host=127.0.0.1 port={port} user=writer dbname=app", autocommit=True
        )
        sleeping = asyncio.create_task(connection.execute("SELECT pg_sleep(300)"))
        await until(server, RUNS, "1")
        said = how(stage, session, facts)
        ended = time.monotonic()
        with pytest.raises(psycopg.OperationalError) as caught:
            await asyncio.wait_for(sleeping, 20)
        assert time.monotonic() - ended < 8
        running.clock.ahead = 0.0
        assert said in str(caught.value) or "closed the connection" in str(caught.value)
        await until(server, RUNS, "0")
        await until(server, ROLES, "0")
        await connection.close()
    assert "canceling statement due to user request" in server.log


async def test_a_client_that_goes_ends_its_role(stage):
    stage.bastion.issue()
    async with forward(stage.bastion) as port:
        connection = await psycopg.AsyncConnection.connect(
            f"host=127.0.0.1 port={port} user=reader dbname=app"
        )
        assert stage.server.admin(ROLES) == "1"
        await connection.close()
        await until(stage.server, ROLES, "0")


async def test_the_login_is_on_record_also_where_several_are_possible(stage):
    stage.bastion.issue()
    async with forward(stage.bastion) as port:
        await stage.bastion.run(
            "psql",
            "-X",
            "-d",
            f"host=127.0.0.1 port={port} user=reader dbname=app",
            "-c",
            "SELECT 1",
        )
    logins = [
        channel["login"]
        for session in stage.bastion.services.ledger.sessions()
        for channel in stage.bastion.services.ledger.session(session["id"])["channels"]
        if channel["target"] == "orders-db" and channel["bytes_out"]
    ]
    assert {"reader", "writer"} <= set(logins)
