"""The demo's database starts from whatever PostgreSQL there is, as root too, and leaves nothing."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import psycopg
import pytest

from bastion.demo import database as demo
from bastion.demo.database import NoDatabase, database, find_programs


def wheel():
    found = importlib.util.find_spec(demo.WHEEL)
    if found is None or found.origin is None:
        pytest.skip("there is no wheel of PostgreSQL for this machine")
    return Path(found.origin).parent / "pginstall" / "bin"


@pytest.fixture
def closed_wheel(tmp_path, monkeypatch):
    """The wheel's programs where nobody else may go."""
    package = wheel().parent.parent
    tmp_path.chmod(0o700)
    for one in (package, package.parent / f"{package.name}.libs"):
        if one.is_dir():
            (tmp_path / one.name).symlink_to(one)
    monkeypatch.setattr(demo, "find_programs", lambda: tmp_path / package.name / "pginstall/bin")


@pytest.mark.story
async def test_the_wheel_runs_where_others_may_not_go(closed_wheel):
    async with database() as running:
        host, _, port = running.address.partition(":")
        connection = await psycopg.AsyncConnection.connect(
            host=host, port=port, user="shop", dbname="shop", password=running.password
        )
        async with connection:
            cursor = await connection.execute("SELECT count(*) FROM orders")
            assert await cursor.fetchone() == (40,)
        place = running.psql
        while not place.name.startswith("bastion-pg-") and place != place.parent:
            place = place.parent
        assert place.is_dir() is (os.geteuid() == 0)  # root needs a copy there
        with pytest.raises(psycopg.OperationalError, match=r"reject|no pg_hba"):
            await psycopg.AsyncConnection.connect(
                host=host, port=port, user="postgres", dbname="postgres"
            )
    assert not (place.name.startswith("bastion-pg-") and place.exists())


def test_without_any_postgresql_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(demo.shutil, "which", lambda *_: None)
    monkeypatch.setattr(demo.importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(demo, "VERSIONS", Path("/nowhere"))
    with pytest.raises(NoDatabase, match="no PostgreSQL on this machine"):
        find_programs()


async def test_a_server_that_cannot_be_made_is_told(tmp_path, monkeypatch):
    for name in ("initdb", "postgres", "psql"):
        (tmp_path / name).write_text("#!/bin/sh\necho no space left; exit 1\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setattr(demo, "find_programs", lambda: tmp_path)
    monkeypatch.setattr(demo, "_open_to_all", lambda _: True)
    monkeypatch.setattr(demo, "_account", dict)
    with pytest.raises(NoDatabase, match="initdb failed: no space left"):
        async with database():
            pass
