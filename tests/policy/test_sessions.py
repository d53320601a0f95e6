"""Rules about whole sessions: interactive shells, and subsystems by name."""

from __future__ import annotations

import pytest

from bastion.errors import PolicyError
from bastion.model import ExecRequest, Identity, ShellRequest, SubsystemRequest, Target
from bastion.policy.actions import Action
from bastion.policy.decide import decide
from bastion.policy.parse import parse_policy
from bastion.policy.rules import Verdict

ALLOW, APPROVE, DENY = Action.ALLOW, Action.APPROVE, Action.DENY
ANN = Identity("https://id", "1", "ann", roles=frozenset({"dev"}))
SHELL, SFTP, BACKUP = ShellRequest(), SubsystemRequest("sftp"), SubsystemRequest("backup-db")

POLICY = """
version: 1
roles: {dev: {match: {g: dev}}, lead: {match: {g: lead}}}
rules:
  shells: {reason: no shells, session: {shell: true},
       examples: {match: [{shell: true}], no_match: [bash -i, {subsystem: sftp}]}}
  backups: {reason: no backups, session: {subsystem: ["backup-*"]},
       examples: {match: [{subsystem: backup-x}], no_match: [{subsystem: x-backup-}]}}
  any: {reason: no subsystems, session: {subsystem: "*"},
       examples: {match: [{subsystem: sftp}], no_match: [{shell: true}]}}
  copies: {reason: no rsync, command: {program: [rsync, scp]},
       examples: {match: [rsync a b], no_match: [ls]}}
grants:
  - name: g
    roles: dev
    targets: {names: "*"}
    logins: app
    session: SESSION
    requests: {REQUESTS, default: allow, opaque: allow,
               approval: {approvers: lead, wait: 7s}}
"""
ALL = "{shell: ungated, files: true, subsystems: [backup-db]}"


def run(request, requests: str, session: str = ALL) -> Verdict:
    text = POLICY.replace("SESSION", session).replace("REQUESTS", requests)
    return decide(parse_policy(text, "p.yaml"), ANN, Target("web"), "app", request)


@pytest.mark.parametrize("request_", [SHELL, SFTP, BACKUP])
@pytest.mark.parametrize(
    ("requests", "action", "rule"),
    [
        ("deny: [shells, any]", DENY, {"shells", "any"}),
        ("approve: [shells, any]", APPROVE, {"shells", "any"}),
        ("deny: [shells, any], approve: [shells, any]", DENY, {"shells", "any"}),
        ("allow: [shells, any]", ALLOW, {"shell-ungated", "files", "subsystem"}),
    ],
)
def test_rules_are_asked_about_what_is_granted(request_, requests, action, rule):
    verdict = run(request_, requests)
    assert (verdict.action, verdict.rule in rule) == (action, True)
    assert (verdict.approval is not None and verdict.approval.wait == 7) == (action is APPROVE)
    assert len(verdict.parse) == 1


def test_subsystems_are_named_one_by_one():
    assert run(BACKUP, "deny: [backups]").rule == "backups"
    assert run(SFTP, "deny: [backups]").action is ALLOW
    assert run(SHELL, "deny: [backups]").action is ALLOW


@pytest.mark.parametrize("request_", [SHELL, SFTP, BACKUP])
def test_a_rule_grants_nothing(request_):
    verdict = run(request_, "allow: [shells, any]", session="{exec: true}")
    assert (verdict.action, verdict.rule[:3]) == (DENY, "no-")


def test_a_command_that_serves_files_may_be_named():
    line = ExecRequest("rsync --server --sender -logDtpre.iLsfxCIvu . /srv/x")
    assert run(line, "deny: [copies]").action is DENY
    assert run(line, "approve: [copies]").action is APPROVE
    assert run(line, "deny: [any, shells]").action is ALLOW


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("{shell: true},", "{},", "names nothing to match"),
        ("{shell: true},", "{shell: false},", "leave it out otherwise"),
        ("{shell: true},", "{shel: true},", "unknown key `shel`"),
        ('"backup-*"', '""', "at least 1 character"),
        ("match: [{shell: true}]", "match: [{shell: true, subsystem: x}]", "has one of"),
        ("match: [{shell: true}]", "match: [{}]", "has one of"),
        ("match: [{shell: true}]", "match: [{file: null}]", "has one of"),
    ],
)
def test_faults(old, new, fault):
    text = POLICY.replace("SESSION", "{}").replace("REQUESTS", "deny: []")
    with pytest.raises(PolicyError, match=fault):
        parse_policy(text.replace(old, new, 1), "p.yaml")
