"""What drivers and tools do with a database all day, through the bastion: one story for each."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

import pg8000.native
import psycopg
import psycopg2
import psycopg2.extras
import pytest
import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from tests.harness.database import POLICY, database
from tests.harness.node import node_modules

pytestmark = [pytest.mark.story, pytest.mark.asyncio(loop_scope="module")]

DRIVERS = Path(__file__).parents[1] / "harness" / "drivers"
JDBC = Path("/usr/share/java/postgresql.jar")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory):
    directory = tmp_path_factory.mktemp("pg")
    policy = POLICY.replace("truncate, ", "")  # which pg_restore -j does
    async with database(directory, terms="{function_calls: true}", policy=policy) as running:
        yield running


async def test_psycopg(stage):
    def story():
        with psycopg.connect(stage.dsn()) as connection:
            connection.execute("CREATE TEMP TABLE p (n int, v text)")
            with connection.cursor().copy("COPY p FROM STDIN") as copy:
                for n in range(1000):
                    copy.write_row((n, "v"))
            with connection.cursor("named", binary=True) as cursor:
                cursor.itersize = 100
                assert len(list(cursor.execute("SELECT n FROM p ORDER BY n"))) == 1000
            with connection.cursor().copy("COPY p TO STDOUT (FORMAT binary)") as copy:
                assert len(list(copy.rows())) == 1000
            with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
                connection.execute("DROP TABLE t")
            assert connection.execute("SELECT count(*) FROM p").fetchone() == (1000,)
            with connection.pipeline():
                connection.cursor().executemany(
                    "INSERT INTO p VALUES (%s, %s) RETURNING n",
                    [(n, "w") for n in range(500)],
                    returning=True,
                )
        with psycopg.connect(stage.dsn(), autocommit=True) as connection:
            with pytest.raises(psycopg.errors.UndefinedTable):
                connection.execute("SELECT * FROM p")
            with connection.cursor() as cursor:
                rows = cursor.stream("SELECT * FROM generate_series(1, 500)", size=7)
                assert len(list(rows)) == 500

    await asyncio.to_thread(story)


async def test_psycopg2(stage):
    def story():
        connection = psycopg2.connect(stage.dsn())
        with connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE p2 (n int, v text)")
            rows = [(n, "v") for n in range(1000)]
            psycopg2.extras.execute_values(cursor, "INSERT INTO p2 VALUES %s", rows)
            cursor.execute("SELECT length(%s)", [psycopg2.Binary(bytes(range(256)) * 10_000)])
            assert cursor.fetchone() == (2_560_000,)  # five megabytes of text
            cursor.execute("DO $$ BEGIN RAISE NOTICE 'hello'; END $$")
            assert connection.notices == ["NOTICE:  hello\n"]
        with connection.cursor("named") as cursor:
            cursor.itersize = 70
            cursor.execute("SELECT * FROM p2")
            assert len(list(cursor)) == 1000
        connection.rollback()
        with pytest.raises(psycopg2.errors.InsufficientPrivilege), connection.cursor() as cursor:
            cursor.execute("SELECT 1; DROP TABLE p2")
        connection.rollback()
        large = connection.lobject()  # by FunctionCall, which this grant allows
        large.write(b"x" * 100_000)
        large.seek(0)
        assert len(large.read()) == 100_000
        connection.rollback()
        connection.close()

    await asyncio.to_thread(story)


async def test_pg8000(stage):
    def story():
        connection = pg8000.native.Connection(
            "app", host="127.0.0.1", port=stage.port, database="app", ssl_context=None
        )
        assert connection.run("SELECT :n::int + 1", n=41) == [[42]]
        prepared = connection.prepare("SELECT v FROM t WHERE id = :n")
        assert [prepared.run(n=n) for n in (1, 2)] == [[["v1"]], [["v2"]]]
        prepared.close()
        with pytest.raises(pg8000.exceptions.DatabaseError, match="no-drop"):
            connection.run("DROP TABLE t")
        connection.run("LISTEN pg8000")
        connection.run("NOTIFY pg8000, 'hi'")
        connection.run("SELECT 1")
        assert connection.notifications.pop()[1:] == ("pg8000", "hi")
        connection.close()

    await asyncio.to_thread(story)


class Base(orm.DeclarativeBase):
    pass


class Owner(Base):
    __tablename__ = "owners"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    name: orm.Mapped[str] = orm.mapped_column(sa.String(40), index=True)
    pets: orm.Mapped[list[Pet]] = orm.relationship(back_populates="owner")


class Pet(Base):
    __tablename__ = "pets"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    facts: orm.Mapped[dict[str, int]] = orm.mapped_column(sa.JSON)
    owner_id: orm.Mapped[int] = orm.mapped_column(sa.ForeignKey("owners.id"))
    owner: orm.Mapped[Owner] = orm.relationship(back_populates="pets")


def with_orm(session: orm.Session) -> None:
    session.add(Owner(name="ann", pets=[Pet(facts={"legs": n}) for n in range(300)]))
    session.commit()
    owner = session.scalars(sa.select(Owner).options(orm.selectinload(Owner.pets))).one()
    assert len(owner.pets) == 300
    with pytest.raises(sa.exc.DBAPIError, match="no-drop"), session.begin_nested():
        session.execute(sa.text("DROP TABLE pets"))
    owner.name = "eve"
    session.commit()
    session.refresh(owner)
    assert owner.name == "eve"
    for pet in owner.pets:
        session.delete(pet)
    session.delete(owner)
    session.commit()


def with_core(connection: sa.Connection) -> None:
    schema = sa.inspect(connection)
    assert schema.get_pk_constraint("owners")["name"] == "owners_pkey"
    assert [one["name"] for one in schema.get_columns("pets")] == ["id", "facts", "owner_id"]
    assert schema.get_foreign_keys("pets")[0]["referred_table"] == "owners"
    assert schema.get_indexes("owners")[0]["name"] == "ix_owners_name"
    streamed = connection.execution_options(stream_results=True, yield_per=90)
    assert len(list(streamed.execute(sa.text("SELECT generate_series(1, 1000)")))) == 1000


async def test_sqlalchemy(stage):
    def story():
        url = f"postgresql+psycopg://app@127.0.0.1:{stage.port}/app"
        engine = sa.create_engine(url, pool_size=3, pool_pre_ping=True)
        Base.metadata.create_all(engine)
        with orm.Session(engine) as session:
            with_orm(session)
        with engine.connect() as connection:
            with_core(connection)
        engine.dispose()

    await asyncio.to_thread(story)


async def test_sqlalchemy_with_asyncpg(stage):
    engine = create_async_engine(f"postgresql+asyncpg://app@127.0.0.1:{stage.port}/app")
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with engine.connect() as connection:
        await connection.run_sync(with_core)
    async with AsyncSession(engine) as session:
        await session.run_sync(with_orm)
    await engine.dispose()


async def test_node_postgres(stage):
    home = await asyncio.to_thread(node_modules, DRIVERS)
    modules = {**os.environ, "NODE_PATH": str(home / "node_modules")}
    process = await asyncio.create_subprocess_exec(
        "node", str(DRIVERS / "node.js"), str(stage.port), env=modules,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(60):
        stdout, stderr = await process.communicate()
    assert stdout == b"fine\n", stderr.decode()


async def test_jdbc(stage):
    if shutil.which("javac") is None or not JDBC.exists():
        pytest.skip("no JDK or no libpostgresql-jdbc-java is installed, so JDBC cannot run")
    ran = await stage.bastion.run(
        "java", "-cp", str(JDBC), str(DRIVERS / "Jdbc.java"), str(stage.port), wait=120
    )
    assert ran.stdout == b"fine\n", ran.stderr


@pytest.mark.parametrize(("form", "jobs"), [("custom", "1"), ("directory", "2")])
async def test_a_dump_is_restored(stage, tmp_path, form, jobs):
    name, file = f"restored_{form}", str(tmp_path / "dump")
    stage.server.admin(f"CREATE DATABASE {name} OWNER app", "postgres")
    words = ["-d", stage.dsn(), "-F", form, "-j", jobs, "-f", file, "--no-owner", "--no-acl"]
    ran = await stage.bastion.run("pg_dump", *words, "-t", "t", "-t", "people")
    assert ran.stderr == ""
    into = stage.dsn().replace("dbname=app", f"dbname={name}")
    ran = await stage.bastion.run("pg_restore", "-d", into, "-j", jobs, "--no-owner", file)
    assert ran.stderr == ""
    assert stage.server.admin("SELECT count(*) FROM t", name) == "20"
    assert stage.server.admin("SELECT ssn FROM people WHERE id = 1", name) == "123-45-6789"


async def test_what_psql_offers_beside_sql(stage, tmp_path):
    file = tmp_path / "large"
    file.write_bytes(bytes(range(256)) * 100)
    script = f"""\\set ON_ERROR_STOP on
