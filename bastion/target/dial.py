"""Dial an SSH target: reach it, check that it is what it should be, log in.

Nothing is trusted on first use unless the target's configuration says so, and then the caller
is told the key, keeps it, and audits it. Every failure is one sentence of a DialError.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import asyncssh
from asyncssh.packet import SSHPacket

from bastion.errors import DialError
from bastion.model import HostTrust, Secret, Target, visible
from bastion.target.bounded import BoundedConnection

CONNECT_SECONDS: Final = 15.0
LOGIN_SECONDS: Final = 30.0
KEEPALIVE_SECONDS: Final = 15.0
"""A target that vanishes without a word is noticed after three of these."""

REFUSALS_LIMIT: Final = 100
"""Channels that a target may try to open unasked before it is cut off: each leaves an audit line,
and it could write the disk full of them."""

ENCRYPTION: Final = (
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "chacha20-poly1305@openssh.com",
    "aes256-ctr",
    "aes128-ctr",
)
"""AES-GCM first: it costs asyncssh half of what chacha20-poly1305 does."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What shows the target who we are: a key (with its certificate), or a password."""

    key: asyncssh.SSHKey | None = None
    certificate: asyncssh.SSHCertificate | None = None
    password: Secret | None = None


class TargetTransport(BoundedConnection, asyncssh.SSHClientConnection):
    """asyncssh's connection to a target, which may be hostile."""

    _owner: TargetConnection
    _opening = ""
    _refusals = 0

    def _process_channel_open(self, pkttype: int, pktid: int, packet: SSHPacket) -> None:
        kind = SSHPacket(packet.get_remaining_payload()).get_string()
        self._opening = visible(kind.decode("utf-8", "surrogateescape"), limit=100)
        super()._process_channel_open(pkttype, pktid, packet)

    def send_channel_open_failure(self, send_chan: int, code: int, reason: str, lang: str) -> None:
        """A target opens what was forwarded to it, and nothing else."""
        self._refusals += 1
        if self._refusals > REFUSALS_LIMIT:
            raise asyncssh.ProtocolError("Too many channels opened unasked")
        self._owner.refused(f"channel {self._opening}")
        super().send_channel_open_failure(send_chan, code, reason, lang)


class TargetConnection(asyncssh.SSHClient):
    """One authenticated connection to a target, shared by a session's channels."""

    def __init__(self, accept_first: Callable[[str], bool], refused: Callable[[str], None]) -> None:
        self._accept_first = accept_first
        self.refused = refused
        self.connection: TargetTransport | None = None
        self.lost = asyncio.Event()

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        """Keep it."""
        assert isinstance(conn, TargetTransport)
        self.connection = conn

    def connection_lost(self, exc: Exception | None) -> None:
        """Remember that it is gone, so that the next channel dials anew."""
        self.lost.set()

    def validate_host_public_key(
        self, host: str, addr: str, port: int, key: asyncssh.SSHKey
    ) -> bool:
        """Called for a key that is not trusted yet."""
        return self._accept_first(key.export_public_key("openssh").decode().strip())

    def close(self) -> None:
        """Close it; its channels end."""
        if self.connection is not None:
            self.connection.close()

    @property
    def stalled(self) -> bool:
        """Whether the target takes no bytes at the moment."""
        return self.connection is not None and self.connection.stalled

    def watch(self, listener: Callable[[bool], None]) -> Callable[[], None]:
        """Tell `listener` when the target stops or starts taking bytes; gives the way out."""
        assert self.connection is not None
        return self.connection.watch(listener)


async def dial(
    target: Target,
    login: str,
    proof: Proof,
    *,
    accept_first: Callable[[str], bool],
    refused: Callable[[str], None] = lambda _what: None,
    agent_path: str = "",
) -> TargetConnection:
    """Connect and log in.

    `accept_first` sees an unknown key as an OpenSSH public-key line; `refused` hears what the
    target asked for that nobody had offered it.
    """
    first = accept_first if target.trust.first_use else lambda _key: False
    client = TargetConnection(first, refused)
    try:
        options = await _options(target, login, proof, client, agent_path)
        await _connect(target, options)
    except (OSError, asyncssh.Error, ValueError) as error:
        # Not `from error`: what a library could not read may be part of its error, and be a secret.
        raise DialError(_sentence(target, login, error)) from None
    return client


async def _options(
    target: Target, login: str, proof: Proof, client: TargetConnection, agent_path: str
) -> asyncssh.SSHClientConnectionOptions:
    keys: list[object] = []
    if proof.key is not None:
        keys = [(proof.key, proof.certificate)] if proof.certificate else [proof.key]
    options: asyncssh.SSHClientConnectionOptions
    options = await asyncssh.SSHClientConnectionOptions.construct(
        None,
        host=target.host,
        port=target.port,
        username=login,
        client_factory=lambda: client,
        client_keys=keys or None,
        password=proof.password.reveal().decode() if proof.password else None,
        known_hosts=_known_hosts(target.trust),
        agent_path=None,
        agent_forwarding=agent_path or False,
        config=None,
        gss_host=None,
        preferred_auth="publickey,password,keyboard-interactive",
        encryption_algs=list(ENCRYPTION),
        compression_algs=None,
        login_timeout=0,  # ours counts from the connection on, below
        keepalive_interval=KEEPALIVE_SECONDS,
    )
    return options


async def _connect(target: Target, options: asyncssh.SSHClientConnectionOptions) -> None:
    """What asyncssh.connect does, for a connection of our own class."""
    loop = asyncio.get_running_loop()
    options.waiter = loop.create_future()
    async with asyncio.timeout(CONNECT_SECONDS):
        _, connection = await loop.create_connection(
            lambda: TargetTransport(loop, options, wait="auth"), target.host, target.port
        )
    try:
        async with asyncio.timeout(LOGIN_SECONDS):
            await options.waiter
    except BaseException:
        connection.abort()
        raise


def _known_hosts(trust: HostTrust) -> object:
    if trust.known_hosts:
        try:
            return asyncssh.read_known_hosts(trust.known_hosts)
        except OSError as error:
            raise ValueError(f"{trust.known_hosts}: {error.strerror}") from error
    pinned = [asyncssh.import_public_key(line) for line in trust.pinned]
    authorities = [asyncssh.import_public_key(line) for line in trust.authorities]
    return (pinned, authorities, [])


def _sentence(target: Target, login: str, error: Exception) -> str:
    name = f"target {target.name}"
    match error:
        case asyncssh.HostKeyNotVerifiable():
            return (
                f"{name} showed a host key that this bastion does not trust, so nothing was sent; "
                "an operator must check the key and the target's configuration."
            )
        case asyncssh.PermissionDenied():
            return (
                f"{name} does not let the bastion in as {login}; an operator must check the "
                "account there and the credential or the trusted session CA."
            )
        case TimeoutError():
            return f"{name} did not answer in time; try again, or tell its operator."
        case ConnectionRefusedError():
            return f"{name} refused the connection; its SSH service is not running."
        case asyncssh.DisconnectError():
            said = visible(error.reason, limit=200)
            return f"{name} broke off the connection while logging in ({said})."
        case OSError():
            return f"{name} cannot be reached ({error.strerror or 'network error'})."
        case _:
            return (
                f"{name} cannot be dialled: its configuration here (known_hosts, credential) "
                "cannot be used; tell the bastion's operator."
            )
