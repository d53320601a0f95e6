"""bastion.yaml → a frozen Config. Unknown keys are refused; every fault names file:line:column.

Relative paths in the file are relative to the file. Secrets are never in it: only references.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final, Literal

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_ssh_public_key
from pydantic import AfterValidator, Field

from bastion.errors import ConfigError, Fault, StoreError
from bastion.model import Credential, Database, Dialect, HostTrust, Target, TargetKind, Tls
from bastion.policy.document import Document, Section
from bastion.policy.fields import Duration, OneOrMany, Size
from bastion.policy.parse import parse_policy
from bastion.policy.rules import Policy
from bastion.policy.values import Reference
from bastion.store.settings import RecordingsEntry
from bastion.tap.detect import Detectors
from bastion.tap.detectorfile import combine, parse_detectors
from bastion.tap.settings import MaskEntry
from bastion.wire.hook_settings import WebhookEntry
from bastion.wire.places import UNIX, Address, Place, split_address

_TARGET_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
MAX_FILE: Final = 4 * 1024 * 1024
"""A configuration larger than this is a mistake (a log, a core dump), not a configuration."""


def _public_key(text: str) -> str:
    try:
        load_ssh_public_key(text.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ValueError("must be a public key as in an OpenSSH .pub file") from error
    return text


def _target_name(text: str) -> str:
    if _TARGET_NAME.fullmatch(text) is None:
        raise ValueError("a target's name is lower-case letters, digits, dots, dashes, underscores")
    if text in {"bastion", "login"}:
        raise ValueError(f"{text} is the bastion's own name")
    return text


PublicKey = Annotated[str, AfterValidator(_public_key)]
TargetName = Annotated[str, AfterValidator(_target_name)]


Cipher = Literal[
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "chacha20-poly1305@openssh.com",
    "aes128-ctr",
    "aes192-ctr",
    "aes256-ctr",
]


class Listen(Section):
    """Where the bastion listens, and what it is called."""

    ssh: OneOrMany[Address] = ("127.0.0.1:2222",)
    http: Address | None = None
    """The login page of the code flow; none where the provider has the device grant."""
    public_url: str = ""
    """How browsers reach that page."""
    tls_certificate: str = ""
    """PEM files for that page; without them it is plain HTTP, for loopback or a proxy in front."""
    tls_key: str = ""
    metrics: Place | None = None
    """Where numbers are told to Prometheus: HOST:PORT, or unix:PATH; nowhere where it is empty."""
    names: OneOrMany[str] = ()
    """Host names and addresses that the bastion's host certificate is for."""
    ciphers: OneOrMany[Cipher] = ()
    """SSH ciphers to offer; AES-GCM alone where this is empty."""


class Oidc(Section):
    """The identity provider; `bastion.identity.settings` says what each key means."""

    issuer: str
    client_id: str
    client_secret: Reference | None = None
    scopes: OneOrMany[str] = ("openid", "profile", "email")
    flow: Literal["auto", "device", "code"] = "auto"
    name_claims: OneOrMany[str] = ("preferred_username", "email", "name")
    claims: OneOrMany[str] = ("email", "groups")
    unverified_email: bool = False
    ca_file: str = ""
    login_time: Duration = 600.0


class Certificates(Section):
    """Bounds that no policy may exceed."""

    max_lifetime: Duration = 3600.0


class PasswordCredential(Section):
    """A password for the target, by reference."""

    password: Reference


class KeyCredential(Section):
    """A private key for the target, by reference."""

    key: Reference


class ClientCertificateCredential(Section):
    """A certificate and its key for a database, by reference."""

    client_certificate: Reference
    key: Reference


class TemporaryRole(Section):
    """Who makes a role for each session of a database, and drops it at its end."""

    user: Annotated[str, Field(min_length=1, max_length=63)]
    password: Reference


class TemporaryRoleCredential(Section):
    """A role made for the session, a member of the login's role."""

    temporary_role: TemporaryRole


