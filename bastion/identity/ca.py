"""The three authorities and the one seam through which anything is signed.

    user      people's certificates; believed by the bastion alone
    session   the ephemeral certificates the bastion shows to targets; believed by targets
    host      the bastion's own host key and the target names inside `ssh -J`; believed by clients

`user` and `session` differ on purpose: a person's certificate must not open a target directly,
past the gate.
"""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

import asyncssh
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from bastion.errors import IdentityError
from bastion.identity import certblob, keyfiles
from bastion.identity.claims import (
    VerifiedClaims,
    checked_principal,
    encode_claims,
    key_id,
)
from bastion.identity.keyring import UNTIL_RETIRED, AuthorityKey, KeyRing
from bastion.model import CertificateFacts

NAMES: Final = ("user", "session", "host")

CEILING_SECONDS: Final = 24 * 3600
"""No person's certificate lives longer, whatever a grant says; the configuration may lower it."""

ROTATION_MARGIN_SECONDS: Final = 300
USER_BACKDATE_SECONDS: Final = 30
SESSION_BACKDATE_SECONDS: Final = 300
"""A target's clock may be behind ours by this much, and as much ahead by the lifetime below."""
SESSION_LIFETIME_SECONDS: Final = 300
HOST_LIFETIME_SECONDS: Final = 7 * 24 * 3600
HOST_BACKDATE_SECONDS: Final = 24 * 3600
"""Laptops with a wrong clock should still see the bastion as itself."""

CLAIMS_EXTENSION: Final = "claims@bastion.internal"
AGENT_EXTENSION: Final = "agent@bastion.internal"
ACCESS_EXTENSION: Final = "access@bastion.internal"
BRANCH_EXTENSION: Final = "branch@bastion.internal"

STANDARD_EXTENSIONS: Final = frozenset(
    {
        "permit-X11-forwarding",
        "permit-agent-forwarding",
        "permit-port-forwarding",
        "permit-pty",
        "permit-user-rc",
    }
)

_MIN_RSA_BITS: Final = 2048
_MAX_SOURCES: Final = 64


class CertificateGrant(Protocol):
    """What a person's certificate may carry; policy makes it, from claims."""

    @property
    def lifetime_seconds(self) -> int:
        """From now on."""
        ...

    @property
    def principals(self) -> tuple[str, ...]:
        """Names of the roles granted."""
        ...

    @property
    def source_addresses(self) -> tuple[str, ...]:
        """Networks it may be used from, `10.0.0.0/8`; empty for everywhere."""
        ...

    @property
    def extensions(self) -> frozenset[str]:
        """Standard extensions: `permit-pty`, …"""
        ...


@dataclass(frozen=True, slots=True)
class IssuedCertificate:
    """A certificate just signed: its facts for ledger and audit, its bytes for the wire."""

    facts: CertificateFacts
    blob: bytes
    certificate: asyncssh.SSHCertificate

    @property
    def line(self) -> str:
        """One line as in an OpenSSH `-cert.pub` file, without a newline."""
        return self.certificate.export_certificate("openssh").decode().strip()


def new_serial() -> int:
    """A random 63-bit serial.

    A counter would start again when the state is restored from a backup, and two bastions would
    need to share it; then revoking one person's serial would hit another. Random needs neither:
    after 10 million certificates the odds of any two being equal are about 1 : 180 000. 63 bits,
    because SQLite's integers are signed.
    """
    return secrets.randbits(63) or 1


