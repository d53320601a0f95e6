"""One statement of the parse tree → its uses, columns, and what cannot be told."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from bastion.model import SqlColumn, SqlUse
from bastion.policy.sql import restrict
from bastion.policy.sql.columns import (
    Scope,
    columns_of,
    numbered,
    output_names,
    outputs_named,
    plain_outputs,
    sorted_by,
)
from bastion.policy.sql.expressions import QUERIES, Expressions
from bastion.policy.sql.kinds import kind_of
from bastion.policy.sql.tree import (
    Tree,
    children,
    dotted,
    given,
    name_of,
    strings,
    table_name,
    unwrapped,
)

_LISTED: Final = {"DropStmt", "CommentStmt", "SecLabelStmt", "GrantStmt"}
"""Statements whose objects are lists of names instead of RangeVars."""

_NAMES_FUNCTIONS: Final = frozenset(
    [
        "CreateCastStmt",
        "CreateConversionStmt",
        "CreatePLangStmt",
        "CreateOpClassStmt",
        "DefineStmt",
        "CreateTransformStmt",
        "CreateFdwStmt",
        "CreateAmStmt",
        "CreateRangeStmt",
    ]
)
"""Statements that make something which will call functions that they name."""

_MERGES: Final = {3: "update", 4: "insert", 5: "delete"}
"""pg_query's CmdType."""


