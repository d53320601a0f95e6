"""Statements that are no queries and mean more than their node's name: COPY, EXPLAIN, SET, DO, …"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from bastion.model import SqlColumn, SqlUse
from bastion.policy.sql import bodies, copies
from bastion.policy.sql.columns import Scope
from bastion.policy.sql.expressions import Handlers
from bastion.policy.sql.kinds import WRITING, kind_of
from bastion.policy.sql.statements import Walk
from bastion.policy.sql.tree import (
    Tree,
    dotted,
    given,
    literal,
    name_of,
    strings,
    table_name,
    unwrapped,
    word_of,
)

_OBJECT_ROLE: Final = 34
_OBJECT_TABLES: Final = frozenset({19, 24, 38, 42, 52})
"""Foreign tables, matviews, sequences, tables, views."""
_OFF: Final = frozenset({"false", "off", "0"})
READ_ONLY: Final = frozenset({"transaction_read_only", "default_transaction_read_only"})


def _copy(walk: Walk, node: Tree, scope: Scope) -> None:
    table = table_name(node.relation) if node.HasField("relation") else ""
    if node.is_program:
        walk.use(SqlUse("copy-program", table=table, name=node.filename))
    elif node.filename:
        walk.use(SqlUse("copy-file", table=table, name=node.filename))
    else:
        walk.use(SqlUse("copy-in" if node.is_from else "copy-out", table=table))
    shown = not node.is_program and not node.filename
    for name in strings(node.attlist) or (["*"] if table else []):
        walk.column(SqlColumn(table, name, bool(node.is_from) or shown))
    if node.HasField("query"):
        if shown:
            walk.statement(unwrapped(node.query), scope)
        else:
            walk.laundered(unwrapped(node.query), scope)
    if shown and not node.is_from:
        walk.copies(copies.read_copy(node, walk.text))
    walk.others(node, scope, ("where_clause",))


def _explain(walk: Walk, node: Tree, scope: Scope) -> None:
    walk.use(SqlUse("explain"))
    inner = walk.another()
    inner.statement(unwrapped(node.query), scope)
    found = inner.found()
    walk.takes(replace(found, uses=()))
    runs = _analyses(node)
    for use in found.uses:
        # Planning reads no rows and changes nothing; constant calls it may well make.
        if runs or use.kind not in WRITING:
            walk.use(use)
    for column in found.columns:
        walk.column(column)


def _analyses(node: Tree) -> bool:
    """Whether EXPLAIN runs the statement; of several ANALYZE options the last one counts."""
    runs = False
    for option in map(unwrapped, node.options):
        if option.defname == "analyze":
            runs = word_of(given(option, "arg")).lower() not in _OFF
    return runs


def _create_as(walk: Walk, node: Tree, scope: Scope) -> None:
    into = given(node, "into")
    walk.use(SqlUse("create", table=table_name(into.rel)))
    query = unwrapped(node.query)
    if name_of(query).endswith("Stmt") and name_of(query) != "ExecuteStmt":
        walk.laundered(query, scope)
    else:
        walk.statement(query, scope)


def _view(walk: Walk, node: Tree, scope: Scope) -> None:
    walk.use(SqlUse("create", table=table_name(node.view)))
    walk.laundered(unwrapped(node.query), scope)


def _prepare(walk: Walk, node: Tree, scope: Scope) -> None:
    walk.use(SqlUse("prepare", name=node.name))
    walk.statement(unwrapped(node.query), scope)


def _execute(walk: Walk, node: Tree, scope: Scope) -> None:
    walk.use(SqlUse("execute", name=node.name))
    walk.expressions(node.params, scope)


def _declare(walk: Walk, node: Tree, scope: Scope) -> None:
    walk.use(SqlUse("cursor", name=node.portalname))
    walk.statement(unwrapped(node.query), scope)


def _call(walk: Walk, node: Tree, scope: Scope) -> None:
    walk.use(SqlUse("call", function=dotted(node.funccall.funcname)))
    walk.expression(node.funccall, scope)


def _set(walk: Walk, node: Tree, scope: Scope) -> None:
    name = node.name.lower()
    match node.kind:
        case 1 | 3:  # SET x TO …, FROM CURRENT
            if name in {"role", "session_authorization"}:
                walk.use(SqlUse("set-role", name=_value(node) or "?"))
            else:
                walk.set_to(name, _value(node))
        case 4 if name == "transaction snapshot":
            walk.use(SqlUse("transaction"))
            walk.set_to("transaction_snapshot", _value(node))
        case 4:  # SET TRANSACTION, SET SESSION CHARACTERISTICS
            _modes(walk, node.args)
        case 6:
            walk.use(SqlUse("reset"))
        case _:
            if name in {"role", "session_authorization"}:
                walk.use(SqlUse("set-role", name="default"))
            else:
                walk.use(SqlUse("reset", setting=name))


def _value(node: Tree) -> str | None:
    values = [_constant(unwrapped(one)) for one in node.args]
    return None if None in values or not values else ", ".join(str(one) for one in values)


def _constant(node: Tree) -> str | None:
    text = literal(node)
    if text is not None:
        return text
    if name_of(node) != "A_Const":
        return None
    if node.HasField("boolval"):
        return "on" if node.boolval.boolval else "off"
    return node.fval.fval if node.HasField("fval") else str(node.ival.ival)


def _modes(walk: Walk, options: Tree) -> None:
    """`READ WRITE` and its kind, which are settings under another name."""
    walk.use(SqlUse("transaction"))
    for option in map(unwrapped, options):
        if option.defname in READ_ONLY:
            value = unwrapped(option.arg)
            walk.set_to(option.defname, "on" if value.ival.ival else "off")


def _transaction(walk: Walk, node: Tree, scope: Scope) -> None:
    walk.use(SqlUse("transaction", name=_TRANSACTIONS.get(node.kind, "")))
    _modes(walk, node.options)


_TRANSACTIONS: Final = {
    1: "begin", 2: "begin", 3: "commit", 4: "rollback", 5: "savepoint", 6: "release",
    7: "rollback-to", 8: "prepare-transaction", 9: "commit-prepared", 10: "rollback-prepared",
}  # fmt: skip


def _do(walk: Walk, node: Tree, scope: Scope) -> None:
    walk.use(SqlUse("do"))
    language = word_of(bodies.options_of(node).get("language")).lower() or "plpgsql"
    if language == "plpgsql":
        walk.open_plpgsql("a DO block")
    else:
        walk.unclear(f"a DO block in {language} is not read")


def _create_function(walk: Walk, node: Tree, scope: Scope) -> None:
    walk.use(SqlUse("create-function", function=dotted(node.funcname)))
    options = bodies.options_of(node)
    language = word_of(options.get("language")).lower() or "sql"
    source = bodies.source_of(options.get("as"))
    if node.HasField("sql_body"):
        walk.below(unwrapped(node.sql_body), scope, "select")
    elif language == "sql" and source is not None:
        walk.nested(source, "a function's body")
    elif language == "plpgsql":
        walk.open_plpgsql("a function's body")
    else:
        walk.unclear(f"a function in {language} is not read")
    for parameter in map(unwrapped, node.parameters):  # a whole row of a table comes in
        walk.behind(unwrapped(parameter.arg_type).names)
    for name, option in options.items():
        if name == "set" and option is not None:
            _set(walk, option, scope)


def _trigger(walk: Walk, node: Tree, scope: Scope) -> None:
    on_table = name_of(node) == "CreateTrigStmt"  # else on an event: of the database as a whole
    walk.use(SqlUse("create-trigger", table=table_name(node.relation) if on_table else ""))
    walk.use(SqlUse("function", function=dotted(node.funcname)))
    if on_table:
        walk.others(node, scope, ("when_clause",))


def _index(walk: Walk, node: Tree, scope: Scope) -> None:
    inner = scope.within()
    inner.add([node.relation])
    walk.use(SqlUse("create", table=table_name(node.relation)))
    walk.others(node, inner, ("where_clause",))
    walk.expressions([one.expr for one in map(unwrapped, node.index_params)], inner)


def _policy(walk: Walk, node: Tree, scope: Scope) -> None:
    """Its conditions see every row of the table, as do those who get what is published."""
    verb = kind_of(name_of(node))
    walk.below(node, scope, verb)
    tables = [node.table] if hasattr(node, "table") else _published(node)
    for table in tables:
        walk.column(SqlColumn(table_name(table), "*"))
    walk.use(SqlUse(verb, name=node.pubname if hasattr(node, "pubname") else node.policy_name))


def _published(node: Tree) -> list[Tree]:
    objects = [unwrapped(one) for one in node.pubobjects]
    return [one.pubtable.relation for one in objects if one.HasField("pubtable")]


def _foreign(walk: Walk, node: Tree, scope: Scope) -> None:
    """What the other end gives, which may be this database again, is of no table here."""
    walk.below(node, scope, "create")
    server = str(getattr(node, "servername", "") or getattr(node, "server_name", ""))
    walk.use(SqlUse("create", name=server))
    walk.reaches(server)


def _rename(walk: Walk, node: Tree, scope: Scope) -> None:
    if node.rename_type == _OBJECT_ROLE:
        walk.use(SqlUse("alter-role", name=node.subname))
    elif node.HasField("relation"):
        table = table_name(node.relation)
        walk.use(SqlUse("alter", table=table))
        if node.rename_type in _OBJECT_TABLES:
            schema, dot, _ = table.rpartition(".")
            walk.use(SqlUse("alter", table=f"{schema}{dot}{node.newname}"))
    else:
        walk.use(SqlUse("alter", name=node.subname))
        renamed = given(node, "object")
        if renamed is not None and name_of(renamed) == "ObjectWithArgs":
            walk.use(SqlUse("alter", function=dotted(renamed.objname)))
        elif renamed is not None and name_of(renamed) == "List":  # a type
            walk.behind(renamed.items)


def _drop_role(walk: Walk, node: Tree, scope: Scope) -> None:
    for role in map(unwrapped, node.roles):
        walk.use(SqlUse("drop-role", name=role.rolename))


def _grant(walk: Walk, node: Tree, scope: Scope) -> None:
    verb = "grant" if node.is_grant else "revoke"
    walk.use(SqlUse(verb))
    if hasattr(node, "objects"):
        for one in map(unwrapped, node.objects):
            if name_of(one) == "RangeVar":
                walk.use(SqlUse(verb, table=table_name(one)))
            elif name_of(one) == "ObjectWithArgs":
                walk.use(SqlUse(verb, name=dotted(one.objname)))


def _role(walk: Walk, node: Tree, scope: Scope) -> None:
    walk.use(SqlUse("alter-role", name=node.role.rolename if node.HasField("role") else "all"))


def _default_privileges(walk: Walk, node: Tree, scope: Scope) -> None:
    walk.use(SqlUse("alter"))
    _grant(walk, node.action, scope)


def _drop(walk: Walk, node: Tree, scope: Scope) -> None:
    walk.use(SqlUse("drop"))
    walk.listed("drop", node)


def _system(walk: Walk, node: Tree, scope: Scope) -> None:
    walk.use(SqlUse("alter-system", setting=node.setstmt.name.lower()))


def _database_set(walk: Walk, node: Tree, scope: Scope) -> None:
    walk.use(SqlUse("alter", name=node.dbname, setting=node.setstmt.name.lower()))


def _load(walk: Walk, node: Tree, scope: Scope) -> None:
    walk.use(SqlUse("load", name=node.filename))


HANDLERS: Final[Handlers] = {
    "CopyStmt": _copy,
    "ExplainStmt": _explain,
    "CreateTableAsStmt": _create_as,
    "ViewStmt": _view,
    "PrepareStmt": _prepare,
    "ExecuteStmt": _execute,
    "DeclareCursorStmt": _declare,
    "CallStmt": _call,
    "VariableSetStmt": _set,
    "TransactionStmt": _transaction,
    "DoStmt": _do,
    "CreateFunctionStmt": _create_function,
    "CreateTrigStmt": _trigger,
    "CreateEventTrigStmt": _trigger,
    "RenameStmt": _rename,
    "DropRoleStmt": _drop_role,
    "GrantStmt": _grant,
    "GrantRoleStmt": _grant,
    "AlterRoleStmt": _role,
    "AlterRoleSetStmt": _role,
    "AlterDefaultPrivilegesStmt": _default_privileges,
    "DropStmt": _drop,
    "CreateForeignTableStmt": _foreign,
    "CreateForeignServerStmt": _foreign,
    "CreateUserMappingStmt": _foreign,
    "ImportForeignSchemaStmt": _foreign,
    "IndexStmt": _index,
    "CreatePolicyStmt": _policy,
    "AlterPolicyStmt": _policy,
    "CreatePublicationStmt": _policy,
    "AlterPublicationStmt": _policy,
    "AlterSystemStmt": _system,
    "AlterDatabaseSetStmt": _database_set,
    "LoadStmt": _load,
}
