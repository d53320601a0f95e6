"""Which columns of a database hold what is masked, wherever it can be read from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bastion.target.postgres import ask, literal
from bastion.target.postgres_link import Link

_COLUMNS: Final = """
WITH RECURSIVE named AS (
    SELECT c.oid AS relation, a.attnum AS number
    FROM pg_catalog.pg_attribute a
    JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
      AND ({conditions})
), found AS (
    SELECT relation, number FROM named
    UNION
    SELECT further.relation, further.number
    FROM found f CROSS JOIN LATERAL (
        -- Whatever a view shows of a table that has a masked column it reads: all of it.
        SELECT r.ev_class AS relation, a.attnum AS number
        FROM pg_catalog.pg_depend d
        JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid
        JOIN pg_catalog.pg_attribute a ON a.attrelid = r.ev_class AND a.attnum > 0
        WHERE d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
          AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
          AND d.refobjid = f.relation AND d.refobjsubid = f.number AND r.ev_class <> f.relation
        UNION ALL
        -- Children and partitions have the column under its name.
        SELECT i.inhrelid, own.attnum
        FROM pg_catalog.pg_inherits i
        JOIN pg_catalog.pg_attribute parent
          ON parent.attrelid = f.relation AND parent.attnum = f.number
        JOIN pg_catalog.pg_attribute own
          ON own.attrelid = i.inhrelid AND own.attname = parent.attname
        WHERE i.inhparent = f.relation
    ) further
)
SELECT f.relation::pg_catalog.text, f.number::pg_catalog.text, n.nspname, c.relname, a.attname
FROM found f
JOIN pg_catalog.pg_class c ON c.oid = f.relation
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = f.relation AND a.attnum = f.number
"""
_FUNCTIONS: Final = """
SELECT DISTINCT p.proname
FROM pg_catalog.pg_proc p
JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
JOIN pg_catalog.pg_language l ON l.oid = p.prolang
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND l.lanname NOT IN ('c', 'internal')
"""


@dataclass(frozen=True, slots=True)
class MaskedColumns:
    """What the catalog says of masked columns."""

    numbers: dict[int, frozenset[int]]
    """Table OID → numbers of its masked columns."""
    names: tuple[str, ...]
    """The same as `schema.table.column`, for the reading of statements."""
    functions: frozenset[str]
    """Functions with a body of their own, which could read anything."""


async def masked_columns(link: Link, globs: Sequence[str]) -> MaskedColumns:
    """Look the globs (`table.column`, `schema.table.column`) up; DialError where that fails."""
    conditions = " OR ".join(map(_condition, globs))
    rows = await ask(link, _COLUMNS.replace("{conditions}", conditions))
    numbers: dict[int, set[int]] = {}
    names: list[str] = []
    for relation, number, schema, table, column in rows:
        numbers.setdefault(int(relation or 0), set()).add(int(number or 0))
        names.append(f"{schema}.{table}.{column}")
    functions = frozenset(str(row[0]) for row in await ask(link, _FUNCTIONS))
    return MaskedColumns(
        {oid: frozenset(found) for oid, found in numbers.items()}, tuple(names), functions
    )


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