class Walk(Expressions):
    """The statements, and what of them holds expressions."""

    # --- statements -----------------------------------------------------------------------------

    def statement(self, node: Tree, scope: Scope | None = None, *, output: bool = True) -> None:
        """One statement; `output`: its rows go to the client."""
        scope = scope or Scope()
        kind = name_of(node)
        match kind:
            case "SelectStmt":
                self._select(node, scope, output=output)
            case "InsertStmt" | "UpdateStmt" | "DeleteStmt" | "MergeStmt":
                self._change(node, scope, output=output)
            case _:
                self._utility(kind, node, scope)

    def _utility(self, kind: str, node: Tree, scope: Scope) -> None:
        handler = self._handlers.get(kind)
        if handler is not None:
            handler(self, node, scope)
            return
        verb = kind_of(kind)
        if verb == "other":
            self.unclear(f"{kind} is a statement that the gate does not know")
        if kind in _LISTED:
            self.listed(verb, node)
        elif kind in _NAMES_FUNCTIONS:
            self._named_functions(node)
        if not any(use.kind == verb for use in self._uses):
            self.use(SqlUse(verb, name=_name(node)))
        self.below(node, scope, verb)

    def below(self, node: Tree, scope: Scope, verb: str) -> None:
        """Everything inside a statement that is not a query: tables are used as `verb`."""
        for one in children(node):
            if name_of(one) == "RangeVar":
                self.use(SqlUse(verb, table=table_name(one)))
            elif name_of(one) == "Constraint" and one.HasField("pktable"):
                self._refers(one)
            elif name_of(one) == "TableLikeClause":
                self.use(SqlUse("select", table=table_name(one.relation)))
            elif name_of(one) in QUERIES:
                self.laundered(one, scope)
            elif name_of(one).endswith("Stmt"):
                self.statement(one, scope)
            elif name_of(one) in {"FuncCall", "ColumnRef", "SubLink", "A_Expr", "TypeName"}:
                self.expression(one, scope)
            else:
                self.below(one, scope, verb)

    def _refers(self, node: Tree) -> None:
        """A foreign key: the rows of another table are looked at, whenever one is written here."""
        table = table_name(node.pktable)
        self.use(SqlUse("select", table=table))
        for name in strings(node.pk_attrs):
            self._columns[SqlColumn(table, name)] = None

    def listed(self, verb: str, node: Tree) -> None:
        objects = node.objects if hasattr(node, "objects") else [node.object]
        for one in map(unwrapped, objects):
            if one is not None and name_of(one) == "List":
                self.use(SqlUse(verb, table=dotted(one.items)))
            elif one is not None and name_of(one) == "ObjectWithArgs":
                self.use(SqlUse(verb, name=dotted(one.objname)))
            elif one is not None and name_of(one) in {"String", "TypeName"}:
                self.use(SqlUse(verb, name=_name(node) or _word(one)))

    def _named_functions(self, node: Tree) -> None:
        for one in _inside(node):
            match name_of(one):
                case "ObjectWithArgs":
                    self.use(SqlUse("function", function=dotted(one.objname)))
                case "TypeName":
                    self.use(SqlUse("function", function=dotted(one.names)))
                case "CreateConversionStmt":
                    self.use(SqlUse("function", function=dotted(one.func_name)))
                case _:
                    continue

    # --- queries --------------------------------------------------------------------------------

    def _with(self, node: Tree, scope: Scope) -> Scope:
        """The scope of a query, after its common table expressions."""
        clause = given(node, "with_clause")
        if clause is None:
            return scope.within()
        names: dict[str, frozenset[str]] = {}
        every = [unwrapped(one) for one in clause.ctes]
        if clause.recursive:
            names = {one.ctename: frozenset() for one in every}
        for one in every:
            inner = scope.within(names)
            query = unwrapped(one.ctequery)
            self.statement(query, inner, output=False)
            if one.aliascolnames:
                self._rename(query, inner)
            names[one.ctename] = output_names(query, strings(one.aliascolnames))
        return scope.within(names)

    def _select(self, node: Tree, scope: Scope, *, output: bool, united: bool = False) -> None:
        inner = self._with(node, scope)
        into = given(node, "into_clause")
        if into is not None:
            self.use(SqlUse("create", table=table_name(unwrapped(into.rel))))
        if node.op > 1:  # UNION, INTERSECT, EXCEPT
            for side in ("larg", "rarg"):
                self._select(given(node, side), inner, output=output and into is None, united=True)
            self.expressions(node.sort_clause, inner)
            self.others(node, inner, ("limit_offset", "limit_count"))
            return
        inner.add(map(unwrapped, node.from_clause))
        inner.condition = given(node, "where_clause")
        before = len(self._uses)
        self._from(node.from_clause, inner, "select")
        if len(self._uses) == before:
            self.use(SqlUse("select"))
        plain = output and into is None and not united
        self._outputs(node.target_list, inner, plain=plain, nested=not output and not united)
        for clause in (
            "distinct_clause",
            "group_clause",
            "window_clause",
            "values_lists",
        ):
            self.expressions(getattr(node, clause), inner)
        self.expressions(sorted_by(node), inner)
        self._arranged(node, inner)
        self.others(node, inner, ("where_clause", "having_clause", "limit_offset", "limit_count"))

    def others(self, node: Tree, scope: Scope, fields: Sequence[str]) -> None:
        for field in fields:
            found = given(node, field)
            if found is not None:
                self.expression(found, scope)

    def _outputs(
        self, targets: Sequence[Tree], scope: Scope, *, plain: bool, nested: bool = False
    ) -> None:
        """What a query gives. Inside another one (`nested`) a column stays what it is while it
        keeps its name: what is done with it there is seen by that name."""
        alone = plain_outputs(targets)
        for index, one in enumerate(targets):
            target = unwrapped(one)
            value = unwrapped(target.val)
            if index in alone:
                names = strings(value.fields)
                kept = nested and (not target.name or names[-1:] == (target.name,))
                self._column(value, scope, plain=plain or kept, nested=not plain)
            elif value is not None:
                self.expression(value, scope)

    def _arranged(self, node: Tree, scope: Scope) -> None:
        """Outputs by which rows are sorted or grouped: `ORDER BY 2`, `ORDER BY alias`."""
        targets = [unwrapped(one) for one in node.target_list]
        for clause in (node.distinct_clause, node.group_clause, node.sort_clause):
            for one in map(unwrapped, clause):
                key = unwrapped(one.node) if one is not None and name_of(one) == "SortBy" else one
                for target in [] if key is None else outputs_named(key, targets):
                    for column in columns_of(target, scope, plain=False):
                        self._columns[numbered(column, key, targets, scope)] = None

    def _from(self, nodes: Iterable[Tree], scope: Scope, verb: str) -> None:
        for node in map(unwrapped, nodes):
            if node is None:
                continue
            match name_of(node):
                case "RangeVar":
                    self.table(node, scope, verb)
                case "RangeSubselect":
                    query = unwrapped(node.subquery)
                    self.statement(query, scope, output=False)
                    if node.HasField("alias") and node.alias.colnames:
                        self._rename(query, scope)
                case "JoinExpr":
                    if node.HasField("alias") and node.alias.colnames:
                        self._columns[SqlColumn("", "*")] = None  # renamed, as in `table`
                    self._from([node.larg, node.rarg], scope, verb)
                    self._join(node, scope)
                case "RangeTableSample":
                    self._from([node.relation], scope, verb)
                    self.expressions([*node.args], scope)
                case _:
                    self.expression(node, scope)

    def _rename(self, query: Tree, scope: Scope) -> None:
        """Columns that get other names are not followed: they count as used."""
        if name_of(query) != "SelectStmt" or query.op > 1:
            self._columns[SqlColumn("", "*")] = None
            return
        inner = scope.within()
        inner.add(map(unwrapped, query.from_clause))
        for one in query.target_list:
            value = unwrapped(unwrapped(one).val)
            if value is not None and name_of(value) == "ColumnRef":
                self._column(value, inner, plain=False)

    def _join(self, node: Tree, scope: Scope) -> None:
        for name in strings(node.using_clause):
            for owner in scope.owners(""):
                self._columns[SqlColumn(owner, name)] = None
        if node.is_natural:
            for owner in scope.owners(""):
                self._columns[SqlColumn(owner, "*")] = None
        if node.HasField("quals"):
            self.expression(unwrapped(node.quals), scope)

    # --- changes --------------------------------------------------------------------------------

    def _change(self, node: Tree, scope: Scope, *, output: bool) -> None:
        inner = self._with(node, scope)
        relation = node.relation
        inner.add([relation])
        verb = name_of(node).removesuffix("Stmt").lower()
        match verb:
            case "insert":
                self._insert(node, inner)
            case "merge":
                self._merge(node, inner)
            case _:
                joined = node.from_clause if verb == "update" else node.using_clause
                inner.add(map(unwrapped, joined))
                self._from(joined, inner, "select")
                condition = given(node, "where_clause")
                target = restrict.changed(relation, joined)
                holds = restrict.restricts(condition, target)
                self.use(SqlUse(verb, table=table_name(relation), restricted=holds))
                if condition is not None:
                    self.expression(condition, inner)
                if verb == "update":
                    self._set(node.target_list, relation, inner)
        returning = given(node, "returning_clause")
        if returning is not None:
            inner.returns(table_name(relation), returning)
            # `SET name = ssn … RETURNING name` is seen where ssn is used, in SET.
            self._outputs(returning.exprs, inner, plain=output, nested=not output)

    def _set(self, targets: Sequence[Tree], relation: Tree, scope: Scope) -> None:
        for one in map(unwrapped, targets):
            self._columns[SqlColumn(table_name(relation), one.name, True)] = None
            value = unwrapped(one.val)
            if value is not None:
                self.expression(value, scope)

    def _insert(self, node: Tree, scope: Scope) -> None:
        table = table_name(node.relation)
        self.use(SqlUse("insert", table=table))
        for one in map(unwrapped, node.cols):
            self._columns[SqlColumn(table, one.name, True)] = None
        query = given(node, "select_stmt")
        if query is not None:
            self.laundered(query, scope)
        conflict = given(node, "on_conflict_clause")
        if conflict is not None and conflict.action == 3:  # DO UPDATE: of the row that conflicts
            self.use(SqlUse("update", table=table))
            self._set(conflict.target_list, node.relation, scope)
            self.others(conflict, scope, ("where_clause",))

    def _merge(self, node: Tree, scope: Scope) -> None:
        table = table_name(node.relation)
        source = unwrapped(node.source_relation)
        scope.add([source])
        self._from([node.source_relation], scope, "select")
        target = restrict.changed(node.relation, [node.source_relation])
        joined = restrict.restricts(given(node, "join_condition"), target)
        self.use(SqlUse("merge", table=table))
        self.others(node, scope, ("join_condition",))
        for clause in map(unwrapped, node.merge_when_clauses):
            condition = given(clause, "condition")
            matched = clause.match_kind == 1
            holds = (joined and matched) or restrict.restricts(condition, target)
            verb = _MERGES.get(clause.command_type, "")
            if verb == "insert":
                holds = True
            if verb:
                self.use(SqlUse(verb, table=table, restricted=holds))
            self.others(clause, scope, ("condition",))
            self._set(clause.target_list, node.relation, scope)
            self.expressions(clause.values, scope)


def _inside(node: Tree) -> Iterable[Tree]:
    left = [node]
    while left:
        one = left.pop()
        yield one
        left.extend(children(one))


def _word(node: Tree) -> str:
    return str(node.sval) if name_of(node) == "String" else dotted(node.names)


def _name(node: Tree) -> str:
    for field in ("name", "extname", "role", "funcname", "servername", "dbname", "schemaname",
                  "trigname", "subname", "filename"):  # fmt: skip
        value = getattr(node, field, None)
        if isinstance(value, str) and value:
            return value
    role = getattr(node, "role", None)
    if role is not None and hasattr(role, "rolename"):
        return str(role.rolename)
    return ""
