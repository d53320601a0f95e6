"""Programs that run code of their own, by the class that a policy names."""

from __future__ import annotations

import pytest

from bastion.model import ExecRequest, Identity, Target
from bastion.policy.actions import Action
from bastion.policy.decide import decide
from bastion.policy.parse import parse_policy
from bastion.policy.shell.classes import ProgramClass, is_of_class

ANN = Identity("https://id", "1", "ann", roles=frozenset({"all"}))
POLICY = """
version: 1
roles: {{all: {{match: {{a: b}}}}}}
grants:
  - name: all
    roles: all
    targets: {{names: "*"}}
    logins: app
    requests:
      {rules}
      default: allow
      opaque: deny
"""
RULE = "{{name: it, reason: It., {what}, examples: {{match: [{yes}], no_match: [{no}]}}}}"


def verdict(rules: str, command: str):
    policy = parse_policy(POLICY.format(rules=rules), "p.yaml")
    return decide(policy, ANN, Target("x"), "app", ExecRequest(command, pty=True))


@pytest.mark.parametrize(
    ("name", "program"),
    [
        ("interpreter", "python3.11"),
        ("interpreter", "node"),
        ("shell", "dash"),
        ("shell", "su"),
        ("editor", "visudo"),
        ("pager", "less"),
        ("remote", "ssh"),
        ("database", "psql"),
        ("multiplexer", "tmux"),
        ("debugger", "gdb"),
        ("builder", "make"),
        ("script", "source"),
    ],
)
def test_a_program_is_of_its_class_alone(name, program):
    assert [one for one in ProgramClass if is_of_class(program, one)] == [ProgramClass(name)]


@pytest.mark.parametrize("command", ["./run.sh", "/opt/x/run", "sudo ~/bin/x", ". ./env"])
def test_a_file_run_by_its_path_is_a_script(command):
    rule = RULE.format(what="command: {class: script}", yes="./x", no="/usr/bin/x")
    assert verdict(f"deny: [{rule}]", command).rule == "it"


def test_a_rule_may_name_a_class_of_commands():
    rule = RULE.format(what="command: {class: [editor, pager]}", yes="vi x", no="cat vi")
    for command in ("vim x", "sudo -u app less x", "xargs nano", "sh -c 'vi x'"):
        assert verdict(f"deny: [{rule}]", command).rule == "it"
    assert verdict(f"deny: [{rule}]", "cat less").action is Action.ALLOW


def test_what_cannot_be_told_may_be_named_by_class():
    what = "opaque: {kinds: interactive, class: pager}"
    rule = RULE.format(what=what, yes="less x", no="vim x")
    assert verdict(f"allow: [{rule}]", "less x").action is Action.ALLOW
    assert verdict(f"allow: [{rule}]", "git log | less").action is Action.ALLOW
    for command in ("vim x", "less x; vim x", "bash", "less $(cat x | bash)"):
        assert verdict(f"allow: [{rule}]", command).rule == "opaque"
