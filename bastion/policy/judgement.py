"""How rules add up to a verdict: joined terms, the strictest answer, whose approval it needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from bastion.policy.actions import Action
from bastion.policy.globs import Match
from bastion.policy.match import Found
from bastion.policy.rules import ApprovalTerms, Grant, Rule, Verdict

SEVERITY: Final = {Action.ALLOW: 0, Action.APPROVE: 1, Action.DENY: 2}


def deny(rule: str, reason: str, hint: str = "") -> Verdict:
    """A denial that no rule of the policy made."""
    return Verdict(Action.DENY, rule, reason, hint)


def not_granted(feature: str, what: str) -> Verdict:
    """The denial of a feature that no grant gives."""
    return deny(f"no-{feature}", f"{what} not granted here.", "Ask whoever keeps the policy.")


@dataclass(frozen=True, slots=True)
class Terms:
    """What the grants that give a feature say together: joined rules, the strictest default."""

    deny: tuple[Rule, ...]
    approve: tuple[Rule, ...]
    allow: tuple[Rule, ...]
    default: Action
    opaque: Action
    default_approvals: tuple[ApprovalTerms | None, ...] = ()
    opaque_approvals: tuple[ApprovalTerms | None, ...] = ()


def join_terms(grants: Sequence[Grant], gives: Callable[[Grant], bool]) -> Terms:
    """Join the rules of all grants; allow lists and defaults are of those that give the feature."""
    giving = [grant for grant in grants if gives(grant)] or list(grants)
    return Terms(
        deny=tuple(rule for grant in grants for rule in grant.deny),
        approve=tuple(_with_approval(rule, grant) for grant in grants for rule in grant.approve),
        allow=tuple(rule for grant in giving for rule in grant.allow),
        default=max((grant.default for grant in giving), key=SEVERITY.__getitem__),
        opaque=max((grant.opaque for grant in giving), key=SEVERITY.__getitem__),
        default_approvals=tuple(
            grant.approval for grant in giving if grant.default is Action.APPROVE
        ),
        opaque_approvals=tuple(
            grant.approval for grant in giving if grant.opaque is Action.APPROVE
        ),
    )


def _with_approval(rule: Rule, grant: Grant) -> Rule:
    return rule if rule.approval is not None else replace(rule, approval=grant.approval)


@dataclass(slots=True)
class Judgement:
    """The strictest verdict found so far; of equals, the first."""

    verdict: Verdict = field(default_factory=lambda: Verdict(Action.ALLOW, "default", ""))
    approvals: list[ApprovalTerms] = field(default_factory=list)
    unclear: list[str] = field(default_factory=list)
    """What cannot be told, and is therefore for the grant's `opaque` to answer."""
    doubts: list[str] = field(default_factory=list)
    """What cannot be told, but is answered already."""
    later: list[str] = field(default_factory=list)
    """What cannot be told yet, and will be when it runs."""

    def note(self, verdict: Verdict, approvals: Iterable[ApprovalTerms | None] = ()) -> None:
        """Take `verdict` if it is stricter; collect whose approval it asks for."""
        if SEVERITY[verdict.action] > SEVERITY[self.verdict.action]:
            self.verdict = verdict
        if verdict.action is Action.APPROVE:
            self.approvals += [terms for terms in approvals if terms is not None]

    def note_unclear(self, terms: Terms) -> None:
        """Let the grant's `opaque` answer what is unclear."""
        if self.unclear:
            self.note(by_opaque(terms.opaque, self.unclear), terms.opaque_approvals)

    def ended(self) -> Verdict:
        """The verdict, with the terms of its approval and all that could not be told."""
        verdict = self.verdict
        if verdict.action is Action.APPROVE:
            terms = combine(self.approvals)
            verdict = replace(verdict, approval=terms) if terms else _APPROVALS_DIFFER
        return replace(verdict, opaque=(*self.unclear, *self.doubts))


def combine(all_terms: Sequence[ApprovalTerms]) -> ApprovalTerms | None:
    """Terms that satisfy all of these; None where no role may approve everything."""
    if not all_terms:
        return None
    first = all_terms[0]
    approvers = tuple(
        role for role in first.approvers if all(role in terms.approvers for terms in all_terms)
    )
    if not approvers:
        return None
    return ApprovalTerms(
        approvers=approvers,
        count=max(terms.count for terms in all_terms),
        wait=min(terms.wait for terms in all_terms),
        reason_required=any(terms.reason_required for terms in all_terms),
        message=" ".join(dict.fromkeys(one.message for one in all_terms if one.message)),
        repeat=min(terms.repeat for terms in all_terms),
        break_glass=tuple(
            role
            for role in first.break_glass
            if all(role in terms.break_glass for terms in all_terms)
        ),
    )


_APPROVALS_DIFFER: Final = deny(
    "approvals-differ",
    "This needs approvals that no one role can give together.",
    "Send its commands one by one.",
)


def by_rule(action: Action, rule: Rule) -> Verdict:
    """What a rule says."""
    return Verdict(action, rule.name, rule.reason, rule.hint)


def by_default(action: Action) -> Verdict:
    """What the grant says of all that no rule names."""
    reasons = {
        Action.ALLOW: "Nothing speaks against it, and what no rule names is allowed here.",
        Action.APPROVE: "No rule names this, so a person decides.",
        Action.DENY: "No rule allows this.",
    }
    hint = "Ask whoever keeps the policy for a rule." if action is Action.DENY else ""
    return Verdict(action, "default", reasons[action], hint)


def judge(
    terms: Terms,
    find: Callable[[Rule], Found],
    waits: Callable[[Rule], bool] = lambda rule: False,
) -> Judgement:
    """Ask every deny and approve rule. `waits`: whether a doubt ends by itself when it runs."""
    judgement = Judgement()
    for rule in terms.deny:
        found = find(rule)
        if found.match is Match.YES:
            judgement.note(by_rule(Action.DENY, rule))
        elif found.match is Match.COULD and waits(rule):
            judgement.later.append(f"{found.what} may be what `{rule.name}` denies")
        elif found.match is Match.COULD:
            judgement.unclear.append(f"{found.what} may be what `{rule.name}` denies")
    for rule in terms.approve:
        found = find(rule)
        doubt = f"{found.what} may be what `{rule.name}` holds"
        if found.match is Match.COULD and waits(rule):
            judgement.later.append(doubt)
        elif found.match is Match.COULD and terms.opaque is Action.DENY:
            judgement.unclear.append(doubt)
        elif found.match is not Match.NO:
            judgement.note(by_rule(Action.APPROVE, rule), [rule.approval])
            judgement.doubts += [doubt] * (found.match is Match.COULD)
    return judgement


def by_opaque(action: Action, unclear: Sequence[str]) -> Verdict:
    """What the grant says of text that cannot be told."""
    if action is Action.ALLOW:
        return Verdict(action, "opaque", "The policy lets through here what cannot be told.")
    hint = "Write it out, so that the gate can read what will run." * (action is Action.DENY)
    return Verdict(action, "opaque", f"It cannot be told what this does: {unclear[0]}.", hint)
