"""`bastion ca` as an operator types it."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bastion.cli.main import bastion
from bastion.errors import StoreError
from bastion.identity.ca import Authority
from tests.identity.authorities import ALICE, NOW, Grant, key, ssh_keygen


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def ca(state: Path, *words: str) -> Result:
    return CliRunner().invoke(bastion, ["ca", *words, "--state", str(state)], catch_exceptions=True)


def test_init_show_and_init_again(state: Path) -> None:
    made = ca(state, "init")
    assert made.exit_code == 0, made.output
    assert [line.split()[:2] for line in made.output.splitlines()[::2]] == [
        ["user", "signing"],
        ["session", "signing"],
        ["host", "signing"],
    ]
    assert ca(state, "init").output == made.output
    assert ca(state, "show").output == made.output


def test_show_for_openssh(state: Path) -> None:
    ca(state, "init")
    authority = Authority(state / "ca")
    session, host = (authority.keys(name, NOW)[0].line for name in ("session", "host"))
    shown = ca(state, "show", "--ssh", "--hosts", "bastion.example,web-*").output
    assert f"\n{session}\n" in shown
    assert f"\n@cert-authority bastion.example,web-* {host}\n" in shown
    assert authority.keys("user", NOW)[0].line not in shown
    # nobody should believe the bastion to be every host there is, unless they say so
    refused = ca(state, "show", "host", "--ssh")
    assert refused.exit_code == 2
    assert "--hosts" in refused.output
    assert ca(state, "show", "session", "--ssh").exit_code == 0


def test_lines_for_openssh_name_what_the_configuration_names(state: Path, tmp_path: Path) -> None:
    ca(state, "init")
    config = tmp_path / "bastion.yaml"
    config.write_text(
        "{state: state, policy: p.yaml, listen: {names: [bastion.example]}, targets: {"
        " web1: {address: '10.0.0.5:22', kind: ssh, trust_on_first_use: true},"
        " metrics: {address: '10.0.0.8:9100', kind: tcp}}}"
    )
    shown = CliRunner().invoke(bastion, ["ca", "show", "host", "--ssh", "-c", str(config)])
    assert "\n@cert-authority bastion.example,web1 ssh-ed25519 " in shown.output


def test_rotation_step_by_step(state: Path) -> None:
    ca(state, "init")
    assert "session  next " in ca(state, "rotate", "session").output
    assert len([*ca(state, "show", "session", "--ssh").output.splitlines()]) == 3
    switched = ca(state, "rotate", "session", "--switch", "--overlap", "60")
    assert "trusted" in switched.output
    assert "UTC" in switched.output
    assert "Retired keys: 1." in ca(state, "rotate", "session", "--retire").output
    assert "trusted" in ca(state, "rotate", "user").output
    assert isinstance(ca(state, "rotate", "host", "--switch").exception, StoreError)
    assert ca(state, "rotate", "host", "--switch", "--retire").exit_code == 2


def test_a_revoked_serial_is_in_the_krl(state: Path, tmp_path: Path) -> None:
    ca(state, "init")
    issued = Authority(state / "ca").sign_user(key(), Grant(), ALICE, session_id="s", now=NOW)
    (tmp_path / "cert.pub").write_text(issued.line)
    krl = tmp_path / "krl"
    assert "0 revoked" in ca(state, "krl", "-o", str(krl)).output
    assert ssh_keygen("-Q", "-f", krl, tmp_path / "cert.pub").returncode == 0
    revoked = ca(state, "revoke", str(issued.facts.serial), "--reason", "laptop stolen")
    assert revoked.exit_code == 0, revoked.output
    assert "1 revoked" in ca(state, "krl", "-o", str(krl)).output
    asked = ssh_keygen("-Q", "-f", krl, tmp_path / "cert.pub")
    assert asked.returncode == 1
    assert "REVOKED" in asked.stdout


@pytest.mark.parametrize("serial", ["0", "-1", str(2**63), "abc"])
def test_serials_that_are_none(state: Path, serial: str) -> None:
    ca(state, "init")
    assert ca(state, "revoke", "--reason", "x", "--", serial).exit_code == 2


def test_an_open_key_is_one_sentence_with_the_mend(state: Path) -> None:
    ca(state, "init")
    (state / "ca" / "user").chmod(0o644)
    refused = ca(state, "show")
    assert isinstance(refused.exception, StoreError)
    assert f"chmod 600 {state}/ca/user" in str(refused.exception)
