"""One request → a verdict: the order of rules, features, and what is never let through."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bastion.model import (
    Direction,
    ExecRequest,
    FileOperation,
    FileRequest,
    ForwardKind,
    ForwardRequest,
    Identity,
    ShellRequest,
    SubsystemRequest,
    Target,
)
from bastion.policy.actions import Action
from bastion.policy.decide import decide, reachable
from bastion.policy.judgement import SEVERITY, combine
from bastion.policy.parse import parse_policy
from bastion.policy.rules import ApprovalTerms, Policy, Verdict

ALLOW, APPROVE, DENY = Action.ALLOW, Action.APPROVE, Action.DENY
ANN = Identity("https://id", "1", "ann", roles=frozenset({"dev"}))
BOTH = dataclasses.replace(ANN, roles=frozenset({"dev", "ops"}))
WEB = Target("web")

HEAD = """
version: 1
roles: {dev: {match: {g: dev}}, ops: {match: {g: ops}}, lead: {match: {g: lead}}}
rules:
  rm: {reason: no rm, hint: none, command: {program: rm, flags: -r},
       examples: {match: [rm -r x], no_match: [ls]}}
  mv: {reason: ask for mv, command: {program: mv, operands: /srv/**},
       examples: {match: [mv /srv/x y], no_match: [ls]}}
  ls: {reason: ls is fine, command: {program: [ls, cat]},
       examples: {match: [ls x], no_match: [rm x]}}
  tmp: {reason: tmp is fine, opens: {path: /tmp/**, access: write},
       file: {path: /tmp/**}, examples: {match: ["echo > /tmp/x"], no_match: [ls]}}
  shadow: {reason: no shadow, opens: {path: /etc/shadow},
       examples: {match: [cat /etc/shadow], no_match: [ls]}}
  script: {reason: this script, opaque: {kinds: script, text: '\\./go\\.sh( [a-z]+)?'},
       examples: {match: [./go.sh x], no_match: [./no.sh]}}
grants:
"""


def policy(*grants: str) -> Policy:
    return parse_policy(HEAD + "".join(f"  - {{{grant}}}\n" for grant in grants), "p.yaml")


def grant(requests: str = "", session: str = "", name: str = "g", roles: str = "dev") -> str:
    return (
        f'name: {name}, roles: {roles}, targets: {{names: "*"}}, logins: [app],'
        f" session: {{{session}}}, requests: {{{requests}}}"
    )


def run(command: str, *grants: str, who: Identity = ANN) -> Verdict:
    return decide(policy(*grants), who, WEB, "app", ExecRequest(command))


ASK = "approval: {approvers: lead}"
FULL = f"deny: [rm], approve: [mv], allow: [ls], default: deny, opaque: approve, {ASK}"


@pytest.mark.parametrize(
    ("command", "action", "rule"),
    [
        ("ls -l", ALLOW, "ls"),
        ("rm -r x", DENY, "rm"),
        ("mv /srv/x y", APPROVE, "mv"),
        ("mv x y", DENY, "default"),
        ("id", DENY, "default"),
        ("ls; rm -r x", DENY, "rm"),
        ("ls; mv /srv/x y", APPROVE, "mv"),
        ("mv /srv/x y; rm -r x", DENY, "rm"),
        ("mv /srv/x y; id", DENY, "default"),
        ("ls; id", DENY, "default"),
        ("ls > /tmp/x", DENY, "default"),
        ("ls > /dev/null 2>&1", ALLOW, "ls"),
        ("ls < /etc/x", DENY, "default"),
        ("sudo ls", DENY, "default"),
        ("timeout 5 nice ls", ALLOW, "ls"),
        ("timeout 5 id", DENY, "default"),
        ("ls $(id)", DENY, "default"),
        ("./ls", DENY, "default"),
        ("$x", DENY, "default"),
        ("", DENY, "default"),
        ("# ls", DENY, "default"),
    ],
)
def test_deny_beats_approve_beats_allow(command, action, rule):
    verdict = run(command, grant(FULL))
    assert (verdict.action, verdict.rule) == (action, rule), verdict


def test_an_opening_may_be_allowed_beside_its_command():
    requests = "allow: [ls, tmp], default: deny"
    assert run("ls > /tmp/x", grant(requests)).action is ALLOW
    assert run("ls > /tmp/../etc/x", grant(requests)).action is DENY


@pytest.mark.parametrize("opaque", [ALLOW, APPROVE, DENY])
@pytest.mark.parametrize("command", ["rm $x", "$x", "python3 x.py", "echo 'open"])
def test_what_cannot_be_told_is_answered_by_opaque(command, opaque):
    requests = f"deny: [rm], default: allow, opaque: {opaque}, {ASK}"
    verdict = run(command, grant(requests))
    assert (verdict.action, verdict.rule) == (opaque, "opaque")
    assert verdict.opaque


def test_opaque_text_is_denied_unless_something_else_is_written():
    assert run("$x", grant("default: allow")).action is DENY


def test_a_denied_command_beside_an_opaque_one_is_denied():
    requests = "deny: [rm], default: allow, opaque: allow"
    assert run("$x; rm -r y", grant(requests)).rule == "rm"


def test_what_may_be_held_is_held_where_opaque_text_is_allowed():
    requests = f"approve: [mv], default: allow, opaque: allow, {ASK}"
    verdict = run("mv $x y", grant(requests))
    assert (verdict.action, verdict.rule) == (APPROVE, "mv")
    assert "may be what `mv` holds" in verdict.opaque[0]


def test_one_opaque_line_may_be_named():
    requests = "allow: [script], default: allow, opaque: deny"
    assert run("./go.sh now", grant(requests)).action is ALLOW
    assert run("./go.sh now; ./go.sh", grant(requests)).action is DENY
    assert run("./other.sh", grant(requests)).action is DENY


def test_the_verdict_tells_all_that_would_run():
    verdict = run("sudo ls | sh -c 'rm -r \x1b[2Jx'", grant(FULL))
    assert verdict.action is DENY
    assert verdict.parse
    assert all(line.isprintable() for line in (*verdict.parse, *verdict.opaque))


# --- grants -----------------------------------------------------------------------------------


def test_no_grant_is_no_access():
    for who, login in ((ANN, "root"), (dataclasses.replace(ANN, roles=frozenset()), "app")):
        verdict = decide(policy(grant("default: allow")), who, WEB, login, ExecRequest("ls"))
        assert (verdict.action, verdict.rule) == (DENY, "no-grant")
    assert reachable(policy(grant()), ANN, [WEB])[0].logins == ("app",)


def test_of_several_grants_the_strictest_default_counts():
    grants = (
        grant("default: allow", name="a"),
        grant("default: deny, allow: [ls]", name="b", roles="ops"),
    )
    assert run("id", *grants).action is ALLOW
    assert run("id", *grants, who=BOTH).action is DENY
    assert run("ls", *grants, who=BOTH).action is ALLOW


def test_a_grant_without_a_feature_has_no_say_in_its_default():
    grants = (
        grant("default: deny, allow: [ls]", name="a"),
        grant("default: allow, deny: [shadow]", "exec: false, files: true", "b", "ops"),
    )
    assert run("id", *grants, who=BOTH).action is DENY
    upload = FileRequest(FileOperation.WRITE, "/srv/x", direction=Direction.UPLOAD)
    assert decide(policy(*grants), BOTH, WEB, "app", upload).action is ALLOW
    assert run("cat /etc/shadow", *grants, who=BOTH).rule == "shadow"


# --- features ---------------------------------------------------------------------------------

OPEN = "default: allow"


@pytest.mark.parametrize(
    ("session", "request_", "rule"),
    [
        ("exec: false", ExecRequest("ls"), "no-exec"),
        ("pty: false", ExecRequest("ls", pty=True), "no-pty"),
        ("", ShellRequest(), "no-shell"),
        ("shell: gated, pty: false", ShellRequest(), "no-pty"),
        ("shell: ungated, pty: false", ShellRequest(), "no-pty"),
        ("", SubsystemRequest("sftp"), "no-files"),
        ("files: true", SubsystemRequest("netconf"), "no-subsystem"),
        ("files: true", SubsystemRequest("SFTP"), "no-subsystem"),
        ("", FileRequest(FileOperation.READ, "/x"), "no-files"),
        ("", ExecRequest("scp -t /x"), "no-files"),
        ("", ExecRequest("rsync --server -logDtpr . /x"), "no-files"),
        ("", ForwardRequest(ForwardKind.AGENT), "no-forward"),
        ("", ForwardRequest(ForwardKind.X11), "no-forward"),
        ("agent: true, x11: true", ForwardRequest(ForwardKind.TUN), "no-forward"),
        ("", ForwardRequest(ForwardKind.DIRECT_TCPIP, "x", 1), "no-forward"),
        (
            'forwards: {kind: direct-tcpip, to: "db:5432"}',
            ForwardRequest(ForwardKind.DIRECT_TCPIP, "db", 22),
            "no-forward",
        ),
        (
            'forwards: {kind: direct-tcpip, to: "db:5432"}',
            ForwardRequest(ForwardKind.TCPIP_FORWARD, "db", 5432),
            "no-forward",
        ),
    ],
)
def test_what_is_not_granted_is_refused(session, request_, rule):
    verdict = decide(policy(grant(OPEN, session)), ANN, WEB, "app", request_)
    assert (verdict.action, verdict.rule) == (DENY, rule)
    assert verdict.reason.endswith(".")


@pytest.mark.parametrize(
    ("session", "request_"),
    [
        ("", ExecRequest("ls", pty=True)),
        ("shell: ungated", ShellRequest()),
        ("files: true", SubsystemRequest("sftp")),
        ("subsystems: [netconf]", SubsystemRequest("netconf")),
        ("files: true", FileRequest(FileOperation.READ, "/x")),
        ("files: true", ExecRequest("scp -t /x")),
        ("files: true, exec: false", ExecRequest("scp -f '/x y'")),
        ("agent: true", ForwardRequest(ForwardKind.AGENT)),
        ("x11: true", ForwardRequest(ForwardKind.X11)),
        (
            'forwards: {kind: direct-tcpip, to: "db:5432"}',
            ForwardRequest(ForwardKind.DIRECT_TCPIP, "db", 5432),
        ),
    ],
)
def test_what_is_granted_is_allowed(session, request_):
    assert decide(policy(grant(OPEN, session)), ANN, WEB, "app", request_).action is ALLOW


def test_a_transfer_is_allowed_whole_and_decided_file_by_file():
    requests, session = "deny: [shadow], default: deny", "files: true"
    assert run("scp -t /tmp", grant(requests, session)).rule == "files"
    assert run("scp -f /etc/shadow", grant(requests, session)).rule == "shadow"
    for hidden in ("true; scp -t /tmp", "sudo rsync --server . /x", "/usr/lib/sftp-server"):
        verdict = run(hidden, grant("default: allow, opaque: deny", session))
        assert (verdict.action, verdict.rule) == (DENY, "opaque"), hidden


@pytest.mark.parametrize(
    ("operation", "path", "other", "action", "rule"),
    [
        ("write", "/tmp/x", "", ALLOW, "tmp"),
        ("write", "/srv/x", "", DENY, "default"),
        ("rename", "/tmp/x", "/srv/x", DENY, "default"),
        ("rename", "/tmp/x", "/tmp/y", ALLOW, "tmp"),
        ("realpath", ".", "", ALLOW, "default"),
        ("read", "/etc/../etc/shadow", "", DENY, "shadow"),
        ("symlink", "/tmp/x", "/etc", DENY, "opaque"),
        ("read", "x", "", DENY, "default"),
    ],
)
def test_files_are_decided_by_operation_and_path(operation, path, other, action, rule):
    requests = "deny: [shadow], allow: [tmp], default: deny"
    request = FileRequest(FileOperation(operation), path, other)
    verdict = decide(policy(grant(requests, "files: true")), ANN, WEB, "app", request)
    assert (verdict.action, verdict.rule) == (action, rule)
    assert verdict.parse


# --- approvals --------------------------------------------------------------------------------


def test_approvals_must_satisfy_everything_that_is_held():
    one = ApprovalTerms(("lead", "ops"), 1, 900, False, "A.")
    other = ApprovalTerms(("ops",), 2, 60, True, "B.")
    assert combine([one, other]) == ApprovalTerms(("ops",), 2, 60, True, "A. B.")
    assert combine([one, ApprovalTerms(("dev",))]) is None
    assert combine([]) is None


def test_approvals_that_no_role_can_give_together_are_a_denial():
    requests = (
        "approve: [mv, {reason: r, command: {program: ln}, approval: {approvers: ops},"
        f" examples: {{match: [ln a b], no_match: [ls]}}}}], default: allow, {ASK}"
    )
    assert run("mv /srv/x y", grant(requests)).approval == ApprovalTerms(("lead",))
    assert run("ln a b", grant(requests)).approval == ApprovalTerms(("ops",))
    assert run("ln a b; mv /srv/x y", grant(requests)).rule == "approvals-differ"


# --- properties -------------------------------------------------------------------------------

LINES = st.sampled_from(
    ["ls", "rm -r x", "rm $x", "mv /srv/a b", "id", "$y", "cat /etc/shadow", "ls > /tmp/o"]
)
NAMES = ("rm", "mv", "ls", "shadow")


@settings(deadline=None, max_examples=50)  # each example loads three policies
@given(
    st.lists(LINES, min_size=1, max_size=3).map("; ".join),
    st.lists(st.sampled_from(NAMES), unique=True),
    st.lists(st.sampled_from(NAMES), unique=True),
    st.lists(st.sampled_from(NAMES), unique=True),
    st.sampled_from(list(Action)),
    st.sampled_from(list(Action)),
    st.sampled_from(NAMES),
)
def test_a_further_rule_never_loosens(line, deny, approve, allow, default, opaque, added):
    def verdict(denied: list[str], approved: list[str]) -> Verdict:
        requests = (
            f"deny: {denied}, approve: {approved}, allow: {allow},"
            f" default: {default}, opaque: {opaque}, {ASK}"
        ).replace("'", "")
        return run(line, grant(requests))

    before = verdict(deny, approve)
    assert SEVERITY[verdict([*deny, added], approve).action] >= SEVERITY[before.action]
    assert verdict(deny[::-1], approve[::-1]).action is before.action
    if any(found == "rm -r x" for found in line.split("; ")) and "rm" in deny:
        assert before.action is DENY


TEXT = st.text(
    st.characters(codec=None) | st.sampled_from("$()`'\"\\;|&<>{}[]*?~ \n#!="), max_size=60
)


@given(
    TEXT.map(ExecRequest)
    | TEXT.map(SubsystemRequest)
    | st.builds(FileRequest, st.sampled_from(FileOperation), TEXT, TEXT)
    | st.builds(ForwardRequest, st.sampled_from(ForwardKind), TEXT, st.integers())
    | st.builds(ShellRequest, st.booleans())
)
def test_deciding_never_raises_and_always_answers(request_):
    verdict = decide(EVERYTHING, ANN, WEB, "app", request_)
    assert verdict.rule != "fault"
    assert verdict.action in Action
    for text in (verdict.reason, verdict.hint, *verdict.parse, *verdict.opaque):
        assert text.isprintable()


EVERYTHING = policy(
    grant(
        "deny: [rm, shadow], approve: [mv], allow: [ls, tmp], default: allow, opaque: allow, "
        + ASK,
        'files: true, agent: true, forwards: {kind: [direct-tcpip, direct-streamlocal], to: "*"}',
    )
)


def test_a_fault_inside_is_a_denial():
    for broken in (None, 7, "ls", object()):
        verdict = decide(EVERYTHING, ANN, WEB, "app", broken)  # type: ignore[arg-type]
        assert (verdict.action, verdict.rule) == (DENY, "fault")
