from __future__ import annotations

import os
import stat
from pathlib import Path

import asyncssh
import pytest

from bastion.errors import IdentityError, StoreError
from bastion.identity.ca import Authority, Rotation, new_serial
from bastion.identity.certificates import read_certificate
from bastion.identity.claims import VerifiedClaims
from bastion.identity.keyring import KeyState
from tests.identity.authorities import ALICE, NOW, Grant, key, signed, ssh_keygen


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "ca"


@pytest.fixture
def authority(directory: Path) -> Authority:
    return Authority.create(directory)


def test_keys_are_private_files_in_a_private_directory(
    authority: Authority, directory: Path
) -> None:
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()}
    private = {"user", "session", "host"}
    assert {name for name, mode in modes.items() if mode == 0o600} == private
    assert modes.keys() == private | {f"{name}.pub" for name in private}
    assert len({authority.keys(name, NOW)[0].line for name in private}) == 3


def test_creating_again_keeps_the_keys(authority: Authority, directory: Path) -> None:
    again = Authority.create(directory)
    for name in ("user", "session", "host"):
        assert again.keys(name, NOW) == authority.keys(name, NOW)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o777])
def test_an_open_key_is_refused_with_the_mend(
    authority: Authority, directory: Path, mode: int
) -> None:
    (directory / "session").chmod(mode)
    with pytest.raises(StoreError, match=f"chmod 600 {directory}/session"):
        Authority(directory)
    with pytest.raises(StoreError, match="chmod 600"):  # a running bastion stops signing too
        authority.sign_session(key(), login="root", target="web", name="a", session_id="s", now=NOW)


def test_an_open_directory_is_refused_with_the_mend(authority: Authority, directory: Path) -> None:
    directory.chmod(0o755)
    with pytest.raises(StoreError, match=f"chmod 700 {directory}"):
        Authority(directory)


def test_links_fifos_and_strangers_keys_are_refused(authority: Authority, directory: Path) -> None:
    real = directory / "user"
    moved = real.rename(directory / "elsewhere")
    real.symlink_to(moved)
    with pytest.raises(StoreError, match="is a link"):
        Authority(directory)
    real.unlink()
    os.link(moved, real)
    with pytest.raises(StoreError, match="second name"):
        Authority(directory)
    real.unlink()
    os.mkfifo(real, 0o600)
    with pytest.raises(StoreError, match="not a regular file"):
        Authority(directory)
    real.unlink()
    moved.rename(real)
    Authority(directory)
    if os.geteuid() == 0:
        os.chown(real, 1234, 0)
        with pytest.raises(StoreError, match="belongs to user 1234"):
            Authority(directory)


def test_a_directory_that_is_a_link_is_refused(authority: Authority, directory: Path) -> None:
    link = directory.parent / "link"
    link.symlink_to(directory)
    with pytest.raises(StoreError, match="not a directory"):
        Authority(link)


def test_other_kinds_of_key_are_refused(authority: Authority, directory: Path) -> None:
    (directory / "user").write_bytes(key("ecdsa-sha2-nistp256").export_private_key("openssh"))
    with pytest.raises(StoreError, match="not an Ed25519 key"):
        Authority(directory)
    (directory / "user").write_text("nonsense")
    with pytest.raises(StoreError, match="does not hold"):
        Authority(directory)


def test_ssh_keygen_reads_a_persons_certificate(authority: Authority, tmp_path: Path) -> None:
    grant = Grant(source_addresses=("10.0.0.0/8", "2001:db8::/32", "192.0.2.7"))
    issued = authority.sign_user(
        key(), grant, ALICE, session_id="5f3a", now=NOW, serial=42, agent="bot", branch="b-1"
    )
    (tmp_path / "cert.pub").write_text(issued.line + "\n")
    shown = ssh_keygen("-L", "-f", tmp_path / "cert.pub")
    assert shown.returncode == 0, shown.stderr
    authority_print = authority.keys("user", NOW)[0].fingerprint
    for expected in (
        "Type: ssh-ed25519-cert-v01@openssh.com user certificate",
        f"Signing CA: ED25519 {authority_print} (using ssh-ed25519)",
        'Key ID: "alice session=5f3a"',
        "Serial: 42",
        "Valid: from 2027-01-15T07:59:30 to 2027-01-15T08:10:00",
        "engineer\n                oncall\n",
        "source-address 10.0.0.0/8,2001:db8::/32,192.0.2.7/32",
        "permit-port-forwarding\n                permit-pty\n",
        "claims@bastion.internal UNKNOWN OPTION",
        "agent@bastion.internal UNKNOWN OPTION",
    ):
        assert expected in shown.stdout


