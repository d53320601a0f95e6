"""bastion.yaml: every key has a meaning, and every fault its place, all of them at once."""

from __future__ import annotations

import subprocess
import sys

import asyncssh
import pytest

from bastion.config import MAX_FILE, load_config, load_policy
from bastion.errors import ConfigError, StoreError
from bastion.model import Credential, Database, Dialect, TargetKind, Tls
from bastion.wire.places import split_address

KEY = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().strip()

EVERYTHING = f"""\
listen:
  ssh: ['127.0.0.1:2222', '[::1]:2222']
  http: '127.0.0.1:8080'
  public_url: https://login.example.com
  names: bastion.example.com
  ciphers: [aes256-gcm@openssh.com, chacha20-poly1305@openssh.com]
state: state
policy: policies/main.yaml
oidc:
  issuer: https://idp.example.com
  client_id: bastion
  client_secret: env:CLIENT_SECRET
  scopes: [openid, groups]
  flow: code
  name_claims: email
  claims: groups
  unverified_email: true
  ca_file: /etc/ca.pem
  login_time: 5m
certificates: {{max_lifetime: 30m}}
targets:
  web1:
    address: 'web1.internal:22'
    labels: {{env: prod}}
    description: the shop
    host_key: ['{KEY}']
    credential: {{key: 'file:/etc/bastion/key'}}
    dialect: zsh
  web2:
    address: '[2001:db8::1]:2022'
    host_ca: '{KEY}'
    credential: {{password: 'command:/usr/bin/pass web2'}}
  web3: {{address: 'web3:22', known_hosts: known, credential: certificate}}
  web4: {{address: 'web4:22', trust_on_first_use: true}}
  db:
    address: 'db:5432'
    kind: postgres
    tls: verify-ca
    tls_ca: ca.pem
    tls_name: db.internal
    roles: {{ops: app_rw}}
    credential: {{temporary_role: {{user: maker, password: "file:/etc/bastion/maker"}}}}
operators:
  - {{unix_user: root, name: Root, roles: oncall, identity: alice}}
limits:
  handshake: 10s
  unauthenticated: 100
  unauthenticated_per_address: 5
  sessions: 50
  sessions_per_identity: 3
  channels_per_session: 7
  free_space: 1GB
"""

SMALL = "state: s\npolicy: p\n"


@pytest.fixture
def config(tmp_path):
    def load(text):
        path = tmp_path / "bastion.yaml"
        path.write_text(text) if isinstance(text, str) else path.write_bytes(text)
        return load_config(path)

    return load


def faults(config, text):
    """`line:column: message` of every fault."""
    with pytest.raises(ConfigError) as failure:
        config(text)
    found = [str(fault).partition("bastion.yaml:")[2] for fault in failure.value.faults]
    assert str(failure.value).count("\n") == len(found) - 1
    return found


def test_every_key_is_understood(config, tmp_path):
    read = config(EVERYTHING)
    assert read.listen.ssh == ("127.0.0.1:2222", "[::1]:2222")
    assert read.listen.names == ("bastion.example.com",)
    assert (read.state, read.policy) == (tmp_path / "state", tmp_path / "policies/main.yaml")
    assert read.max_lifetime == 1800
    assert read.oidc.login_time == 300
    assert read.oidc.name_claims == ("email",)
    web1, web2 = read.targets["web1"], read.targets["web2"]
    assert (web1.host, web1.port, dict(web1.labels)) == ("web1.internal", 22, {"env": "prod"})
    assert (web1.trust.pinned, web1.dialect) == ((KEY,), Dialect.ZSH)
    assert web1.credential == Credential("key", "file:/etc/bastion/key")
    assert (web2.host, web2.port, web2.trust.authorities) == ("2001:db8::1", 2022, (KEY,))
    assert web2.credential == Credential("password", "command:/usr/bin/pass web2")
    assert read.targets["web3"].trust.known_hosts == str(tmp_path / "known")
    assert read.targets["web3"].credential == Credential()
    assert read.targets["web4"].trust.first_use
    db = read.targets["db"]
    assert db.kind is TargetKind.POSTGRES
    assert db.database == Database(
        Tls.VERIFY_CA, str(tmp_path / "ca.pem"), "db.internal", {"ops": "app_rw"}
    )
    assert db.credential == Credential("temporary-role", "file:/etc/bastion/maker", user="maker")
    assert read.operators[0].roles == ("oncall",)
    assert read.limits.free_space == 10**9
    assert (read.limits.handshake, read.limits.channels_per_session) == (10, 7)


def test_little_is_enough(config):
    read = config(SMALL)
    assert read.listen.ssh == ("127.0.0.1:2222",)
    assert (read.oidc, dict(read.targets)) == (None, {})


