"""A person's certificate, offered by a client → verified facts, or a refusal fit to be shown.

Strict on purpose: what is not understood refuses (invariant 9).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import asyncssh

from bastion.errors import IdentityError
from bastion.identity import ca, certblob
from bastion.identity.claims import VerifiedClaims, checked_principal, decode_claims
from bastion.model import CertificateFacts

_HANDLED_OPTIONS: Final = frozenset({"source-address"})
"""`force-command` and `verify-required` would have to be enforced; nothing here does, so they
refuse like every unknown critical option."""

_MAX_KEY_ID: Final = 400


@dataclass(frozen=True, slots=True)
class VerifiedCertificate:
    """A certificate after every check but two: the source address, and revocation."""

    facts: CertificateFacts
    claims: VerifiedClaims
    agent: str = ""
    branch: str = ""


def read_certificate(
    unverified_certificate: asyncssh.SSHCertificate | bytes,
    *,
    trusted: Iterable[asyncssh.SSHKey],
    now: float,
) -> VerifiedCertificate:
    """Check signature, authority, type, window, options, principals and claims.

    Takes what asyncssh offers or the certificate's blob. IdentityError says in one sentence why
    not. The caller still asks `address_allowed` and the ledger for revocation.
    """
    if isinstance(unverified_certificate, bytes):
        blob = unverified_certificate
    else:
        blob = unverified_certificate.public_data
    fields = certblob.decode(blob)
    authority = {key.public_data: key for key in trusted}.get(fields.authority)
    if authority is None:
        raise IdentityError("This certificate is not from this bastion; log in again.")
    if not authority.verify(blob[: -4 - len(fields.signature)], fields.signature):
        raise IdentityError("This certificate's signature is wrong.")
    _check_window(fields, now)
    if fields.kind != certblob.USER:
        raise IdentityError("A host certificate does not identify a person.")
    unknown = fields.critical_options.keys() - _HANDLED_OPTIONS
    if unknown:
        raise IdentityError(f"This certificate demands {min(unknown)!r}, which is not supported.")
    if not fields.principals or len(fields.key_id) > _MAX_KEY_ID:
        raise IdentityError("This certificate names no principal, or too long an id.")
    for name in fields.principals:
        checked_principal(name)
    facts = ca.facts(fields)
    _networks(facts)
    return VerifiedCertificate(
        facts,
        decode_claims(_extension(fields, ca.CLAIMS_EXTENSION)),
        agent=_optional_name(fields, ca.AGENT_EXTENSION),
        branch=_optional_name(fields, ca.BRANCH_EXTENSION),
    )


def address_allowed(facts: CertificateFacts, address: str) -> bool:
    """True when the certificate may be used from `address` (IPv4, IPv6, or IPv4 in IPv6).

    An address that cannot be read is allowed only where the certificate names no networks.
    """
    networks = _networks(facts)
    if not networks:
        return True
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped:
        found = found.ipv4_mapped
    return any(found in network for network in networks)


def _networks(
    facts: CertificateFacts,
) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    try:
        return tuple(ipaddress.ip_network(address) for address in facts.source_addresses)
    except ValueError:
        raise IdentityError("This certificate's source addresses are malformed.") from None


def _check_window(fields: certblob.CertificateFields, now: float) -> None:
    if now < fields.valid_after:
        raise IdentityError("This certificate is not valid yet; check your clock, or log in again.")
    if now >= fields.valid_before:
        raise IdentityError("This certificate has expired; log in again.")


def _extension(fields: certblob.CertificateFields, name: str) -> bytes:
    if name not in fields.extensions:
        raise IdentityError("This certificate carries no claims; log in again.")
    reader = certblob.Reader(fields.extensions[name])
    value = reader.string()
    reader.end()
    return value


def _optional_name(fields: certblob.CertificateFields, name: str) -> str:
    if name not in fields.extensions:
        return ""
    return checked_principal(_extension(fields, name).decode("ascii", "replace"))
