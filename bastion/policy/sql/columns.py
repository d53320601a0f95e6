"""Which columns a query names, of which tables, and whether they only come out as they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from bastion.model import SqlColumn
from bastion.policy.sql.tree import Tree, given, literal, name_of, strings, table_name, unwrapped


@dataclass(slots=True)
class Scope:
    """What the names of one query mean. `outer` is the query around it."""

    outer: Scope | None = None
    ctes: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Common table expressions, and the names of their columns, as far as they are written."""
    tables: dict[str, str] = field(default_factory=dict)
    """Alias (or name) → table; "" for a subquery, a function, a common table expression."""
    condition: Tree = None
    """The WHERE of the query."""
    functions: frozenset[str] = frozenset()
    """Aliases of functions in FROM: `f.name` may call `name` on what they give."""
    named: dict[str, frozenset[str]] = field(default_factory=dict)
    """Alias of a subquery → names of its columns, as far as they are written."""

    def is_cte(self, name: str) -> bool:
        """Whether an unqualified table name is a common table expression."""
        return name in self.ctes or (self.outer is not None and self.outer.is_cte(name))

    def within(self, ctes: Mapping[str, frozenset[str]] | None = None) -> Scope:
        """The scope of a query inside this one."""
        return Scope(self, {**(ctes or {})})

    def of_cte(self, name: str) -> frozenset[str]:
        """The names of a common table expression's columns, as far as they are written."""
        if name in self.ctes:
            return self.ctes[name]
        return frozenset() if self.outer is None else self.outer.of_cte(name)

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
                if hidden:
                    self.named[alias] = self.of_cte(node.relname)
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
                elif name_of(node) == "RangeSubselect":
                    names = output_names(unwrapped(node.subquery), strings(node.alias.colnames))
                    self.named[node.alias.aliasname] = names

    def returns(self, table: str, clause: Tree) -> None:
        """RETURNING knows the changed row as `old` and `new`, or as it names them."""
        names = {"old", "new"} | {unwrapped(one).value for one in clause.options}
        for name in names:
            self.tables.setdefault(name, table)

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

    def has(self, alias: str, name: str) -> bool:
        """Whether the subquery or common table expression surely has a column of that name."""
        if alias in self.tables:
            return name in self.named.get(alias, ())
        return self.outer is not None and self.outer.has(alias, name)

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


def columns_of(node: Tree, scope: Scope, *, plain: bool, nested: bool = False) -> list[SqlColumn]:
    """What one ColumnRef may be. A row as a whole is not followed out of a `nested` query."""
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
        # Of the whole row of a subquery the server does not say where it comes from.
        seen = plain and (not nested or names[0] in scope.functions)
        shown = [(one, seen and bool(one or names[0] in scope.functions))
                 for one in scope.whole(names[0])]  # fmt: skip
        rows = [SqlColumn(owner, "*", as_it_is) for owner, as_it_is in shown]
        return rows + [SqlColumn(owner, names[0], plain) for owner in scope.owners("")]
    return [SqlColumn(owner, names[-1], plain) for owner in scope.owners(names[-2])]


def calls_of(node: Tree, scope: Scope) -> list[SqlColumn]:
    """What `row.name` calls where the row has no such column, or nothing for other references."""
    names = strings(node.fields)
    if len(names) < 2 or name_of(unwrapped(node.fields[-1])) == "A_Star":
        return []
    if scope.has(names[-2], names[-1]):
        return []
    return [SqlColumn(owner, names[-1]) for owner in scope.owners(names[-2])]


def output_names(query: Tree, renamed: Sequence[str] = ()) -> frozenset[str]:
    """The names of a query's columns, as far as they are written; not those of a star."""
    if renamed:
        return frozenset(renamed)
    if query is None or name_of(query) != "SelectStmt":
        return frozenset()
    if query.op > 1:
        return output_names(given(query, "larg"))
    found = set()
    for target in map(unwrapped, query.target_list):
        value = unwrapped(target.val)
        if target.name:
            found.add(target.name)
        elif name_of(value) == "ColumnRef":
            found |= set(strings(value.fields)[-1:])
        elif name_of(value) == "FuncCall":
            found |= set(strings(value.funcname)[-1:])
    return frozenset(found)


def plain_outputs(targets: Sequence[Tree]) -> set[int]:
    """Of a list of outputs, which are a column and nothing more (their positions)."""
    found = set()
    for index, one in enumerate(targets):
        value = unwrapped(unwrapped(one).val)
        if value is not None and name_of(value) == "ColumnRef":
            found.add(index)
    return found


def sorted_by(select: Tree) -> list[Tree]:
    """What ORDER BY sorts by, but for names that the query gives to its outputs."""
    names = {(unwrapped(one).name,) for one in select.target_list}
    keys = ((one, unwrapped(unwrapped(one).node)) for one in select.sort_clause)
    return [
        one for one, key in keys if name_of(key) != "ColumnRef" or strings(key.fields) not in names
    ]


def outputs_named(key: Tree, targets: Sequence[Tree]) -> list[Tree]:
    """The plain outputs that `ORDER BY key` means by their place or their alias."""
    values = [unwrapped(one.val) for one in targets]
    stars = [value for value in values if _is_star(value)]
    if name_of(key) == "ColumnRef":
        name = strings(key.fields)
        found = [unwrapped(one.val) for one in targets if one.name and (one.name,) == name]
    elif name_of(key) == "A_Const" and key.HasField("ival"):
        place = key.ival.ival
        if any(_is_star(value) for value in values[:place]) or place > len(values):
            found = stars
        else:
            found = values[place - 1 : place]
    else:
        keys = key.content if name_of(key) == "GroupingSet" else ()
        return [found for one in map(unwrapped, keys) for found in outputs_named(one, targets)]
    return [value for value in found if value is not None and name_of(value) == "ColumnRef"]


def numbered(column: SqlColumn, key: Tree, targets: Sequence[Tree], scope: Scope) -> SqlColumn:
    """`SELECT * FROM t ORDER BY 3`: the third column of t, as `t.#3`; else the column itself."""
    alone = len(targets) == len(scope.tables) == 1 and column.column == "*" and column.table
    if not alone or name_of(key) != "A_Const":
        return column
    return SqlColumn(column.table, f"#{key.ival.ival}")


def _is_star(value: Tree) -> bool:
    return (
        value is not None
        and name_of(value) == "ColumnRef"
        and name_of(unwrapped(value.fields[-1])) == "A_Star"
    )