class TargetEntry(Section):
    """One target. Exactly one of host_key, host_ca, known_hosts, trust_on_first_use."""

    address: Address
    kind: TargetKind = TargetKind.SSH
    labels: dict[str, str] = Field(default_factory=dict)
    description: str = ""
    host_key: OneOrMany[PublicKey] = ()
    host_ca: OneOrMany[PublicKey] = ()
    known_hosts: str = ""
    trust_on_first_use: bool = False
    credential: (
        Literal["certificate"]
        | PasswordCredential
        | KeyCredential
        | ClientCertificateCredential
        | TemporaryRoleCredential
    ) = "certificate"
    dialect: Dialect = Dialect.BASH
    tls: Tls = Tls.VERIFY_FULL
    tls_ca: str = ""
    tls_name: str = ""
    roles: dict[str, Annotated[str, Field(min_length=1, max_length=63)]] = Field(
        default_factory=dict
    )


class OperatorEntry(Section):
    """Who may decide from this machine, through the control socket."""

    unix_user: str
    name: str = ""
    roles: OneOrMany[str] = ()
    identity: str = ""
    """The same person's name or `issuer#subject` when they log in over SSH: they may not approve
    their own requests."""


class LimitsEntry(Section):
    """Bounds of the listener."""

    handshake: Duration = 30.0
    unauthenticated: int = Field(default=200, ge=1)
    unauthenticated_per_address: int = Field(default=20, ge=1)
    sessions: int = Field(default=2000, ge=1)
    sessions_per_identity: int = Field(default=200, ge=1)
    channels_per_session: int = Field(default=64, ge=1)
    free_space: Size = 256 * 1024 * 1024


class ConfigFile(Section):
    """The whole file."""

    listen: Listen = Listen()
    state: str
    policy: str
    oidc: Oidc | None = None
    certificates: Certificates = Certificates()
    targets: dict[TargetName, TargetEntry] = Field(default_factory=dict)
    operators: tuple[OperatorEntry, ...] = ()
    webhooks: tuple[WebhookEntry, ...] = ()
    limits: LimitsEntry = LimitsEntry()
    mask: MaskEntry = MaskEntry()
    recordings: RecordingsEntry = RecordingsEntry()


@dataclass(frozen=True, slots=True)
class Config:
    """What an operator configured, checked."""

    path: Path
    listen: Listen
    state: Path
    policy: Path
    oidc: Oidc | None
    max_lifetime: float
    targets: MappingProxyType[str, Target]
    operators: tuple[OperatorEntry, ...]
    webhooks: tuple[WebhookEntry, ...]
    limits: LimitsEntry
    recordings: RecordingsEntry
    detectors: Detectors
    """What the masker looks for: the shipped detectors and the operator's own."""


def load_config(path: Path) -> Config:
    """Read and check bastion.yaml; ConfigError tells all that is wrong with it."""
    document = Document(_read(path), str(path))
    file = document.read(ConfigFile)
    base = path.resolve().parent
    faults: list[Fault] = []
    targets = {
        name: _target(document, base, name, entry, faults) for name, entry in file.targets.items()
    }
    if file.oidc is not None and file.oidc.flow == "code" and not (
        file.listen.http and file.listen.public_url
    ):  # fmt: skip
        faults.append(
            document.fault("the code flow needs listen.http and listen.public_url", "oidc", "flow")
        )
    if bool(file.listen.tls_certificate) != bool(file.listen.tls_key):
        faults.append(document.fault("tls_certificate and tls_key go together", "listen"))
    if faults:
        raise ConfigError(faults)
    return Config(
        path=path,
        listen=file.listen.model_copy(
            update={
                name: _file(base, getattr(file.listen, name))
                for name in ("tls_certificate", "tls_key")
            }
            | {"metrics": _place(base, file.listen.metrics)}
        ),
        state=base / Path(file.state).expanduser(),
        policy=base / Path(file.policy).expanduser(),
        oidc=file.oidc,
        max_lifetime=file.certificates.max_lifetime,
        targets=MappingProxyType(targets),
        operators=file.operators,
        webhooks=tuple(
            hook.model_copy(update={"ca_file": _file(base, hook.ca_file)}) for hook in file.webhooks
        ),
        limits=file.limits,
        recordings=file.recordings,
        detectors=load_detectors(_file(base, file.mask.detectors)),
    )


