import pytest

from bastion.errors import PolicyError
from bastion.policy.approvals import Operator
from bastion.policy.parse import parse_policy
from bastion.policy.rights import Right, Subject, may, may_anywhere, rights_of

POLICY = parse_policy(
    """
version: 1
roles:
  dev: {match: {groups: dev}}
  lead: {match: {groups: lead}}
  sre: {match: {groups: sre}}
console:
  - {name: leads, roles: lead, may: [list, follow], targets: "web-*", people: dev}
  - {name: sres, roles: sre, may: [list, kill, lock]}
""",
    "p.yaml",
)
LEAD = Operator("", "lena", frozenset({"lead"}), "idp#lena")
SRE = Operator("", "sam", frozenset({"sre"}), "idp#sam")
DEV = frozenset({"dev"})


def subject(*targets: str, roles: frozenset[str] = DEV, who: str = "idp#dora") -> Subject:
    return Subject(who, roles, targets)


def test_a_right_is_for_the_targets_and_people_that_the_policy_names() -> None:
    assert may(POLICY, LEAD, Right.FOLLOW, subject("web-1"))
    assert not may(POLICY, LEAD, Right.FOLLOW, subject("db-1"))
    assert not may(POLICY, LEAD, Right.FOLLOW, subject("web-1", roles=frozenset({"sre"})))
    assert not may(POLICY, LEAD, Right.KILL, subject("web-1"))


def test_a_session_on_several_targets_needs_the_right_on_each_of_them() -> None:
    assert may(POLICY, LEAD, Right.FOLLOW, subject("web-1", "web-2"))
    assert not may(POLICY, LEAD, Right.FOLLOW, subject("web-1", "db-1"))


def test_a_session_that_goes_nowhere_yet_is_for_those_who_see_all_targets() -> None:
    assert not may(POLICY, LEAD, Right.LIST, subject())
    assert may(POLICY, SRE, Right.LIST, subject())


def test_everybody_lists_their_own_and_nothing_more() -> None:
    dora = Operator("", "dora", DEV, "idp#dora")
    assert may(POLICY, dora, Right.LIST, subject("db-1"))
    assert not may(POLICY, dora, Right.LIST, subject("db-1", who="idp#eve"))
    assert not may(POLICY, dora, Right.FOLLOW, subject("db-1"))
    nobody = Operator("", "x")
    assert not may(POLICY, nobody, Right.LIST, Subject("", DEV, ("web-1",)))


def test_what_concerns_everybody_needs_a_right_without_limits() -> None:
    assert may_anywhere(POLICY, SRE, Right.LOCK)
    assert not may_anywhere(POLICY, LEAD, Right.LIST)


def test_the_machines_own_operators_have_every_right() -> None:
    root = Operator("root", "root", machine=True)
    assert all(may(POLICY, root, right, subject("db-1")) for right in Right)
    assert rights_of(POLICY, root) == frozenset(Right)
    assert rights_of(POLICY, LEAD) == {Right.LIST, Right.FOLLOW}


def test_faults_of_the_console_section_are_told_with_their_place() -> None:
    text = """
version: 1
roles: {dev: {match: {groups: dev}}}
console:
  - {name: a, roles: dve, may: list}
  - {name: a, roles: dev, may: list, people: nobody}
"""
    with pytest.raises(PolicyError) as raised:
        parse_policy(text, "p.yaml")
    told = str(raised.value)
    assert "p.yaml:5:22: there is no role `dve`; did you mean `dev`?" in told
    assert "a second grant is called `a`" in told
    assert "there is no role `nobody`" in told
