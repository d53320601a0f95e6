"""What an operator may see and do at the control socket, beside deciding what they are named for.

An approver of a held request sees that request without any of these rights, and everybody sees
their own. The machine's own operators (root, the bastion's user) have every right, for they could
read the files anyway; whatever else an operator has, the policy's `console` gives.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bastion.policy.approvals import Approval, Operator, is_requester
from bastion.policy.globs import matches_name
from bastion.policy.rules import ConsoleGrant, Policy
from bastion.policy.schema import Right as Right


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom and where a call is about: a person's id and roles, and the targets (none yet: empty).

    Several targets are several subjects: each must be allowed.
    """

    identity: str = ""
    roles: frozenset[str] = frozenset()
    targets: tuple[str, ...] = ()


def may(policy: Policy, operator: Operator, right: Right, subject: Subject) -> bool:
    """Whether `operator` has `right` over all of `subject`."""
    if operator.machine:
        return True
    if right is Right.LIST and subject.identity and subject.identity == operator.identity:
        return True
    grants = [one for one in policy.console if _gives(one, operator, right)]
    return all(
        any(_covers(one, subject.roles, target) for one in grants)
        for target in subject.targets or ("",)
    )


def rights_of(policy: Policy, operator: Operator) -> frozenset[Right]:
    """The rights that the operator has anywhere, for a screen that offers only those."""
    if operator.machine:
        return frozenset(Right)
    return frozenset(
        right for right in Right if any(_gives(one, operator, right) for one in policy.console)
    )


def may_anywhere(policy: Policy, operator: Operator, right: Right) -> bool:
    """For what concerns nobody and no target in particular: a grant that is limited to some of
    them gives no right over all."""
    grants = (one for one in policy.console if _gives(one, operator, right))
    return operator.machine or any(not one.people and "*" in one.targets for one in grants)


def decidable(operator: Operator, approval: Approval) -> bool:
    """Whether this operator's answer could count; the board has the last word."""
    question, terms = approval.question, approval.terms
    return not (
        operator.agent
        or is_requester(question, operator.id, operator.name)
        or (terms.approvers and not operator.roles.intersection(terms.approvers))
        or any(answer.approver_id == operator.id for answer in approval.answers)
    )


def _gives(grant: ConsoleGrant, operator: Operator, right: Right) -> bool:
    return right in grant.may and bool(grant.roles & operator.roles)


def _covers(grant: ConsoleGrant, roles: Iterable[str], target: str) -> bool:
    """No target yet (a session that has opened nothing) is covered by a grant for all alone."""
    if grant.people and not grant.people.intersection(roles):
        return False
    return any(glob == "*" or (target and matches_name(target, glob)) for glob in grant.targets)
