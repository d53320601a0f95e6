"""What is asked of a database's catalog to know what is masked in it.

`{masked}` stands for the OIDs of the tables that have masked columns, `{dangerous}` for those of
the functions that may read what is masked, and `{bodied}` for a table of them.
"""

from __future__ import annotations

from typing import Final

BODIED: Final = "bodied AS (SELECT oid FROM pg_catalog.pg_proc WHERE oid = ANY ({dangerous}))"
COLUMNS: Final = """
WITH RECURSIVE edge AS (
    -- Children, partitions and parents have the column under its name.
    SELECT i.one, this.attnum AS number, i.other, own.attnum AS other_number
    FROM (
        SELECT inhparent AS one, inhrelid AS other FROM pg_catalog.pg_inherits
        UNION ALL SELECT inhrelid, inhparent FROM pg_catalog.pg_inherits
    ) i
    JOIN pg_catalog.pg_attribute this ON this.attrelid = i.one AND this.attnum > 0
    JOIN pg_catalog.pg_attribute own
      ON own.attrelid = i.other AND own.attname = this.attname AND own.attnum > 0
    UNION ALL
    -- Generated from it: until 14 the column depends on it, since then its expression.
    SELECT d.refobjid, d.refobjsubid, d.refobjid,
      coalesce(e.adnum, d.objsubid::pg_catalog.int2)
    FROM pg_catalog.pg_depend d
    LEFT JOIN pg_catalog.pg_attrdef e
      ON e.oid = d.objid AND d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass
    WHERE d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjsubid > 0
      AND (e.adrelid = d.refobjid AND e.adnum <> d.refobjsubid
        OR d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
          AND d.objid = d.refobjid AND d.objsubid > 0)
    UNION ALL
    -- The same value, by a foreign key.
    SELECT k.confrelid, k.confkey[place], k.conrelid, k.conkey[place]
    FROM pg_catalog.pg_constraint k
    CROSS JOIN LATERAL pg_catalog.generate_subscripts(k.conkey, 1) AS place
    WHERE k.contype = 'f'
    UNION ALL
    -- Whole rows that are stored in a column, or lists of them, whichever column of them it is.
    SELECT coalesce(nullif(t.typrelid, 0), nullif(e.typrelid, 0), b.typrelid), 0,
      a.attrelid, a.attnum
    FROM pg_catalog.pg_type t
    JOIN pg_catalog.pg_attribute a ON a.atttypid = t.oid AND a.attnum > 0
    LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem
    LEFT JOIN pg_catalog.pg_type b ON b.oid = t.typbasetype
    WHERE t.typrelid <> 0 OR e.typrelid <> 0 OR b.typrelid <> 0
), named AS (
    SELECT c.oid AS relation, a.attnum AS number
    FROM pg_catalog.pg_attribute a
    JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
      AND ({conditions}
        -- Where texts of other sessions stand, with the values in them.
        OR (a.attname = 'query' AND (c.relname = 'pg_stat_statements'
            OR (c.relname = 'pg_stat_activity' AND n.nspname = 'pg_catalog')))
        -- Statistics hold the commonest values.
        OR (n.nspname = 'pg_catalog' AND c.relname IN ('pg_stats', 'pg_stats_ext',
            'pg_stats_ext_exprs', 'pg_statistic', 'pg_statistic_ext_data')))
), found AS (
    SELECT relation, number FROM named
    UNION
    SELECT e.other, e.other_number
    FROM found f JOIN edge e ON e.one = f.relation AND e.number IN (f.number, 0)
)
SELECT relation::pg_catalog.text, number::pg_catalog.text FROM found
WHERE (SELECT count(*) FROM edge) >= 0  -- named twice, it is not computed for each round
"""
OF_MASKED: Final = """
SELECT a.attrelid::pg_catalog.text, a.attnum::pg_catalog.text, n.nspname, c.relname, a.attname,
    pg_catalog.row_number() OVER (PARTITION BY a.attrelid ORDER BY a.attnum)::pg_catalog.text
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE a.attrelid = ANY ({masked}) AND a.attnum > 0 AND NOT a.attisdropped
"""
VIEWS: Final = """
SELECT DISTINCT r.ev_class::pg_catalog.text, c.relnatts::pg_catalog.text,
    pg_catalog.pg_get_viewdef(r.ev_class)
FROM pg_catalog.pg_depend d
JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid AND r.ev_type = '1'
JOIN pg_catalog.pg_class c ON c.oid = r.ev_class
LEFT JOIN pg_catalog.pg_operator o
  ON o.oid = d.refobjid AND d.refclassid = 'pg_catalog.pg_operator'::pg_catalog.regclass
WHERE d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND (
  d.refobjid = ANY ({masked}) AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
    AND d.refobjid <> r.ev_class
  OR d.refobjid = ANY ({dangerous}) AND d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass
  OR o.oprcode = ANY ({dangerous}))
"""
DEFAULTS: Final = """
SELECT f.adrelid::pg_catalog.text, f.adnum::pg_catalog.text
FROM pg_catalog.pg_depend d
JOIN pg_catalog.pg_attrdef f ON f.oid = d.objid
WHERE d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass
  AND d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.refobjid = ANY ({dangerous})
"""
BODIES: Final = """
SELECT p.oid::pg_catalog.text, p.proname, pg_catalog.pg_get_functiondef(p.oid)
FROM pg_catalog.pg_proc p
JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
JOIN pg_catalog.pg_language l ON l.oid = p.prolang
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema')
  AND l.lanname NOT IN ('c', 'internal')
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_aggregate a WHERE a.aggfnoid = p.oid)
"""
BEHIND: Final = """
SELECT 'f', p.proname, b.oid::pg_catalog.text
FROM pg_catalog.pg_aggregate a
JOIN pg_catalog.pg_proc p ON p.oid = a.aggfnoid
JOIN pg_catalog.pg_proc b ON b.oid IN (a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggmtransfn,
                                       a.aggminvtransfn, a.aggmfinalfn)
UNION SELECT 'o', oprname, oprcode::pg_catalog.oid::pg_catalog.text FROM pg_catalog.pg_operator
WHERE oprcode::pg_catalog.oid >= 16384
UNION SELECT 't', t.typname, c.castfunc::pg_catalog.text FROM pg_catalog.pg_cast c
JOIN pg_catalog.pg_type t ON t.oid = c.casttarget
WHERE c.castfunc >= 16384
UNION SELECT 't', t.typname, d.refobjid::pg_catalog.text FROM pg_catalog.pg_depend d
JOIN pg_catalog.pg_constraint c ON c.oid = d.objid AND c.contypid <> 0
JOIN pg_catalog.pg_type t ON t.oid = c.contypid
WHERE d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass
  AND d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass
"""
NEAR: Final = """
WITH RECURSIVE {bodied}, way AS (
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
EVERYWHERE: Final = """
WITH {bodied}
SELECT count(*) FROM (
    SELECT FROM pg_catalog.pg_event_trigger e JOIN bodied b ON b.oid = e.evtfoid
    UNION ALL SELECT FROM pg_catalog.pg_cast c JOIN bodied b ON b.oid = c.castfunc
    WHERE c.castcontext <> 'e'
) hidden
"""
ROW_FUNCTIONS: Final = """
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
RELATIONS: Final = """
SELECT c.oid::pg_catalog.text, c.relnatts::pg_catalog.text, c.relname, n.nspname
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
"""
GENERATED: Final = """
SELECT a.attrelid::pg_catalog.text, a.attnum::pg_catalog.text
FROM pg_catalog.pg_attribute a
WHERE a.attrelid = ANY ({masked}) AND pg_catalog.to_jsonb(a) ->> 'attgenerated' <> ''
ORDER BY a.attrelid
"""  # which servers before 12 do not have
RULED: Final = """
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
ALL_FUNCTIONS: Final = "SELECT DISTINCT proname FROM pg_catalog.pg_proc"
ALL_COLUMNS: Final = "SELECT DISTINCT attname FROM pg_catalog.pg_attribute"
