"""What an expression comes to on one row, as PostgreSQL would have it: the part that is known here.

What is not known here (subqueries that read tables, most functions) has no value: it is Untold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bastion.policy.sql.alike import operator_of
from bastion.policy.sql.tree import Tree, given, name_of, strings, unwrapped
from bastion.policy.sql.values import (
    Untold,
    Value,
    Written,
    apply,
    between,
    boolean,
    called,
    cast,
    compare,
    distinct,
    number_in,
    quantified,
    signed,
)


class Outcome:
    """Evaluates expressions; `look_up` gives the value of a column or parameter, or is Untold."""

    def __init__(self, look_up: Callable[[Tree], Value]) -> None:
        self._look_up = look_up
        self._nodes: Mapping[str, Callable[[Tree], Value]] = {
            "ColumnRef": look_up,
            "ParamRef": look_up,
            "A_Const": constant,
            "A_Expr": self._expression,
            "BoolExpr": self._boolean,
            "NullTest": self._null_test,
            "BooleanTest": self._boolean_test,
            "TypeCast": self._cast,
            "FuncCall": self._call,
            "CoalesceExpr": self._coalesce,
            "MinMaxExpr": self._extreme,
            "CaseExpr": self._case,
            "SubLink": self._subquery,
            "A_ArrayExpr": self._array,
            "A_Indirection": self._element,
            "RowExpr": lambda node: tuple(self.of(unwrapped(one)) for one in node.args),
        }

    def of(self, node: Tree) -> Value:
        """The value; Untold where it cannot be told."""
        known = self._nodes.get(name_of(node)) if node is not None else None
        if known is None:
            raise Untold
        return known(node)

    # --- truth ----------------------------------------------------------------------------------

    def truth(self, node: Tree) -> bool | None:
        """The value of a condition."""
        value = self.of(node)
        if isinstance(value, Written):
            value = boolean(value)
        if value is None or isinstance(value, bool):
            return value
        raise Untold

    def _boolean(self, node: Tree) -> Value:
        parts = [unwrapped(one) for one in node.args]
        if node.boolop == 3:  # NOT
            value = self.truth(parts[0])
            return None if value is None else not value
        deciding = bool(node.boolop == 2)  # OR
        found: set[bool | None] = set()
        untold = False
        for part in parts:
            try:
                found.add(self.truth(part))
            except Untold:
                untold = True
        if deciding in found:
            return deciding
        if untold:
            raise Untold
        return None if None in found else not deciding

    def _null_test(self, node: Tree) -> Value:
        value = self.of(unwrapped(node.arg))
        values = value if isinstance(value, tuple) else (value,)
        wanted = bool(node.nulltesttype == 1)  # IS NULL
        return all((one is None) == wanted for one in values)

    def _boolean_test(self, node: Tree) -> Value:
        value = self.truth(unwrapped(node.arg))
        wanted = (True, False, None)[(node.booltesttype - 1) // 2]
        negated = bool(node.booltesttype % 2 == 0)
        return (value is wanted) != negated

    # --- operators ------------------------------------------------------------------------------

    def _expression(self, node: Tree) -> Value:
        left, right = given(node, "lexpr"), given(node, "rexpr")
        name = operator_of(node)
        match node.kind:
            case 2 | 3:  # ANY, ALL
                values = self.of(right)
                if not isinstance(values, list):
                    raise Untold
                return quantified(name, self.of(left), values, every=node.kind == 3)
            case 4 | 5:  # IS [NOT] DISTINCT FROM
                return distinct(self.of(left), self.of(right)) == bool(node.kind == 4)
            case 6:  # NULLIF
                value = self.of(left)
                return None if compare("=", value, self.of(right)) is True else value
            case 7:  # [NOT] IN
                items = [self.of(unwrapped(one)) for one in right.items]
                return quantified(name, self.of(left), items, every=name == "<>")
            case 11 | 12 | 13 | 14:
                low, high = (self.of(unwrapped(one)) for one in right.items)
                return between(node.kind, self.of(left), low, high)
            case 1 | 8 | 9:
                if left is None:
                    return signed(name, self.of(right))
                return apply(name, self.of(left), self.of(right))
            case _:
                raise Untold

    def _extreme(self, node: Tree) -> Value:
        values = [value for one in node.args if (value := self.of(unwrapped(one))) is not None]
        found: Value = None
        for value in values:
            if found is None or compare("><"[node.op - 1], value, found):
                found = value
        return found

    def _array(self, node: Tree) -> Value:
        return [self.of(unwrapped(one)) for one in node.elements]

    def _element(self, node: Tree) -> Value:
        values = self.of(unwrapped(node.arg))
        steps = [unwrapped(one) for one in node.indirection]
        if not isinstance(values, list) or len(steps) != 1 or name_of(steps[0]) != "A_Indices":
            raise Untold
        index = self.of(given(steps[0], "uidx"))
        if steps[0].is_slice or type(index) is not int:
            raise Untold
        return values[index - 1] if 0 < index <= len(values) else None

    # --- forms with branches --------------------------------------------------------------------

    def _coalesce(self, node: Tree) -> Value:
        for one in node.args:
            value = self.of(unwrapped(one))
            if value is not None:
                return value
        return None

    def _case(self, node: Tree) -> Value:
        subject = given(node, "arg")
        for one in map(unwrapped, node.args):
            condition = unwrapped(one.expr)
            if subject is None:
                met = self.truth(condition)
            else:
                met = compare("=", self.of(subject), self.of(condition))
            if met:
                return self.of(unwrapped(one.result))
        default = given(node, "defresult")
        return None if default is None else self.of(default)

    def _subquery(self, node: Tree) -> Value:
        """Of a SELECT without FROM, which has one row."""
        select = given(node, "subselect")
        if select is None or not _is_bare(select):
            raise Untold
        condition = given(select, "where_clause")
        there = condition is None or self.truth(condition) is True
        if node.sub_link_type == 1:  # EXISTS
            return there
        if len(select.target_list) != 1:
            raise Untold
        value = self.of(unwrapped(unwrapped(select.target_list[0]).val)) if there else None
        if node.sub_link_type == 5:  # (SELECT …)
            return value
        if node.sub_link_type != 3 or not there:
            raise Untold
        name = strings(node.oper_name)[-1:] or ("=",)
        return compare(name[0], self.of(unwrapped(node.testexpr)), value)

    # --- casts and functions --------------------------------------------------------------------

    def _cast(self, node: Tree) -> Value:
        value = self.of(unwrapped(node.arg))
        if node.type_name.array_bounds:
            if value is None or isinstance(value, list):
                return value
            raise Untold
        return cast(value, strings(node.type_name.names)[-1])

    def _call(self, node: Tree) -> Value:
        name = strings(node.funcname)
        if len(name) > 1 and name[0] != "pg_catalog":
            raise Untold
        if node.agg_star or node.agg_distinct or node.HasField("over") or node.func_variadic:
            raise Untold
        values = [self.of(unwrapped(one)) for one in node.args]
        return called(name[-1], values)


def constant(node: Tree) -> bool | float | str | None:
    """A constant as it is written."""
    if node.isnull:
        return None
    if node.HasField("boolval"):
        return bool(node.boolval.boolval)
    if node.HasField("ival"):
        return int(node.ival.ival)
    if node.HasField("fval"):
        return number_in(node.fval.fval)
    if node.HasField("sval"):
        return Written(node.sval.sval)
    raise Untold


def _is_bare(select: Tree) -> bool:
    return name_of(select) == "SelectStmt" and {field.name for field, _ in select.ListFields()} <= {
        "target_list",
        "where_clause",
        "limit_option",
        "op",
    }
