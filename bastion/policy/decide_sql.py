"""How SQL is decided: every statement of a text, the strictest answer for all of it.

1. what no parser reads is refused, unless the grant lets through what cannot be told;
2. a deny rule that matches anything any statement does: deny;
3. what cannot be told (text that is made at run time): the grant's `opaque`;
4. an approve rule that matches: approve;
5. a statement of which something is named by no allow (or approve) rule: the grant's `default`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from bastion.model import (
    DatabaseRequest,
    QueryRequest,
    SqlReading,
    SqlStatement,
    SqlUse,
    Target,
    TargetKind,
    visible,
)
from bastion.policy.access import DatabaseTerms
from bastion.policy.actions import Action
from bastion.policy.judgement import (
    Judgement,
    Terms,
    by_default,
    by_opaque,
    by_rule,
    deny,
    join_terms,
    judge,
)
from bastion.policy.match_sql import covers_statement, match_sql, names_column, reaches
from bastion.policy.rules import ApprovalTerms, Grant, Verdict
from bastion.policy.show_sql import show_column, show_use, sql_lines
from bastion.policy.sql import encodings
from bastion.policy.sql.kinds import UNTOLD, WRITING

MAX_LINES: Final = 100


READ_ONLY_SETTINGS: Final = frozenset({"transaction_read_only", "default_transaction_read_only"})

_PINNED: Final = {
    "standard_conforming_strings": {"on", "true", "yes", "1"},
    "backslash_quote": {"safe_encoding", "off", "no", "false", "0"},
}


def pinned(setting: str, value: str) -> bool:
    """Whether with this setting the server would read a text in another way than the gate does.

    A client_encoding that is named at run time is known when the server reports it: until then
    what could be read otherwise waits (`gate.postgres_text`).
    """
    if setting == "client_encoding":
        return value != UNTOLD and encodings.encoding_named(value) == ""
    allowed = _PINNED.get(setting)
    return allowed is not None and value.lower() not in allowed


def decide_query(
    grants: Sequence[Grant], database: DatabaseTerms, request: QueryRequest
) -> Verdict:
    """What the grants say about one text of SQL."""
    terms = join_terms(grants, lambda _: True)
    reading = request.reading
    approvals = [grant.approval for grant in grants if grant.session.database.mask]
    shown = request.clear and shows_columns(database, reading)
    verdict = _built_in(database, reading) or _verdict(
        terms, approvals, database, request, columns_shown=shown
    )
    return replace(verdict, parse=sql_lines(request.reading, MAX_LINES))


def _built_in(database: DatabaseTerms, reading: SqlReading) -> Verdict | None:
    """Denials that no rule can take back: the gate would not hold without them."""
    for statement in reading.statements:
        for use in statement.uses:
            if use.kind == "set" and pinned(use.setting, use.name):
                return deny("pinned-setting", *_why_pinned(use))
            if database.read_only and (_writes(use) or _may_write(use, statement)):
                return deny(
                    "read-only", f"This session only reads, and this does: {show_use(use)}."
                )
    return None


def _why_pinned(use: SqlUse) -> tuple[str, str]:
    """A reason and a hint."""
    if use.setting == "client_encoding":
        name = visible(use.name, limit=40)
        return (
            f"The gate cannot read SQL in client_encoding {name}.",
            "Use UTF8, LATIN1 to LATIN10, WIN125x, KOI8R, EUC_JP, EUC_CN or EUC_KR.",
        )
    return (
        f"{use.setting} stays as it is: the gate reads SQL by it.",
        "Use standard strings; E'…' still takes backslashes.",
    )


def _may_write(use: SqlUse, statement: SqlStatement) -> bool:
    """Large objects, which servers before 16 let a read-only transaction write; and set_config or
    EXECUTE of what is made at run time: no grant for what cannot be told means those."""
    function = use.function.rpartition(".")[2]
    if function in _LARGE_OBJECT_WRITERS:
        return True
    return bool(statement.opaque) and (function == "set_config" or use.kind in {"do", "dynamic"})


_LARGE_OBJECT_WRITERS: Final = frozenset(
    {"lo_create", "lo_creat", "lo_from_bytea", "lo_import", "lo_put", "lo_truncate"}
    | {"lo_truncate64", "lo_unlink", "lowrite"}
)
STATISTICS: Final = frozenset(
    {"pg_stats", "pg_stats_ext", "pg_stats_ext_exprs", "pg_statistic", "pg_statistic_ext_data"}
)


def _writes(use: SqlUse) -> bool:
    """Whether something changes the database, or takes back that the session may not."""
    if use.kind == "set" and use.setting in READ_ONLY_SETTINGS:
        return use.name.lower() not in {"on", "true", "yes", "1"}
    return use.kind in WRITING or (use.kind == "reset" and use.setting in READ_ONLY_SETTINGS)


def shows_columns(database: DatabaseTerms, reading: SqlReading) -> bool:
    """Whether people may let a text show masked columns: it shows them and does nothing else, so
    that what it reads stays nowhere, where nobody would know any more that it is masked."""
    return database.unmask_columns and all(
        use.kind in _SHOWING and not reaches(use) and not statement.opaque
        for statement in reading.statements
        for use in statement.uses
    )


_SHOWING: Final = frozenset({"select", "function", "copy-out"})


def _note_masked(
    judgement: Judgement,
    approvals: Sequence[ApprovalTerms | None],
    database: DatabaseTerms,
    request: QueryRequest,
    *,
    columns_shown: bool,
) -> None:
    """A masked column may come out, masked; whatever else looks at it could tell what it holds."""
    reading = request.reading
    if not database.mask or database.masked_elsewhere is Action.ALLOW:
        return
    for statement in reading.statements:
        for use in statement.uses:
            if use.table.rpartition(".")[2] in STATISTICS:
                reason = f"{show_use(use)}: statistics hold values of masked columns."
                verdict = Verdict(database.masked_elsewhere, "masked-column", reason)
                judgement.note(verdict, approvals)
        for column in () if columns_shown else statement.columns:
            if not column.plain and names_column(database.mask, column, statement):
                shown = show_column(column)
                reason = f"{shown} is masked here, and this uses it other than to show it."
                judgement.note(
                    Verdict(
                        database.masked_elsewhere,
                        "masked-column",
                        reason,
                        "Select it as a plain column, without a condition or expression on it.",
                    ),
                    approvals,
                )
                return
    if request.misused:
        hint = "Select plain columns of the table itself."
        verdict = Verdict(database.masked_elsewhere, "masked-column", request.misused, hint)
        judgement.note(verdict, approvals)


def _verdict(
    terms: Terms,
    approvals: Sequence[ApprovalTerms | None],
    database: DatabaseTerms,
    request: QueryRequest,
    *,
    columns_shown: bool,
) -> Verdict:
    reading = request.reading
    if reading.fault:
        return _unread(terms, reading)
    judgement = judge(terms, lambda rule: match_sql(rule, reading))
    _note_masked(judgement, approvals, database, request, columns_shown=columns_shown)
    judgement.unclear += dict.fromkeys(
        visible(reason, limit=300) for one in reading.statements for reason in one.opaque
    )
    judgement.note_unclear(terms)
    if terms.default is not Action.ALLOW:
        covering = terms.allow + terms.approve
        if not all(covers_statement(covering, one) for one in reading.statements):
            judgement.note(by_default(terms.default), terms.default_approvals)
    verdict = judgement.ended()
    if verdict.action is not Action.ALLOW:
        return verdict
    if verdict.opaque:
        return replace(by_opaque(Action.ALLOW, verdict.opaque), opaque=verdict.opaque)
    allowing = next((rule for rule in terms.allow if match_sql(rule, reading).what), None)
    return by_rule(Action.ALLOW, allowing) if allowing else by_default(Action.ALLOW)


def _unread(terms: Terms, reading: SqlReading) -> Verdict:
    fault = visible(reading.fault, limit=300)
    if terms.opaque is Action.ALLOW and not terms.deny:
        return replace(by_opaque(Action.ALLOW, [fault]), opaque=(fault,))
    return unread(reading)


def unread(reading: SqlReading) -> Verdict:
    """The denial of a text that could not be read."""
    fault = visible(reading.fault, limit=300)
    if reading.syntax:
        return replace(deny("syntax", f"This does not parse: {fault}."), opaque=(fault,))
    verdict = deny("opaque", f"It cannot be told what this does: {fault}.")
    return replace(verdict, opaque=(fault,))


def decide_database(grants: Sequence[Grant], target: Target, request: DatabaseRequest) -> Verdict:
    """Whether a database session may begin at all; its statements are decided one by one."""
    if target.kind is not TargetKind.POSTGRES:
        return deny("no-database", f"{visible(target.name, limit=100)} is no database.")
    name = visible(request.database, limit=100)
    return Verdict(
        Action.ALLOW,
        "database",
        "Each statement is decided by itself.",
        parse=(f"database {name}",),
    )
