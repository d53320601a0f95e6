"""Lines that do what a rule of the reference policy names are never allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from bastion.model import Dialect, ExecRequest, Identity, Target
from bastion.policy.actions import Action
from bastion.policy.decide import decide
from bastion.policy.parse import parse_policy

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "policies/reference.yaml"
POLICY = parse_policy(REFERENCE.read_text("utf-8"), REFERENCE.name)
ANN = Identity("https://id", "1", "ann", {"preferred_username": "ops"}, frozenset({"engineer"}))
LINES = (ROOT / "tests/vectors/stopped.txt").read_text("utf-8").splitlines()[1:]


def is_allowed(line: str) -> bool:
    return decide(POLICY, ANN, Target("x"), "ops", ExecRequest(line)).action is Action.ALLOW


def test_no_such_line_is_allowed():
    assert [line for line in LINES if is_allowed(line)] == []


@pytest.mark.parametrize(
    "line",
    [
        "xargs --replace reboot",
        "xargs --eof reboot",
        "unshare -f --kill-child reboot",
        "unshare --mount-proc reboot",
        "systemd-run -G reboot",
        "setpriv --clear-groups reboot",
        "docker run -m 512m alpine reboot",
    ],
)
def test_an_option_without_a_value_swallowed_the_command(line):
    assert not is_allowed(line)


@pytest.mark.parametrize(
    "line", ["for r in 'a[$(reboot)]' x; do echo $((r)); done", "man -l x.1", "git --paginate log"]
)
def test_a_loop_value_or_a_long_name_hid_what_runs(line):
    assert not is_allowed(line)


@pytest.mark.parametrize("line", ['cat /etc/sh""*', "cat /etc/shado''?", 'rm -rf /et""?'])
def test_empty_quotes_in_front_of_a_pattern_escaped_it(line):
    assert not is_allowed(line)


@pytest.mark.parametrize(
    "line", ["cat f | xargs sudo", "cat f | xargs env", "cat f | xargs su -c", "cat f | xargs git"]
)
def test_what_xargs_adds_was_the_command_itself(line):
    assert not is_allowed(line)


@pytest.mark.parametrize(
    "line", ["dash -c 'time -f x reboot'", "sh -c 'time -o /etc/shadow ls'", "time -f %e reboot"]
)
def test_time_with_options_is_a_program(line):
    assert not is_allowed(line)


@pytest.mark.parametrize(
    "line",
    [
        "zf_rm -rf /etc",
        "zpty x reboot",
        "zargs -- * -- reboot",
        "zmv '(*)' '$(reboot)'",
        "add-zsh-hook precmd reboot",
        "ls *(e:'reboot':)",
    ],
)
def test_what_only_zsh_runs_is_never_allowed_there(line):
    zsh = Target("x", dialect=Dialect.ZSH)
    assert decide(POLICY, ANN, zsh, "ops", ExecRequest(line)).action is not Action.ALLOW