@pytest.mark.parametrize(
    ("algorithm", "options"),
    [
        ("ssh-rsa", {"key_size": 2048}),
        ("ecdsa-sha2-nistp256", {}),
        ("ecdsa-sha2-nistp384", {}),
        ("ecdsa-sha2-nistp521", {}),
        ("ssh-ed25519", {}),
    ],
)
def test_every_kind_of_persons_key(
    authority: Authority, tmp_path: Path, algorithm: str, options: dict[str, int]
) -> None:
    issued = authority.sign_user(key(algorithm, **options), Grant(), ALICE, session_id="s", now=NOW)
    (tmp_path / "cert.pub").write_text(issued.line)
    assert ssh_keygen("-L", "-f", tmp_path / "cert.pub").returncode == 0
    read = read_certificate(issued.blob, trusted=authority.trusted_user_keys(NOW), now=NOW)
    assert read.facts == issued.facts


def test_weak_and_strange_keys_get_none(authority: Authority) -> None:
    with pytest.raises(IdentityError, match="under 2048"):
        authority.sign_user(key("ssh-rsa", key_size=1024), Grant(), ALICE, session_id="s", now=NOW)
    with pytest.raises(IdentityError, match="get none"):
        authority.sign_user(key("ssh-ed448"), Grant(), ALICE, session_id="s", now=NOW)


@pytest.mark.parametrize(
    "principal",
    [
        "a,b",
        "*",
        "we?b",
        "",
        " ",
        "a b",
        "a\n",
        "\x1b[31m",
        "-x",
        "!root",
        "ä",
        "a" * 129,
        "a\x00b",
    ],
)
def test_principals_that_mean_something_else_are_refused(
    authority: Authority, principal: str
) -> None:
    with pytest.raises(IdentityError, match="cannot be a principal"):
        signed(authority, Grant(principals=("ok", principal)))
    with pytest.raises(IdentityError, match="cannot be a principal"):
        authority.sign_session(
            key(), login=principal, target="web", name="a", session_id="s", now=NOW
        )
    with pytest.raises(IdentityError, match="cannot be a principal"):
        authority.sign_host(key(), ["ok", principal], now=NOW)


def test_no_principal_is_not_everybody(authority: Authority) -> None:
    with pytest.raises(IdentityError, match="Nothing is granted"):
        signed(authority, Grant(principals=()))
    with pytest.raises(IdentityError, match="Nothing is granted"):
        authority.sign_host(key(), [], now=NOW)


@pytest.mark.parametrize(
    "grant",
    [
        Grant(extensions=frozenset({"permit-everything"})),
        Grant(extensions=frozenset({"claims@bastion.internal"})),
        Grant(source_addresses=("10.0.0.1/8",)),
        Grant(source_addresses=("*",)),
        Grant(source_addresses=("10.0.0.0/8,0.0.0.0/0",)),
        Grant(lifetime_seconds=0),
        Grant(lifetime_seconds=-5),
    ],
)
def test_grants_out_of_shape_are_refused(authority: Authority, grant: Grant) -> None:
    with pytest.raises(IdentityError):
        signed(authority, grant)


def test_the_ceiling_cuts_a_long_grant(authority: Authority, directory: Path) -> None:
    lowered = Authority(directory, ceiling_seconds=900)
    assert signed(lowered, Grant(lifetime_seconds=901)).facts.valid_before == int(NOW) + 900
    long = signed(authority, Grant(lifetime_seconds=10**9)).facts
    assert long.valid_before == int(NOW) + 24 * 3600


def test_a_name_cannot_forge_the_key_id(authority: Authority) -> None:
    sly = VerifiedClaims("https://i", "s", "root session=0 target=db\n\x1b[2J" + "x" * 400)
    issued = authority.sign_user(key(), Grant(), sly, session_id="real", now=NOW)
    assert issued.facts.key_id.count("session=") == 1
    assert issued.facts.key_id.endswith(" session=real")
    assert len(issued.facts.key_id) < 100
    assert issued.facts.key_id.isprintable()
    for session_id in ("a b", "a\n", "", "x" * 65):
        with pytest.raises(IdentityError):
            authority.sign_user(key(), Grant(), ALICE, session_id=session_id, now=NOW)