class Authority:
    """Signs what a grant allows. Everything that holds a CA key is behind these methods."""

    def __init__(self, directory: Path, *, ceiling_seconds: int = CEILING_SECONDS) -> None:
        """Use the authorities in `directory`; StoreError when one is missing or open to others."""
        keyfiles.check_directory(directory)
        self._ceiling = ceiling_seconds
        self._rings: Mapping[str, KeyRing] = {name: KeyRing(directory, name) for name in NAMES}
        for ring in self._rings.values():
            ring.signing()

    @classmethod
    def create(cls, directory: Path, *, ceiling_seconds: int = CEILING_SECONDS) -> Authority:
        """Make the authorities that are missing in `directory`, keep those that are there."""
        keyfiles.prepare_directory(directory)
        for name in NAMES:
            ring = KeyRing(directory, name)
            if not ring.exists():
                ring.create()
        return cls(directory, ceiling_seconds=ceiling_seconds)

    # --- what others may know -------------------------------------------------------------------

    def keys(self, name: str, now: float) -> tuple[AuthorityKey, ...]:
        """Every key of authority `name` (`user`, `session`, `host`) that is believed at `now`."""
        return self._ring(name).keys(now)

    def trusted_user_keys(self, now: float) -> tuple[asyncssh.SSHKey, ...]:
        """The public keys that may have signed a person's certificate."""
        return tuple(key.public for key in self.keys("user", now))

    # --- signing --------------------------------------------------------------------------------

    def sign_user(
        self,
        public_key: asyncssh.SSHKey,
        grant: CertificateGrant,
        claims: VerifiedClaims,
        *,
        session_id: str,
        now: float,
        serial: int | None = None,
        agent: str = "",
        branch: str = "",
        access: str = "",
    ) -> IssuedCertificate:
        """Sign a person's key for what `grant` allows, never longer than the ceiling.

        `access` is for whoever reads the certificate: what was granted for a time, and until when.
        IdentityError when the grant or the key cannot stand in a certificate.
        """
        if grant.lifetime_seconds <= 0:
            raise IdentityError("The policy grants you no time; ask for access.")
        lifetime = min(grant.lifetime_seconds, self._ceiling)
        extensions = dict.fromkeys(_checked_extensions(grant.extensions), b"")
        extensions[CLAIMS_EXTENSION] = certblob.string(encode_claims(claims))
        if access:
            extensions[ACCESS_EXTENSION] = certblob.string(access.encode())
        for name, value in ((AGENT_EXTENSION, agent), (BRANCH_EXTENSION, branch)):
            if value:
                extensions[name] = certblob.string(checked_principal(value).encode())
        return self._sign(
            "user",
            certblob.CertificateFields(
                public_key=_checked_subject_key(public_key),
                serial=new_serial() if serial is None else serial,
                kind=certblob.USER,
                key_id=key_id(claims.name or claims.subject, session_id),
                principals=_checked_principals(grant.principals),
                valid_after=int(now) - USER_BACKDATE_SECONDS,
                valid_before=int(now) + lifetime,
                critical_options=_source_option(grant.source_addresses),
                extensions=extensions,
            ),
        )

    def sign_session(
        self,
        public_key: asyncssh.SSHKey,
        *,
        login: str,
        target: str,
        name: str,
        session_id: str,
        now: float,
        lifetime_seconds: int = SESSION_LIFETIME_SECONDS,
        source_addresses: Sequence[str] = (),
        extensions: frozenset[str] = frozenset({"permit-pty"}),
        serial: int | None = None,
    ) -> IssuedCertificate:
        """Sign an ephemeral key that opens `login` on a target, once, now.

        `name` is the person's, so that the target's own log says who came.
        """
        return self._sign(
            "session",
            certblob.CertificateFields(
                public_key=_checked_subject_key(public_key),
                serial=new_serial() if serial is None else serial,
                kind=certblob.USER,
                key_id=key_id(name, session_id, target),
                principals=_checked_principals((login,)),
                valid_after=int(now) - SESSION_BACKDATE_SECONDS,
                valid_before=int(now) + lifetime_seconds,
                critical_options=_source_option(source_addresses),
                extensions=dict.fromkeys(_checked_extensions(extensions), b""),
            ),
        )

    def sign_host(
        self,
        public_key: asyncssh.SSHKey,
        names: Sequence[str],
        *,
        now: float,
        lifetime_seconds: int = HOST_LIFETIME_SECONDS,
        serial: int | None = None,
    ) -> IssuedCertificate:
        """Sign a host key for exactly these host names or addresses."""
        return self._sign(
            "host",
            certblob.CertificateFields(
                public_key=_checked_subject_key(public_key),
                serial=new_serial() if serial is None else serial,
                kind=certblob.HOST,
                key_id=f"bastion host {checked_principal(names[0]) if names else ''}",
                principals=_checked_principals(names),
                valid_after=int(now) - HOST_BACKDATE_SECONDS,
                valid_before=int(now) + lifetime_seconds,
            ),
        )

    def _sign(self, name: str, fields: certblob.CertificateFields) -> IssuedCertificate:
        key = self._ring(name).signing()
        signed_fields = replace(fields, authority=key.public_data)
        unsigned = certblob.encode_unsigned(signed_fields, secrets.token_bytes(32))
        blob = unsigned + certblob.string(key.sign(unsigned, b"ssh-ed25519"))
        certificate = asyncssh.import_certificate(certblob.certificate_line(blob))
        return IssuedCertificate(facts(signed_fields), blob, certificate)

    def _ring(self, name: str) -> KeyRing:
        return self._rings[name]


