"""What the listener needs of the other rooms, gathered once by the composition root."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import asyncssh

from bastion.errors import ControlError
from bastion.identity.ca import Authority
from bastion.identity.login import LoginService
from bastion.model import Target
from bastion.policy.approvals import Operator
from bastion.policy.rules import Policy
from bastion.ssh.admission import Admission
from bastion.ssh.cancels import Cancels
from bastion.store.access import AccessGrants
from bastion.store.approvals import Approvals
from bastion.store.audit import AuditLog
from bastion.store.feed import Feed
from bastion.store.first_use import FirstUse
from bastion.store.ledger import Ledger
from bastion.store.recordings import Recordings
from bastion.tap.masks import Masks
from bastion.target.sql_reader import SqlReader
from bastion.wire import control as wire


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the listener; seconds and counts."""

    handshake_seconds: float = 30.0
    """From accept to authentication, while no login at the prompt is under way."""
    sessions: int = 2000
    sessions_per_identity: int = 200
    channels_per_session: int = 64
    auth_tries: int = 16
    """Authentication requests of one connection: a key that is offered and signs makes two."""


class Clock(Protocol):
    """Seconds since the epoch."""

    def __call__(self) -> float: ...


class Desk(Protocol):
    """The control service, for those who come over SSH: they get what the socket gives, and are
    the operator that their identity makes of them."""

    def answer(self, operator: Operator, call: wire.AnyCall) -> object:
        """Answer one call; BastionError says why not. Audited."""

    def attach(self, operator: Callable[[], Operator]) -> socket.socket:
        """Serve a connection of its own; gives the other end, for whoever owns it to close."""


class NoDesk:
    """Before the control service runs, and where there is none."""

    def answer(self, operator: Operator, call: wire.AnyCall) -> object:
        """Nobody is there to answer."""
        raise ControlError("The bastion is not ready for this yet; try again.")

    def attach(self, operator: Callable[[], Operator]) -> socket.socket:
        """Nor to be connected to."""
        raise ControlError("The bastion is not ready for this yet; try again.")


@dataclass(slots=True)
class DeskLink:
    """Where the control service is put once it exists: it needs the sessions, which need this."""

    desk: Desk = field(default_factory=NoDesk)


@dataclass(slots=True)
class Tally:
    """What is too frequent to stand in the audit, counted for the metrics."""

    queries: int = 0
    """Statements that databases' sessions were given."""


@dataclass(frozen=True, slots=True)
class Services:
    """Everything a connection, session or channel may call."""

    clock: Clock
    policy: Callable[[], Policy]
    targets: Mapping[str, Target]
    authority: Authority
    login: LoginService | None
    ledger: Ledger
    audit: AuditLog
    recordings: Recordings
    approvals: Approvals
    access: AccessGrants
    feed: Feed
    link: DeskLink
    first_use: FirstUse
    admission: Admission
    host_key: asyncssh.SSHKey
    names: tuple[str, ...]
    """What the bastion's own host certificate is for."""
    ciphers: tuple[str, ...]
    """Instead of the default ones; empty for those."""
    max_lifetime: float
    x11_authority_path: str
    masks: Masks
    history: Path
    """The folder of what people typed at gated prompts."""
    sql_reader: SqlReader = field(default_factory=SqlReader)
    cancels: Cancels = field(default_factory=Cancels)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    """What is still to be done at databases: cancel requests, roles to drop."""
    limits: Limits = field(default_factory=Limits)
    tally: Tally = field(default_factory=Tally)
