"""What a statement does with masked columns other than to show them, which tells what they hold.

A policy knows the columns that it names. This knows what the catalog says besides: views and
partitions, functions that read by themselves, rows that can be handed to a function as a whole.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from bastion.gate.postgres.mask import Masks
from bastion.model import SqlColumn, SqlReading, SqlStatement, SqlUse, visible
from bastion.policy.decide_sql import STATISTICS
from bastion.policy.match_sql import may_be, names_column
from bastion.policy.rules import Action, Verdict
from bastion.policy.show_sql import show_column
from bastion.policy.sql.bodies import A_CURSOR

_UNTOLD: Final = frozenset({"dynamic", "do", "create-function"})
_WATCHING: Final = frozenset({"create-trigger", "create-rule"})
_WRITING: Final = frozenset({"insert", "update", "delete", "merge"})
_ELSEWHERE: Final = frozenset(
    {
        "pg_read_file", "pg_read_binary_file", "lo_import", "get_raw_page", "pg_stat_statements",
        "pg_stat_get_activity", "pg_stat_get_backend_activity", "heap_page_items",
        "heap_page_item_attrs", "bt_page_items", "brin_page_items", "gist_page_items",
        "gist_page_items_bytea", "hash_page_items", "pg_get_wal_block_info",
        "pg_logical_slot_get_changes", "pg_logical_slot_peek_changes",
        "pg_logical_slot_get_binary_changes", "pg_logical_slot_peek_binary_changes",
    }
)  # fmt: skip
"""Functions that show rows, or the texts of statements, by another way than a table's name."""
_ALONE: Final = "Send one COPY by itself, in the format text, csv or binary with plain options."


def uncopied(reading: SqlReading) -> Verdict | None:
    """Why the masked fields of a COPY among these statements cannot be found, if so."""
    copy = reading.statements[0].copy
    if len(reading.statements) > 1:
        why = "another statement comes with it"
    elif copy is not None and copy.select:
        return None
    else:
        why = (copy.fault if copy is not None else "") or "its columns cannot be told"
    reason = f"What is copied out has masked columns, and {why}."
    return Verdict(Action.DENY, "masked-column", reason, _ALONE)


def misused(reading: SqlReading, masks: Masks, made: Collection[str], *, shown: bool) -> str:
    """What one of the statements does that tells of masked columns; "" if none does.

    `made` are the functions that this session has made; with `shown`, people let columns be seen.
    """
    for statement in reading.statements:
        what = _changed(statement, masks) or _stored(statement, masks)
        what = what or _called(statement, masks)
        if not what and not shown:
            what = _columns(statement, masks, made)
        if what:
            return f"{visible(what)}."
    return ""


def reads(statement: SqlStatement, masks: Masks) -> bool:
    """Whether a function or view does with masked columns other than to show them; it may run
    without anybody's seeing what it does."""
    if any(use.table.rpartition(".")[2] in STATISTICS for use in statement.uses):
        return True
    if _stored(statement, masks) or _called(statement, masks):
        return True
    named = {use.table.rpartition(".")[2] for use in statement.uses}
    return not masks.tables.isdisjoint(named) and bool(_columns(statement, masks, ()))


def _columns(statement: SqlStatement, masks: Masks, made: Collection[str]) -> str:
    used = [one for one in statement.columns if not one.plain]
    used += [SqlColumn(one.table, "*") for one in statement.calls if _is_call(one, masks, made)]
    for column in used:
        if names_column(masks.names, column, statement):
            what = show_column(column)
            return f"{what} shows what is masked, and this uses it other than to show it"
    return ""


def _is_call(column: SqlColumn, masks: Masks, made: Collection[str]) -> bool:
    """Whether `row.name` gives the whole row to a function."""
    if column.column not in masks.row_functions and column.column not in made:
        return False
    known = (one.rpartition(".") for one in masks.named_alike)
    return not any(
        name == column.column and column.table and may_be(column.table, table)
        for table, _, name in known
    )


def _called(statement: SqlStatement, masks: Masks) -> str:
    """Code that may read by itself what is masked."""
    for use in statement.uses:
        name = use.function.rpartition(".")[2]
        if name in masks.functions or name in masks.behind:
            return f"{use.function} may read what is masked"
        if name in _ELSEWHERE or name.startswith("dblink"):
            return f"{use.function} may show what is masked"
        if statement.opaque and use.kind in _UNTOLD:
            return "code that cannot be read may read what is masked"
        if use.kind == "create-function" and not masks.tables.isdisjoint(statement.behind):
            return f"{use.function} takes whole rows of a masked table"
    for name in statement.behind:
        if name in masks.behind:
            return f"{name} has a function behind it that may read what is masked"
        if name == A_CURSOR:
            return "what a cursor gives that is named at run time may be masked"
        if name.startswith("foreign "):
            return "what comes from another server may be a masked table again"
    return ""


def _changed(statement: SqlStatement, masks: Masks) -> str:
    """Whether it alters a masked table, watches its rows, or makes another table of them: masks go
    by the names and numbers that tables had when the session began."""
    altered = _tables(statement, {"alter"}, masks)
    made = [use for use in statement.uses if use.kind == "create" and use.table]
    if altered or (len(made) > 1 and any(is_masked(one, masks) for one in made)):
        return "a masked table would get another name, or another table its columns"
    if _tables(statement, _WATCHING, masks):
        return "a trigger or rule would see every row of a masked table"
    for use in statement.uses:
        schemas = (one.split(".", 1)[0] for one in masks.names)
        if use.kind == "alter" and use.name and not use.table and use.name in schemas:
            return f"masked tables are in {use.name}, whose name would be another"
    return ""


def _stored(statement: SqlStatement, masks: Masks) -> str:
    """Rows that are stored, or shown, by something else than what the text names."""
    kinds = {use.kind for use in statement.uses}
    if {"create", "execute"} <= kinds:
        return "what a statement that is not known here gives would be stored"
    for use in statement.uses:
        if use.kind in _WRITING and use.table.rpartition(".")[2] in masks.ruled:
            return f"a rule of {use.table} reads what is masked"
    return ""


def _tables(statement: SqlStatement, kinds: Collection[str], masks: Masks) -> list[SqlUse]:
    return [one for one in statement.uses if one.kind in kinds and is_masked(one, masks)]


def is_masked(use: SqlUse, masks: Masks) -> bool:
    """Whether a use may be of a table that has masked columns."""
    return bool(use.table) and use.table.rpartition(".")[2] in masks.tables
