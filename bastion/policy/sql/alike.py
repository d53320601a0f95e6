"""Expressions side by side: written alike, one the opposite of the other, one the rest of it."""

from __future__ import annotations

from typing import Final

from bastion.policy.sql.tree import Tree, given, name_of, strings, unwrapped

_OPPOSITE: Final = {"=": "<>", "<>": "=", "<": ">=", ">=": "<", ">": "<=", "<=": ">", "!=": "="}
_NEGATIVE: Final = {"<": ">=", ">=": "<", ">": "<=", "<=": ">", "=": "<>", "<>": "="}
IS_NULL: Final = 1
FLIPPING_TESTS: Final = (2, 3)  # IS NOT TRUE, IS FALSE
UNKNOWN_TESTS: Final = (5, 6)  # IS UNKNOWN, IS NOT UNKNOWN
_OPPOSITE_KINDS: Final = ({4, 5}, {11, 12})  # [NOT] DISTINCT, [NOT] BETWEEN


def complementary(one: Tree, other: Tree) -> bool:
    """Whether one of the two always holds: `a IS NULL` and `a IS NOT NULL`, `a = 1`, `a <> 1`."""
    one, other = (_plain(node) for node in (one, other))
    if any(_is_rest(test, rest) for test, rest in ((one, other), (other, one))):
        return True
    names = {name_of(one), name_of(other)}
    if names == {"NullTest"}:
        return bool(one.nulltesttype != other.nulltesttype and same(one.arg, other.arg))
    if names != {"A_Expr"}:
        return names == {"NullTest", "A_Expr"} and _same_subject(one, other)
    first, second = operator_of(one), operator_of(other)
    if not same(one.lexpr, other.lexpr):
        return False
    if {first[:1], second[:1]} == {"<", ">"} and "<>" not in {first, second}:
        return not _disjoint(one, other)
    opposite = _OPPOSITE.get(first) == second or {one.kind, other.kind} in _OPPOSITE_KINDS
    return opposite and same(one.rexpr, other.rexpr)


def _is_rest(test: Tree, condition: Tree) -> bool:
    """`(a = 1) IS NOT TRUE` beside `a = 1`."""
    return (
        name_of(test) == "BooleanTest"
        and test.booltesttype in {*FLIPPING_TESTS, UNKNOWN_TESTS[0]}
        and _shape(unwrapped(test.arg)) == _shape(condition)
    )


def _same_subject(one: Tree, other: Tree) -> bool:
    """`a IS NULL OR a = a`: a test for NULL beside a comparison that holds of the rest."""
    test, comparison = (one, other) if name_of(one) == "NullTest" else (other, one)
    return bool(test.nulltesttype == IS_NULL) and same(comparison.lexpr, comparison.rexpr)


def _disjoint(one: Tree, other: Tree) -> bool:
    """`x < 5 OR x > 10` leaves a gap; constants that cannot be compared are taken to."""
    low, high = (one, other) if operator_of(one)[0] == "<" else (other, one)
    lower, higher = number_of(unwrapped(low.rexpr)), number_of(unwrapped(high.rexpr))
    if lower is None or higher is None:
        return not same(low.rexpr, high.rexpr)
    both = "=" in operator_of(low) or "=" in operator_of(high)
    return lower < higher or (lower == higher and not both)


def _plain(node: Tree) -> Tree:
    """`NOT a = 1` as `a <> 1`, where that is simple."""
    if name_of(node) != "BoolExpr" or node.boolop != 3:
        return node
    inner = unwrapped(node.args[0])
    if name_of(inner) == "NullTest":
        flipped = type(inner)()
        flipped.CopyFrom(inner)
        flipped.nulltesttype = 3 - inner.nulltesttype
        return flipped
    if name_of(inner) == "A_Expr" and (opposite := _NEGATIVE.get(operator_of(inner))):
        flipped = type(inner)()
        flipped.CopyFrom(inner)
        flipped.name[-1].string.sval = opposite
        return flipped
    return node


def same(one: Tree, other: Tree) -> bool:
    """Whether two expressions are written alike, wherever they stand."""
    return _shape(unwrapped(one)) == _shape(unwrapped(other))


def _shape(node: Tree) -> object:
    if node is None:
        return None
    fields = []
    for field, value in node.ListFields():
        if field.name.endswith("location"):
            continue
        if field.message_type is None:
            fields.append((field.name, str(value)))
        else:
            many = [value] if hasattr(value, "DESCRIPTOR") else value
            fields.append((field.name, str([_shape(unwrapped(one)) for one in many])))
    return name_of(node), tuple(fields)


def operator_of(node: Tree) -> str:
    names = strings(node.name)
    return names[-1] if names else ""


def number_of(node: Tree) -> float | None:
    sign = 1
    while node is not None and name_of(node) in {"TypeCast", "A_Expr"}:
        if name_of(node) == "A_Expr":
            if node.HasField("lexpr") or operator_of(node) != "-":
                return None
            sign = -sign
            node = given(node, "rexpr")
        else:
            node = unwrapped(node.arg)
    if node is None or name_of(node) != "A_Const":
        return None
    if node.HasField("ival"):
        return float(sign * node.ival.ival)
    if node.HasField("fval"):
        try:
            return sign * float(node.fval.fval)
        except ValueError:
            return None
    return None
