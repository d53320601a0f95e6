"""Which columns a query names, of which tables, and whether they only come out as they are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from bastion.model import SqlColumn
from bastion.policy.sql.tree import Tree, given, literal, name_of, strings, table_name, unwrapped


@dataclass(slots=True)
class Scope:
    """What the names of one query mean. `outer` is the query around it."""

    outer: Scope | None = None
    ctes: frozenset[str] = frozenset()
    tables: dict[str, str] = field(default_factory=dict)
    """Alias (or name) → table; "" for a subquery, a function, a common table expression."""
    condition: Tree = None
    """The WHERE of the query."""
    functions: frozenset[str] = frozenset()
    """Aliases of functions in FROM: `f.name` may call `name` on what they give."""

    def is_cte(self, name: str) -> bool:
        """Whether an unqualified table name is a common table expression."""
        return name in self.ctes or (self.outer is not None and self.outer.is_cte(name))

    def within(self, ctes: Iterable[str] = ()) -> Scope:
        """The scope of a query inside this one."""
        return Scope(self, frozenset(ctes))

    def add(self, nodes: Iterable[Tree]) -> None:
        """Take in what a FROM, USING or the changed table itself names."""
        for node in nodes:
            self._add(node)

    def _add(self, node: Tree) -> None:
        match name_of(node) if node is not None else "":
            case "RangeVar":
                name = table_name(node)
                alias = node.alias.aliasname if node.HasField("alias") else node.relname
                hidden = not node.schemaname and self.is_cte(node.relname)
                self.tables[alias] = "" if hidden else name
            case "JoinExpr":
                self.add([given(node, "larg"), given(node, "rarg")])
                if node.HasField("alias"):
                    self.tables[node.alias.aliasname] = ""
            case "RangeTableSample":
                self._add(given(node, "relation"))
            case "":
                return
            case _ if hasattr(node, "alias") and node.HasField("alias"):
                self.tables[node.alias.aliasname] = ""
                if name_of(node) == "RangeFunction":
                    self.functions |= {node.alias.aliasname}

    def constant(self, node: Tree) -> str | None:
        """The text that a column surely has: `SELECT f(name) … WHERE name = 'x'` (pg_dump)."""
        where = self.condition
        if where is None or name_of(where) != "A_Expr" or strings(where.name) != ("=",):
            return None
        column, value = given(where, "lexpr"), given(where, "rexpr")
        if name_of(node) != "ColumnRef" or column is None or name_of(column) != "ColumnRef":
            return None
        same = strings(node.fields) == strings(column.fields) and bool(strings(node.fields))
        return literal(value) if same else None

    def is_function(self, alias: str) -> bool:
        """Whether `alias.name` may call `name`: PostgreSQL does so where alias is no row, but a
        value that a function in FROM gave (under its own name where it has no alias)."""
        if alias in self.tables:
            return alias in self.functions
        return self.outer is None or self.outer.is_function(alias)

    def owners(self, alias: str) -> tuple[str, ...]:
        """The tables that `alias.column` may be of; every table in sight where it is unknown."""
        if alias:
            scope: Scope | None = self
            while scope is not None:
                if alias in scope.tables:
                    return (scope.tables[alias],)
                scope = scope.outer
            return ("",)
        found: list[str] = []
        inner: Scope | None = self
        while inner is not None:
            found += inner.tables.values()
            inner = inner.outer
        return tuple(dict.fromkeys(found)) or ("",)

    def whole(self, name: str) -> tuple[str, ...]:
        """The table whose whole row an unqualified name may be, for `SELECT p FROM people p`."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.tables:
                return (scope.tables[name],)
            scope = scope.outer
        return ()


def columns_of(node: Tree, scope: Scope, *, plain: bool) -> list[SqlColumn]:
    """What one ColumnRef may be."""
    names = strings(node.fields)
    star = name_of(unwrapped(node.fields[-1])) == "A_Star"
    if star:
        owners = scope.owners(names[-1] if names else "")
        if not names:
            owners = tuple(dict.fromkeys(scope.tables.values())) or ("",)
        return [SqlColumn(owner, "*", plain) for owner in owners]
    if not names:
        return []
    if len(names) == 1:
        rows = [SqlColumn(owner, "*", plain) for owner in scope.whole(names[0])]
        return rows + [SqlColumn(owner, names[0], plain) for owner in scope.owners("")]
    return [SqlColumn(owner, names[-1], plain) for owner in scope.owners(names[-2])]


def plain_outputs(targets: Sequence[Tree]) -> set[int]:
    """Of a list of outputs, which are a column and nothing more (their positions)."""
    found = set()
    for index, one in enumerate(targets):
        value = unwrapped(unwrapped(one).val)
        if value is not None and name_of(value) == "ColumnRef":
            found.add(index)
    return found
