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

from bastion.errors import DialError
from bastion.model import HostTrust, Secret, Target

CONNECT_SECONDS: Final = 15.0
LOGIN_SECONDS: Final = 30.0
KEEPALIVE_SECONDS: Final = 15.0
"""A target that vanishes without a word is noticed after three of these."""

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


class TargetConnection(asyncssh.SSHClient):
    """One authenticated connection to a target, shared by a session's channels."""

    def __init__(self, accept_first: Callable[[str], bool]) -> None:
        self._accept_first = accept_first
        self._stalled_listeners: set[Callable[[bool], None]] = set()
        self.connection: asyncssh.SSHClientConnection | None = None
        self.stalled = False
        self.lost = asyncio.Event()

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        """Listen to the transport's back-pressure, which asyncssh leaves to whoever cares."""
        self.connection = conn
        conn.pause_writing = lambda: self._set_stalled(True)  # type: ignore[method-assign]
        conn.resume_writing = lambda: self._set_stalled(False)  # type: ignore[method-assign]

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

    def watch(self, listener: Callable[[bool], None]) -> Callable[[], None]:
        """Tell `listener` when the target stops or starts taking bytes; gives the way out."""
        self._stalled_listeners.add(listener)
        return lambda: self._stalled_listeners.discard(listener)

    def _set_stalled(self, stalled: bool) -> None:
        self.stalled = stalled
        for listener in tuple(self._stalled_listeners):
            listener(stalled)


async def dial(
    target: Target,
    login: str,
    proof: Proof,
    *,
    accept_first: Callable[[str], bool],
    agent_path: str = "",
) -> TargetConnection:
    """Connect and log in. `accept_first` sees an unknown key as an OpenSSH public-key line."""
    client = TargetConnection(accept_first if target.trust.first_use else lambda _key: False)
    keys: list[object] = []
    if proof.key is not None:
        keys = [(proof.key, proof.certificate)] if proof.certificate else [proof.key]
    try:
        await asyncio.wait_for(
            asyncssh.connect(
                target.host,
                target.port,
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
                connect_timeout=CONNECT_SECONDS,
                login_timeout=LOGIN_SECONDS,
                keepalive_interval=KEEPALIVE_SECONDS,
            ),
            CONNECT_SECONDS + LOGIN_SECONDS,
        )
    except (OSError, asyncssh.Error, ValueError, TimeoutError) as error:
        raise DialError(_sentence(target, login, error)) from error
    return client


def _known_hosts(trust: HostTrust) -> object:
    if trust.known_hosts:
        return trust.known_hosts
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
            return f"{name} broke off the connection while logging in."
        case OSError():
            return f"{name} cannot be reached ({error.strerror or 'network error'})."
        case _:
            return f"{name} cannot be dialled: its configuration or answer makes no sense."
