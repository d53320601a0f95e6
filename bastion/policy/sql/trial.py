"""Whether a condition holds of every row, by trying it on rows.

`(a = 1)::int >= 0`, `id = ANY (ARRAY[id, a])`, `CASE WHEN a > 0 THEN a > -1 ELSE true END`: how a
condition can be written that picks nothing out has no end, but what it does with a few rows tells.
Each column takes the values that the constants beside it make interesting, in every combination;
one of which the condition does not hold, or of which that cannot be told, clears it.

The rows are such as one meets: an `id` is there and positive, and a column that the condition does
not ask about NULL is not NULL.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from bastion.policy.sql.alike import operator_of
from bastion.policy.sql.constants import NEVER_NULL
from bastion.policy.sql.outcome import Outcome, constant
from bastion.policy.sql.tree import Tree, given, name_of, strings, unwrapped, walk
from bastion.policy.sql.values import (
    COMPARISONS,
    NUMBERS,
    OF_NUMBER,
    OF_TEXT,
    TEXTS,
    Untold,
    Value,
)

MOST_NODES: Final = 1000
"""Of a condition that is tried: a longer one is a list of values, that a program has written."""
MOST_STEPS: Final = 120_000
"""Nodes that are computed, over all rows; some 0.1 s."""
MOST_COMPUTED: Final = 4
"""Constants beside a column up to which their sums and differences are tried as well."""
_SYSTEM: Final[dict[str, list[Value]]] = {
    "ctid": ["(0,1)", "(0,2)", "(7,3)"],
    **{name: [733, 734, 90210] for name in ("xmin", "xmax", "cmin", "cmax", "tableoid")},
}
"""Columns that every table has, and what may stand in them."""
_LARGEST_ID: Final = 2**31 - 1
_LONG_TEXT: Final = "m" * 300

Key = tuple[str, ...]
"""A column or a parameter, by its name."""
NameOf = Callable[[tuple[str, ...]], Key]
"""Gives the same for all names of one column."""


def holds_always(condition: Tree, name: NameOf) -> bool:
    """Whether it was seen to hold of every row that was tried, and every row that matters was."""
    nodes = list(itertools.islice(walk(condition), MOST_NODES + 1))
    if len(nodes) > MOST_NODES:
        return False
    keys = {key for node in nodes if (key := _key(node, name)) is not None}
    kinds = _kinds(nodes, condition, name)
    unsure = [key for key in keys if key not in kinds]
    for guess in ("number", "text", "truth") if unsure else ("",):
        pools = _pools(nodes, keys, kinds | dict.fromkeys(unsure, guess), name)
        few = math.prod(map(len, pools.values())) * len(nodes) <= MOST_STEPS
        if few and _of_all_rows(condition, pools, name):
            return True
    return False


def _of_all_rows(condition: Tree, pools: dict[Key, list[Value]], name: NameOf) -> bool:
    row: dict[Key, Value] = {}

    def look_up(node: Tree) -> Value:
        key = _key(node, name)
        if key is None:
            raise Untold
        return row[key]

    outcome = Outcome(look_up)
    try:
        for values in itertools.product(*pools.values()):
            row.update(zip(pools, values, strict=True))
            if outcome.truth(condition) is not True:
                return False
    except (Untold, RecursionError):
        return False
    return True


def _key(node: Tree, name: NameOf) -> Key | None:
    if name_of(node) == "ParamRef":
        return "$", str(node.number)
    if name_of(node) != "ColumnRef":
        return None
    names = strings(node.fields)
    return name(names) if len(names) == len(node.fields) else None


# --- of what type a column is -----------------------------------------------------------------


def _kinds(nodes: Sequence[Tree], condition: Tree, name: NameOf) -> dict[Key, str]:
    """Of the columns whose type what stands beside them tells."""
    kinds: dict[Key, str] = {}
    for _ in range(3):  # what one comparison tells, another may need
        before = len(kinds)
        for kind, node in _wanted(nodes, condition, kinds, name):
            for one in _same_type(node):
                key = _key(one, name)
                if key is not None:
                    kinds.setdefault(key, kind)
        if len(kinds) == before:
            break
    return kinds


def _wanted(
    nodes: Sequence[Tree], condition: Tree, kinds: dict[Key, str], name: NameOf
) -> Iterator[tuple[str, Tree]]:
    """Of what type an expression has to be where it stands."""
    yield "truth", condition
    for node in nodes:
        match name_of(node):
            case "BoolExpr":
                yield from (("truth", unwrapped(one)) for one in node.args)
            case "BooleanTest":
                yield "truth", unwrapped(node.arg)
            case "CaseExpr" if not node.HasField("arg"):
                yield from (("truth", unwrapped(unwrapped(one).expr)) for one in node.args)
            case "FuncCall":
                kind = _argument(strings(node.funcname)[-1])
                yield from ((kind, unwrapped(one)) for one in node.args[:1] if kind)
            case "A_Expr" | "CaseExpr":
                sides = _sides(node)
                found = _operand(operator_of(node)) if name_of(node) == "A_Expr" else ""
                found = found or next(filter(None, (_kind(one, kinds, name) for one in sides)), "")
                yield from ((found, one) for one in sides if found)


def _argument(function: str) -> str:
    return "text" if function in OF_TEXT else "number" if function in OF_NUMBER else ""


def _operand(operator: str) -> str:
    if operator in {"+", "-", "*", "/", "%", "&", "|", "#"}:
        return "number"
    return "text" if operator in {"||", "^@"} or "~" in operator else ""


def _sides(node: Tree) -> list[Tree]:
    """What has to be of one type: both sides of an operator, CASE's subject and what it may be."""
    if name_of(node) == "CaseExpr":
        return [given(node, "arg"), *(unwrapped(unwrapped(one).expr) for one in node.args)]
    found: list[Tree] = []
    for one in (given(node, "lexpr"), given(node, "rexpr")):
        match name_of(one) if one is not None else "":
            case "":
                continue  # a sign has nothing on its left
            case "List":
                found += [unwrapped(item) for item in one.items]
            case "A_ArrayExpr":
                found += [unwrapped(item) for item in one.elements]
            case _:
                found.append(one)
    return found


