"""Random conditions, each tried on rows here and by a real PostgreSQL: both must say the same.

Whether a WHERE picks rows out is told by trying it on rows (`policy/sql/trial.py`), so what is
computed for a row must be what the server computes. What is true of every row of a table that has
some of everything, and is said to pick rows out all the same, is printed to be looked at.

python -m tests.fuzz.condition_fuzz [--count N] [--seed N]
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import postgast

from bastion.policy.sql.outcome import Outcome
from bastion.policy.sql.reading import read_sql
from bastion.policy.sql.tree import Tree, given, strings, unwrapped
from bastion.policy.sql.values import Untold, Value
from tests.harness.postgres import PASSWORD, postgres

NUMBERS: Sequence[int | None] = (None, 0, 1, -1, 2, 7, 100, 2147483647, -5)
TEXTS: Sequence[str | None] = (None, "", "a", "x", "abc", "%", "A", "true", "zz")
COLUMNS = ("id", "a", "b", "v", "w", "flag")
TABLE = 'CREATE TABLE t (id int PRIMARY KEY, a int, b int, v text COLLATE "C",'
TABLE += ' w text COLLATE "C", flag bool); GRANT ALL ON t TO app;'
COMPARISONS = ("=", "<>", "<", "<=", ">", ">=")


def rows(chance: random.Random, count: int = 60) -> list[tuple[Value, ...]]:
    """Some of everything."""
    return [
        (number, *(chance.choice(one) for one in (NUMBERS, NUMBERS, TEXTS, TEXTS)),
         chance.choice((None, True, False)))
        for number in (*range(1, count), 2147483647)
    ]  # fmt: skip


class Conditions:
    """Makes expressions of a given depth, as SQL."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def number(self, depth: int) -> str:
        """One of type int."""
        pick = self._chance.choice
        if depth <= 0 or self._chance.random() < 0.5:
            return pick(["id", "a", "b", "t.id", "0", "1", "-1", "2", "NULL", "2147483647", "'7'"])
        number, text, truth = self.number, self.text, self.truth
        below = depth - 1
        return pick([
            lambda: f"({number(below)} {pick(['+', '-', '*', '&', '|', '#'])} {pick('01')})",
            lambda: f"({number(below)} {pick(['/', '%'])} {pick('123')})",
            lambda: f"abs({number(below)})", lambda: f"(-{number(below)})",
            lambda: f"coalesce({number(below)}, {number(below)})",
            lambda: f"nullif({number(below)}, {number(below)})",
            lambda: f"{pick(['greatest', 'least'])}({number(below)}, {number(below)})",
            lambda: f"length({text(below)})", lambda: f"strpos({text(below)}, {text(0)})",
            lambda: f"(CASE WHEN {truth(below)} THEN {number(below)} ELSE {number(below)} END)",
            lambda: f"({number(below)})::{pick(['bigint', 'int'])}",
            lambda: f"sign({number(below)})::int", lambda: f"({truth(below)})::int",
            lambda: f"(SELECT {number(below)})", lambda: f"num_nulls({text(0)}, {number(0)})",
            lambda: f"(ARRAY[{number(below)}, {number(0)}])[{pick('123')}]",
        ])()  # fmt: skip

    def text(self, depth: int) -> str:
        """One of type text."""
        pick = self._chance.choice
        if depth <= 0 or self._chance.random() < 0.5:
            return pick(["v", "w", "''", "'a'", "'x'", "NULL", "'%'", "'abc'"])
        text, number, below = self.text, self.number, depth - 1
        return pick([
            lambda: f"({text(below)} || {text(below)})", lambda: f"({number(below)})::text",
            lambda: f"{pick(['lower', 'upper', 'trim', 'ltrim', 'reverse'])}({text(below)})",
            lambda: f"coalesce({text(below)}, {text(below)})",
            lambda: f"concat({text(below)}, {text(below)})",
            lambda: f"nullif({text(below)}, {text(below)})",
            lambda: f"replace({text(below)}, {text(0)}, {text(0)})",
            lambda: f"left({text(below)}, {pick(['1', '2', '0', '-1'])})",
        ])()  # fmt: skip

    def truth(self, depth: int) -> str:
        """A condition."""
        pick = self._chance.choice
        number, text, truth, below = self.number, self.text, self.truth, depth - 1
        if depth <= 0:
            return pick([
                f"{number(0)} {pick(COMPARISONS)} {number(0)}", "flag", "true", "false",
                f"{number(0)} IS {pick(['', 'NOT '])}NULL", f"{text(0)} = {text(0)}",
            ])  # fmt: skip
        negation = pick(["", "NOT "])
        distinct = pick(["IS DISTINCT FROM", "IS NOT DISTINCT FROM"])
        return pick([
            lambda: f"{number(below)} {pick([*COMPARISONS, distinct])} {number(below)}",
            lambda: f"{text(below)} {pick([*COMPARISONS, distinct, '^@'])} {text(below)}",
            lambda: f"{text(below)} {negation}{pick(['LIKE', 'ILIKE'])} {text(below)}",
            lambda: f"{number(below)} IS {negation}NULL",
            lambda: f"{text(below)} IS {negation}NULL",
            lambda: f"({truth(below)} {pick(['AND', 'OR', 'OR'])} {truth(below)})",
            lambda: f"NOT ({truth(below)})",
            lambda: f"({truth(below)}) IS {negation}{pick(['TRUE', 'FALSE', 'UNKNOWN'])}",
            lambda: f"{number(below)} {negation}BETWEEN {pick(['', 'SYMMETRIC '])}"
            f"{number(below)} AND {number(below)}",
            lambda: f"{number(below)} {negation}IN ({number(below)}, {number(below)})",
            lambda: f"{number(below)} {pick(COMPARISONS)} {pick(['ANY', 'ALL'])}"
            f" (ARRAY[{number(below)}, {number(below)}])",
            lambda: f"coalesce({truth(below)}, {truth(below)})",
            lambda: f"(CASE WHEN {truth(below)} THEN {truth(below)} ELSE {truth(below)} END)",
            lambda: f"(CASE {number(below)} WHEN {number(below)} THEN {truth(below)} END)",
            lambda: f"({number(below)}, {number(below)}) {pick(COMPARISONS)}"
            f" ({number(below)}, {number(below)})",
            lambda: f"EXISTS (SELECT 1 WHERE {truth(below)})",
            lambda: f"({truth(below)}) {pick(['=', '<>', distinct])} ({truth(below)})",
            lambda: f"ROW({number(below)}, {text(below)}) IS {negation}NULL",
        ])()  # fmt: skip


