"""The policies that ship: they load, and speak of everything that the format holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from bastion.policy.parse import parse_policy, run_examples

FOLDER = Path(__file__).parents[2] / "policies"
POLICIES = sorted(set(FOLDER.glob("*.yaml")) - {FOLDER / "secrets.yaml"})


def test_there_are_policies():
    assert {path.name for path in POLICIES} >= {"reference.yaml", "demo.yaml"}


@pytest.mark.parametrize("path", POLICIES, ids=lambda path: path.name)
def test_a_shipped_policy_loads_and_its_examples_hold(path):
    policy = parse_policy(path.read_text(), str(path))
    assert policy.rules
    tested = run_examples(path.read_text(), str(path))
    assert [one for one in tested if not one.held] == []
    assert len(tested) >= 2 * len(policy.rules)


@pytest.mark.parametrize("path", POLICIES, ids=lambda path: path.name)
def test_every_rule_is_used(path):
    policy = parse_policy(path.read_text(), str(path))
    used = {
        rule.name for grant in policy.grants for rule in (*grant.deny, *grant.approve, *grant.allow)
    }
    assert set(policy.rules) <= used
