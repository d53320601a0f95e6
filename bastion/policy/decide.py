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

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, assert_never

from bastion.model import (
    DatabaseRequest,
    ExecRequest,
    FileOperation,
    FileRequest,
    ForwardKind,
    ForwardRequest,
    Identity,
    LineRequest,
    QueryRequest,
    Request,
    ShellRequest,
    StepRequest,
    SubsystemRequest,
    Target,
    TargetKind,
    visible,
)
from bastion.policy import commands, lines
from bastion.policy.access import Features, covering, joined
from bastion.policy.access import reachable as reachable
from bastion.policy.actions import Action
from bastion.policy.allow import allows_file
from bastion.policy.decide_sql import decide_database, decide_query
from bastion.policy.facts import Reading
from bastion.policy.files import RsyncServer, ScpServer, read_transfer
from bastion.policy.globs import Match
from bastion.policy.judgement import (
    SEVERITY,
    by_default,
    by_rule,
    combine,
    deny,
    join_terms,
    judge,
    not_granted,
)
from bastion.policy.match import (
    is_forward,
    match_file,
    match_forward,
    match_reading,
    match_session,
)
from bastion.policy.rules import Grant, Policy, Verdict
from bastion.policy.schema import ShellMode
from bastion.policy.shell.reading import read
from bastion.policy.show import parse_lines, show_file, show_forward, show_session

_HARMLESS_FILES: Final = frozenset({FileOperation.REALPATH, FileOperation.STATVFS})
"""What every file client needs before it can name a path; shows no content."""


NO_GRANT: Final = "no-grant"
"""The rule's name in the verdict where no grant covers the identity there at all."""


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


def loses(
    policy: Policy, before: Identity, after: Identity, target: Target, login: str, request: Request
) -> bool:
    """Whether a channel that `request` opened may not go on once `before` has become `after`.

    A channel whose statements are decided one by one does not say what it stands on: it may not go
    on where any of the grants that cover it is gone.
    """
    had, left = (covering(policy, one, target, login) for one in (before, after))
    if had and (not left or (target.kind is not TargetKind.SSH and left != had)):
        return True
    then, now = (decide(policy, one, target, login, request) for one in (before, after))
    return SEVERITY[now.action] > SEVERITY[then.action]


