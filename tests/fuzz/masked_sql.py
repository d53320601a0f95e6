"""Statements that nobody would write, over a database with masked columns: none may show a value.

python -m tests.fuzz.masked_sql [--count N] [--seed N]
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import psycopg

from tests.harness.database import database
from tests.masked_columns import MASKS, SCHEMA, VALUES

TABLES: Final = {
    "people": ["id", "name", "ssn", "born"], "staff": ["id", "name", "ssn", "rank"],
    "v_names": ["id", "name"], "v_plain": ["id", "code"], "m_people": ["id", "ssn"],
    "t": ["id", "v"], "made": ["id", "ssn", "upper", "v"], "kept": ["id", "p", "list"],
}  # fmt: skip
OF_COLUMNS: Final = (
    "concat({0}, '!')", "CASE WHEN true THEN {0} END", "COALESCE({0})", "({0})", "({0})::text",
    "({0})::varchar", "ROW({0})", "ARRAY[{0}]", "max({0}::text)", "array_agg({0}) OVER ()",
    "count(*)",
)  # fmt: skip
OF_ROWS: Final = (
    "{0}", "{0}.*", "{0}.to_jsonb", "{0}.concat", "{0}.record_out", "to_jsonb({0})", "hstore({0})",
    "({0}).ssn", "({0}).p", "{0}::text",
)  # fmt: skip
OF_QUERIES: Final = ("({0})", "ARRAY({0})", "EXISTS ({0})")
JOINS: Final = (
    "CROSS JOIN {0}",
    "NATURAL JOIN {0}",
    "JOIN {0} USING (id)",
    "LEFT JOIN {0} ON true",
)
CHANGES: Final = (
    ("UPDATE people SET id = id WHERE id = 1 RETURNING *", TABLES["people"]),
    ("UPDATE people SET id = id WHERE id = 1 RETURNING people", ["people"]),
    ("INSERT INTO t SELECT id + 5000, name FROM people RETURNING *", TABLES["t"]),
)
WHOLE: Final = (
    *["{0}"] * 8, "COPY ({0}) TO STDOUT", "CREATE TEMP TABLE z AS {0}",
    "CREATE TEMP VIEW z AS {0}", "DECLARE z CURSOR FOR {0}",
    "INSERT INTO t SELECT 7000, x::text FROM ({0}) AS zz (x) LIMIT 1 RETURNING t",
    "INSERT INTO people (id, ssn, name) SELECT 7001, name, ssn FROM people LIMIT 1 RETURNING {1}",
    "UPDATE people SET name = ({2}) WHERE id = 1 RETURNING {1}",
)  # fmt: skip
Scope = list[tuple[str, list[str]]]
"""What FROM gives: each alias, and the names of its columns."""


class Statements:
    """Makes one statement a seed."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.names = 0
        self.ctes: Scope = []

    def name(self) -> str:
        self.names += 1
        return f"{self.chance.choice('qxyz')}{self.names}"

    def renamed(self, columns: list[str]) -> tuple[str, list[str]]:
        """Sometimes other names for all of them."""
        if not columns or self.chance.random() > 0.25:
            return "", columns
        names = [self.name() for _ in columns]
        return f" ({', '.join(names)})", names

    def source(self, depth: int) -> tuple[str, Scope]:
        """An item of FROM."""
        kind = self.chance.choice(["table"] * 5 + ["query"] * 3 + ["join"] * 2 + ["lateral"])
        if kind == "table" or depth <= 0:
            return self.table()
        if kind == "query":
            query, columns = self.query(depth - 1)
            alias, (others, columns) = self.name(), self.renamed(columns)
            return f"({query}) {alias}{others}", [(alias, columns)]
        left, scope = self.source(depth - 1)
        if kind == "lateral":
            query, columns = self.query(depth - 1, scope)
            alias = self.name()
            return f"{left}, LATERAL ({query}) {alias}", [*scope, (alias, columns)]
        right, more = self.source(depth - 1)
        return f"{left} {self.chance.choice(JOINS).format(right)}", [*scope, *more]

    def table(self) -> tuple[str, Scope]:
        if self.ctes and self.chance.random() < 0.5:
            name, columns = self.chance.choice(self.ctes)
        else:
            name, columns = self.chance.choice([*TABLES.items(), ("people", TABLES["people"])])
        if self.chance.random() < 0.4:
            return name, [(name, columns)]
        alias, (others, columns) = self.name(), self.renamed(columns)
        return f"{name} {alias}{others}", [(alias, columns)]

    def output(self, depth: int, scope: Scope) -> str:
        """An expression, mostly a column alone."""
        alias, columns = self.chance.choice(scope)
        column = self.chance.choice(columns or ["id"])
        column = self.chance.choice([column, f"{alias}.{column}"])
        kind = self.chance.random()
        if kind < 0.7:
            return column
        if kind < 0.8:
            return self.chance.choice(OF_COLUMNS).format(column)
        if kind < 0.9 or depth <= 0:
            return self.chance.choice(OF_ROWS).format(alias)
        query, _ = self.query(depth - 1, scope, single=True)
        return self.chance.choice(OF_QUERIES).format(query)

    def query(
        self, depth: int, outer: Scope | None = None, *, single: bool = False
    ) -> tuple[str, list[str]]:
        """A SELECT, and the names of its columns as far as they are known."""
        source, scope = self.source(depth)
        seen = scope + (outer or [])
        outputs, names = [], []
        for _ in range(1 if single else self.chance.randint(1, 3)):
            output = self.output(depth, seen)
            bare = output.rpartition(".")[2]
            alias = self.chance.choice(["", "", self.name(), "ssn", "name"])
            outputs.append(f"{output} AS {alias}" if alias else output)
            names.append(alias or (bare if bare.isidentifier() else "c"))
        star = "" if single or self.chance.random() > 0.1 else ", *"
        distinct = self.chance.choice(["", "", "", "DISTINCT "])
        text = f"SELECT {distinct}{', '.join(outputs)}{star} FROM {source}"
        text += self.chance.choice([""] * 9 + [f" WHERE {self.output(0, seen)} IS NOT NULL"])
        if not single:
            text += self.chance.choice([""] * 6 + [" ORDER BY 1", f" ORDER BY {names[0]}"])
        return f"{text} LIMIT 1" if single else text, names

    def statement(self) -> str:
        """All of it, with common table expressions."""
        parts = []
        for _ in range(self.chance.choice([0, 0, 1, 2])):
            query, columns = self.chance.choice([self.query(2), *CHANGES[:1], CHANGES[1]])
            name, (others, columns) = self.name(), self.renamed(columns)
            parts.append(f"{name}{others} AS ({query})")
            self.ctes = [*self.ctes, (name, columns)]
        clause = f"WITH {', '.join(parts)} " if parts else ""
        people: Scope = [("people", TABLES["people"])]
        one = self.query(2, single=True)[0]
        return self.chance.choice(WHOLE).format(
            clause + self.query(3)[0], self.output(1, people), clause + one
        )