def test_too_many_claims_do_not_make_an_unusable_certificate(authority: Authority) -> None:
    claims = VerifiedClaims("i", "s", "n", {"groups": tuple(f"group-{n}" for n in range(1000))})
    with pytest.raises(IdentityError, match="more about you"):
        authority.sign_user(key(), Grant(), claims, session_id="s", now=NOW)


def test_serials_are_unique_and_fit_sqlite() -> None:
    serials = {new_serial() for _ in range(2000)}
    assert len(serials) == 2000
    assert all(0 < serial < 2**63 for serial in serials)


def test_a_session_certificate_is_not_a_persons(authority: Authority) -> None:
    issued = authority.sign_session(
        key(), login="deploy", target="web-1", name="alice", session_id="s9", now=NOW
    )
    assert issued.facts.principals == ("deploy",)
    assert issued.facts.key_id == "alice session=s9 target=web-1"
    assert issued.facts.extensions == {"permit-pty"}
    assert issued.facts.valid_before - NOW < 301
    with pytest.raises(IdentityError, match="not from this bastion"):
        read_certificate(issued.blob, trusted=authority.trusted_user_keys(NOW), now=NOW)


def test_a_host_certificate_names_exactly_its_hosts(authority: Authority) -> None:
    issued = authority.sign_host(key(), ["bastion.example", "10.1.2.3", "::1"], now=NOW)
    assert issued.facts.principals == ("bastion.example", "10.1.2.3", "::1")
    with pytest.raises(IdentityError, match="host certificate"):
        read_certificate(issued.blob, trusted=[authority.keys("host", NOW)[0].public], now=NOW)


def test_rotating_user_locks_nobody_out(authority: Authority, directory: Path) -> None:
    before = signed(authority)
    Rotation(directory, "user").rotate(NOW, overlap_seconds=1000)
    after = signed(authority)  # the running authority noticed
    assert after.facts.authority != before.facts.authority
    trusted = authority.trusted_user_keys(NOW + 500)
    for issued in (before, after):
        read_certificate(issued.blob, trusted=trusted, now=NOW + 500)
    late = authority.trusted_user_keys(NOW + 1001)
    assert [key.get_fingerprint() for key in late] == [after.facts.authority]
    Rotation(directory, "user").rotate(NOW + 2000, overlap_seconds=1000)
    assert (directory / "user.trusted").read_text().count("\n") == 1  # the first is forgotten
    assert not list(directory.glob("*.next*"))


@pytest.mark.parametrize("name", ["host", "session"])
def test_a_key_that_others_believe_is_announced_before_it_signs(
    authority: Authority, directory: Path, name: str
) -> None:
    old = authority.keys(name, NOW)[0]
    rotation = Rotation(directory, name)
    rotation.rotate(NOW, 1000)
    signing, upcoming = authority.keys(name, NOW)
    assert (signing.line, signing.state) == (old.line, KeyState.SIGNING)
    assert upcoming.state is KeyState.NEXT
    with pytest.raises(StoreError, match="--switch"):
        rotation.rotate(NOW, 1000)
    rotation.switch(NOW, 1000)
    signing, trusted = authority.keys(name, NOW)
    assert (signing.line, trusted.line) == (upcoming.line, old.line)
    assert trusted.state is KeyState.TRUSTED
    assert len(authority.keys(name, NOW + 10**8)) == (2 if name == "host" else 1)
    assert rotation.retire() == 1
    assert len(authority.keys(name, NOW)) == 1
    with pytest.raises(StoreError, match="no next key"):
        rotation.switch(NOW, 1000)


def test_the_public_file_follows_the_private_one(authority: Authority, directory: Path) -> None:
    Rotation(directory, "user").rotate(NOW, 10)
    public = asyncssh.read_public_key(directory / "user.pub")
    assert public.get_fingerprint() == signed(authority).facts.authority


def test_after_a_theft_nothing_old_is_believed(authority: Authority, directory: Path) -> None:
    stolen = signed(authority)
    Rotation(directory, "user").rotate(NOW, overlap_seconds=0)
    with pytest.raises(IdentityError, match="not from this bastion"):
        read_certificate(stolen.blob, trusted=authority.trusted_user_keys(NOW), now=NOW)


def test_a_damaged_list_of_trusted_keys_is_refused(authority: Authority, directory: Path) -> None:
    (directory / "user.trusted").write_text("until=soon ssh-ed25519 AAAA\n")
    (directory / "user.trusted").chmod(0o600)
    with pytest.raises(StoreError, match="damaged"):
        authority.trusted_user_keys(NOW)
