"""Whether a WHERE picks rows out, or only looks as if it did.

A condition restricts if a column of the table that is changed is compared with something else: a
constant, a parameter, another column, another table. `true`, `1 < 2`, `id = id`, `id IS NULL OR
id IS NOT NULL`, `id IN (SELECT id FROM t)` do not. This is a reading of the text, not a proof: a
condition that is true of every row that happens to be there (`id < 1000000`) does restrict.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from bastion.policy.sql.alike import (
    FLIPPING_TESTS,
    IS_NULL,
    UNKNOWN_TESTS,
    complementary,
    operator_of,
)
from bastion.policy.sql.constants import (
    NEVER_NULL,
    all_patterns,
    always,
    is_nothing,
    may_be_null,
    of_every_row,
    tells_nothing,
    truth_of,
    vanishes,
)
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
from bastion.policy.sql.trial import holds_always

_OPERATOR, _NULLIF = 1, 6
"""A_Expr_Kind of libpg_query."""


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

    def owns(self, names: tuple[str, ...]) -> bool:
        """Whether a column that is written so is surely its own."""
        return names[-2] in self.names if len(names) > 1 else self.bare

    def key(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """One name for a column, however it is written."""
        return names[-1:] if self.owns(names) else names[-2:]

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
    if condition is None or not _holds(condition, target, negated=False):
        return False
    return not holds_always(condition, target.key)


def _holds(node: Tree, target: Changed, *, negated: bool) -> bool:
    match name_of(node):
        case "BoolExpr":
            return _boolean(node, target, negated=negated)
        case "BooleanTest" | "TypeCast":
            return _tested(node, target, negated=negated)
        case "NullTest":
            is_null = (node.nulltesttype == IS_NULL) != negated
            return _null_test(unwrapped(node.arg), target, is_null=is_null)
        case "A_Expr":
            return _comparison(node, target, negated=negated)
        case "SubLink":
            return _sublink(node, target)
        case "CoalesceExpr":
            return _coalesced(node, target, negated=negated)
        case "CaseExpr":
            return _cases(node, target, negated=negated)
        case "FuncCall" | "ColumnRef":
            own = bool(_own(node, target)) and not _whole_row(node, target)
            return own and not tells_nothing(node)
        case name:
            return name == "CurrentOfExpr"


def _tested(node: Tree, target: Changed, *, negated: bool) -> bool:
    """`(…) IS TRUE` and its kind, and casts to boolean."""
    if name_of(node) == "TypeCast" or node.booltesttype not in UNKNOWN_TESTS:
        flips = name_of(node) == "BooleanTest" and node.booltesttype in FLIPPING_TESTS
        return _holds(unwrapped(node.arg), target, negated=negated != flips)
    return bool(node.booltesttype == UNKNOWN_TESTS[0]) != negated


def _coalesced(node: Tree, target: Changed, *, negated: bool) -> bool:
    """The first value that is surely there decides."""
    for one in map(unwrapped, node.args):
        if truth_of(one) is None and not is_nothing(one):
            return _holds(one, target, negated=negated)
        if not is_nothing(one):
            return False
    return False


def _cases(node: Tree, target: Changed, *, negated: bool) -> bool:
    """CASE: whether what it gives can differ from row to row, and is not true of every one."""
    results: list[Tree] = []
    told = True
    for one in map(unwrapped, node.args):
        condition = unwrapped(one.expr)
        constant = None if node.HasField("arg") else truth_of(condition)
        if constant is False:
            continue
        results.append(unwrapped(one.result))
        if constant:
            break
        own = _own(given(node, "arg"), target) | _own(condition, target)
        told = told and (
            bool(own) if node.HasField("arg") else _holds(condition, target, negated=False)
        )
    else:
        results.append(given(node, "defresult"))
    if not told:
        return all(_holds(one, target, negated=negated) for one in results if one is not None)
    return any(
        (one is not None and _holds(one, target, negated=negated))
        or (len(results) > 1 and (one is None or truth_of(one) is negated or is_nothing(one)))
        for one in results
    )


def _boolean(node: Tree, target: Changed, *, negated: bool) -> bool:
    parts = [unwrapped(one) for one in node.args]
    if node.boolop == 3:  # NOT
        return _holds(parts[0], target, negated=not negated)
    every = (node.boolop == 2) != negated  # OR, or a negated AND
    if not every:
        return any(
            _holds(part, target, negated=negated)
            and (negated or not holds_always(part, target.key))
            for part in parts
        )
    if any(complementary(one, other) for index, one in enumerate(parts) for other in parts[:index]):
        return False
    return all(_holds(part, target, negated=negated) for part in parts)


# --- leaves -----------------------------------------------------------------------------------


def _null_test(argument: Tree, target: Changed, *, is_null: bool) -> bool:
    own = _own(argument, target)
    if not own or _whole_row(argument, target) or _surely_null(argument, target):
        return False
    return is_null or (not own <= NEVER_NULL and may_be_null(argument))


def _surely_null(node: Tree, target: Changed) -> bool:
    """`nullif(id, id)`, and what an operator makes of NULL: `id = NULL`, `id NOT IN (NULL)`."""
    if name_of(node) != "A_Expr":
        return False
    left, right = given(node, "lexpr"), given(node, "rexpr")
    if node.kind == _NULLIF:
        mine = _own(left, target)
        return name_of(left) == name_of(right) == "ColumnRef" and mine == _own(right, target)
    if name_of(right) == "List":
        return all(is_nothing(unwrapped(one)) for one in right.items)
    return node.kind == _OPERATOR and (is_nothing(left) or is_nothing(right))


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
    if is_nothing(right):
        is_null = (node.kind == 5) != negated  # IS NOT DISTINCT FROM NULL
        return _null_test(left, target, is_null=is_null) if node.kind in {4, 5} else False
    if all_patterns(node, right) or vanishes(left):
        return False
    operator = operator_of(node)
    return not (of_every_row(left, right, operator, mine) or always(left, right, operator, mine))


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
    if not tables:
        return not any(name_of(one) == "ParamRef" for one in walk(select))
    if not any(table == target.table for _, table in tables):
        # What lies in a subquery between is not seen through: then a person decides.
        return any(not table for _, table in tables) and not select.HasField("where_clause")
    outputs = [unwrapped(unwrapped(one).val) for one in select.target_list]
    if not any(
        name_of(one) == "ColumnRef" and (strings(one.fields)[-1:] == column or _is_star(one))
        for one in outputs
    ):
        return False
    own = frozenset(alias for alias, table in tables if table == target.table)
    condition = given(select, "where_clause")
    if condition is not None and _looks_back(condition, target.names - own):
        return True  # it compares a row with itself
    return not restricts(condition, replace(target, names=own, others=(), bare=len(tables) == 1))


def _is_star(node: Tree) -> bool:
    return any(name_of(unwrapped(one)) == "A_Star" for one in node.fields)


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
        if names[-1] != "tableoid"  # the same of every row
        and target.owns(names)
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
        strings(node.fields) == tuple(target.names) or _is_star(node)
    )