def decide_unmasked(
    policy: Policy, identity: Identity, target: Target, login: str, request: Request
) -> Verdict:
    """The same for a request whose output is to be shown with its secrets: a person decides."""
    verdict = decide(policy, identity, target, login, request)
    if verdict.action is Action.DENY:
        return verdict
    grants = covering(policy, identity, target, login)
    terms = [grant.unmask for grant in grants if grant.unmask is not None]
    if len(terms) < len(grants) or not terms:
        reason = "Secrets are shown in clear to nobody here."
        where = "SQL" if isinstance(request, QueryRequest) else "environment"
        return deny("unmask", reason, f"Leave BASTION_UNMASK out of the {where}.")
    approval = combine([*terms, verdict.approval] if verdict.approval is not None else terms)
    if approval is None:
        return deny("unmask", "Showing secrets here needs approvals that no one role can give.")
    return replace(
        verdict,
        action=Action.APPROVE,
        rule="unmask",
        reason="Secrets in its output are to be shown in clear.",
        approval=approval,
        parse=(*verdict.parse, "shows secrets in clear (the recording keeps them masked)"),
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
            return _shell(grants, features, request)
        case LineRequest() | StepRequest():
            return lines.decide_at_prompt(grants, features, target, request)
        case SubsystemRequest():
            return _subsystem(grants, features, request)
        case FileRequest():
            return _file(grants, features, request)
        case ForwardRequest():
            return _forward(grants, features, request)
        case QueryRequest():
            return decide_query(grants, features.database, request)
        case DatabaseRequest():
            return decide_database(grants, target, request)
    assert_never(request)


def _no_grant(target: Target, login: str) -> Verdict:
    name = visible(target.name, limit=100)
    who = f" as {visible(login, limit=100)}" if login else ""
    return deny(
        NO_GRANT,
        f"No grant lets you reach {name}{who}.",
        "`ssh bastion` alone lists what you may reach.",
    )


# --- commands ---------------------------------------------------------------------------------


def _exec(
    grants: Sequence[Grant], features: Features, target: Target, request: ExecRequest
) -> Verdict:
    reading = read(request.command, target.dialect, pty=request.pty)
    verdict = _exec_verdict(grants, features, reading, request)
    told = (*verdict.opaque, *(commands.told(opaque) for opaque in reading.opaque))
    return replace(verdict, parse=parse_lines(reading), opaque=tuple(dict.fromkeys(told)))


def _exec_verdict(
    grants: Sequence[Grant], features: Features, reading: Reading, request: ExecRequest
) -> Verdict:
    if (transfer := read_transfer(reading)) is not None:
        return _file_server(grants, features, reading, transfer)
    if not features.exec:
        return not_granted("exec", "Running commands is")
    if request.pty and not features.pty:
        return not_granted("pty", "A terminal is")
    terms = join_terms(grants, lambda grant: grant.session.exec)
    judgement = judge(terms, lambda rule: match_reading(rule, reading))
    judgement.unclear += [
        commands.told(opaque) for opaque in commands.uncovered_opaque(terms, reading)
    ]
    judgement.note_unclear(terms)
    if terms.default is not Action.ALLOW and commands.uncovered(terms, reading):
        judgement.note(by_default(terms.default), terms.default_approvals)
    verdict = judgement.ended()
    return commands.allowed(terms, reading, verdict) if verdict.action is Action.ALLOW else verdict


# --- file servers -----------------------------------------------------------------------------

_TRANSFER: Final = Verdict(
    Action.ALLOW, "files", "A file transfer: each file is decided by itself."
)


def _file_server(
    grants: Sequence[Grant],
    features: Features,
    reading: Reading,
    transfer: ScpServer | RsyncServer,
) -> Verdict:
    if not features.files:
        return not_granted("files", "Copying files is")
    terms = join_terms(grants, lambda grant: grant.session.files)
    # Which paths need approval, and what patterns among them stand for, is the file gate's to ask.
    named = tuple(replace(rule, opens=(), opaque=()) for rule in terms.approve)
    judgement = judge(replace(terms, approve=named), lambda rule: match_reading(rule, reading))
    if isinstance(transfer, RsyncServer):  # no file of it is asked about later
        for request in transfer.requests:
            verdict = _file(grants, features, request)
            judgement.note(verdict, [verdict.approval])
            judgement.doubts += verdict.opaque
    judgement.note_unclear(terms)
    verdict = judgement.ended()
    return verdict if SEVERITY[verdict.action] else _TRANSFER


# --- shells, subsystems -----------------------------------------------------------------------


def _session(
    grants: Sequence[Grant], request: ShellRequest | SubsystemRequest, granted: Verdict
) -> Verdict:
    """What the rules say of a shell or subsystem that is granted."""
    verdict = judge(join_terms(grants, lambda _: True), lambda rule: match_session(rule, request))
    ended = verdict.ended()
    return replace(
        ended if ended.action is not Action.ALLOW else granted, parse=(show_session(request),)
    )


def _shell(grants: Sequence[Grant], features: Features, request: ShellRequest) -> Verdict:
    if features.shell is ShellMode.NONE:
        return not_granted("shell", "An interactive shell is")
    if request.pty and not features.pty:
        return not_granted("pty", "A terminal is")
    granted = _GATED if features.shell is ShellMode.GATED else _UNGATED
    return _session(grants, request, granted)


_GATED: Final = Verdict(
    Action.ALLOW,
    "shell-gated",
    "An interactive shell: each of its lines is decided by itself.",
)
_UNGATED: Final = Verdict(
    Action.ALLOW,
    "shell-ungated",
    "The policy lets interactive shells through here: recorded, but not gated.",
)
_NAMED: Final = Verdict(Action.ALLOW, "subsystem", "The policy names this subsystem.")


def _subsystem(grants: Sequence[Grant], features: Features, request: SubsystemRequest) -> Verdict:
    if request.name == "sftp" and features.files:
        return _session(grants, request, _TRANSFER)
    if request.name == "sftp":
        return not_granted("files", "Copying files is")
    if request.name in features.subsystems:
        return _session(grants, request, _NAMED)
    return not_granted("subsystem", f"The subsystem {visible(request.name, limit=100)} is")


# --- files ------------------------------------------------------------------------------------


def _file(grants: Sequence[Grant], features: Features, request: FileRequest) -> Verdict:
    shown = (show_file(request),)
    if not features.files:
        return replace(not_granted("files", "Copying files is"), parse=shown)
    terms = join_terms(grants, lambda grant: grant.session.files)
    judgement = judge(terms, lambda rule: match_file(rule, request))
    judgement.note_unclear(terms)
    allowing = next((rule for rule in terms.allow if allows_file(rule, request)), None)
    approving = any(match_file(rule, request).match is Match.YES for rule in terms.approve)
    if allowing is None and not approving and request.operation not in _HARMLESS_FILES:
        judgement.note(by_default(terms.default), terms.default_approvals)
    verdict = judgement.ended()
    if verdict.action is Action.ALLOW:
        verdict = by_rule(Action.ALLOW, allowing) if allowing else by_default(Action.ALLOW)
    return replace(verdict, parse=shown)


# --- forwards ---------------------------------------------------------------------------------


def _forward(grants: Sequence[Grant], features: Features, request: ForwardRequest) -> Verdict:
    shown = (show_forward(request),)
    given = {ForwardKind.AGENT: features.agent, ForwardKind.X11: features.x11}
    granted = given.get(
        request.kind, any(is_forward(pattern, request) for pattern in features.forwards)
    )
    if not granted:
        what = f"Forwarding ({show_forward(request)}) is"
        return replace(not_granted("forward", visible(what, limit=300)), parse=shown)
    terms = join_terms(grants, lambda grant: True)
    judgement = judge(terms, lambda rule: match_forward(rule, request))
    verdict = judgement.ended()
    if verdict.action is Action.ALLOW:
        verdict = Verdict(Action.ALLOW, "forward", "The policy grants this forward.")
    return replace(verdict, parse=shown)
