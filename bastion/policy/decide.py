"""One request of one identity on one target → a verdict. Pure and total.

How a command line is decided, strictest first:

1. a deny rule that matches: deny;
2. what cannot be told (opaque text, or a deny or approve rule that may match): the grant's
   `opaque`, unless an approve or allow rule names that kind of opaque text;
3. an approve rule that matches: approve;
4. whatever no allow (or approve) rule covers: the grant's `default`.

The strictest answer wins. Nothing in here raises: a fault inside is a denial.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, assert_never

from bastion.model import (
    ExecRequest,
    FileOperation,
    FileRequest,
    ForwardKind,
    ForwardRequest,
    Identity,
    Request,
    ShellRequest,
    SubsystemRequest,
    Target,
    visible,
)
from bastion.policy.access import Features, covering, joined
from bastion.policy.access import reachable as reachable
from bastion.policy.actions import Action
from bastion.policy.facts import Access, Opaque, OpaqueKind, PathUse, Reading, SimpleCommand
from bastion.policy.files import read_transfer
from bastion.policy.globs import Match
from bastion.policy.match import (
    Found,
    allows_command,
    allows_file,
    allows_line,
    allows_use,
    covers_opaque,
    is_forward,
    match_command,
    match_file,
    match_forward,
    match_reading,
    match_use,
    show_command,
    show_file,
    show_forward,
    show_use,
)
from bastion.policy.rules import ApprovalTerms, Grant, Policy, Rule, Verdict
from bastion.policy.schema import ShellMode
from bastion.policy.shell import read

MAX_PARSE_LINES: Final = 200
"""Lines of a verdict's parse: an approver's screen is not flooded, and told how much is missing."""

SEVERITY: Final = {Action.ALLOW: 0, Action.APPROVE: 1, Action.DENY: 2}

_HARMLESS_FILES: Final = frozenset({FileOperation.REALPATH, FileOperation.STATVFS})
"""What every file client needs before it can name a path; shows no content."""


def decide(
    policy: Policy, identity: Identity, target: Target, login: str, request: Request
) -> Verdict:
    """What the policy says about `request`, made by `identity` as `login` on `target`."""
    try:
        return _decide(policy, identity, target, login, request)
    except Exception:  # noqa: BLE001 - invariant: a fault in here must never let anything through
        return Verdict(
            Action.DENY,
            "fault",
            "The policy engine failed on this request, so it is refused.",
            "Tell whoever runs the bastion which request it was.",
        )


def _decide(
    policy: Policy, identity: Identity, target: Target, login: str, request: Request
) -> Verdict:
    grants = covering(policy, identity, target, login)
    if not grants:
        return _no_grant(target, login)
    features = joined(grants)
    match request:
        case ExecRequest():
            return _exec(grants, features, target, request)
        case ShellRequest():
            return _shell(features, request)
        case SubsystemRequest():
            return _subsystem(features, request)
        case FileRequest():
            return _file(grants, features, request)
        case ForwardRequest():
            return _forward(grants, features, request)
    assert_never(request)


def _deny(rule: str, reason: str, hint: str = "") -> Verdict:
    return Verdict(Action.DENY, rule, reason, hint)


def _no_grant(target: Target, login: str) -> Verdict:
    name = visible(target.name, limit=100)
    who = f" as {visible(login, limit=100)}" if login else ""
    return _deny(
        "no-grant",
        f"No grant lets you reach {name}{who}.",
        "`ssh bastion` alone lists what you may reach.",
    )


def _not_granted(feature: str, what: str) -> Verdict:
    return _deny(f"no-{feature}", f"{what} not granted here.", "Ask whoever keeps the policy.")


# --- the judgement that all kinds of requests share -------------------------------------------


@dataclass(frozen=True, slots=True)
class _Terms:
    """What the grants that give a feature say together: joined rules, the strictest default."""

    deny: tuple[Rule, ...]
    approve: tuple[Rule, ...]
    allow: tuple[Rule, ...]
    default: Action
    opaque: Action
    approvals: tuple[ApprovalTerms, ...]


def _terms(grants: Sequence[Grant], gives: Callable[[Grant], bool]) -> _Terms:
    giving = [grant for grant in grants if gives(grant)] or list(grants)
    return _Terms(
        deny=tuple(rule for grant in grants for rule in grant.deny),
        approve=tuple(_with_approval(rule, grant) for grant in grants for rule in grant.approve),
        allow=tuple(rule for grant in giving for rule in grant.allow),
        default=max((grant.default for grant in giving), key=SEVERITY.__getitem__),
        opaque=max((grant.opaque for grant in giving), key=SEVERITY.__getitem__),
        approvals=tuple(grant.approval for grant in giving if grant.approval is not None),
    )


def _with_approval(rule: Rule, grant: Grant) -> Rule:
    return rule if rule.approval is not None else replace(rule, approval=grant.approval)


@dataclass(slots=True)
class _Judgement:
    """The strictest verdict found so far; of equals, the first."""

    verdict: Verdict
    approvals: list[ApprovalTerms]

    def note(self, verdict: Verdict, approvals: Iterable[ApprovalTerms | None] = ()) -> None:
        """Take `verdict` if it is stricter; collect whose approval it asks for."""
        if SEVERITY[verdict.action] > SEVERITY[self.verdict.action]:
            self.verdict = verdict
        if verdict.action is Action.APPROVE:
            self.approvals += [terms for terms in approvals if terms is not None]

    def ended(self) -> Verdict:
        """The verdict, with the terms of its approval."""
        if self.verdict.action is not Action.APPROVE:
            return self.verdict
        terms = combine(self.approvals)
        if terms is None:
            return _deny(
                "approvals-differ",
                "This needs approvals that no one role can give together.",
                "Send its commands one by one.",
            )
        return replace(self.verdict, approval=terms)


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
    )


def _by_rule(action: Action, rule: Rule) -> Verdict:
    return Verdict(action, rule.name, rule.reason, rule.hint)


def _by_default(action: Action) -> Verdict:
    reasons = {
        Action.ALLOW: "Nothing speaks against it, and what no rule names is allowed here.",
        Action.APPROVE: "No rule names this, so a person decides.",
        Action.DENY: "No rule allows this.",
    }
    hint = "Ask whoever keeps the policy for a rule." if action is Action.DENY else ""
    return Verdict(action, "default", reasons[action], hint)


def _judge(terms: _Terms, find: Callable[[Rule], Found], unclear: list[str]) -> _Judgement:
    """Deny and approve rules; what they could not tell is added to `unclear`."""
    judgement = _Judgement(Verdict(Action.ALLOW, "default", ""), [])
    for rules, action, does in (
        (terms.deny, Action.DENY, "denies"),
        (terms.approve, Action.APPROVE, "holds"),
    ):
        for rule in rules:
            found = find(rule)
            if found.match is Match.YES:
                judgement.note(_by_rule(action, rule), [rule.approval])
            elif found.match is Match.COULD:
                unclear.append(f"{found.what} may be what `{rule.name}` {does}")
                if action is Action.APPROVE and terms.opaque is Action.ALLOW:
                    judgement.note(_by_rule(action, rule), [rule.approval])
    return judgement


def _by_opaque(action: Action, unclear: Sequence[str]) -> Verdict:
    hints = {
        Action.DENY: "Write it out so that the gate can read what will run.",
        Action.APPROVE: "",
        Action.ALLOW: "",
    }
    told = f"It cannot be told what this does: {unclear[0]}."
    return Verdict(action, "opaque", told, hints[action])


# --- commands ---------------------------------------------------------------------------------


def _exec(
    grants: Sequence[Grant], features: Features, target: Target, request: ExecRequest
) -> Verdict:
    reading = read(request.command, target.dialect)
    verdict = _exec_verdict(grants, features, reading, request)
    shown = tuple(_told(opaque) for opaque in reading.opaque)
    return replace(
        verdict,
        parse=parse_lines(reading),
        opaque=tuple(dict.fromkeys((*verdict.opaque, *shown))),
    )


def _told(opaque: Opaque) -> str:
    raw = f": {visible(opaque.raw, limit=200)}" if opaque.raw else ""
    return f"{opaque.kind}: {visible(opaque.reason, limit=300)}{raw}"


def _exec_verdict(
    grants: Sequence[Grant], features: Features, reading: Reading, request: ExecRequest
) -> Verdict:
    if read_transfer(reading) is not None:
        return _file_server(grants, features, reading)
    if not features.exec:
        return _not_granted("exec", "Running commands is")
    if request.pty and not features.pty:
        return _not_granted("pty", "A terminal is")
    terms = _terms(grants, lambda grant: grant.session.exec)
    unclear: list[str] = []
    judgement = _judge(terms, lambda rule: match_reading(rule, reading), unclear)
    unclear += _uncovered_opaque(terms, reading)
    if unclear:
        judgement.note(_by_opaque(terms.opaque, unclear), terms.approvals)
    if terms.default is not Action.ALLOW and _uncovered(terms, reading):
        judgement.note(_by_default(terms.default), terms.approvals)
    verdict = judgement.ended()
    if verdict.action is Action.ALLOW:
        verdict = _allowed(terms, reading, unclear)
    return replace(verdict, opaque=tuple(unclear))


def _allowed(terms: _Terms, reading: Reading, unclear: Sequence[str]) -> Verdict:
    if unclear:
        return replace(
            _by_opaque(Action.ALLOW, unclear), reason="The policy lets opaque text through here."
        )
    for rule in terms.allow:
        if allows_line(rule, reading) or any(
            allows_command(rule, command) for command in reading.commands
        ):
            return _by_rule(Action.ALLOW, rule)
    return _by_default(Action.ALLOW)


def _uncovered_opaque(terms: _Terms, reading: Reading) -> list[str]:
    """What is opaque and no approve or allow rule names."""
    rules = terms.approve + terms.allow
    return [
        visible(opaque.reason, limit=300)
        for opaque in (*reading.opaque, *_hidden_transfers(reading))
        if not any(covers_opaque(rule, opaque, reading.raw) for rule in rules)
    ]


def _uncovered(terms: _Terms, reading: Reading) -> bool:
    """Whether anything that would happen is covered by neither an approve nor an allow rule."""
    if any(allows_line(rule, reading) for rule in terms.allow + terms.approve):
        return False
    if not reading.commands and not reading.paths:
        return True
    return not (
        all(_covers_command(terms, command) for command in reading.commands)
        and all(_covers_use(terms, use) for use in reading.paths if use.redirection)
        and not reading.downloads_run
    )


def _covers_command(terms: _Terms, command: SimpleCommand) -> bool:
    return any(match_command(rule, command) is Match.YES for rule in terms.approve) or any(
        allows_command(rule, command) for rule in terms.allow
    )


def _covers_use(terms: _Terms, use: PathUse) -> bool:
    if use.access is Access.METADATA or (use.path == "/dev/null" and not use.dynamic):
        return True
    return any(match_use(rule, use) is Match.YES for rule in terms.approve) or any(
        allows_use(rule, use) for rule in terms.allow
    )


def parse_lines(reading: Reading) -> tuple[str, ...]:
    """All that would run and be opened, a line each, for people."""
    lines = [show_command(command) for command in reading.commands]
    lines += [show_use(use) for use in reading.paths if use.access is not Access.METADATA]
    lines += [f"runs what it downloads: {visible(what)}" for what in reading.downloads_run]
    lines = list(dict.fromkeys(lines))
    if len(lines) > MAX_PARSE_LINES:
        more = len(lines) - MAX_PARSE_LINES
        lines = [*lines[:MAX_PARSE_LINES], f"… and {more} more lines that are not shown"]
    return tuple(lines)


# --- file servers -----------------------------------------------------------------------------

_SCP_SERVER: Final = re.compile(r"-[a-zA-Z0-9]*[tf]")
_HIDDEN: Final = "a file transfer inside a longer command line is not gated file by file"


def _serves_files(command: SimpleCommand) -> bool:
    """Whether it looks like the target's end of a transfer, however it is started."""
    words = [word.text or "" for word in command.argv[1:]]
    if command.program == "scp":
        return any(_SCP_SERVER.fullmatch(word) for word in words)
    return command.program == "sftp-server" or (
        command.program == "rsync" and ("--server" in words or "--daemon" in words)
    )


