"""A session binds an identity to its targets, and ends all it holds when its time is up."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import Protocol

import asyncssh

from bastion.errors import DialError, SecretUnavailable, StoreError
from bastion.events import EndReason
from bastion.model import (
    FileRequest,
    ForwardKind,
    ForwardRequest,
    Granted,
    Identity,
    QueryRequest,
    Request,
    Secret,
    Target,
)
from bastion.policy.access import environment_allowed, grant_for
from bastion.policy.approvals import Operator
from bastion.policy.decide import NO_GRANT, decide, decide_unmasked
from bastion.policy.masking import NO_TERMS, MaskTerms
from bastion.policy.requests import may_ask_on
from bastion.policy.rights import Subject
from bastion.policy.rules import Action, Verdict
from bastion.secrets.held import held
from bastion.ssh.drive import Drive
from bastion.ssh.services import Services
from bastion.store.access import AccessGrant
from bastion.store.feed import Happening
from bastion.tap.mask import Masking
from bastion.tap.scan import FileScanner
from bastion.tap.tail import Tail
from bastion.target.dial import Proof, TargetConnection, dial
from bastion.wire import control as wire

log = logging.getLogger(__name__)

SESSION_EXTENSIONS = frozenset(
    {
        "permit-pty",
        "permit-port-forwarding",
        "permit-agent-forwarding",
        "permit-X11-forwarding",
        "permit-user-rc",
    }
)
"""What the target may let the bastion do; what the person may do is the gate's to say."""


_EXTENSIONS = {
    ForwardKind.AGENT: "permit-agent-forwarding",
    ForwardKind.X11: "permit-X11-forwarding",
}


GRANT_OVER = "the time that your grant gives on this target is over."


class Line(Protocol):
    """The client's connection under a session."""

    def disconnect(self, text: str) -> None:
        """Say why and close."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a channel goes: a target, as a login."""

    target: Target
    login: str


@dataclass(slots=True)
class _Dialled:
    connection: TargetConnection
    secrets: tuple[Secret, ...]


