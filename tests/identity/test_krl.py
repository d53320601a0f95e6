from __future__ import annotations

from pathlib import Path

import pytest

from bastion.identity.ca import Authority
from bastion.identity.krl import encode_krl
from tests.identity.authorities import ALICE, NOW, Grant, key, ssh_keygen


def test_ssh_keygen_finds_exactly_the_revoked(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path / "ca")
    files = {}
    for serial, session in ((11, "s1"), (2**63 - 1, "s2"), (13, "s3"), (14, "s4")):
        issued = authority.sign_user(
            key(), Grant(), ALICE, session_id=session, now=NOW, serial=serial
        )
        files[session] = tmp_path / f"{session}-cert.pub"
        files[session].write_text(issued.line + "\n")
    authorities = [authority.keys(name, NOW)[0].public.public_data for name in ("user", "session")]
    krl = tmp_path / "krl"
    krl.write_bytes(
        encode_krl(
            authorities, [2**63 - 1, 11, 11], ["alice session=s4"],
            comment="bastion", now=NOW, version=3,
        )
    )  # fmt: skip
    for session, revoked in {"s1": True, "s2": True, "s3": False, "s4": True}.items():
        asked = ssh_keygen("-Q", "-f", krl, files[session])
        assert ("REVOKED" in asked.stdout) is revoked, asked
        assert asked.returncode == (1 if revoked else 0)
    listed = ssh_keygen("-Q", "-l", "-f", krl).stdout
    assert "KRL version 3" in listed
    assert listed.count("serial: 11") == 2  # once for each authority


def test_a_serial_of_another_authority_stays_good(tmp_path: Path) -> None:
    ours, theirs = (Authority.create(tmp_path / name) for name in ("ours", "theirs"))
    issued = theirs.sign_user(key(), Grant(), ALICE, session_id="s", now=NOW, serial=5)
    (tmp_path / "cert.pub").write_text(issued.line)
    krl = tmp_path / "krl"
    krl.write_bytes(
        encode_krl([ours.keys("user", NOW)[0].public.public_data], [5], now=NOW, version=1)
    )
    assert ssh_keygen("-Q", "-f", krl, tmp_path / "cert.pub").returncode == 0


@pytest.mark.parametrize("serials", [[], [1], list(range(1, 5000))])
def test_lists_of_every_length_are_read(tmp_path: Path, serials: list[int]) -> None:
    krl = tmp_path / "krl"
    krl.write_bytes(encode_krl([key().public_data], serials, now=NOW, version=1))
    listed = ssh_keygen("-Q", "-l", "-f", krl)
    assert listed.returncode == 0, listed.stderr
    assert listed.stdout.count("serial:") == (1 if len(serials) > 1000 else len(serials)) or (
        "1-4999" in listed.stdout
    )
