"""A rule against what SQL does, and whether an allow rule covers a whole statement."""

from __future__ import annotations

from typing import Final

from bastion.model import SqlColumn, SqlReading, SqlStatement, SqlUse
from bastion.policy.globs import Match, matches_name
from bastion.policy.match import NOTHING, Found
from bastion.policy.rules import Rule
from bastion.policy.schema import SqlPattern
from bastion.policy.show_sql import show_column, show_use

REACHING: Final = (
    "pg_read_*", "pg_ls_*", "pg_stat_file", "pg_file_*", "pg_logdir_ls", "lo_*", "loread",
    "lowrite", "dblink*", "set_config", "pg_terminate_backend", "pg_cancel_backend",
    "pg_reload_conf", "pg_rotate_logfile", "pg_promote", "pg_switch_wal", "pg_create_*",
    "pg_drop_*", "pg_replication_*", "pg_logical_*", "pg_notify", "pg_sleep*", "pg_advisory_*",
    "query_to_xml*", "table_to_xml*", "schema_to_xml*", "database_to_xml*", "cursor_to_xml*",
)  # fmt: skip
"""Functions that reach beyond a statement's tables: an allow rule about tables does not mean them.
Others are taken to compute."""


def match_sql(rule: Rule, reading: SqlReading) -> Found:
    """A deny or approve rule: anything that any of the statements does is enough."""
    for statement in reading.statements:
        for pattern in rule.sql:
            what = _finds(pattern, statement)
            if what:
                return Found(Match.YES, what)
    return NOTHING


def _finds(pattern: SqlPattern, statement: SqlStatement) -> str:
    """What in the statement the pattern speaks of, for people; "" if nothing."""
    if pattern.column:
        column = next(
            (one for one in statement.columns if names_column(pattern.column, one, statement)), None
        )
        if column is None:
            return ""
        alone = not (pattern.model_fields_set - {"column"})
        if alone or any(matches_use(pattern, use) for use in statement.uses):
            return show_column(column)
        return ""
    use = next((one for one in statement.uses if matches_use(pattern, one)), None)
    return show_use(use) if use is not None else ""


def matches_use(pattern: SqlPattern, use: SqlUse) -> bool:
    """Whether one use is what a deny or approve rule speaks of; an unqualified name may be."""
    return (
        (not pattern.kind or use.kind in pattern.kind)
        and (not pattern.table or _any_name(use.table, pattern.table))
        and not (use.table and _surely(use.table, pattern.table_except))
        and (not pattern.function or _any_name(use.function, pattern.function))
        and (not pattern.setting or _any_name(use.setting, pattern.setting))
        and (not pattern.name or _any_name(use.name, pattern.name))
        and (pattern.without is None or not use.restricted)
    )


def _any_name(name: str, globs: tuple[str, ...]) -> bool:
    return bool(name) and any(may_be(name, glob) for glob in globs)


def may_be(name: str, glob: str) -> bool:
    """Whether `schema.name` or `name` may be what a glob speaks of, whatever search_path is."""
    if matches_name(name, glob):
        return True
    schema, _, bare = name.rpartition(".")
    if "." not in glob:
        return matches_name(bare, glob)
    return not schema and matches_name(bare, glob.rpartition(".")[2])


def _surely(name: str, globs: tuple[str, ...]) -> bool:
    """An exception needs the name as it is written: an unqualified one may be another schema's."""
    return any(matches_name(name, glob) for glob in globs)


def names_column(globs: tuple[str, ...], column: SqlColumn, statement: SqlStatement) -> bool:
    """Whether a column may be one of those that `table.column` globs speak of.

    A column of a subquery may be one of any table that the statement uses.
    """
    tables = {column.table} if column.table else {use.table for use in statement.uses if use.table}
    for glob in globs:
        table, _, name = glob.rpartition(".")
        if column.column != "*" and not matches_name(column.column, name):
            continue
        if any(may_be(one, table) for one in tables):
            return True
    return False


# --- allow rules ------------------------------------------------------------------------------


def covers_statement(rules: tuple[Rule, ...], statement: SqlStatement) -> bool:
    """Whether every single thing the statement does is allowed by one of these rules."""
    return all(
        any(_covers(pattern, use, statement) for rule in rules for pattern in rule.sql)
        for use in statement.uses
        if use.kind != "function" or reaches(use)
    )


def reaches(use: SqlUse) -> bool:
    """Whether a function does more than compute with what its statement reads."""
    bare = use.function.rpartition(".")[2]
    return any(matches_name(bare, glob) for glob in REACHING)


def _covers(pattern: SqlPattern, use: SqlUse, statement: SqlStatement) -> bool:
    """Whether an allow rule speaks of the use; here a name must be surely what is meant."""
    if pattern.without is not None and use.restricted:
        return False
    if use.kind == "function":
        return bool(pattern.function) and any(
            matches_name(use.function, glob) for glob in pattern.function
        )
    if pattern.kind and use.kind not in pattern.kind:
        return False
    if use.table and not _names_table(pattern, use.table):
        return False
    if pattern.column and not _only_columns(pattern, use, statement):
        return False
    return not (
        (pattern.setting and not any(matches_name(use.setting, glob) for glob in pattern.setting))
        or (pattern.name and not any(matches_name(use.name, glob) for glob in pattern.name))
        or (pattern.function and not any(matches_name(use.function, g) for g in pattern.function))
    )


def _names_table(pattern: SqlPattern, table: str) -> bool:
    if any(may_be(table, glob) for glob in pattern.table_except):
        return False
    return not pattern.table or any(matches_name(table, glob) for glob in pattern.table)


def _only_columns(pattern: SqlPattern, use: SqlUse, statement: SqlStatement) -> bool:
    """Whether nothing but the pattern's columns is named of the table (a star names all)."""
    return all(
        any(
            matches_name(column.column, glob.rpartition(".")[2])
            and (glob.endswith(".*") or column.column != "*")
            for glob in pattern.column
        )
        for column in statement.columns
        if column.table in {use.table, ""}
    )