def computed(condition: str, row: Sequence[Value]) -> Value:
    """What is computed here for a row; Untold."""

    def look_up(node: Tree) -> Value:
        return row[COLUMNS.index(strings(node.fields)[-1])]

    select = unwrapped(postgast.parse(f"SELECT 1 FROM t WHERE {condition}").stmts[0].stmt)
    return Outcome(look_up).truth(given(select, "where_clause"))


def picks_rows(condition: str) -> bool:
    """Whether the reading says that it picks rows out."""
    (statement,) = read_sql(f"DELETE FROM t WHERE {condition}").statements
    return next(use.restricted for use in statement.uses if use.kind == "delete")


@dataclass(slots=True)
class Found:
    """What came of it."""

    tried: int = 0
    told: int = 0
    always: int = 0
    wrong: list[str] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)
    """True of every row of the table, and said to pick rows out; most are so by chance."""

    def __str__(self) -> str:
        return (
            f"{self.tried} conditions, {self.told} values told, {len(self.wrong)} wrong;"
            f" {self.always} true of every row, {len(self.unseen)} of them said to pick rows out"
        )


async def compare(
    connection: asyncpg.Connection[asyncpg.Record],
    table: Sequence[Sequence[Value]],
    condition: str,
    found: Found,
) -> None:
    """One condition, on the server and here."""
    try:
        answers = await connection.fetch(f"SELECT ({condition}) AS c FROM t ORDER BY id")
    except asyncpg.PostgresError:
        return  # of no type that fits, or a division by zero
    found.tried += 1
    truths = [answer["c"] for answer in answers]
    for row, truth in zip(table, truths, strict=True):
        try:
            value = computed(condition, row)
        except Untold:
            continue
        found.told += 1
        if value is not truth:
            found.wrong.append(f"{condition}  on {row}: {value}, the server says {truth}")
            break
    if all(truths):
        found.always += 1
        if picks_rows(condition):
            found.unseen.append(condition)


async def run(count: int, seed: int, depth: int = 3) -> Found:
    """`count` random conditions."""
    chance = random.Random(seed)
    table, conditions, found = rows(chance), Conditions(chance), Found()
    with tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp") as short:
        Path(short).chmod(0o755)
        async with postgres(Path(short) / "s", TABLE) as server:
            connection = await asyncpg.connect(
                host="127.0.0.1", port=server.port, user="app", password=PASSWORD, database="app"
            )
            await connection.executemany("INSERT INTO t VALUES ($1, $2, $3, $4, $5, $6)", table)
            while found.tried < count:
                await compare(connection, table, conditions.truth(chance.randint(1, depth)), found)
            await connection.close()
    return found


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    given_ = parser.parse_args()
    found = asyncio.run(run(given_.count, given_.seed))
    print(*found.wrong, *(f"said to pick rows out: {one}" for one in found.unseen), found, sep="\n")


if __name__ == "__main__":
    main()
