"""Ordinary lines run: a gate that stops these is a gate that gets switched off."""

from __future__ import annotations

from pathlib import Path

import pytest

from bastion.model import ExecRequest, Identity, Target
from bastion.policy.actions import Action
from bastion.policy.decide import decide
from bastion.policy.parse import parse_policy
from bastion.policy.rules import Verdict

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "policies/reference.yaml"
POLICY = parse_policy(REFERENCE.read_text("utf-8"), REFERENCE.name)
ANN = Identity("https://id", "1", "ann", {"preferred_username": "ops"}, frozenset({"engineer"}))
LINES = (ROOT / "tests/vectors/ordinary.txt").read_text("utf-8").splitlines()[1:]

EXPLAINED = [
    ("nohup ./run.sh > out.log 2>&1 &", "a script holds what it holds"),
    ("/bin/sh -c '/usr/bin/python3 && sleep 0'", "ansible's pipelining sends its code later"),
    ('cp config.yaml "config.yaml.$(cat name)"', "what a file holds is not known"),
]


def run(line: str, *, pty: bool = False) -> Verdict:
    return decide(POLICY, ANN, Target("x"), "ops", ExecRequest(line, pty))


def test_there_are_many():
    assert len(LINES) >= 150


@pytest.mark.parametrize("line", LINES)
def test_ordinary_lines_run(line):
    assert run(line).action is Action.ALLOW


@pytest.mark.parametrize(("line", "why"), EXPLAINED)
def test_what_cannot_be_told_waits_for_a_person(line, why):
    assert run(line).rule == "opaque", why


@pytest.mark.parametrize(
    "line",
    [
        "journalctl -u x",
        "script -qc 'journalctl -u x' /dev/null",
        "ssh -t localhost journalctl",
        "journalctl > /dev/tty",
    ],
)
def test_a_pager_starts_on_a_terminal(line):
    assert run(line, pty=True).rule == "opaque"
    assert (run(line).action is Action.ALLOW) == (line == "journalctl -u x")


@pytest.mark.parametrize(
    "line",
    [
        "APP=../../etc/shadow; cat /var/log/$APP",
        'export AP"P"=../../etc/shadow; cat /var/log/$APP',
        "export AP{P,Q}=../../etc/shadow; cat /var/log/$APP",
        "for APP in ../../etc/shadow; do cat /var/log/$APP; done",
        "read APP; cat /var/log/$APP",
        "cat /var/log/$LC_X",
        "cat /var/$x/../../etc/shadow",
        "cat /etc/$x",
        "cat /proc/$PID/root/etc/shadow",
        "cat /var/log/${APP:-../../etc/shadow}",
        "cat /var/log/$(x)",
        "cat /var/log/$1",
        'cat "/var/log/$@"',
        "cat /var/log/${!x}",
        "cd /etc; cat /var/log/$APP",
        'HOME=/etc; cat "$HOME/shadow"',
        'cat $HOME"x"/shadow',
        '"$HOME/x"',
    ],
)
def test_a_variable_that_may_lead_elsewhere_cannot_be_told(line):
    assert run(line).rule == "opaque"


@pytest.mark.parametrize(
    "line",
    [
        "find / -name shadow | xargs cat",
        "find /etc -print0 | xargs -0 cat",
        "find /srv /etc | xargs cat",
        "find $x | xargs cat",
        "find /srv | sed s,srv,etc, | xargs cat",
        "find /srv | grep -o /etc/shadow | xargs cat",
        "find /srv | grep shadow /etc/list | xargs cat",
        "find /srv -printf /etc/shadow | xargs cat",
        "(echo /etc/shadow; find /srv) | xargs cat",
        "find /srv | cat - list | xargs cat",
        "cd /etc && find . | xargs cat",
        "find / | xargs rm -rf",
        "find /srv | xargs sh",
        "find /srv | sh",
    ],
)
def test_what_find_prints_is_below_its_directory_or_cannot_be_told(line):
    assert run(line).rule == "opaque"
