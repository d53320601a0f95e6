"""Whether a WHERE picks rows out, or only looks as if it did.

A condition restricts if a column of the table that is changed is compared with something else: a
constant, a parameter, another column, another table. `true`, `1 < 2`, `id = id`, `id IS NULL OR
id IS NOT NULL`, `id IN (SELECT id FROM t)` do not. This is a reading of the text, not a proof: a
condition that is true of every row that happens to be there (`id < 1000000`) does restrict.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from bastion.policy.sql.tree import (
    Tree,
    children,
    given,
    name_of,
    strings,
    table_name,
    unwrapped,
    walk,
)

NEVER_NULL: Final = frozenset({"id", "ctid", "xmin", "xmax", "cmin", "cmax", "tableoid", "oid"})
_OPPOSITE: Final = {"=": "<>", "<>": "=", "<": ">=", ">=": "<", ">": "<=", "<=": ">", "!=": "="}
_NEGATIVE: Final = {"<": ">=", ">=": "<", ">": "<=", "<=": ">", "=": "<>", "<>": "="}
_IS_NULL: Final = 1
_FLIPPING_TESTS: Final = (2, 3)  # IS NOT TRUE, IS FALSE
_UNKNOWN_TESTS: Final = (5, 6)  # IS UNKNOWN, IS NOT UNKNOWN
_OPPOSITE_KINDS: Final = ({4, 5}, {11, 12})  # [NOT] DISTINCT, [NOT] BETWEEN
_SIZES: Final = frozenset({"length", "char_length", "octet_length", "abs", "count", "cardinality"})


@dataclass(frozen=True, slots=True)
class Changed:
    """The table that is changed, and what else its condition can see."""

    table: str
    names: frozenset[str]
    """What qualifies its columns: its alias, or its name."""
    others: tuple[tuple[str, str], ...] = ()
    """(alias, table) of whatever is joined; the table is empty for a subquery."""
    bare: bool = True
    """Whether an unqualified column is surely its own."""

    def is_self(self, qualifier: str) -> bool:
        """Whether a qualifier names another row of the same table."""
        return any(alias == qualifier and table == self.table for alias, table in self.others)


def changed(relation: Tree, joined: Sequence[Tree]) -> Changed:
    """What a DELETE or UPDATE of `relation` with this USING or FROM changes."""
    others = tuple(_tables([unwrapped(one) for one in joined]))
    alias = relation.alias.aliasname if relation.HasField("alias") else ""
    names = frozenset({alias} if alias else {relation.relname})
    return Changed(table_name(relation), names, others, not others)


def _tables(nodes: Sequence[Tree]) -> Iterator[tuple[str, str]]:
    for node in nodes:
        if node is None:
            continue
        if name_of(node) == "RangeVar":
            alias = node.alias.aliasname if node.HasField("alias") else node.relname
            yield alias, table_name(node)
        elif name_of(node) == "JoinExpr":
            yield from _tables([given(node, "larg"), given(node, "rarg")])
        elif hasattr(node, "alias") and node.HasField("alias"):
            yield node.alias.aliasname, ""
        else:
            yield "", ""


def restricts(condition: Tree, target: Changed) -> bool:
    """Whether the condition (None: there is none) picks out rows of the target."""
    return condition is not None and _holds(condition, target, negated=False)


def _holds(node: Tree, target: Changed, *, negated: bool) -> bool:
    match name_of(node):
        case "BoolExpr":
            return _boolean(node, target, negated=negated)
        case "BooleanTest" | "TypeCast":
            return _tested(node, target, negated=negated)
        case "NullTest":
            is_null = (node.nulltesttype == _IS_NULL) != negated
            return _null_test(unwrapped(node.arg), target, is_null=is_null)
        case "A_Expr":
            return _comparison(node, target, negated=negated)
        case "SubLink":
            return _sublink(node, target)
        case "CoalesceExpr" | "FuncCall" | "CaseExpr" | "ColumnRef":
            return bool(_own(node, target)) and not _whole_row(node, target)
        case name:
            return name == "CurrentOfExpr"


def _tested(node: Tree, target: Changed, *, negated: bool) -> bool:
    """`(…) IS TRUE` and its kind, and casts to boolean."""
    if name_of(node) == "TypeCast" or node.booltesttype not in _UNKNOWN_TESTS:
        flips = name_of(node) == "BooleanTest" and node.booltesttype in _FLIPPING_TESTS
        return _holds(unwrapped(node.arg), target, negated=negated != flips)
    return bool(node.booltesttype == _UNKNOWN_TESTS[0]) != negated


def _boolean(node: Tree, target: Changed, *, negated: bool) -> bool:
    parts = [unwrapped(one) for one in node.args]
    if node.boolop == 3:  # NOT
        return _holds(parts[0], target, negated=not negated)
    every = (node.boolop == 2) != negated  # OR, or a negated AND
    if not every:
        return any(_holds(part, target, negated=negated) for part in parts)
    if any(
        _complementary(one, other) for index, one in enumerate(parts) for other in parts[:index]
    ):
        return False
    return all(_holds(part, target, negated=negated) for part in parts)


def _complementary(one: Tree, other: Tree) -> bool:
    """Whether one of the two always holds: `a IS NULL` and `a IS NOT NULL`, `a = 1`, `a <> 1`."""
    one, other = (_plain(node) for node in (one, other))
    names = {name_of(one), name_of(other)}
    if names == {"NullTest"}:
        return bool(one.nulltesttype != other.nulltesttype and _same(one.arg, other.arg))
    if names != {"A_Expr"}:
        return names == {"NullTest", "A_Expr"} and _same_subject(one, other)
    first, second = _operator(one), _operator(other)
    if not _same(one.lexpr, other.lexpr):
        return False
    if {first[:1], second[:1]} == {"<", ">"} and "<>" not in {first, second}:
        return not _disjoint(one, other)
    opposite = _OPPOSITE.get(first) == second or {one.kind, other.kind} in _OPPOSITE_KINDS
    return opposite and _same(one.rexpr, other.rexpr)


def _same_subject(one: Tree, other: Tree) -> bool:
    """`a IS NULL OR a = a`: a test for NULL beside a comparison that holds of the rest."""
    test, comparison = (one, other) if name_of(one) == "NullTest" else (other, one)
    return bool(test.nulltesttype == _IS_NULL) and _same(comparison.lexpr, comparison.rexpr)


def _disjoint(one: Tree, other: Tree) -> bool:
    """`x < 5 OR x > 10` leaves a gap; constants that cannot be compared are taken to."""
    low, high = (one, other) if _operator(one)[0] == "<" else (other, one)
    lower, higher = _number(unwrapped(low.rexpr)), _number(unwrapped(high.rexpr))
    return lower is None or higher is None or lower <= higher


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
    if name_of(inner) == "A_Expr" and (opposite := _NEGATIVE.get(_operator(inner))):
        flipped = type(inner)()
        flipped.CopyFrom(inner)
        flipped.name[-1].string.sval = opposite
        return flipped
    return node


def _same(one: Tree, other: Tree) -> bool:
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


def _operator(node: Tree) -> str:
    names = strings(node.name)
    return names[-1] if names else ""


# --- leaves -----------------------------------------------------------------------------------


def _null_test(argument: Tree, target: Changed, *, is_null: bool) -> bool:
    own = _own(argument, target)
    if not own or _whole_row(argument, target):
        return False
    return is_null or not own <= NEVER_NULL


def _comparison(node: Tree, target: Changed, *, negated: bool) -> bool:
    left, right = given(node, "lexpr"), given(node, "rexpr")
    mine, theirs = _own(left, target), _own(right, target)
    if not mine and not theirs:  # `USING u WHERE uid = id`: two columns, surely of two tables
        one, other = _doubtful(left, target), _doubtful(right, target)
        return bool(one and other) and one != other
    if mine == theirs:  # `id = id`, `id IS NOT DISTINCT FROM id`, `id = id + 0`
        return False
    if any(_same_row(side, other, target) for side, other in ((left, right), (right, left))):
        return False
    if _is_null(right):
        is_null = (node.kind == 5) != negated  # IS NOT DISTINCT FROM NULL
        return _null_test(left, target, is_null=is_null) if node.kind in {4, 5} else False
    if _all_patterns(node, right) or _all_values(left, right):
        return False
    return not _always(left, right, _operator(node), mine)


def _same_row(side: Tree, other: Tree, target: Changed) -> bool:
    """`t.id = t2.id` where t2 is the same table; or a list that holds the column itself."""
    if side is None or other is None or name_of(side) != "ColumnRef":
        return False
    column = strings(side.fields)[-1:]
    for node in walk(other):
        if name_of(node) == "SubLink":
            if _selects_itself(given(node, "subselect"), target, column):
                return True
        elif name_of(node) == "ColumnRef":
            names = strings(node.fields)
            if len(names) > 1 and target.is_self(names[-2]) and names[-1:] == column:
                return True
            if name_of(other) == "List" and names[-1:] == column:
                return True
    return False


def _is_null(node: Tree) -> bool:
    return node is not None and name_of(node) == "A_Const" and bool(node.isnull)


def _all_patterns(node: Tree, right: Tree) -> bool:
    """LIKE '%', ~ '' and their kind."""
    if right is None or name_of(right) != "A_Const" or not right.HasField("sval"):
        return False
    text = right.sval.sval
    if node.kind in {8, 9, 10}:  # LIKE, ILIKE, SIMILAR
        return _operator(node)[:1] != "!" and not text.strip("%")
    return _operator(node) in {"~", "~*"} and text.strip("^$") in {"", ".*", ".?", ".*?"}


def _all_values(left: Tree, right: Tree) -> bool:
    """`(…) IN (true, false)`."""
    if right is None or name_of(right) != "List" or left is None or name_of(left) == "ColumnRef":
        return False
    values = [unwrapped(one) for one in right.items]
    booleans = {one.boolval.boolval for one in values if name_of(one) == "A_Const"}
    return name_of(left) in {"A_Expr", "BoolExpr"} and len(booleans) == 2


def _always(left: Tree, right: Tree, operator: str, mine: frozenset[str]) -> bool:
    """`id > 0`, `id <> -1`, `length(name) >= 0`: true of every row one will meet."""
    number = _number(right)
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


def _number(node: Tree) -> float | None:
    sign = 1
    while node is not None and name_of(node) in {"TypeCast", "A_Expr"}:
        if name_of(node) == "A_Expr":
            if node.HasField("lexpr") or _operator(node) != "-":
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


# --- subqueries -------------------------------------------------------------------------------


def _sublink(node: Tree, target: Changed) -> bool:
    select = given(node, "subselect")
    test = given(node, "testexpr")
    if test is not None:  # IN, ANY, ALL
        if not _own(test, target):
            return False
        columns = [strings(one.fields)[-1:] for one in walk(test) if name_of(one) == "ColumnRef"]
        return not any(_selects_itself(select, target, column) for column in columns)
    return select is not None and _correlated(select, target)


def _selects_itself(select: Tree, target: Changed, column: tuple[str, ...]) -> bool:
    """`SELECT id FROM t` with nothing that picks rows out: every row's id is among them."""
    if select is None or name_of(select) != "SelectStmt":
        return False
    if select.op > 1:  # UNION and its kind
        return any(
            _selects_itself(given(select, side), target, column) for side in ("larg", "rarg")
        )
    if select.HasField("limit_count") or select.HasField("having_clause"):
        return False
    tables = list(_tables([unwrapped(one) for one in select.from_clause]))
    if not any(table == target.table for _, table in tables):
        # What lies in a subquery between is not seen through: then a person decides.
        return any(not table for _, table in tables) and not select.HasField("where_clause")
    outputs = [unwrapped(unwrapped(one).val) for one in select.target_list]
    if not any(
        name_of(one) == "ColumnRef" and strings(one.fields)[-1:] == column for one in outputs
    ):
        return False
    own = frozenset(alias for alias, table in tables if table == target.table)
    condition = given(select, "where_clause")
    if condition is not None and _looks_back(condition, target.names - own):
        return True  # it compares a row with itself
    return not restricts(condition, replace(target, names=own, others=(), bare=len(tables) == 1))


