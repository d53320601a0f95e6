"""Which columns of a database hold what is masked, wherever it can be read from."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import Final

from bastion.gate.postgres.known import FIRST_NORMAL_OID, Known
from bastion.gate.postgres.mask import Masks
from bastion.target.postgres import ask, literal
from bastion.target.postgres_link import Link

_COLUMNS: Final = """
WITH RECURSIVE named AS (
    SELECT c.oid AS relation, a.attnum AS number
    FROM pg_catalog.pg_attribute a
    JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
      AND ({conditions}
        -- Where texts of other sessions stand, with the values in them.
        OR (a.attname = 'query' AND (c.relname = 'pg_stat_statements'
            OR (c.relname = 'pg_stat_activity' AND n.nspname = 'pg_catalog'))))
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
          AND d.refobjid = f.relation AND r.ev_class <> f.relation AND r.ev_type = '1'
          AND (d.refobjsubid = f.number
            -- Of a whole row the catalog does not say which columns are in it.
            OR pg_catalog.strpos(r.ev_action::pg_catalog.text, ':varattno 0 ') > 0)
        UNION ALL
        -- Children, partitions and parents have the column under its name.
        SELECT i.other, own.attnum
        FROM (
            SELECT inhparent AS one, inhrelid AS other FROM pg_catalog.pg_inherits
            UNION ALL SELECT inhrelid, inhparent FROM pg_catalog.pg_inherits
        ) i
        JOIN pg_catalog.pg_attribute this
          ON this.attrelid = f.relation AND this.attnum = f.number
        JOIN pg_catalog.pg_attribute own
          ON own.attrelid = i.other AND own.attname = this.attname
        WHERE i.one = f.relation
        UNION ALL
        -- Generated from it: until 14 the column depends on it, since then its expression.
        SELECT f.relation, coalesce(e.adnum, d.objsubid::pg_catalog.int2)
        FROM pg_catalog.pg_depend d
        LEFT JOIN pg_catalog.pg_attrdef e
          ON e.oid = d.objid AND d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass
        WHERE d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
          AND d.refobjid = f.relation AND d.refobjsubid = f.number
          AND (e.adrelid = f.relation AND e.adnum <> f.number
            OR d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
              AND d.objid = f.relation AND d.objsubid > 0)
        UNION ALL
        -- The same value, by a foreign key.
        SELECT k.conrelid, k.conkey[place]
        FROM pg_catalog.pg_constraint k
        CROSS JOIN LATERAL pg_catalog.generate_subscripts(k.conkey, 1) AS place
        WHERE k.contype = 'f' AND k.confrelid = f.relation AND k.confkey[place] = f.number
        UNION ALL
        -- Whole rows that are stored in a column, or lists of them.
        SELECT a.attrelid, a.attnum
        FROM pg_catalog.pg_type t
        JOIN pg_catalog.pg_attribute a ON a.atttypid = t.oid
        JOIN pg_catalog.pg_class c ON c.reltype IN (t.oid, t.typelem, t.typbasetype)
        WHERE c.oid = f.relation AND c.reltype <> 0
    ) further
)
SELECT f.relation::pg_catalog.text, f.number::pg_catalog.text, n.nspname, c.relname, a.attname,
    (SELECT count(*) FROM pg_catalog.pg_attribute b WHERE b.attrelid = f.relation
      AND b.attnum BETWEEN 1 AND f.number AND NOT b.attisdropped)::pg_catalog.text
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
    SELECT pg_catalog.unnest({masked}) AS relation
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
    -- Columns of domains that check with such a function.
    UNION SELECT a.attrelid
    FROM pg_catalog.pg_depend d
    JOIN bodied b ON b.oid = d.refobjid
    JOIN pg_catalog.pg_constraint c ON c.oid = d.objid
    JOIN pg_catalog.pg_attribute a ON a.atttypid = c.contypid
    WHERE c.contypid <> 0 AND d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass
      AND d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass
    UNION SELECT way.other FROM near JOIN way ON way.one = near.relation
)
SELECT DISTINCT c.relname FROM near JOIN pg_catalog.pg_class c ON c.oid = near.relation
"""
_EVERYWHERE: Final = """
{bodied}
SELECT count(*) FROM (
    SELECT FROM pg_catalog.pg_event_trigger e JOIN bodied b ON b.oid = e.evtfoid
    UNION ALL SELECT FROM pg_catalog.pg_cast c JOIN bodied b ON b.oid = c.castfunc
    WHERE c.castcontext <> 'e'
) hidden
"""


_ROW_FUNCTIONS: Final = """
SELECT DISTINCT p.proname, a.attname, n.nspname, c.relname
FROM pg_catalog.pg_proc p
LEFT JOIN pg_catalog.pg_attribute a
  ON a.attname = p.proname AND a.attnum > 0 AND NOT a.attisdropped AND a.attrelid = ANY ({masked})
