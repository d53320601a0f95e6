"""Roles, grants and what a certificate may carry."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bastion.errors import IdentityError
from bastion.model import ForwardKind, Identity, Target
from bastion.policy.access import (
    certificate_grant,
    describe_features,
    environment_allowed,
    grant_for,
    reachable,
    roles_of,
)
from bastion.policy.document import load_document
from bastion.policy.rules import Grant, Policy, Role
from bastion.policy.schema import PolicySection, ShellMode

ROLES = """
version: 1
roles:
  dev: {match: {groups: [dev, "team-*"]}}
  lead: {match: {groups: dev, verified: true, level: 3}}
  anyone: {match: {sub: "*"}}
grants: []
"""


def build(text: str) -> Policy:
    """A policy without rules, straight from its schema."""
    section = load_document(text, "policy.yaml", PolicySection)
    grants = tuple(
        Grant(
            name=one.name,
            roles=frozenset(one.roles),
            targets=one.targets,
            logins=one.logins,
            certificate=one.certificate,
            session=one.session,
            default=one.requests.default,
        )
        for one in section.grants
    )
    roles = {name: Role(name, role.match) for name, role in section.roles.items()}
    return Policy("policy.yaml", roles, {}, grants)


def with_grants(*grants: str) -> Policy:
    lines = ["version: 1", "roles:"]
    lines += [f"  {name}: {{match: {{groups: {name}}}}}" for name in ("dev", "ops")]
    lines += ["grants:", *(f"  - {{{grant}}}" for grant in grants)]
    return build("\n".join(lines))


def person(*roles: str, address: str = "", **claims: object) -> Identity:
    return Identity(
        "https://id",
        "1",
        "ann",
        claims,
        frozenset(roles),
        source_address=address,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("claims", "roles"),
    [
        ({}, set()),
        ({"groups": ("x", "dev")}, {"dev"}),
        ({"groups": "team-red"}, {"dev"}),
        ({"groups": ("DEV",)}, set()),
        ({"groups": ()}, set()),
        ({"groups": "dev", "verified": True, "level": 3}, {"dev", "lead"}),
        ({"groups": "dev", "verified": 1, "level": 3}, {"dev"}),
        ({"groups": "dev", "verified": "true", "level": 3}, {"dev"}),
        ({"groups": "dev", "verified": True, "level": True}, {"dev"}),
        ({"groups": "dev", "verified": True, "level": "3"}, {"dev"}),
        ({"sub": ""}, {"anyone"}),
        ({"sub": 7}, set()),
    ],
)
def test_every_claim_of_a_role_must_hold(claims, roles):
    assert roles_of(build(ROLES), claims) == roles


BASE = 'name: a, roles: dev, targets: {names: "*"}, logins: [app]'


@pytest.mark.parametrize(
    ("targets", "target", "covered"),
    [
        ('{names: "web-*"}', Target("web-1"), True),
        ('{names: "web-*"}', Target("db-1"), False),
        ("{names: [db-1, web-1]}", Target("db-1"), True),
        ("{labels: {env: [test, stage]}}", Target("x", labels={"env": "stage"}), True),
        ("{labels: {env: test}}", Target("x"), False),
        ("{names: x, labels: {env: test}}", Target("x", labels={"env": "live"}), False),
        ('{labels: {env: test, tier: "*"}}', Target("x", labels={"env": "test"}), False),
    ],
)
def test_targets_are_named_or_labelled(targets, target, covered):
    policy = with_grants(f"name: a, roles: dev, targets: {targets}, logins: [app]")
    assert (grant_for(policy, person("dev"), target, "app") is not None) is covered


@pytest.mark.parametrize(
    ("value", "login"),
    [
        ("ann", "ann"),
        ("root", None),
        ("Ann", None),
        ("-oProxyCommand=x", None),
        ("ann\n", None),
        ("a b", None),
        ("ann,root", None),
        ("a" * 33, None),
        (("ann",), None),
        (7, None),
    ],
)
def test_a_login_from_a_claim_is_an_account_name(value, login):
    policy = with_grants('name: a, roles: dev, targets: {names: "*"}, logins: ["{user}"]')
    found = reachable(policy, person("dev", user=value), [Target("t")])
    assert [one.logins for one in found] == ([(login,)] if login else [])


def test_a_grant_may_be_for_some_networks_only():
    certificate = "certificate: {source_address: [10.0.0.0/8, 2001:db8::/32]}"
    policy = with_grants(f"{BASE}, {certificate}")
    for address, covered in (
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("2001:db8::1", True),
        ("192.0.2.1", False),
        ("", False),
        ("nonsense", False),
    ):
        found = grant_for(policy, person("dev", address=address), Target("t"), "app")
        assert (found is not None) is covered, address


def test_features_of_several_grants_are_joined():
    policy = with_grants(
        f"{BASE}, session: {{deadline: 2h, environment: [TZ]}}",
        'name: b, roles: ops, targets: {names: "*"}, logins: [app],'
        " session: {exec: false, files: true, shell: ungated, deadline: 1h,"
        " forwards: {kind: direct-tcpip}}",
        'name: c, roles: ops, targets: {names: "*"}, logins: [other], session: {agent: true}',
    )
    target = Target("t")
    both = grant_for(policy, person("dev", "ops"), target, "app")
    assert both is not None
    assert (both.exec, both.files, both.shell, both.agent) == (True, True, ShellMode.UNGATED, False)
    assert both.deadline == 3600
    assert both.forwards[0].kind == (ForwardKind.DIRECT_TCPIP,)
    assert describe_features(both) == (
        "commands",
        "ungated shell",
        "files",
        "forwards",
        "up to 1h",
    )
    assert environment_allowed(policy, person("dev", "ops"), target, "app", "TZ")
    assert not environment_allowed(policy, person("ops"), target, "app", "TZ")


@pytest.mark.parametrize(
    ("name", "allowed"),
    [("LANG", True), ("LC_ALL", True), ("TERM", True), ("COLORTERM", True)]
    + [(name, False) for name in ("LD_PRELOAD", "BASH_ENV", "PATH", "LANGUAGE", "lc_x", "")],
)
def test_the_environment_passes_by_list(name, allowed):
    policy = with_grants(BASE)
    assert environment_allowed(policy, person("dev"), Target("t"), "app", name) is allowed
    assert not environment_allowed(policy, person("ops"), Target("t"), "app", name)


# --- certificates -----------------------------------------------------------------------------

DEV = {"groups": ("dev",)}


def test_a_certificate_names_roles_and_nothing_else():
    grant = certificate_grant(with_grants(BASE), DEV, frozenset({"dev", "ops"}), "192.0.2.1")
    assert grant.principals == ("dev",)
    assert grant.lifetime_seconds == 600
    assert grant.source_addresses == ()
    assert grant.extensions == {"permit-pty", "permit-port-forwarding"}


def test_the_strictest_of_all_grants_counts():
    policy = with_grants(
        f"{BASE}, certificate: {{lifetime: 1h}}",
        f"{BASE}, certificate: {{lifetime: 5m, source_address: [10.0.0.0/8, 192.0.2.0/24]}}",
        f"{BASE}, certificate: {{lifetime: 8h, source_address: 10.1.0.0/16}},"
        " session: {pty: false}",
    )
    grant = certificate_grant(policy, DEV, frozenset({"dev"}), "10.1.2.3")
    assert grant.lifetime_seconds == 300
    assert grant.source_addresses == ("10.1.0.0/16",)
    with pytest.raises(IdentityError, match="address"):
        certificate_grant(policy, DEV, frozenset({"dev"}), "192.0.2.1")


def test_a_certificate_may_be_pinned_to_its_client():
    policy = with_grants(f"{BASE}, certificate: {{source_address: client}}")
    for address, pinned in (("192.0.2.1", "192.0.2.1"), ("::ffff:192.0.2.1", "192.0.2.1")):
        grant = certificate_grant(policy, DEV, frozenset({"dev"}), address)
        assert grant.source_addresses == (pinned,)
    with pytest.raises(IdentityError, match="address"):
        certificate_grant(policy, DEV, frozenset({"dev"}), "")


def test_the_ceiling_is_a_ceiling():
    policy = with_grants(f"{BASE}, certificate: {{lifetime: 30d}}")
    roles = frozenset({"dev"})
    assert certificate_grant(policy, DEV, roles, "").lifetime_seconds == 24 * 3600
    assert certificate_grant(policy, DEV, roles, "", ceiling_seconds=60).lifetime_seconds == 60


@pytest.mark.parametrize(("claims", "roles"), [({}, {"dev"}), (DEV, set()), (DEV, {"ops"})])
def test_no_role_is_no_certificate(claims, roles):
    with pytest.raises(IdentityError, match="gets no certificate"):
        certificate_grant(with_grants(BASE), claims, frozenset(roles), "")


def test_a_role_without_a_grant_still_names_an_approver():
    grant = certificate_grant(with_grants(BASE), {"groups": "ops"}, frozenset({"ops"}), "")
    assert (grant.principals, grant.lifetime_seconds) == (("ops",), 600)


@given(st.dictionaries(st.sampled_from(["groups", "sub", "level"]), st.text() | st.booleans()))
def test_principals_are_never_more_than_names(claims):
    try:
        grant = certificate_grant(with_grants(BASE), claims, frozenset({"dev", "a,b", "*"}), "")
    except IdentityError:
        return
    assert grant.principals == ("dev",)


@pytest.mark.parametrize(
    ("given", "results"),
    [
        (["{}"], "counts"),
        (["{results: none}"], "none"),
        (["{results: none}", "{}"], "none"),
        (["{results: rows}", "{results: none}"], "rows"),
        (["{}", "{results: rows}"], "rows"),
    ],
)
def test_of_several_grants_the_most_of_results_is_recorded(given, results):
    terms = [f"{BASE}, session: {{database: {one}}}" for one in given]
    features = grant_for(with_grants(*terms), person("dev"), Target("web-1"), "app")
    assert features is not None
    assert features.database.results == results
