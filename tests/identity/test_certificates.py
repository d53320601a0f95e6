from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import asyncssh
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bastion.errors import IdentityError
from bastion.identity import certblob
from bastion.identity.ca import Authority
from bastion.identity.certblob import string
from bastion.identity.certificates import VerifiedCertificate, address_allowed, read_certificate
from bastion.model import CertificateFacts
from tests.identity.authorities import ALICE, NOW, Grant, key, signed

SIGNER = key()
CLAIMS = b'{"claims":{},"iss":"https://i","name":"n","sub":"s"}'
FIELDS = certblob.CertificateFields(
    public_key=key().public_data,
    serial=7,
    kind=certblob.USER,
    key_id="n session=1",
    principals=("engineer",),
    valid_after=int(NOW) - 10,
    valid_before=int(NOW) + 10,
    extensions={"claims@bastion.internal": string(CLAIMS), "permit-pty": b""},
    authority=SIGNER.public_data,
)


def sign(fields: certblob.CertificateFields, signer: asyncssh.SSHKey = SIGNER) -> bytes:
    unsigned = certblob.encode_unsigned(fields, b"n" * 32)
    return unsigned + string(signer.sign(unsigned, b"ssh-ed25519"))


def read(blob: bytes, now: float = NOW) -> VerifiedCertificate:
    return read_certificate(blob, trusted=[SIGNER.convert_to_public()], now=now)


def test_what_was_signed_is_read_back(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path / "ca")
    issued = authority.sign_user(
        key(), Grant(source_addresses=("10.0.0.0/8",)), ALICE,
        session_id="s1", now=NOW, agent="bot", branch="b/2",
    )  # fmt: skip
    for form in (issued.blob, issued.certificate):
        found = read_certificate(form, trusted=authority.trusted_user_keys(NOW), now=NOW)
        assert found.facts == issued.facts
        assert found.claims == ALICE
        assert (found.agent, found.branch) == ("bot", "b/2")
    plain = read_certificate(
        signed(authority).blob, trusted=authority.trusted_user_keys(NOW), now=NOW
    )
    assert (plain.agent, plain.branch) == ("", "")


def test_the_handmade_certificate_is_good() -> None:
    assert read(sign(FIELDS)).claims.issuer == "https://i"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": certblob.HOST}, "host certificate"),
        ({"kind": 3}, "host certificate"),
        ({"valid_after": int(NOW) + 1}, "not valid yet"),
        ({"valid_before": int(NOW)}, "expired"),
        ({"valid_before": 0}, "expired"),
        ({"principals": ()}, "no principal"),
        ({"principals": ("*",)}, "principal"),
        ({"principals": ("a,b",)}, "principal"),
        ({"key_id": "x" * 401}, "too long"),
        ({"key_id": "a\nb"}, "characters"),
        ({"critical_options": {"force-command": string(b"id")}}, "force-command"),
        ({"critical_options": {"verify-required": b""}}, "verify-required"),
        ({"critical_options": {"new@example": b""}}, "new@example"),
        ({"critical_options": {"source-address": string(b"10.0.0.1/8")}}, "malformed"),
        ({"critical_options": {"source-address": string(b"any")}}, "malformed"),
        ({"critical_options": {"source-address": string(b"")}}, "malformed"),
        ({"critical_options": {"source-address": b"\0\0\0\x99"}}, "too early"),
        ({"extensions": {"permit-pty": b""}}, "no claims"),
        ({"extensions": {"claims@bastion.internal": CLAIMS}}, "too early"),
        ({"extensions": {"claims@bastion.internal": string(CLAIMS) + b"x"}}, "follows"),
    ],
)
def test_certificates_that_are_refused(change: dict[str, object], words: str) -> None:
    with pytest.raises(IdentityError, match=words):
        read(sign(replace(FIELDS, **change)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "claims",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff",
        b"[" * 8000,
        CLAIMS + b" x",
        b'{"claims":{},"iss":"i","name":"n","sub":"s","roles":["admin"]}',
        b'{"claims":{},"iss":"i","name":"n","sub":"s","sub":"root"}',
        b'{"claims":{"g":"a","g":"b"},"iss":"i","name":"n","sub":"s"}',
        b'{"claims":{},"iss":"i","name":"n","sub":""}',
        b'{"claims":{},"iss":"i","name":"n","sub":7}',
        b'{"claims":[],"iss":"i","name":"n","sub":"s"}',
        b'{"claims":{"x":{"y":1}},"iss":"i","name":"n","sub":"s"}',
        b'{"claims":{"x":1.5},"iss":"i","name":"n","sub":"s"}',
        b'{"claims":{"x":null},"iss":"i","name":"n","sub":"s"}',
        b'{"claims":{"x":["a",1]},"iss":"i","name":"n","sub":"s"}',
        json.dumps({"claims": {"x": "y" * 9000}, "iss": "i", "name": "n", "sub": "s"}).encode(),
    ],
)
def test_malformed_claims_are_refused(claims: bytes) -> None:
    extensions = {"claims@bastion.internal": string(claims)}
    with pytest.raises(IdentityError, match="claims in this certificate are malformed"):
        read(sign(replace(FIELDS, extensions=extensions)))


