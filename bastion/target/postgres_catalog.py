"""Which columns of a database hold what is masked, wherever it can be read from."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import Final

from bastion.errors import DialError
from bastion.gate.postgres import misuse
from bastion.gate.postgres.known import FIRST_NORMAL_OID, Known
from bastion.gate.postgres.mask import Masks
from bastion.model import SqlReading
from bastion.target import postgres_queries as queries
from bastion.target.postgres import ask, describe, literal
from bastion.target.postgres_bodies import Bodies
from bastion.target.postgres_link import Link
from bastion.wire.postgres import Column

MOST_ROUNDS: Final = 50
"""Views of views, and functions that read them: each round finds those of the one before."""

Read = Callable[[str], Awaitable[SqlReading]]
"""Tells what a text of SQL does (`target.sql_reader`)."""


async def masked_columns(link: Link, globs: Sequence[str], earlier: Masks, read: Read) -> Masks:
    """Look the globs (`table.column`, `schema.table.column`) up; DialError where that fails.

    What was masked `earlier` in the same session stays so, whatever it is called now.
    """
    look = _Look(link, read)
    pairs = (f"({oid}, {one})" for oid, each in earlier.columns.items() for one in each)
    still = f"(a.attrelid, a.attnum) IN ({', '.join(pairs)})" if earlier.columns else ""
    conditions = " OR ".join(filter(None, [*map(_condition, globs), still]))
    look.add(await look.found(queries.COLUMNS.replace("{conditions}", conditions)))
    bodies = Bodies(await look.found(queries.BODIES), await look.found(queries.BEHIND))
    await bodies.open(read)
    for _ in range(MOST_ROUNDS):
        before = look.size
        masks = await look.masks()
        look.dangerous = bodies.dangerous(masks)
        masks = bodies.behind(masks, look.dangerous)
        look.add(await look.found(queries.DEFAULTS))
        await look.views(masks)
        if look.size == before:
            return await look.finished(masks)
    raise DialError("its views are nested more deeply than is looked through.")


@dataclass(slots=True)
class _Look:
    """What is found so far."""

    link: Link
    read: Read
    numbers: dict[int, set[int]] = field(default_factory=dict)
    """OID of a table or view → numbers of its masked columns."""
    dangerous: frozenset[int] = frozenset()
    """Functions that may read what is masked."""
    _described: dict[str, tuple[SqlReading, tuple[Column, ...] | None]] = field(
        default_factory=dict
    )
    """Of the text of a view."""

    @property
    def size(self) -> tuple[int, int]:
        """Grows with each thing that is found."""
        return sum(map(len, self.numbers.values())), len(self.dangerous)

    def add(self, rows: list[list[str]]) -> None:
        """Take in columns: OID, number."""
        for relation, number in rows:
            self.numbers.setdefault(int(relation), set()).add(int(number))

    async def found(self, query: str) -> list[list[str]]:
        """Ask; NULL is an empty text."""
        text = query.replace("{bodied}", queries.BODIED)
        text = text.replace("{masked}", _oids(self.numbers))
        text = text.replace("{dangerous}", _oids(self.dangerous))
        return [[one or "" for one in row] for row in await ask(self.link, text)]

    async def views(self, masks: Masks) -> None:
        """Find the masked columns of all views that read what is masked: those that are a masked
        column and nothing more, or all where the view does something else with one."""
        for relation, size, text in await self.found(queries.VIEWS):
            if text not in self._described:
                self._described[text] = (await self.read(text), await describe(self.link, text))
            reading, columns = self._described[text]
            if (
                columns is None
                or not reading.statements
                or any(misuse.reads(one, masks) for one in reading.statements)
            ):
                hidden = tuple(range(int(size)))
            else:
                hidden = masks.hidden(columns)
            self.add([[relation, str(at + 1)] for at in hidden])

    async def masks(self) -> Masks:
        """What is needed to tell what else reads them."""
        names: list[str] = []
        known: set[str] = set()
        for row in await self.found(queries.OF_MASKED):
            relation, number, schema, table, column, place = row
            known.add(f"{table}.{column}")
            if int(number) in self.numbers[int(relation)]:
                names += (f"{schema}.{table}.{column}", f"{schema}.{table}.#{place}")
        by_row = await self.found(queries.ROW_FUNCTIONS)
        return Masks(
            columns={oid: frozenset(each) for oid, each in self.numbers.items()},
            active=True,
            names=tuple(names),
            tables=frozenset(one.split(".")[-2] for one in names),
            known=Known(masked=frozenset(known)),
            row_functions=_first(by_row),
            named_alike=frozenset(".".join((*row[2:], row[1])) for row in by_row if row[1]),
            ruled=_first(await self.found(queries.RULED)),
        )

    async def finished(self, masks: Masks) -> Masks:
        """All the rest."""
        relations = await self.found(queries.RELATIONS)
        numbers = {int(row[0]): int(row[1]) for row in relations}
        known = Known(
            relations={oid: most for oid, most in numbers.items() if oid >= FIRST_NORMAL_OID},
            tables=_shared(
                frozenset(name for row in relations for name in (row[2], f"{row[3]}.{row[2]}"))
            ),
            functions=_shared(_first(await self.found(queries.ALL_FUNCTIONS))),
            columns=_shared(_first(await self.found(queries.ALL_COLUMNS))),
            masked=masks.known.masked,
        )
        generated = await self.found(queries.GENERATED)
        return replace(
            masks,
            known=known,
            near=_first(await self.found(queries.NEAR)),
            everywhere=(await self.found(queries.EVERYWHERE))[0][0] != "0",
            generated={
                int(one): frozenset(int(row[1]) for row in rows)
                for one, rows in groupby(generated, key=itemgetter(0))
            },
        )


def _oids(numbers: Iterable[int]) -> str:
    return literal("{" + ",".join(map(str, numbers)) + "}") + "::pg_catalog.oid[]"


@lru_cache(maxsize=64)
def _shared(names: frozenset[str]) -> frozenset[str]:
    """The same names of the same database are in memory once, however many sessions it has."""
    return names


def _first(rows: list[list[str]]) -> frozenset[str]:
    return frozenset(row[0] for row in rows)


def _condition(glob: str) -> str:
    table, _, column = glob.rpartition(".")
    schema, _, table = table.rpartition(".")
    parts = [f"c.relname LIKE {_like(table)}", f"a.attname LIKE {_like(column)}"]
    if schema:
        parts.append(f"n.nspname LIKE {_like(schema)}")
    return f"({' AND '.join(parts)})"


def _like(glob: str) -> str:
    escaped = glob.replace("\\", "\\\\").replace("%", r"\%").replace("_", r"\_")
    return literal(escaped.replace("*", "%").replace("?", "_"))