def _hidden_transfers(reading: Reading) -> list[Opaque]:
    return [
        Opaque(OpaqueKind.INTERACTIVE, _HIDDEN, command.program)
        for command in reading.commands
        if _serves_files(command)
    ]


def _file_server(grants: Sequence[Grant], features: Features, reading: Reading) -> Verdict:
    if not features.files:
        return _not_granted("files", "Copying files is")
    terms = _terms(grants, lambda grant: grant.session.files)
    unclear: list[str] = []  # patterns among the paths are the file gate's to match
    judgement = _judge(
        replace(terms, approve=()), lambda rule: match_reading(rule, reading), unclear
    )
    if unclear:
        judgement.note(_by_opaque(terms.opaque, unclear), terms.approvals)
    verdict = judgement.ended()
    if verdict.action is Action.ALLOW:
        verdict = Verdict(Action.ALLOW, "files", "A file transfer: each file is decided by itself.")
    return replace(verdict, opaque=tuple(unclear))


# --- shells, subsystems -----------------------------------------------------------------------


def _shell(features: Features, request: ShellRequest) -> Verdict:
    if features.shell is ShellMode.NONE:
        return _not_granted("shell", "An interactive shell is")
    if features.shell is ShellMode.GATED:
        return _deny(
            "shell-gated",
            "Gated interactive shells are not available yet.",
            "Send a command instead: ssh LOGIN@TARGET@bastion COMMAND.",
        )
    if request.pty and not features.pty:
        return _not_granted("pty", "A terminal is")
    return Verdict(
        Action.ALLOW,
        "shell-ungated",
        "The policy lets interactive shells through here: recorded, but not gated.",
    )


