"""The client's side of `bastion login`: ask a bastion for a certificate, over SSH.

The bastion's login channel says what to do on stderr and prints the certificate on stdout.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import asyncssh

from bastion.errors import DialError, IdentityError, LoginRefused
from bastion.identity import certblob
from bastion.model import visible

LOGIN_USER: Final = "login"
DEADLINE_SECONDS: Final = 1900.0
"""Longer than any login at a provider lasts."""

_HANDSHAKE_SECONDS: Final = 30
_MAX_SAID: Final = 256 * 1024
"""On each stream: a hostile server must not fill memory or terminal."""
_MAX_TARGETS: Final = 1024

KnownHosts = tuple[list[asyncssh.SSHKey], list[asyncssh.SSHKey], list[asyncssh.SSHKey]]


class UnknownHost(DialError):
    """The bastion's key is not known here. `authority` when `key` signed a host certificate."""

    def __init__(self, key: asyncssh.SSHKey, *, authority: bool) -> None:
        self.key = key
        self.authority = authority
        super().__init__("The bastion's host key is not known here; nothing was sent to it.")


@dataclass(frozen=True)
class Trust:
    """Whom to believe to be the bastion: host keys, host authorities, and never these."""

    keys: tuple[asyncssh.SSHKey, ...] = ()
    authorities: tuple[asyncssh.SSHKey, ...] = ()
    revoked: tuple[asyncssh.SSHKey, ...] = ()

    @property
    def known(self) -> bool:
        """False when nothing is known, so that a person may be asked."""
        return bool(self.keys or self.authorities)

    def lists(self) -> KnownHosts:
        """As asyncssh takes them. Authorities are left to `_Client`, which notes the one used;
        where there are any, a bare key must not be preferred to a certificate.
        """
        return [] if self.authorities else list(self.keys), [], list(self.revoked)


@dataclass(frozen=True)
class Enrolment:
    """A key that exists in memory alone, and its certificate."""

    key: asyncssh.SSHKey
    certificate: asyncssh.SSHCertificate
    fields: certblob.CertificateFields
    authority: asyncssh.SSHKey | None
    """The host authority that the bastion's certificate came from; None for a bare host key."""

    def seconds_left(self, now: float) -> int:
        """How long it is good for."""
        return int(self.fields.valid_before - now)


class _Client(asyncssh.SSHClient):
    """Believes what it was told to, and notes which key that was, or was not."""

    def __init__(self, trust: Trust) -> None:
        self.trust = trust
        self.authority: asyncssh.SSHKey | None = None
        self.unknown: tuple[asyncssh.SSHKey, bool] | None = None

    def validate_host_public_key(
        self, host: str, addr: str, port: int, key: asyncssh.SSHKey
    ) -> bool:
        """A bare host key."""
        self.unknown = (key, False)
        return key in self.trust.keys

    def validate_host_ca_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        """The authority of a host certificate, whose names and times are checked after this."""
        self.unknown = (key, True)
        if key in self.trust.authorities:
            self.authority = key
        return key in self.trust.authorities


def trust_from_known_hosts(text: str, host: str, port: int) -> Trust:
    """What an OpenSSH known_hosts file says about a bastion; IdentityError if it is malformed."""
    try:
        found = asyncssh.match_known_hosts(asyncssh.import_known_hosts(text), host, "", port)
    except (ValueError, asyncssh.KeyImportError) as error:
        raise IdentityError(f"The known_hosts file is malformed: {error}.") from None
    keys, authorities, revoked = found[:3]
    return Trust(tuple(keys), tuple(authorities), tuple(revoked))


def trust_from_key_file(path: str) -> Trust:
    """Believe the host authority whose public key is in this file."""
    try:
        return Trust(authorities=(asyncssh.read_public_key(path),))
    except (OSError, asyncssh.KeyImportError) as error:
        raise IdentityError(f"{path} is not a public key file: {error}.") from None


async def enrol(host: str, port: int, trust: Trust, say: Callable[[str], None]) -> Enrolment:
    """Log in at the bastion and bring back a certificate for a fresh key.

    `say` gets the bastion's words, a visible line at a time. UnknownHost when the bastion cannot
    be verified, other DialErrors when it cannot be reached, LoginRefused when it says no.
    """
    key, client = asyncssh.generate_private_key("ssh-ed25519"), _Client(trust)
    async with (
        _deadline(DEADLINE_SECONDS),
        await _connect(host, port, LOGIN_USER, [key], client) as connection,
    ):
        line, status = await _ask(connection, "certificate", say)
    if status != 0:
        raise LoginRefused("The bastion gave no certificate.")
    fields, certificate = _checked(line, key)
    return Enrolment(key, certificate, fields, client.authority)