@dataclass(eq=False)
class Session:
    """One authenticated connection of one identity (its `ssh -J` inner connections included)."""

    id: str
    own: Identity
    """Who logged in, fixed once; `identity` is the same with what it is granted at this moment."""
    services: Services
    line: Line
    client_address: str
    started_at: float
    forget: Callable[[Session, EndReason], None]
    drives: set[Drive] = field(default_factory=set)
    endings: set[Callable[[str], None]] = field(default_factory=set)
    ended: EndReason | None = None
    tails: dict[str, Tail] = field(default_factory=dict)
    """What each live channel has shown last, by the channel's id."""
    ended_tails: dict[str, Tail] = field(default_factory=dict)
    """The same of the channel that ended last."""
    relied_on: dict[str, AccessGrant] = field(default_factory=dict)
    """Every grant that a decision here may have stood on: what is not in force at the clock's next
    look has ended, also one that was given and taken back between two looks."""
    _channels: int = 0
    _dialled: dict[tuple[str, str, str], asyncio.Task[_Dialled]] = field(default_factory=dict)
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    _dropping: asyncio.Task[None] | None = None

    @property
    def identity(self) -> Identity:
        """Who this is, with what people granted to it for a time as it stands now."""
        grants = self.services.access.of(self.own.id)
        if not grants:
            return self.own
        self.relied_on.update((grant.id, grant) for grant in grants)
        return replace(self.own, granted=granted_by(grants))

    @property
    def operator(self) -> Operator:
        """What this identity is at the console: itself, and nothing of this machine."""
        identity = self.identity
        everywhere = {one.role for one in identity.granted if "*" in one.targets}
        roles = identity.roles | everywhere
        return Operator("", identity.name, roles, identity.id, agent=identity.agent)

    def happened(self, kind: wire.Event, target: str = "", /, **fields: object) -> None:
        """Tell whoever may see this session."""
        identity, at = self.own, self.services.clock()
        subject = Subject(identity.id, identity.roles, (target,) if target else ())
        told = {"session": self.id, "name": identity.name, **fields}
        self.services.feed.publish(Happening(kind.value, at, subject, told))

    def next_channel(self) -> str:
        """A new channel's id, unique in this session."""
        self._channels += 1
        return f"c{self._channels}"

    def at_end(self, ending: Callable[[str], None]) -> Callable[[], None]:
        """Call `ending` with the sentence when the session ends; gives the way out."""
        self.endings.add(ending)
        return lambda: self.endings.discard(ending)

    def verdict(self, place: Place, request: Request, *, clear: bool = False) -> Verdict:
        """Decide by the policy in force now; this identity never changes.

        `clear`: the output is to be shown with its secrets.
        """
        if isinstance(request, ForwardRequest):
            extension = _EXTENSIONS.get(request.kind, "permit-port-forwarding")
            if not self.permits(extension):
                reason = f"Your certificate does not carry {extension}."
                return Verdict(Action.DENY, "certificate", reason, "Log in again for another one.")
        policy, identity = self.services.policy(), self.identity
        clear = clear or (isinstance(request, QueryRequest) and request.clear)
        judge = decide_unmasked if clear and not isinstance(request, FileRequest) else decide
        verdict = judge(policy, identity, place.target, place.login, request)
        if verdict.rule == NO_GRANT and may_ask_on(policy, identity, place.target.name):
            ask = f"ssh bastion request {place.target.name} --reason '…'"
            return replace(verdict, hint=f"You may ask for access: {ask}")
        return verdict

    def permits(self, extension: str) -> bool:
        """Whether the certificate allows a standard extension; a login at the prompt has none."""
        certificate = self.identity.certificate
        return certificate is None or extension in certificate.extensions

    def wants_environment(self, place: Place, name: str) -> bool:
        """Whether a variable of the client may reach the target."""
        policy = self.services.policy()
        return environment_allowed(policy, self.identity, place.target, place.login, name)

    def note(self, kind: str, **fields: object) -> None:
        """An audit line of this session; what cannot be audited ends the session."""
        try:
            self.services.audit.append(
                kind, self.services.clock(), session=self.id, identity=self.identity.name, **fields
            )
        except StoreError as error:
            self.end(EndReason.RECORDING_FAILED, str(error))

    # --- targets ------------------------------------------------------------------------------

    async def connection_to(
        self, place: Place, agent_path: str = ""
    ) -> tuple[TargetConnection, tuple[Secret, ...]]:
        """The session's connection to a target's login, dialled when it is first needed."""
        key = (place.target.name, place.login, agent_path)
        task = self._dialled.get(key)
        if task is None or _is_gone(task):
            task = asyncio.get_running_loop().create_task(self._dial(place, agent_path))
            self._dialled[key] = task
        dialled = await asyncio.shield(task)
        return dialled.connection, dialled.secrets

    async def _dial(self, place: Place, agent_path: str) -> _Dialled:
        target = place.target
        try:
            proof, kept = await self._proof(place)
            connection = await dial(
                target,
                place.login,
                proof,
                accept_first=lambda key: self._accept_first(target, key),
                refused=lambda what: self.note(
                    "target-asked-for-more", target=target.name, refused=what
                ),
                agent_path=agent_path,
            )
        except (SecretUnavailable, StoreError) as error:
            raise DialError(f"target {target.name} cannot be dialled: {error}") from error
        except DialError as error:
            self.note("dial-failed", target=target.name, login=place.login, reason=str(error))
            raise
        if self.ended is not None:
            connection.close()
            raise DialError("the session ended while its target was dialled.")
        self.note("target-dialled", target=target.name, login=place.login)
        return _Dialled(connection, kept)

    async def _proof(self, place: Place) -> tuple[Proof, tuple[Secret, ...]]:
        credential = place.target.credential
        if credential.kind == "certificate":
            key = asyncssh.generate_private_key("ssh-ed25519")
            issued = self.services.authority.sign_session(
                key.convert_to_public(),
                login=place.login,
                target=place.target.name,
                session_id=self.id,
                name=self.identity.name,
                now=self.services.clock(),
                extensions=SESSION_EXTENSIONS,
            )
            return Proof(key=key, certificate=issued.certificate), ()
        secret = await self._stack.enter_async_context(held(credential.reference))
        self._stack.callback(self.services.masks.hold([secret]))
        if credential.kind == "password":
            return Proof(password=secret), (secret,)
        try:
            key = asyncssh.import_private_key(secret.reveal())
        except asyncssh.KeyImportError as error:
            raise SecretUnavailable(
                f"{credential.reference} does not hold an unencrypted private key."
            ) from error
        return Proof(key=key), (secret,)

    def _accept_first(self, target: Target, key: str) -> bool:
        trusted, new = self.services.first_use.accept(target.name, key)
        if new:
            self.note("host-key-trusted-on-first-use", target=target.name, key=key)
        return trusted

    # --- the end ------------------------------------------------------------------------------

    def end(self, reason: EndReason, text: str) -> None:
        """End every channel with a sentence, then the connection. Idempotent."""
        if self.ended is not None:
            return
        self.ended = reason
        for drive in tuple(self.drives):
            drive.end(reason, text)
        for ending in tuple(self.endings):
            ending(text)
        for task in self._dialled.values():
            task.add_done_callback(_close_dialled)
            task.cancel()
        self.line.disconnect(text)
        self._dropping = asyncio.get_running_loop().create_task(self._stack.aclose())
        self.forget(self, reason)