\\d
\\d+ people
\\dt+ public.*
\\df+ pg_backend_pid
\\dn+
\\dx
\\dp
\\ddp
\\dconfig work_mem
\\l+
\\sf pg_catalog.pg_relation_size(regclass)
SELECT 1 AS one, 'x' AS two \\gdesc
SELECT id, v FROM t WHERE id = 1 \\gset
\\echo :id :v
SELECT n, n % 2 AS odd, 'cell ' || n FROM generate_series(1, 3) n \\crosstabview
SELECT 'SELECT ' || n FROM generate_series(7, 8) n \\gexec
\\copy (SELECT id FROM t WHERE id < 3) to '{tmp_path}/ids'
CREATE TEMP TABLE ids (id int);
\\copy ids from '{tmp_path}/ids'
SELECT 'copied ' || count(*) FROM ids;
\\lo_import '{file}' 'a comment'
\\lo_list
\\lo_export :LASTOID '{file}.back'
\\lo_unlink :LASTOID
SELECT 'reached the end';
"""
    ran = await stage.psql("-At", stdin=script.encode())
    assert ran.stderr == ""
    for said in (b"two|text", b"1 v1", b"cell 3", b"\n8\n", b"copied 2", b"reached the end"):
        assert said in ran.stdout
    assert (tmp_path / "large.back").read_bytes() == file.read_bytes()