def _looks_back(condition: Tree, outer: frozenset[str]) -> bool:
    """Whether a condition of a subquery names the row of the query around it."""
    return any(
        name_of(node) == "ColumnRef" and not outer.isdisjoint(strings(node.fields)[-2:-1])
        for node in walk(condition)
    )


def _correlated(select: Tree, target: Changed) -> bool:
    """EXISTS (…): its condition must tie a row of the target to another table."""
    if name_of(select) != "SelectStmt" or not select.HasField("where_clause"):
        return False
    tables = tuple(_tables([unwrapped(one) for one in select.from_clause]))
    shadowed = frozenset(alias for alias, _ in tables)
    outer = replace(
        target, names=target.names - shadowed, others=(*target.others, *tables), bare=False
    )
    return restricts(given(select, "where_clause"), outer)


# --- columns ----------------------------------------------------------------------------------


def _own(node: Tree, target: Changed) -> frozenset[str]:
    """The target's columns in an expression (not inside its subqueries)."""
    return frozenset(
        names[-1]
        for names in _columns(node)
        if (len(names) > 1 and names[-2] in target.names) or (len(names) == 1 and target.bare)
    )


def _doubtful(node: Tree, target: Changed) -> frozenset[str]:
    """Unqualified columns that may as well be those of what is joined."""
    return frozenset(names[0] for names in _columns(node) if len(names) == 1 and not target.bare)


def _columns(node: Tree) -> Iterator[tuple[str, ...]]:
    left = [node] if node is not None else []
    while left:
        one = left.pop()
        if name_of(one) == "ColumnRef":
            names = strings(one.fields)
            if names:
                yield names
        elif name_of(one) != "SubLink":
            left.extend(children(one))


def _whole_row(node: Tree, target: Changed) -> bool:
    return name_of(node) == "ColumnRef" and (
        strings(node.fields) == tuple(target.names)
        or any(name_of(unwrapped(one)) == "A_Star" for one in node.fields)
    )