def _is_gone(task: asyncio.Task[_Dialled]) -> bool:
    if not task.done():
        return False
    if task.cancelled() or task.exception() is not None:
        return True
    return task.result().connection.lost.is_set()


def _close_dialled(task: asyncio.Task[_Dialled]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().connection.close()


def granted_by(grants: Iterable[AccessGrant]) -> tuple[Granted, ...]:
    """What these grants give together."""
    return tuple(grant.granted for grant in grants)


def locked(session: Session, target: str) -> str:
    """The sentence of the lock that holds this session (or its target), or ""."""
    identity = session.identity
    serial = identity.certificate.serial if identity.certificate else None
    lock = session.services.ledger.lock_on(
        identity, target, session.id, serial, session.services.clock()
    )
    if lock is None:
        return ""
    return f"{lock.kind} {lock.value} is locked: {lock.reason}"


def closed_to(session: Session, place: Place) -> str:
    """Why nothing new may be opened there now, or "": the clock looks only a few times a second."""
    if session.ended is not None or session.identity.expires_at <= session.services.clock():
        return "your access ended; log in again."
    deadline = deadline_of(session, place)
    if deadline is not None and deadline <= session.services.clock():
        return GRANT_OVER
    return locked(session, place.target.name)


def mask_terms(session: Session, place: Place) -> MaskTerms:
    """What the policy in force says of secrets in what this target sends to this identity."""
    policy = session.services.policy()
    features = grant_for(policy, session.identity, place.target, place.login)
    return NO_TERMS if features is None else features.mask


def masking_of(session: Session, place: Place, *, clear: bool = False) -> Masking:
    """The same, as the masker takes it; `clear` where people grant that secrets are shown."""
    return replace(session.services.masks.at(mask_terms(session, place)), clear=clear)


def file_scanner(session: Session, place: Place) -> FileScanner | None:
    """What looks at one copied file; None where the policy wants none looked at."""
    terms = mask_terms(session, place)
    if terms.files == "off":
        return None
    return FileScanner(session.services.masks.at(terms), blocks=terms.files == "block")


def deadline_of(session: Session, place: Place) -> float | None:
    """When the grant's own time on this target is over, seconds since the epoch."""
    policy = session.services.policy()
    features = grant_for(policy, session.identity, place.target, place.login)
    if features is None or features.deadline is None:
        return None
    return session.started_at + features.deadline
