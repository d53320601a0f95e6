"""Policies: all faults at once, and examples that must hold."""

from __future__ import annotations

import pytest

from bastion.errors import PolicyError
from bastion.policy.actions import Action
from bastion.policy.globs import Match
from bastion.policy.parse import parse_file, parse_forward, parse_policy, run_examples

GOOD = """\
version: 1
roles:
  dev: {match: {groups: dev}}
  oncall: {match: {groups: oncall}}
rules:
  no-rm:
    reason: Removing is for others.
    command: {program: rm}
    examples:
      match: [rm x, sudo rm y]
      no_match: [ls rm]
grants:
  - name: dev
    roles: dev
    targets: {names: "*"}
    logins: app
    requests:
      deny: [no-rm]
      approve:
        - reason: Files are looked at first.
          file: {operation: write, path: /srv/**}
          examples:
            match: [{file: write /srv/x}]
            no_match: [{file: read /srv/x}]
      default: allow
      approval: {approvers: oncall, count: 2, wait: 5m, reason_required: true, message: Wait.}
"""


def faults(text: str) -> list[str]:
    with pytest.raises(PolicyError) as caught:
        parse_policy(text, "p.yaml")
    return str(caught.value).splitlines()


def test_a_policy_is_compiled():
    policy = parse_policy(GOOD, "p.yaml")
    grant = policy.grants[0]
    assert [rule.name for rule in grant.deny] == ["no-rm"]
    assert [rule.name for rule in grant.approve] == ["dev.approve.1"]
    assert (grant.default, grant.opaque) == (Action.ALLOW, Action.DENY)
    assert grant.approval is not None
    assert (grant.approval.count, grant.approval.wait) == (2, 300.0)
    assert len(policy.digest) == 64


def test_what_is_left_out_is_the_safe_choice():
    text = GOOD.replace("      default: allow\n", "")
    session = parse_policy(text, "p.yaml").grants[0].session
    assert parse_policy(text, "p.yaml").grants[0].default is Action.DENY
    assert (session.files, session.agent, session.x11, session.shell) == (
        False,
        False,
        False,
        "none",
    )
    assert session.forwards == ()


def test_a_policy_whose_examples_fail_does_not_load():
    text = GOOD.replace("match: [rm x, sudo rm y]", "match: [rm x, rmdir y]").replace(
        "no_match: [ls rm]", "no_match: [ls rm, env rm z]"
    )
    assert faults(text) == [
        "p.yaml:10:21: example of `no-rm` fails: must match `rmdir y`, but it does not match",
        "p.yaml:11:25: example of `no-rm` fails: must not match `env rm z`, but it matches",
    ]


def test_an_example_that_cannot_be_told_holds_only_as_such():
    flagged = GOOD.replace("command: {program: rm}", "command: {program: rm, flags: -r}").replace(
        "match: [rm x, sudo rm y]", "match: [rm -r x]"
    )
    (told,) = faults(flagged.replace("no_match: [ls rm]", "no_match: [rm $x]"))
    assert told == (
        "p.yaml:11:18: example of `no-rm` fails: must not match `rm $x`,"
        " but it cannot be told whether it matches"
    )
    parse_policy(
        flagged.replace("no_match: [ls rm]", "no_match: [ls rm]\n      cannot_tell: [rm $x]"), "p"
    )