LEFT JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE p.pronargs >= 1 AND p.pronargs - p.pronargdefaults <= 1
  -- record, and what is declared to take anything; or rows of a masked table
  AND (p.proargtypes[0] IN (2249, 2276, 2283, 2776, 5077, 5079)
    OR p.proargtypes[0] IN (SELECT reltype FROM pg_catalog.pg_class WHERE oid = ANY ({masked})))
  AND p.proname NOT IN ('count', 'num_nulls', 'num_nonnulls', 'pg_typeof', 'pg_column_size',
    'pg_column_compression', 'pg_column_toast_chunk_id')
"""
_RELATIONS: Final = """
SELECT c.oid::pg_catalog.text, c.relnatts::pg_catalog.text, c.relname, n.nspname
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
"""
_ALL_FUNCTIONS: Final = "SELECT DISTINCT proname FROM pg_catalog.pg_proc"
_ALL_COLUMNS: Final = "SELECT DISTINCT attname FROM pg_catalog.pg_attribute"
_OF_MASKED: Final = """
SELECT c.relname || '.' || a.attname
FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
WHERE a.attrelid = ANY ({masked})
"""
_GENERATED: Final = """
SELECT a.attrelid::pg_catalog.text, a.attnum::pg_catalog.text
FROM pg_catalog.pg_attribute a
WHERE a.attrelid = ANY ({masked}) AND pg_catalog.to_jsonb(a) ->> 'attgenerated' <> ''
ORDER BY a.attrelid
"""  # which servers before 12 do not have
_RULED: Final = """
SELECT DISTINCT c.relname
FROM pg_catalog.pg_depend d
JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid AND r.ev_type <> '1' AND r.ev_class <> d.refobjid
JOIN pg_catalog.pg_class c ON c.oid = r.ev_class
WHERE d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
  AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = ANY ({masked})
  -- It has a query in it, or gives rows.
  AND pg_catalog.substring(r.ev_action::pg_catalog.text,
    '[{]QUERY :commandType 1 |:returningList [(]') IS NOT NULL
"""
_BEHIND: Final = """
{bodied}
SELECT o.oprname FROM pg_catalog.pg_operator o JOIN bodied b ON b.oid = o.oprcode
UNION SELECT t.typname FROM pg_catalog.pg_cast c JOIN bodied b ON b.oid = c.castfunc
  JOIN pg_catalog.pg_type t ON t.oid = c.casttarget
UNION SELECT t.typname FROM pg_catalog.pg_depend d
JOIN bodied b ON b.oid = d.refobjid
JOIN pg_catalog.pg_constraint c ON c.oid = d.objid AND c.contypid <> 0
JOIN pg_catalog.pg_type t ON t.oid = c.contypid
WHERE d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass
  AND d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass
"""


async def masked_columns(link: Link, globs: Sequence[str], earlier: Masks) -> Masks:
    """Look the globs (`table.column`, `schema.table.column`) up; DialError where that fails.

    What was masked `earlier` in the same session stays so, whatever it is called now.
    """
    pairs = (f"({oid}, {one})" for oid, each in earlier.columns.items() for one in each)
    still = f"(a.attrelid, a.attnum) IN ({', '.join(pairs)})" if earlier.columns else ""
    conditions = " OR ".join(filter(None, [*map(_condition, globs), still]))
    numbers: dict[int, set[int]] = {}
    names: list[str] = []
    for row in await ask(link, _COLUMNS.replace("{conditions}", conditions)):
        relation, number, schema, table, column, place = map(str, row)
        numbers.setdefault(int(relation), set()).add(int(number))
        names += (f"{schema}.{table}.{column}", f"{schema}.{table}.#{place}")
    masked = literal("{" + ",".join(map(str, numbers)) + "}") + "::pg_catalog.oid[]"

    async def found(query: str) -> list[list[str]]:
        text = query.replace("{bodied}", _BODIED).replace("{masked}", masked)
        return [[one or "" for one in row] for row in await ask(link, text)]

    by_row = await found(_ROW_FUNCTIONS)
    relations = await found(_RELATIONS)
    known = Known(
        relations={
            int(row[0]): int(row[1]) for row in relations if int(row[0]) >= FIRST_NORMAL_OID
        },
        tables=_shared(
            frozenset(name for row in relations for name in (row[2], f"{row[3]}.{row[2]}"))
        ),
        functions=_shared(_first(await found(_ALL_FUNCTIONS))),
        columns=_shared(_first(await found(_ALL_COLUMNS))),
        masked=_first(await found(_OF_MASKED)),
    )
    return Masks(
        columns={oid: frozenset(each) for oid, each in numbers.items()},
        active=True,
        known=known,
        names=tuple(names),
        tables=frozenset(one.split(".")[-2] for one in names),
        functions=_first(await found(_FUNCTIONS)),
        near=_first(await found(_NEAR)),
        everywhere=(await found(_EVERYWHERE))[0][0] != "0",
        row_functions=_first(by_row),
        named_alike=frozenset(
            f"{schema}.{table}.{name}" for _, name, schema, table in by_row if name
        ),
        behind=_first(await found(_BEHIND)),
        generated={
            int(one): frozenset(int(row[1]) for row in rows)
            for one, rows in groupby(await found(_GENERATED), key=itemgetter(0))
        },
        ruled=_first(await found(_RULED)),
    )


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