def test_all_faults_are_told_at_once_each_with_its_place(config):
    text = """\
state: s
listen: {ssh: nowhere}
targets:
  Web1: {address: 'web1:22', trust_on_first_use: true}
  web2: {address: 'web2:99999', trust_on_first_use: true}
  web3: {address: 'web3:22', host_key: not a key}
  web4: {address: 'web4:22', trust_on_first_use: true, credential: {password: hunter2}}
limits: {sessions: 0, handshake: soon}
surprise: 1
"""
    found = faults(config, text)
    places = [place.rsplit(": ", 1)[0].split(":")[:2] for place in found]
    assert {line for line, _ in places} >= {"2", "4", "5", "6", "7", "8", "9"}
    assert len(found) >= 9
    assert any("policy" in fault for fault in found)  # which is missing


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("state: s\nstate: t\npolicy: p\n", "2:1", "already given"),
        (SMALL + "stat: s\n", "3:1", "stat"),
        (SMALL + "targets:\n  a: {address: 'a:22'}\n", "4:6", "exactly one of"),
        (
            SMALL + "targets:\n  a: {address: 'a:22', known_hosts: k, trust_on_first_use: true}\n",
            "4:6",
            "exactly one of",
        ),
        (SMALL + "targets:\n  a: {address: ':22', known_hosts: k}\n", "4:16", "needs a host"),
        (SMALL + "targets:\n  bastion: {address: 'a:22'}\n", "4:12", "own name"),
        (SMALL + "oidc: {issuer: i, client_id: c, flow: code}\n", "3:39", "listen.http"),
        ("state: [\n", "2:1", ""),
        ("state: !!python/object:os.system {}\npolicy: p\n", "1:8", ""),
    ],
)
def test_a_fault_names_its_line_and_column(config, text, place, message):
    found = faults(config, text)
    assert found[0].startswith(f"{place}: "), found
    assert message in found[0]


@pytest.mark.parametrize(
    "address", ["", "22", ":", "host", "host:", "host:70000", "a b:22", "::1:22", "[::1]", "h:22\n"]
)
def test_a_bad_address_is_none(config, address):
    assert faults(
        config, f"listen: {{ssh: {address!r}}}\n{SMALL}".replace("'h:22\\n'", '"h:22\\n"')
    )


def test_an_address_is_split():
    assert split_address(":22") == ("", 22)
    assert split_address("[fe80::1%eth0]:2222") == ("fe80::1%eth0", 2222)


def test_what_is_no_text_or_too_long_or_missing(config, tmp_path):
    assert faults(config, b"state: s\npolicy: \xff\n") == ["2:9: not UTF-8 text"]
    assert "larger" in faults(config, b"#" * (MAX_FILE + 1))[0]
    with pytest.raises(StoreError, match="cannot be read"):
        load_config(tmp_path / "none.yaml")
    with pytest.raises(StoreError, match="cannot be read"):
        load_policy(tmp_path)


def test_a_secret_in_the_file_is_refused_and_not_repeated(config):
    text = SMALL + "oidc: {issuer: i, client_id: c, client_secret: hunter2}\n"
    (fault,) = faults(config, text)
    assert "file:PATH" in fault
    assert "hunter2" not in fault


@pytest.mark.parametrize("reference", ["file:secret", "file:./secret", "command:pass show x"])
def test_a_reference_that_no_dial_could_follow_is_told_at_once(config, reference):
    text = SMALL + f"oidc: {{issuer: i, client_id: c, client_secret: '{reference}'}}\n"
    (fault,) = faults(config, text)
    assert "whole path" in fault


def check(path):
    words = [sys.executable, "-m", "bastion", "serve", "--check", "--config", str(path)]
    return subprocess.run(words, capture_output=True, text=True, timeout=60)


def test_serve_check_tells_all_that_is_wrong_and_starts_nothing(tmp_path):
    path = tmp_path / "bastion.yaml"
    path.write_text("state: s\npolicy: policy.yaml\nfoo: 1\nbar: 2\n")
    ran = check(path)
    assert ran.returncode != 0
    assert f"{path}:3:1" in ran.stderr
    assert f"{path}:4:1" in ran.stderr
    assert "Traceback" not in ran.stderr
    path.write_text("state: s\npolicy: policy.yaml\n")
    (tmp_path / "policy.yaml").write_text("version: 1\nroles: {}\nbar: 1\n")
    ran = check(path)
    assert ran.returncode != 0
    assert "policy.yaml:3:1" in ran.stderr
    (tmp_path / "policy.yaml").write_text("version: 1\nroles: {}\n")
    ran = check(path)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("{address: 'db:5432', kind: postgres}", "a database needs `password`"),
        (
            "{address: 'a:22', host_key: '" + KEY + "', tls: disable}",
            "`tls` is for targets of kind",
        ),
        (
            "{address: 'db:5432', kind: postgres, dialect: zsh, credential: {password: 'env:X'}}",
            "`dialect` is for targets of kind ssh",
        ),
        (
            "{address: 'a:22', host_key: '" + KEY + "', credential:"
            " {client_certificate: 'env:X', key: 'env:Y'}}",
            "this credential is for targets of kind postgres",
        ),
    ],
)
def test_what_is_for_another_kind_of_target_is_a_fault(config, target, said):
    with pytest.raises(ConfigError) as caught:
        config(f"state: s\npolicy: p\ntargets:\n  x1: {target}\n")
    assert said in str(caught.value)
