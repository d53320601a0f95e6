"""What may be asked for, what a grant adds, and what its end takes away."""

from dataclasses import replace

import pytest

from bastion.errors import NotAsked, PolicyError
from bastion.model import (
    ExecRequest,
    ForwardKind,
    ForwardRequest,
    Granted,
    Identity,
    Target,
    TargetKind,
)
from bastion.policy.access import certificate_grant, reachable
from bastion.policy.actions import Action
from bastion.policy.decide import decide, loses
from bastion.policy.parse import parse_policy
from bastion.policy.requests import want

TEXT = """
version: 1
roles:
  dev: {match: {groups: dev}}
  boss: {match: {groups: boss}}
  admin: {}
  dba: {}
rules:
  held:
    reason: a person looks first
    command: {program: touch}
    approval: {approvers: boss}
    examples: {match: [touch x], no_match: [ls]}
grants:
  - {name: devs, roles: dev, targets: {names: web}, logins: app,
     requests: {approve: [held], default: allow, opaque: deny}}
  - {name: admins, roles: admin, targets: {names: "*"}, logins: [app, root],
     requests: {default: allow, opaque: allow}}
requestable:
  - {name: admins, who: dev, role: admin, targets: [web, db], max: 2h, default: 30m,
     approval: {approvers: boss}}
  - {name: dbas, who: dev, role: dba, targets: db, ticket_required: true,
     approval: {approvers: boss}}
"""
POLICY = parse_policy(TEXT, "p.yaml")
ANN = Identity("idp", "ann", "ann", {"groups": ("dev",)}, frozenset({"dev"}))
WEB, DB = Target("web"), Target("db")
ADMIN_ON_WEB = replace(ANN, granted=(Granted("admin", ("web",)),))
TARGETS = ("web", "db")


def test_a_role_is_asked_for_where_the_policy_offers_it() -> None:
    wanted = want(POLICY, ANN, "admin", targets=TARGETS, reason="x")
    assert wanted.text == "role admin on web, db for 30m"
    assert wanted.targets == ("web", "db")


def test_a_target_is_asked_for_alone() -> None:
    wanted = want(POLICY, ANN, "web", targets=TARGETS, seconds=7200.0, reason="x")
    assert (wanted.role, wanted.targets, wanted.seconds) == ("admin", ("web",), 7200.0)


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("web", {}, "Say why"),
        ("web", {"reason": "x", "seconds": 7201.0}, "2h at most"),
        ("db", {"reason": "x"}, "say which: --role"),
        ("db", {"reason": "x", "role": "dba"}, "ticket is required"),
        ("boss", {"reason": "x"}, "you may ask for: admin, dba"),
        ("mail", {"reason": "x"}, "you may ask for: admin, dba"),
        ("web", {"reason": "x" * 2001}, "2000 characters"),
    ],
)
def test_what_is_not_offered_is_refused_with_what_is(
    name: str, options: dict[str, object], told: str
) -> None:
    with pytest.raises(NotAsked, match=told):
        want(POLICY, ANN, name, targets=TARGETS, **options)  # type: ignore[arg-type]


def test_nobody_asks_by_a_role_that_was_only_granted() -> None:
    lent = replace(ANN, roles=frozenset(), granted=(Granted("dev"),))
    with pytest.raises(NotAsked):
        want(POLICY, lent, "admin", targets=TARGETS, reason="x")


def test_a_granted_role_counts_on_its_targets_alone() -> None:
    assert decide(POLICY, ADMIN_ON_WEB, WEB, "root", ExecRequest("ls")).action is Action.ALLOW
    assert decide(POLICY, ADMIN_ON_WEB, DB, "root", ExecRequest("ls")).action is Action.DENY
    assert [one.target.name for one in reachable(POLICY, ADMIN_ON_WEB, (WEB, DB))] == ["web"]


@pytest.mark.parametrize(
    ("command", "login", "cut"),
    [
        ("ls", "root", True),  # nothing else lets her be root there
        ("ls", "app", False),  # she may do that anyway
        ("touch x", "app", False),  # held before and after: one more role loosens nothing
    ],
)
def test_the_end_of_a_grant_cuts_what_it_allowed_and_that_alone(
    command: str, login: str, cut: bool
) -> None:
    assert loses(POLICY, ADMIN_ON_WEB, ANN, WEB, login, ExecRequest(command)) is cut


def test_where_statements_are_decided_singly_any_lost_grant_cuts() -> None:
    target = Target("web", TargetKind.POSTGRES)
    forward = ForwardRequest(ForwardKind.DIRECT_TCPIP, "web", 5432)
    assert loses(POLICY, ADMIN_ON_WEB, ANN, target, "app", forward)
    assert not loses(POLICY, ANN, ANN, target, "app", forward)


def test_the_next_certificate_names_what_is_granted_everywhere() -> None:
    granted = (Granted("admin"), Granted("dba", ("db",)), Granted("gone"))
    given = certificate_grant(POLICY, ANN.claims, ANN.roles, "127.0.0.1", granted=granted)
    assert given.principals == ("admin", "dev")


def test_faults_are_told_with_their_place() -> None:
    text = TEXT.replace("dba: {}", "dba: {}\n  lost: {}").replace("default: 30m", "default: 3h")
    with pytest.raises(PolicyError) as raised:
        parse_policy(text.replace("role: admin,", "role: admim,"), "p.yaml")
    told = str(raised.value)
    assert "there is no role `admim`; did you mean `admin`?" in told
    assert "nobody can have `lost`" in told
    assert "`default` is longer than `max`" in told