def _same_type(node: Tree) -> list[Tree]:
    """The parts of an expression that are of the same type as it."""
    match name_of(node):
        case "CoalesceExpr" | "MinMaxExpr":
            parts = list(map(unwrapped, node.args))
        case "CaseExpr":
            parts = [unwrapped(unwrapped(one).result) for one in node.args]
            parts.append(given(node, "defresult"))
        case "A_Expr" if node.kind == 6:  # NULLIF
            parts = [given(node, "lexpr")]
        case _:
            return [node]
    return [found for part in parts if part is not None for found in _same_type(part)]


def _kind(node: Tree, kinds: dict[Key, str], name: NameOf) -> str:
    """Of what type an expression is by itself; "" where that is not known."""
    for one in _same_type(node):
        kind = _kind_alone(one, kinds, name)
        if kind:
            return kind
    return ""


def _kind_alone(node: Tree, kinds: dict[Key, str], name: NameOf) -> str:
    key = _key(node, name)
    if key is not None:
        return kinds.get(key, "")
    match name_of(node):
        case "A_Const":
            numeric = node.HasField("ival") or node.HasField("fval")
            return "number" if numeric else "truth" if node.HasField("boolval") else ""
        case "TypeCast" if not node.type_name.array_bounds:
            return _named(strings(node.type_name.names)[-1])
        case "BoolExpr" | "NullTest" | "BooleanTest":
            return "truth"
        case "A_Expr":
            operator = operator_of(node)
            truth = node.kind != 1 or operator in COMPARISONS or "~" in operator
            return "truth" if truth else _operand(operator)
        case "FuncCall":
            called = strings(node.funcname)[-1]
            counts = called in OF_NUMBER or "length" in called or called == "strpos"
            return "number" if counts else "text" if called in OF_TEXT else ""
        case _:
            return ""


def _named(type_name: str) -> str:
    if type_name == "bool":
        return "truth"
    return "number" if type_name in NUMBERS else "text" if type_name in TEXTS else ""


# --- the values that are tried ----------------------------------------------------------------


def _pools(
    nodes: Sequence[Tree], keys: set[Key], kinds: dict[Key, str], name: NameOf
) -> dict[Key, list[Value]]:
    beside: dict[Key, set[Value]] = {key: set() for key in keys}
    nullable: set[Key] = set()
    for node in nodes:
        inside = list(walk(node)) if name_of(node) in _GROUPS else []
        known = {key for one in inside if (key := _key(one, name)) is not None}
        if _asks_null(node):
            nullable |= known
        constants = {value for one in inside if (value := _constant(one)) is not None}
        for key in known:
            beside[key] |= constants
    pools: dict[Key, list[Value]] = {}
    for key in sorted(keys):
        pool = _SYSTEM.get(key[-1]) or _POOLS[kinds[key]](beside[key])
        if key[-1] in NEVER_NULL:
            pool = [one for one in pool if type(one) is not int or 1 <= one <= _LARGEST_ID]
        elif key in nullable:
            pool = [None, *pool]
        pools[key] = pool
    return pools


def _constant(node: Tree) -> bool | float | str | None:
    try:
        return constant(node) if name_of(node) == "A_Const" else None
    except Untold:
        return None


_GROUPS: Final = frozenset({"A_Expr", "NullTest", "BooleanTest", "CoalesceExpr", "FuncCall"})
_ASKING: Final = frozenset({"NullTest", "BooleanTest", "CoalesceExpr"})


def _asks_null(node: Tree) -> bool:
    if name_of(node) == "FuncCall":
        return strings(node.funcname)[-1] in {"num_nulls", "num_nonnulls", "concat"}
    distinct = name_of(node) == "A_Expr" and node.kind in {4, 5}
    return distinct or name_of(node) in _ASKING


def _numbers(beside: set[Value]) -> list[Value]:
    known = sorted({one for one in map(_as_number, beside) if one is not None})
    found: list[int] = [0, 1, 2]
    for one in known:
        found += (one - 1, one, one + 1)
    if len(known) <= MOST_COMPUTED:
        for one, other in itertools.permutations(known, 2):
            found += (one + other, one - other)
            found += [one // other] if other else []
    # The ends first: of most conditions they tell at once.
    ordered = sorted(set(found))
    return list(dict.fromkeys([ordered[-1] + 1, ordered[0] - 1, *ordered]))


def _as_number(value: Value) -> int | None:
    if value is None or isinstance(value, bool | list | tuple):
        return None
    try:
        return round(float(value))
    except (ValueError, OverflowError):
        return None


def _texts(beside: set[Value]) -> list[Value]:
    found = ["zzz", "", "a", _LONG_TEXT]
    known = sorted(str(one) for one in beside if isinstance(one, str))
    for one in known:
        found += (one, f"{one}x", one.replace("%", "").replace("_", "a"))
    if len(known) <= MOST_COMPUTED:
        for one, other in itertools.permutations(known, 2):
            found += (one.removesuffix(other), one.removeprefix(other))
    return list(dict.fromkeys(found))


_POOLS: Final[dict[str, Callable[[set[Value]], list[Value]]]] = {
    "number": _numbers,
    "text": _texts,
    "truth": lambda _beside: [True, False],
}