def test_all_faults_are_told_at_once():
    text = """\
version: 1
roles:
  Dev: {match: {groups: dev}}
rules:
  empty:
    reason: x
    examples: {match: [a], no_match: [b]}
  wide:
    reason: x
    command: {options: {values: ["-n"]}}
    examples: {match: [a], no_match: [b]}
  unsure:
    reason: x
    downloads_run: true
    examples: {match: [{file: chew /x}], no_match: [{file: read /x, forward: agent}]}
grants:
  - name: one
    roles: [dev]
    targets: {}
    logins: [root]
    requests:
      deny: [unsur]
      approve: [empty]
      default: approve
  - name: one
    roles: [Dev]
    targets: {names: x}
    logins: [root]
"""
    told = faults(text)
    expected = [
        "p.yaml:3:3: `Dev` is not a name",
        "p.yaml:5:3: `empty` names nothing to match",
        "p.yaml:7:24: example of `empty` fails",
        "p.yaml:10:14: this matches every command",
        "p.yaml:15:24: write an operation and a path",
        "p.yaml:15:53: an example is a command line, or has one of",
        "p.yaml:18:13: there is no role `dev`",
        "p.yaml:19:14: name targets",
        "p.yaml:22:14: there is no rule `unsur`; did you mean `unsure`?",
        "p.yaml:23:17: who approves `empty`?",
        "p.yaml:24:16: `default: approve` needs to know who approves",
    ]
    # A schema fault (`Dev` as a grant's role) is found before names are resolved.
    assert len(told) == 1
    assert told[0].startswith("p.yaml:26:13: a name is lower-case letters")
    told = faults(text.replace("roles: [Dev]", "roles: [dex]"))
    for fault in [*expected, "p.yaml:25:11: a second grant is called `one`"]:
        assert any(line.startswith(fault) for line in told), (fault, told)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("version: 1", "version: 2", "p.yaml:1:10: "),
        ("{program: rm}", "{programm: rm}", "p.yaml:8:15: unknown key `programm`"),
        (
            "{program: rm}",
            "{program: rm, flags: r}",
            "p.yaml:8:35: write a flag as its manual page",
        ),
        ("{program: rm}", '{program: rm, flags: "-r, -rf x"}', "p.yaml:8:35: write a flag"),
        ("command: {program: rm}", "text: 'rm('", "p.yaml:8:11: not a regular expression"),
        ("command: {program: rm}", r"text: '(a)\1'", "p.yaml:8:11: not a regular expression"),
        ("command: {program: rm}", "downloads_run: false", "p.yaml:8:20: can only be true"),
        ("command: {program: rm}", "opens: {path: etc/x}", "p.yaml:8:19: a path begins with"),
        ("command: {program: rm}", "opaque: {kinds: magic}", "p.yaml:8:21: "),
        ("      match: [rm x, sudo rm y]\n", "", "p.yaml:10:7: `match` is missing here"),
        ("match: [rm x, sudo rm y]", "match: []", "p.yaml:10:14: must not be empty"),
        ("reason: Removing", "reson: Removing", "p.yaml:7:5: unknown key `reson`"),
        ("logins: app", 'logins: "a*"', "p.yaml:16:13: a login is an exact account name"),
        ("logins: app", 'logins: ["{x}y"]', "p.yaml:16:14: a login is an exact account name"),
        ("count: 2", "count: 0", "p.yaml:26:44:"),
        ("approvers: oncall", "approvers: onkall", "there is no role `onkall`; did you mean"),
        (
            "roles: dev\n",
            "roles: dev\n    certificate: {source_address: 10.0.0.1/8}\n",
            "p.yaml:15:",
        ),
    ],
)
def test_faults(old, new, fault):
    assert old in GOOD
    told = faults(GOOD.replace(old, new, 1))
    assert any(fault in line for line in told), told


def test_an_expression_cannot_be_made_slow_or_large():
    bomb = "text: '((a{0,100}){0,100}){0,100}'"
    assert "not a regular expression" in faults(GOOD.replace("command: {program: rm}", bomb))[0]


def test_examples_can_be_run_without_loading():
    tested = run_examples(GOOD.replace("sudo rm y", "sudo ls"), "p.yaml")
    assert [(one.example, one.found, one.held) for one in tested] == [
        ("rm x", Match.YES, True),
        ("sudo ls", Match.NO, False),
        ("ls rm", Match.NO, True),
        ("write /srv/x", Match.YES, True),
        ("read /srv/x", Match.NO, True),
    ]


def test_requests_as_text():
    assert parse_file("rename /a /b").other_path == "/b"
    assert parse_file("write /a").direction == "upload"
    assert parse_forward("direct-tcpip [::1]:22").port == 22
    assert parse_forward("direct-streamlocal /run/x.sock").host == "/run/x.sock"
    for text in ("", "read", "reads /x", "read /x /y /z"):
        with pytest.raises(ValueError, match="write an operation"):
            parse_file(text)
    with pytest.raises(ValueError, match="write a kind"):
        parse_forward("tunnel x:1")


def test_a_path_of_json_that_cannot_be_followed_is_a_fault():
    named = '    mask: {json: ["$..ssn", "$[?(@.x)]"]}\n    requests:\n'
    text = GOOD.replace("    requests:\n", named, 1)
    [told] = faults(text)
    assert "`$[?(@.x)]` is no path from '[?(@.x)]' on" in told
    assert told.startswith("p.yaml:")
    good = text.replace(', "$[?(@.x)]"', ', "users[*].pin"')
    assert set(parse_policy(good, "p.yaml").grants[0].mask.json_paths) == {"$..ssn", "users[*].pin"}