def _subsystem(features: Features, request: SubsystemRequest) -> Verdict:
    if request.name == "sftp" and features.files:
        return Verdict(Action.ALLOW, "files", "A file transfer: each file is decided by itself.")
    if request.name == "sftp":
        return _not_granted("files", "Copying files is")
    if request.name in features.subsystems:
        return Verdict(Action.ALLOW, "subsystem", "The policy names this subsystem.")
    return _not_granted("subsystem", f"The subsystem {visible(request.name, limit=100)} is")


# --- files ------------------------------------------------------------------------------------


def _file(grants: Sequence[Grant], features: Features, request: FileRequest) -> Verdict:
    shown = (show_file(request),)
    if not features.files:
        return replace(_not_granted("files", "Copying files is"), parse=shown)
    terms = _terms(grants, lambda grant: grant.session.files)
    unclear: list[str] = []
    judgement = _judge(terms, lambda rule: match_file(rule, request), unclear)
    if unclear:
        judgement.note(_by_opaque(terms.opaque, unclear), terms.approvals)
    allowing = next((rule for rule in terms.allow if allows_file(rule, request)), None)
    approving = any(match_file(rule, request).match is Match.YES for rule in terms.approve)
    if allowing is None and not approving and request.operation not in _HARMLESS_FILES:
        judgement.note(_by_default(terms.default), terms.approvals)
    verdict = judgement.ended()
    if verdict.action is Action.ALLOW:
        verdict = _by_rule(Action.ALLOW, allowing) if allowing else _by_default(Action.ALLOW)
    return replace(verdict, opaque=tuple(unclear), parse=shown)


# --- forwards ---------------------------------------------------------------------------------


def _forward(grants: Sequence[Grant], features: Features, request: ForwardRequest) -> Verdict:
    shown = (show_forward(request),)
    given = {ForwardKind.AGENT: features.agent, ForwardKind.X11: features.x11}
    granted = given.get(
        request.kind, any(is_forward(pattern, request) for pattern in features.forwards)
    )
    if not granted:
        what = f"Forwarding ({show_forward(request)}) is"
        return replace(_not_granted("forward", visible(what, limit=300)), parse=shown)
    terms = _terms(grants, lambda grant: True)
    judgement = _judge(terms, lambda rule: match_forward(rule, request), [])
    verdict = judgement.ended()
    if verdict.action is Action.ALLOW:
        verdict = Verdict(Action.ALLOW, "forward", "The policy grants this forward.")
    return replace(verdict, parse=shown)
