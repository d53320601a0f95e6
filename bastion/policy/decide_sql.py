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
    Target,
    TargetKind,
    visible,
)
from bastion.policy.actions import Action
from bastion.policy.judgement import Terms, by_default, by_opaque, by_rule, deny, join_terms, judge
from bastion.policy.match_sql import covers_statement, match_sql
from bastion.policy.rules import Grant, Verdict
from bastion.policy.show_sql import sql_lines

MAX_LINES: Final = 100


def decide_query(grants: Sequence[Grant], target: Target, request: QueryRequest) -> Verdict:
    """What the grants say about one text of SQL."""
    verdict = _verdict(join_terms(grants, lambda _: True), request.reading)
    return replace(verdict, parse=sql_lines(request.reading, MAX_LINES))


def _verdict(terms: Terms, reading: SqlReading) -> Verdict:
    if reading.fault:
        return _unread(terms, reading)
    judgement = judge(terms, lambda rule: match_sql(rule, reading))
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