async def _shown(connection: psycopg.AsyncConnection[object], sql: str) -> str:
    """All that a client sees of a statement, and of what it left behind."""
    if sql.startswith("COPY"):
        async with connection.cursor().copy(sql) as copy:
            return "".join([bytes(block).decode("latin-1") async for block in copy])
    follow = {"CREATE": "TABLE z", "DECLARE": "FETCH ALL z"}.get(sql.split()[0])
    texts = [sql, *filter(None, [follow]), "SELECT id, v FROM t", "SELECT id, name FROM people"]
    seen = ""
    for text in texts if follow or "INSERT" in sql or "UPDATE" in sql else [sql]:
        cursor = await connection.execute(text, prepare=False)
        seen += str(await cursor.fetchall()) if cursor.description else ""
    return seen


async def leaks(dsn: str, seeds: Iterable[int]) -> list[str]:
    """The statements that show a masked value, one a seed; none of them lasts."""
    found: list[str] = []
    said: list[str] = []
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        connection.add_notice_handler(lambda diag: said.append(str(diag.message_primary)))
        for seed in seeds:
            sql = Statements(seed).statement()
            try:
                seen = await _shown(connection, sql)
            except psycopg.errors.Error as error:
                seen = f"{error} {error.diag.message_detail}"
            await connection.rollback()
            if any(value in f"{seen} {said}" for value in VALUES):
                found.append(sql)
            said.clear()
    return found


async def _many(seeds: Iterator[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        terms = f"{{mask: [{MASKS}]}}"
        async with database(
            Path(folder), sql=SCHEMA, terms=terms, credential="certificate", logins="[cert]"
        ) as stage:
            for sql in await leaks(stage.dsn(), seeds):
                print(sql)


def main() -> None:
    """From the command line: print what leaks."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    words = parser.parse_args()
    asyncio.run(_many(iter(range(words.seed, words.seed + words.count))))


if __name__ == "__main__":
    main()
