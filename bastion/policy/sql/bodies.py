"""SQL inside SQL: DO blocks, bodies of functions, queries handed to functions as text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from bastion.policy.sql.tree import Tree, literal, strings, unwrapped

A_CURSOR: Final = "a cursor"
"""How a statement says that code in it takes rows from cursors (`SqlStatement.behind`)."""
MAX_DEPTH: Final = 8
"""Bodies within bodies: text that nests for ever would be read for ever."""

QUERY_FUNCTIONS: Final = frozenset(
    [
        "query_to_xml",
        "query_to_xmlschema",
        "query_to_xml_and_xmlschema",
        "ts_stat",
        "crosstab",
        "crosstab2",
        "crosstab3",
        "crosstab4",
        "crosstabN",
        "xpath_table",
        "connectby",
        "ts_rewrite",
    ]
)
"""Functions that run the SQL they are given."""

TABLE_FUNCTIONS: Final = frozenset(
    ["table_to_xml", "table_to_xmlschema", "table_to_xml_and_xmlschema"]
)
"""Functions that read the table they are given the name of."""

WIDE_FUNCTIONS: Final = frozenset(
    f"{what}_to_xml{form}" for what in ("schema", "database", "cursor")
    for form in ("", "schema", "_and_xmlschema")
)  # fmt: skip
"""Functions that read more than their arguments say."""


_NAMED: Final = re.compile(r'"((?:[^"]|"")*)"|([^".]+)')


def folded(name: str) -> str:
    """`schema.name` as a regclass reads it: letters fold outside of quotes; "" for a number."""
    if name.strip().isdigit():
        return ""
    parts = [
        quoted.replace('""', '"') if not plain else plain.strip().lower()
        for quoted, plain in _NAMED.findall(name.strip())
    ]
    return ".".join(parts[-2:])


@dataclass(frozen=True, slots=True)
class Body:
    """Statements and expressions of a body, as text; `dynamic`: it runs text made at run time."""

    texts: tuple[str, ...] = ()
    dynamic: bool = False
    fault: str = ""
    fetches: bool = False
    """It takes rows from a cursor, which may have been opened elsewhere."""


def options_of(node: Tree) -> dict[str, Tree]:
    """The options of a DO or CREATE FUNCTION by name."""
    nodes = (unwrapped(one) for one in (node.args if hasattr(node, "args") else node.options))
    return {one.defname: unwrapped(one.arg) for one in nodes if one is not None}


def source_of(option: Tree) -> str | None:
    """The text of AS: a String, or a list that holds one."""
    if option is None:
        return None
    if option.DESCRIPTOR.name == "String":
        return str(option.sval)
    if option.DESCRIPTOR.name == "List":
        found = strings(option.items)
        return found[0] if len(found) == 1 else None
    return literal(option)


def open_plpgsql(text: str) -> Body:
    """Read a DO or CREATE FUNCTION statement in plpgsql."""
    try:
        found = _functions(text)
    except Exception as error:  # noqa: BLE001 - whatever it is, the body was not read
        return Body(fault=str(error)[:200])
    texts: list[str] = []
    dynamic = fetches = False
    for key, value in _pairs(found):
        dynamic = dynamic or key.startswith("PLpgSQL_stmt_dyn") or key == "dynquery"
        fetches = fetches or key == "PLpgSQL_stmt_fetch"
        if key == "PLpgSQL_expr" and isinstance(value, dict):
            texts.append(_statement(str(value.get("query", "")), int(value.get("parseMode", 0))))
    return Body(tuple(texts), dynamic, fetches=fetches)


def _functions(text: str) -> Any:
    """What libpg_query makes of it. Of a trigger's own variables (TG_OP …) it writes `{}}`."""
    from postgast.errors import check_error  # loaded where SQL is read, not in every process
    from postgast.native import lib

    result = lib.pg_query_parse_plpgsql(text.encode())
    try:
        check_error(result)
        found = result.plpgsql_funcs.decode()
    finally:
        lib.pg_query_free_plpgsql_parse_result(result)
    return json.loads(_TORN.sub(lambda one: one[1] or "{}", found))


_TORN: Final = re.compile(r'("(?:[^"\\]|\\.)*")|(?<=[\[,])\{\}\}')
"""A string, or an empty object in a list with a brace too many."""


def _statement(query: str, mode: int) -> str:
    """An expression or assignment as a statement of its own (plpgsql's RawParseMode)."""
    if mode == 0:
        return query
    if mode >= 3:
        for sign in (":=", "="):
            _, found, right = query.partition(sign)
            if found:
                return f"SELECT {right}"
    return f"SELECT {query}"


def _pairs(value: Any) -> Iterator[tuple[str, Any]]:
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            for key, inner in one.items():
                yield key, inner
                left.append(inner)
        elif isinstance(one, list):
            left.extend(one)
