"""Expressions: the columns, functions and subqueries in them, and SQL that stands in text."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Self

from bastion.model import SqlColumn, SqlCopy, SqlStatement, SqlUse
from bastion.policy.sql import bodies
from bastion.policy.sql.columns import Scope, calls_of, columns_of
from bastion.policy.sql.kinds import UNTOLD
from bastion.policy.sql.tree import (
    Tree,
    children,
    dotted,
    given,
    literal,
    name_of,
    strings,
    table_name,
    unwrapped,
)

QUERIES: Final = frozenset({"SelectStmt", "InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"})

_NAMED_BY: Final = {"A_Expr": "name", "TypeName": "names", "SortBy": "use_op"}

Handlers = Mapping[str, Callable[[Any, Tree, Scope], None]]
"""Statements with a meaning of their own, by the name of their node."""


class Expressions(ABC):
    """Collects what one statement does. Depth is bounded by Python's own recursion limit."""

    def __init__(self, text: str, handlers: Handlers, depth: int = 0) -> None:
        self._text = text
        self._handlers = handlers
        self._depth = depth
        self._uses: dict[SqlUse, None] = {}
        self._columns: dict[SqlColumn, None] = {}
        self._opaque: dict[str, None] = {}
        self._copy: SqlCopy | None = None
        self._calls: dict[SqlColumn, None] = {}
        self._behind: dict[str, None] = {}

    def found(self) -> SqlStatement:
        """All of it."""
        columns = tuple(self._columns)
        return SqlStatement(
            tuple(self._uses), columns, tuple(self._opaque), self._copy,
            tuple(self._calls), tuple(self._behind),
        )  # fmt: skip

    def takes(self, inner: SqlStatement) -> None:
        """Note what something inside does, but for its columns."""
        self._uses.update(dict.fromkeys(inner.uses))
        self._opaque.update(dict.fromkeys(inner.opaque))
        self._calls.update(dict.fromkeys(inner.calls))
        self._behind.update(dict.fromkeys(inner.behind))

    def copies(self, copy: SqlCopy) -> None:
        """Note the file that it sends."""
        self._copy = copy

    def use(self, use: SqlUse) -> None:
        """Note something that is done."""
        self._uses[use] = None

    def column(self, column: SqlColumn) -> None:
        """Note a column."""
        self._columns[column] = None

    def another(self) -> Self:
        """A walk for a part that counts differently."""
        return type(self)(self._text, self._handlers, self._depth)

    def behind(self, names: Sequence[Tree]) -> None:
        """Note an operator or a type."""
        self._behind.update(dict.fromkeys(strings(names)[-1:]))

    def reaches(self, server: str) -> None:
        """Note a server elsewhere."""
        self._behind[f"foreign {server}"] = None

    def unclear(self, reason: str) -> None:
        """Note something that cannot be told."""
        self._opaque[reason] = None

    @property
    def text(self) -> str:
        """The text that is read."""
        return self._text

    @abstractmethod
    def statement(self, node: Tree, scope: Scope | None = None, *, output: bool = True) -> None:
        """One statement; `output`: its rows go to the client."""

    # --- expressions ----------------------------------------------------------------------------

    def expressions(self, nodes: Iterable[Tree], scope: Scope) -> None:
        for node in map(unwrapped, nodes):
            if node is not None:
                self.expression(node, scope)

    def expression(self, node: Tree, scope: Scope) -> None:
        match name_of(node):
            case "ColumnRef":
                self._column(node, scope, plain=False)
                return
            case "FuncCall":
                self._function(node, scope)
            case "A_Expr" | "TypeName" | "SortBy":
                self.behind(getattr(node, _NAMED_BY[name_of(node)]))
            case "A_Indirection":
                for name in strings(node.indirection):
                    self.use(SqlUse("function", function=name))  # (x).f calls f on x
            case name if name in QUERIES or name in {"RangeVar", "SubLink"}:
                self._query_in(node, scope)
                return
            case _:
                pass
        for one in children(node):
            self.expression(one, scope)

    def _query_in(self, node: Tree, scope: Scope) -> None:
        match name_of(node):
            case "RangeVar":
                self.table(node, scope, "select")
            case "SubLink":
                self._sublink(node, scope)
            case _:  # JSON_ARRAY(SELECT …)
                self.laundered(node, scope)

    def _sublink(self, node: Tree, scope: Scope) -> None:
        self.behind(node.oper_name)
        test = given(node, "testexpr")
        if test is not None:
            self.expression(test, scope)
        query = unwrapped(node.subselect)
        if node.sub_link_type == 1:  # EXISTS gives no column
            self.statement(query, scope, output=False)
        else:
            self.laundered(query, scope)

    def _column(self, node: Tree, scope: Scope, *, plain: bool, nested: bool = False) -> None:
        names = strings(node.fields)
        if len(names) == 2 and scope.is_function(names[0]):
            self.use(SqlUse("function", function=names[1]))
        self._calls.update(dict.fromkeys(calls_of(node, scope)))
        for column in columns_of(node, scope, plain=plain, nested=nested):
            self._columns[column] = None

    def _function(self, node: Tree, scope: Scope) -> None:
        name = dotted(node.funcname)
        self.use(SqlUse("function", function=name))
        bare = name.rpartition(".")[2]
        arguments = [unwrapped(one) for one in node.args]
        first = literal(arguments[0]) if arguments else None
        if bare == "set_config" and arguments and first is None:
            first = scope.constant(arguments[0])
        if bare == "set_config":
            self._configures(first, literal(arguments[1]) if len(arguments) > 1 else None)
        elif bare in bodies.QUERY_FUNCTIONS and not (bare == "ts_rewrite" and len(arguments) > 2):
            self.use(SqlUse("dynamic", function=name))
            texts = arguments[:2] if bare in {"crosstab", "ts_rewrite"} else arguments[:1]
            for text in map(literal, texts if bare != "ts_rewrite" else texts[1:]):
                self._inner_text(text, name)
        elif bare in bodies.TABLE_FUNCTIONS:
            self.use(SqlUse("dynamic", function=name))
            if first is None:
                self.unclear(f"{name} reads a table that is not named in the text")
            else:
                table = bodies.folded(first)
                if not table:
                    self.unclear(f"{name} reads a table by its number")
                self.use(SqlUse("select", table=table))
                self.column(SqlColumn(table, "*"))
        elif bare in bodies.WIDE_FUNCTIONS:
            self.use(SqlUse("dynamic", function=name))
            self.unclear(f"{name} reads what it finds at run time")

    def _inner_text(self, text: str | None, by: str) -> None:
        if text is None:
            self.unclear(f"{by} runs text that is made at run time")
        else:
            self.nested(text, by)

    def _configures(self, setting: str | None, value: str | None) -> None:
        if setting is None:
            self.unclear("set_config sets something that is not named in the text")
        else:
            self.set_to(setting, value)

    def set_to(self, setting: str, value: str | None) -> None:
        self.use(SqlUse("set", setting=setting.lower(), name=(value or UNTOLD)[:200]))

    # --- SQL inside SQL ---------------------------------------------------------------------------

    def nested(self, text: str, by: str) -> None:
        """Read SQL that another statement runs, as if it stood here."""
        import postgast

        if self._depth >= bodies.MAX_DEPTH:
            self.unclear(f"{by} nests too deeply")
            return
        try:
            tree = postgast.parse(text)
        except Exception:  # noqa: BLE001 - whatever it is, the text was not read
            self.unclear(f"what {by} runs does not parse")
            return
        for one in tree.stmts:
            walk = type(self)(text, self._handlers, self._depth + 1)
            walk.statement(unwrapped(one.stmt), output=False)
            inner = walk.found()
            self.takes(inner)
            for column in inner.columns:
                self._columns[replace(column, plain=False)] = None

    def open_plpgsql(self, by: str) -> None:
        body = bodies.open_plpgsql(self._text)
        if body.fault:
            self.unclear(f"{by} could not be opened: {body.fault}")
        if body.dynamic:
            self.use(SqlUse("dynamic"))
            self.unclear(f"{by} runs text that is made at run time")
        if body.fetches:
            self._behind[bodies.A_CURSOR] = None
        for text in body.texts:
            self.nested(text, by)

    def table(self, node: Tree, scope: Scope, verb: str) -> None:
        inside = not node.schemaname and scope.is_cte(node.relname)
        name = "" if inside else table_name(node)
        self.use(SqlUse(verb, table=name))
        if node.HasField("alias") and node.alias.colnames:
            self._columns[SqlColumn(name, "*")] = None  # renamed: it cannot be followed by name

    def laundered(self, query: Tree, scope: Scope) -> None:
        """A query whose rows are stored: what it reads is seen by others afterwards."""
        before, self._columns = self._columns, {}
        self.statement(query, scope, output=False)
        inside, self._columns = self._columns, before
        for column in inside:
            self._columns[replace(column, plain=False)] = None