def load_policy(path: Path, detectors: Detectors | None = None) -> Policy:
    """Read, check and test a policy; PolicyError tells all that is wrong with it.

    Names of detectors are checked where `detectors` are known.
    """
    names = None if detectors is None else detectors.names()
    return parse_policy(_read(path), str(path), detectors=names)


def load_detectors(own: str = "") -> Detectors:
    """The shipped detectors and those of the file `own`; ConfigError tells all that is wrong."""
    shipped = resources.files("bastion.tap").joinpath("secrets.yaml").read_text("utf-8")
    return combine(
        parse_detectors(shipped, "secrets.yaml"),
        parse_detectors(_read(Path(own)), own) if own else (),
    )


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}.") from error
    if len(data) > MAX_FILE:
        raise ConfigError([Fault(f"{path}:1:1", f"larger than {MAX_FILE} bytes")])
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        raise ConfigError([Fault(f"{path}:{line}:{column}", "not UTF-8 text")]) from error


def _file(base: Path, name: str) -> str:
    """A file that bastion.yaml names, relative to it; none stays none."""
    return str(base / Path(name).expanduser()) if name else ""


def _place(base: Path, place: str | None) -> str | None:
    """Where the metrics are; a socket's path is relative to the file."""
    if place is None or not place.startswith(UNIX):
        return place
    return UNIX + _file(base, place.removeprefix(UNIX))


def _target(
    document: Document, base: Path, name: str, entry: TargetEntry, faults: list[Fault]
) -> Target:
    ways = [entry.host_key, entry.host_ca, entry.known_hosts, entry.trust_on_first_use]
    if entry.kind is TargetKind.SSH and sum(map(bool, ways)) != 1:
        faults.append(
            document.fault(
                "say how the host key is verified: exactly one of host_key, host_ca, known_hosts,"
                " trust_on_first_use",
                "targets",
                name,
            )
        )
    faults += [document.fault(text, "targets", name, key) for key, text in _unfit(entry)]
    host, port = split_address(entry.address)
    if not host:
        text = "the address of a target needs a host"
        faults.append(document.fault(text, "targets", name, "address"))
    match entry.credential:
        case PasswordCredential(password=reference):
            credential = Credential("password", reference)
        case KeyCredential(key=reference):
            credential = Credential("key", reference)
        case ClientCertificateCredential(client_certificate=certificate, key=reference):
            credential = Credential("client-certificate", reference, certificate)
        case TemporaryRoleCredential(temporary_role=made):
            credential = Credential("temporary-role", made.password, user=made.user)
        case _:
            credential = Credential()
    return Target(
        name=name,
        kind=entry.kind,
        host=host,
        port=port,
        labels=MappingProxyType(dict(entry.labels)),
        description=entry.description,
        trust=HostTrust(
            entry.host_key,
            entry.host_ca,
            _file(base, entry.known_hosts),
            entry.trust_on_first_use,
        ),
        credential=credential,
        dialect=entry.dialect,
        database=Database(
            entry.tls, _file(base, entry.tls_ca), entry.tls_name, MappingProxyType(entry.roles)
        ),
    )


_KEYS_OF = {
    TargetKind.SSH: {"host_key", "host_ca", "known_hosts", "trust_on_first_use", "dialect"},
    TargetKind.POSTGRES: {"tls", "tls_ca", "tls_name", "roles"},
}
"""Keys that mean something for one kind of target alone."""


def _unfit(entry: TargetEntry) -> Iterator[tuple[str, str]]:
    """What of a target is for another kind: (key, what is wrong)."""
    for kind, keys in _KEYS_OF.items():
        if kind is not entry.kind:
            for key in sorted(keys & entry.model_fields_set):
                yield key, f"`{key}` is for targets of kind {kind.value}"
    given = entry.credential
    database = isinstance(given, ClientCertificateCredential | TemporaryRoleCredential)
    if database and entry.kind is not TargetKind.POSTGRES:
        yield "credential", "this credential is for targets of kind postgres"
    fits = database or isinstance(given, PasswordCredential)
    if entry.kind is TargetKind.POSTGRES and not fits:
        yield (
            "credential",
            "a database needs `password`, `client_certificate` with `key`, or `temporary_role`",
        )
