"""What an expression is whatever the row: constants, and what holds of every row one meets."""

from __future__ import annotations

from typing import Final

from bastion.policy.sql.alike import number_of, operator_of, same
from bastion.policy.sql.tree import Tree, given, name_of, strings, unwrapped, walk

NEVER_NULL: Final = frozenset({"id", "ctid", "xmin", "xmax", "cmin", "cmax", "tableoid", "oid"})
_SAME_OF_ALL: Final = frozenset({"pg_typeof", "pg_column_size"})
_SIZES: Final = frozenset({"length", "char_length", "octet_length", "abs", "count", "cardinality"})


def truth_of(node: Tree) -> bool | None:
    """The value of a boolean that is written out, casts and NOT seen through; else None."""
    if node is not None and name_of(node) == "TypeCast":
        node = unwrapped(node.arg)
    if node is not None and name_of(node) == "BoolExpr" and node.boolop == 3:
        inner = truth_of(unwrapped(node.args[0]))
        return None if inner is None else not inner
    if node is None or name_of(node) != "A_Const":
        return None
    if node.HasField("boolval"):
        return bool(node.boolval.boolval)
    if node.HasField("sval") and node.sval.sval.lower() in {"t", "true", "on", "yes", "1"}:
        return True
    return False if node.HasField("sval") else None


def is_nothing(node: Tree) -> bool:
    return node is not None and name_of(node) == "A_Const" and bool(node.isnull)


def _is_empty(node: Tree) -> bool:
    return (
        node is not None
        and name_of(node) == "A_Const"
        and node.HasField("sval")
        and not node.sval.sval
    )


def tells_nothing(node: Tree) -> bool:
    """`starts_with(name, '')`: true of every text; `isfinite(at)`: of every date one meets."""
    if name_of(node) != "FuncCall":
        return False
    called = strings(node.funcname)[-1:]
    return called == ("isfinite",) or any(_is_empty(unwrapped(one)) for one in node.args)


def all_patterns(node: Tree, right: Tree) -> bool:
    """LIKE '%', ~ '' and their kind."""
    if right is None:
        return False
    if node.kind in {8, 9, 10}:  # LIKE, ILIKE, SIMILAR
        texts = _written(right)
        return operator_of(node)[:1] != "!" and texts is not None and not texts.strip("%")
    if name_of(right) != "A_Const" or not right.HasField("sval"):
        return False
    text = right.sval.sval
    return operator_of(node) in {"~", "~*"} and text.strip("^$") in {"", ".*", ".?", ".*?"}


def _written(node: Tree) -> str | None:
    """All texts in an expression of nothing but constants; None where anything else is in it."""
    texts = []
    for one in walk(node):
        if name_of(one) in {"ParamRef", "ColumnRef", "SubLink"}:
            return None
        if name_of(one) == "A_Const":
            texts.append(one.sval.sval if one.HasField("sval") else "")
    return "".join(texts) if texts else None


def always(left: Tree, right: Tree, operator: str, mine: frozenset[str]) -> bool:
    """`id > 0`, `id <> -1`, `length(name) >= 0`: true of every row one will meet."""
    number = number_of(right)
    while left is not None and name_of(left) == "TypeCast":
        left = unwrapped(left.arg)
    if number is None or left is None:
        return False
    if name_of(left) == "FuncCall":
        sized = strings(left.funcname)[-1:]
        never_less = bool(sized) and sized[0] in _SIZES
    else:
        never_less = name_of(left) == "ColumnRef" and mine <= NEVER_NULL
    if not never_less:
        return False
    # An id begins at 1, a length at 0.
    lowest = 0 if name_of(left) == "FuncCall" else 1
    if operator == ">=":
        return number <= lowest
    return operator in {">", "<>", "!="} and number < lowest


def vanishes(left: Tree) -> bool:
    """`id - id`, `id * 0`, `id % 1`: the same of every row; so is what is said of a type."""
    if left is None:
        return False
    if name_of(left) == "FuncCall":
        called = strings(left.funcname)[-1:]
        arrays = any(name_of(unwrapped(one)) == "A_ArrayExpr" for one in left.args)
        return bool(called) and (called[0] in _SAME_OF_ALL or arrays)
    if name_of(left) != "A_Expr" or not left.HasField("lexpr"):
        return False
    operator, number = operator_of(left), number_of(given(left, "rexpr"))
    if operator in {"-", "/", "#"}:
        return same(left.lexpr, left.rexpr)
    return (operator in {"*", "&"} and number == 0) or (operator == "%" and number in {1, -1})


def of_every_row(left: Tree, right: Tree, operator: str, mine: frozenset[str]) -> bool:
    """`v >= ''`, `id::text <> ''`, `ctid > '(0,0)'`, `id <> ALL ('{}')`."""
    if right is None:
        return False
    inner = unwrapped(right.arg) if name_of(right) == "TypeCast" else right
    if name_of(inner) != "A_Const" or not inner.HasField("sval"):
        return False
    text = inner.sval.sval
    if mine == {"ctid"}:
        return operator in {">", ">=", "<>"} and text.startswith("(0,")
    if text == "{}":
        return operator == "<>"
    made = left is not None and name_of(left) != "ColumnRef"
    return not text and (operator == ">=" or operator == "^@" or (made and operator == "<>"))


def may_be_null(argument: Tree) -> bool:
    """A column, or a part of one; what a function makes of it is there for every row."""
    if name_of(argument) == "A_Expr":
        return operator_of(argument).startswith("->")
    return name_of(argument) in {"ColumnRef", "A_Indirection"}