def test_a_strangers_signature_is_refused() -> None:
    stranger = key()
    with pytest.raises(IdentityError, match="not from this bastion"):
        read(sign(replace(FIELDS, authority=stranger.public_data), stranger))
    with pytest.raises(IdentityError, match="signature is wrong"):
        read(sign(FIELDS, stranger))  # says it is ours


def test_options_out_of_order_or_twice_are_refused() -> None:
    good = certblob.encode_unsigned(FIELDS, b"n" * 32)
    pty = string(b"permit-pty") + string(b"")
    claims = string(b"claims@bastion.internal") + string(string(CLAIMS))
    for options in (pty + claims, claims + claims, claims + pty + pty):
        unsigned = good.replace(string(claims + pty), string(options))
        assert unsigned != good
        with pytest.raises(IdentityError, match="out of order"):
            read(unsigned + string(SIGNER.sign(unsigned, b"ssh-ed25519")))


@given(at=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_no_changed_bit_is_accepted(at: int, bit: int) -> None:
    blob = bytearray(GOOD)
    blob[at % len(blob)] ^= 1 << bit
    with pytest.raises(IdentityError):
        read(bytes(blob))


@given(st.integers(0, 10_000))
def test_no_shortened_certificate_is_accepted(length: int) -> None:
    with pytest.raises(IdentityError):
        read(GOOD[: length % len(GOOD)])


def test_nothing_may_follow() -> None:
    with pytest.raises(IdentityError):
        read(GOOD + b"\0")
    with pytest.raises(IdentityError, match="too long"):
        read(GOOD + bytes(40_000))


GOOD = sign(FIELDS)


@pytest.mark.parametrize(
    ("networks", "address", "allowed"),
    [
        ((), "203.0.113.9", True),
        ((), "not an address", True),
        (("10.0.0.0/8",), "10.255.0.1", True),
        (("10.0.0.0/8",), "11.0.0.1", False),
        (("10.0.0.0/8",), "::ffff:10.1.2.3", True),
        (("10.0.0.0/8",), "::ffff:11.1.2.3", False),
        (("10.0.0.0/8",), "::10.1.2.3", False),
        (("2001:db8::/32",), "2001:db8::1", True),
        (("2001:db8::/32",), "2001:db9::1", False),
        (("fe80::/10",), "fe80::1%eth0", True),
        (("192.0.2.7/32", "10.0.0.0/8"), "192.0.2.7", True),
        (("10.0.0.0/8",), "", False),
        (("10.0.0.0/8",), "unix", False),
        (("::/0",), "10.0.0.1", False),
    ],
)
def test_source_addresses(networks: tuple[str, ...], address: str, allowed: bool) -> None:
    facts = CertificateFacts(1, "k", ("p",), 0, 1, "SHA256:x", networks)
    assert address_allowed(facts, address) is allowed
