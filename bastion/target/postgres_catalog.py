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
_BODIED: Final = """
WITH RECURSIVE bodied AS (
    SELECT p.oid, p.proname
    FROM pg_catalog.pg_proc p
    JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
    JOIN pg_catalog.pg_language l ON l.oid = p.prolang
    WHERE n.nspname NOT IN ('pg_catalog', 'information_schema')
      AND l.lanname NOT IN ('c', 'internal')
)"""
_FUNCTIONS: Final = """
{bodied}
SELECT proname FROM bodied
UNION
SELECT p.proname
FROM pg_catalog.pg_aggregate a
JOIN pg_catalog.pg_proc p ON p.oid = a.aggfnoid
JOIN bodied b ON b.oid IN (a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggmtransfn,
                           a.aggminvtransfn, a.aggmfinalfn)
"""
_NEAR: Final = """
{bodied}, way AS (
    -- A view, or a rule, reads or writes what it depends on.
    SELECT d.refobjid AS one, r.ev_class AS other
    FROM pg_catalog.pg_depend d
    JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid
    WHERE d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
      AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid <> r.ev_class
    -- A row goes to partitions and children, and is checked, or deleted, by foreign keys.
    UNION SELECT inhparent, inhrelid FROM pg_catalog.pg_inherits
    UNION SELECT inhrelid, inhparent FROM pg_catalog.pg_inherits
    UNION SELECT conrelid, confrelid FROM pg_catalog.pg_constraint WHERE contype = 'f'
    UNION SELECT confrelid, conrelid FROM pg_catalog.pg_constraint WHERE contype = 'f'
), near AS (
    SELECT pg_catalog.unnest({masked}::pg_catalog.oid[]) AS relation
    -- Triggers, defaults, checks, indexes and policies with functions of their own.
    UNION SELECT t.tgrelid FROM pg_catalog.pg_trigger t JOIN bodied b ON b.oid = t.tgfoid
    UNION SELECT coalesce(f.adrelid, c.conrelid, i.indrelid, p.polrelid)
    FROM pg_catalog.pg_depend d
    JOIN bodied b ON b.oid = d.refobjid
    LEFT JOIN pg_catalog.pg_attrdef f
      ON f.oid = d.objid AND d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass
    LEFT JOIN pg_catalog.pg_constraint c ON c.oid = d.objid AND c.conrelid <> 0
      AND d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass
    LEFT JOIN pg_catalog.pg_index i
      ON i.indexrelid = d.objid AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
    LEFT JOIN pg_catalog.pg_policy p
      ON p.oid = d.objid AND d.classid = 'pg_catalog.pg_policy'::pg_catalog.regclass
    WHERE d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass
    UNION SELECT way.other FROM near JOIN way ON way.one = near.relation
)
SELECT DISTINCT c.relname FROM near JOIN pg_catalog.pg_class c ON c.oid = near.relation
"""
_EVERYWHERE: Final = """
{bodied}
SELECT count(*) FROM (
    SELECT FROM pg_catalog.pg_event_trigger e JOIN bodied b ON b.oid = e.evtfoid
    UNION ALL SELECT FROM pg_catalog.pg_cast c JOIN bodied b ON b.oid = c.castfunc
    UNION ALL SELECT FROM pg_catalog.pg_operator o JOIN bodied b ON b.oid = o.oprcode
    UNION ALL SELECT FROM pg_catalog.pg_depend d
    JOIN bodied b ON b.oid = d.refobjid
    JOIN pg_catalog.pg_constraint c ON c.oid = d.objid AND c.contypid <> 0
    WHERE d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass
      AND d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass
) hidden
"""


@dataclass(frozen=True, slots=True)
class MaskedColumns:
    """What the catalog says of masked columns."""

    numbers: dict[int, frozenset[int]]
    """Table OID → numbers of its masked columns."""
    names: tuple[str, ...]
    """The same as `schema.table.column`, for the reading of statements."""
    functions: frozenset[str]
    """Functions with a body of their own, which could read anything; aggregates of such."""
    near: frozenset[str]
    """Names of tables and views from which a statement may come to a table with such columns."""
    everywhere: bool
    """Any statement may: a domain, cast, operator or event trigger has such a function behind."""


async def masked_columns(link: Link, globs: Sequence[str]) -> MaskedColumns:
    """Look the globs (`table.column`, `schema.table.column`) up; DialError where that fails."""
    conditions = " OR ".join(map(_condition, globs))
    rows = await ask(link, _COLUMNS.replace("{conditions}", conditions))
    numbers: dict[int, set[int]] = {}
    names: list[str] = []
    for relation, number, schema, table, column in rows:
        numbers.setdefault(int(relation or 0), set()).add(int(number or 0))
        names.append(f"{schema}.{table}.{column}")
    functions = frozenset(
        str(row[0]) for row in await ask(link, _FUNCTIONS.replace("{bodied}", _BODIED))
    )
    masked = literal("{" + ",".join(map(str, numbers)) + "}")
    near_query = _NEAR.replace("{bodied}", _BODIED).replace("{masked}", masked)
    near = frozenset(str(row[0]) for row in await ask(link, near_query))
    hidden = await ask(link, _EVERYWHERE.replace("{bodied}", _BODIED))
    return MaskedColumns(
        {oid: frozenset(found) for oid, found in numbers.items()},
        tuple(names),
        functions,
        near,
        hidden[0][0] != "0",
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