class Rotation:
    """Changes the keys of one authority on disk; a running bastion notices."""

    def __init__(self, directory: Path, name: str) -> None:
        """Name one of `user`, `session`, `host` in `directory`."""
        self._ring = KeyRing(directory, name)
        self._name = name

    def rotate(self, now: float, overlap_seconds: int) -> None:
        """Begin: `user` signs with a new key at once, the others only announce it."""
        self._ring.announce()
        if self._name == "user":
            self.switch(now, overlap_seconds)

    def switch(self, now: float, overlap_seconds: int) -> None:
        """Let the announced key sign; the old one is believed for the overlap.

        An old host key has no end: only an operator knows when every client has the new one.
        """
        forever = self._name == "host" and overlap_seconds > 0
        self._ring.switch(now, UNTIL_RETIRED if forever else int(now) + overlap_seconds)

    def retire(self) -> int:
        """Stop believing every old key now; gives how many there were."""
        return self._ring.retire()


def facts(fields: certblob.CertificateFields) -> CertificateFacts:
    """What a certificate said, as the rest of the bastion knows it."""
    return CertificateFacts(
        serial=fields.serial,
        key_id=fields.key_id,
        principals=fields.principals,
        valid_after=fields.valid_after,
        valid_before=fields.valid_before,
        authority=certblob.fingerprint(fields.authority),
        source_addresses=_sources(fields.critical_options),
        extensions=frozenset(fields.extensions) & STANDARD_EXTENSIONS,
    )


def _sources(options: Mapping[str, bytes]) -> tuple[str, ...]:
    if "source-address" not in options:
        return ()
    reader = certblob.Reader(options["source-address"])
    listed = reader.text()
    reader.end()
    return tuple(listed.split(","))


def _source_option(addresses: Iterable[str]) -> dict[str, bytes]:
    try:
        networks = [str(ipaddress.ip_network(address)) for address in addresses]
    except ValueError as error:
        raise IdentityError(f"The policy's source address is not a network: {error}.") from None
    if len(networks) > _MAX_SOURCES:
        raise IdentityError(f"The policy names more than {_MAX_SOURCES} source addresses.")
    if not networks:
        return {}
    return {"source-address": certblob.string(",".join(networks).encode())}


def _checked_extensions(names: frozenset[str]) -> frozenset[str]:
    unknown = names - STANDARD_EXTENSIONS
    if unknown:
        raise IdentityError(f"{min(unknown)!r} is not an extension that a grant may hold.")
    return names


def _checked_principals(names: Sequence[str]) -> tuple[str, ...]:
    # OpenSSH reads an empty list as "valid for everybody".
    if not names:
        raise IdentityError("Nothing is granted to you; ask for access.")
    if len(names) > certblob.MAX_PRINCIPALS:
        raise IdentityError("A certificate cannot hold that many names.")
    return tuple(dict.fromkeys(checked_principal(name) for name in names))


def _checked_subject_key(key: asyncssh.SSHKey) -> bytes:
    pyca_key = key.pyca_key
    if isinstance(pyca_key, RSAPublicKey | RSAPrivateKey) and pyca_key.key_size < _MIN_RSA_BITS:
        raise IdentityError("RSA keys under 2048 bits get no certificate; use Ed25519.")
    return key.public_data