async def target_names(host: str, port: int, trust: Trust, enrolment: Enrolment) -> Sequence[str]:
    """The names of the SSH targets this identity may reach, as the bastion tells them."""
    pair = (enrolment.key, enrolment.certificate)
    async with (
        _deadline(_HANDSHAKE_SECONDS),
        await _connect(host, port, "bastion", [pair], _Client(trust)) as connection,
    ):
        answer, _ = await _ask(connection, "targets --json", lambda _: None)
    try:
        names = [row["target"] for row in json.loads(answer) if row.get("kind") == "ssh"]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise DialError("The bastion did not say which targets there are.") from None
    if not all(isinstance(name, str) and _is_host_name(name) for name in names):
        raise DialError("The bastion named a target that cannot stand in a configuration.")
    return names[:_MAX_TARGETS]


def _is_host_name(name: str) -> bool:
    letters = name.replace("-", "").replace(".", "").replace("_", "")
    return name.isascii() and letters.isalnum() and name[0] not in "-."


async def _connect(
    host: str, port: int, user: str, keys: Sequence[object], client: _Client
) -> asyncssh.SSHClientConnection:
    trust = client.trust
    try:
        return await asyncssh.connect(
            host,
            port,
            client_factory=lambda: client,
            username=user,
            client_keys=keys,
            agent_path=None,
            config=None,
            known_hosts=trust.lists(),
            preferred_auth="publickey",
            login_timeout=_HANDSHAKE_SECONDS,
            connect_timeout=_HANDSHAKE_SECONDS,
            keepalive_interval=30,
        )
    except asyncssh.HostKeyNotVerifiable as error:
        if client.unknown and not trust.known:
            unknown, authority = client.unknown
            raise UnknownHost(unknown, authority=authority) from None
        raise DialError(
            f"The host key of {host} is not the one that is known here ({error.reason}); "
            "somebody may be between you and the bastion, ask its operators."
        ) from None
    except asyncssh.PermissionDenied:
        raise LoginRefused(f"{host} does not let anybody log in there; is it a bastion?") from None
    except (OSError, asyncssh.Error, TimeoutError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise DialError(f"{host} port {port} cannot be reached: {visible(reason)}.") from None


async def _ask(
    connection: asyncssh.SSHClientConnection, command: str, say: Callable[[str], None]
) -> tuple[str, int]:
    """Run a command of the bastion's; gives its stdout, bounded, and its exit status."""
    answer: list[bytes] = []
    line = b""

    def hear(data: bytes) -> None:
        nonlocal line
        *whole, line = (line + data).split(b"\n")
        for one in whole:
            say(_shown(one))

    try:
        async with connection.create_process(command, encoding=None) as channel:
            await asyncio.gather(_read(channel.stdout, answer.append), _read(channel.stderr, hear))
            await channel.wait_closed()
            status = channel.exit_status
    except _TooMuch:
        raise DialError("The bastion says more than a bastion would; hanging up.") from None
    except (OSError, asyncssh.Error) as error:
        raise DialError(f"The bastion hung up: {visible(str(error), limit=200)}.") from None
    if line:
        say(_shown(line))
    return b"".join(answer).decode("utf-8", "replace"), 255 if status is None else status


class _TooMuch(Exception):
    """A stream went over its bound."""


async def _read(stream: asyncssh.SSHReader[bytes], take: Callable[[bytes], object]) -> None:
    said = 0
    while data := await stream.read(4096):
        said += len(data)
        if said > _MAX_SAID:
            # A polite close would wait for the rest.
            stream.channel.get_connection().abort()
            raise _TooMuch
        take(data)


def _shown(line: bytes) -> str:
    return visible(line.decode("utf-8", "replace").strip("\r"), limit=1000)


@contextlib.asynccontextmanager
async def _deadline(seconds: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise DialError("The bastion did not finish in time.") from None


def _checked(
    line: str, key: asyncssh.SSHKey
) -> tuple[certblob.CertificateFields, asyncssh.SSHCertificate]:
    try:
        certificate = asyncssh.import_certificate(line.strip().encode())
        fields = certblob.decode(certificate.public_data)
    except (ValueError, asyncssh.KeyImportError, IdentityError):
        raise LoginRefused("What the bastion printed is not a certificate.") from None
    if fields.public_key != key.public_data or fields.kind != certblob.USER:
        raise LoginRefused("The bastion's certificate is for another key.")
    if fields.valid_before <= time.time():
        raise LoginRefused("The bastion's certificate has expired already; is your clock right?")
    return fields, certificate
