"""Translate one client connection: who is it (authentication), and what does it open."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import asyncssh

from bastion.errors import BastionError, IdentityError, StoreError
from bastion.events import EndReason
from bastion.identity.certificates import VerifiedCertificate, address_allowed, read_certificate
from bastion.model import ForwardKind, ForwardRequest, Identity, Target, TargetKind, visible
from bastion.policy.access import roles_of
from bastion.ssh import forward
from bastion.ssh.channel import ClientChannel
from bastion.ssh.connection import BastionConnection, new_channel
from bastion.ssh.forward_side import Origin
from bastion.ssh.login_channel import LoginChannel
from bastion.ssh.login_prompt import Challenge, LoginPrompt
from bastion.ssh.menu import MenuChannel
from bastion.ssh.services import Services
from bastion.ssh.session import Place, Session
from bastion.ssh.sessions import Sessions

log = logging.getLogger(__name__)

LOGIN_NAME = "login"
"""The user name that logs in and gets a certificate printed."""

LOGIN_CHANNELS = 2
"""Channels of a connection that only logs in: each may start a login at the provider."""


@dataclass(frozen=True, slots=True)
class Destination:
    """What the SSH user name asks for: `LOGIN@TARGET`, `LOGIN%TARGET`, `login`, or a bare name."""

    login: str = ""
    target: str = ""

    @classmethod
    def parse(cls, username: str) -> Destination:
        """The last @ or % divides; a name without either asks for the bastion itself."""
        cut = max(username.rfind("@"), username.rfind("%"))
        if cut < 0:
            return cls(login=username)
        return cls(login=username[:cut], target=username[cut + 1 :])

    @property
    def logs_in(self) -> bool:
        """Asks for a certificate."""
        return not self.target and self.login == LOGIN_NAME


class BastionServer(asyncssh.SSHServer):
    """asyncssh's callbacks for one connection. Identity is fixed once, in `auth_completed`."""

    def __init__(
        self,
        services: Services,
        sessions: Sessions,
        *,
        inner: Session | None = None,
        target: Target | None = None,
    ) -> None:
        self._services = services
        self._sessions = sessions
        self._inner = inner
        self._inner_target = target
        self._conn: BastionConnection | None = None
        self._address = ""
        self._admitted = False
        self._tried = False
        self._known = False
        """A login given up at the prompt, or a certificate of ours that ran out, is no guess."""
        self._destination = Destination()
        self._prompt: LoginPrompt | None = None
        self._session: Session | None = inner
        self._login_key: asyncssh.SSHKey | None = None
        self._handshake: asyncio.TimerHandle | None = None
        self._not_at_end: Callable[[], None] = lambda: None
        self.auth_tries = services.limits.auth_tries

    # --- the connection -------------------------------------------------------------------------

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        """Count it in, or say why not and close; start the handshake's deadline."""
        assert isinstance(conn, BastionConnection)
        self._conn = conn
        if self._inner is not None:
            self._address = self._inner.client_address
            self._not_at_end = self._inner.at_end(self._inner_ended)
            return
        peer = conn.get_extra_info("peername")
        self._address = str(peer[0]) if peer else "unknown"
        services = self._services
        refused = services.admission.admit(self._address, services.clock(), self._make_room)
        if refused:
            self._note("connection-refused", address=self._address, reason=refused)
            transport = conn._transport  # noqa: SLF001
            transport.write(f"bastion: {refused}\r\n".encode())
            conn.abort()
            return
        self._admitted = True
        self._note("connection", address=self._address)
        self._set_handshake_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Count it out; a session ends with its connection."""
        self._settle(authenticated=False)
        self._not_at_end()
        if self._prompt is not None:
            self._prompt.cancel()
        if exc is not None and not isinstance(exc, OSError | asyncssh.ConnectionLost):
            self.note("connection-fault", reason=_why(exc))
        if self._inner is not None:
            return
        if self._session is not None:
            self._session.end(EndReason.CLIENT_LEFT, "")
        elif self._tried and self._login_key is None:
            self._note("auth-failed", address=self._address, reason=_why(exc))

    def disconnect(self, text: str) -> None:
        """Close, saying why (a session's `line`)."""
        if self._conn is not None:
            self._conn.part(visible(text, limit=400) or "Goodbye")

    def note(self, kind: str, **fields: object) -> None:
        """An audit line of this connection, under its session where there is one."""
        if self._session is not None:
            self._session.note(kind, **fields)
        else:
            self._note(kind, address=self._address, **fields)

    def _note(self, kind: str, **fields: object) -> None:
        try:
            self._services.audit.append(kind, self._services.clock(), **fields)
        except StoreError as error:
            log.error("%s", error)
            if self._conn is not None:
                self._conn.abort()

    def _settle(self, *, authenticated: bool) -> None:
        if self._handshake is not None:
            self._handshake.cancel()
            self._handshake = None
        if self._admitted:
            self._admitted = False
            self._services.admission.settle(
                self._address,
                self._services.clock(),
                self._make_room,
                authenticated=authenticated,
                tried=self._tried and not self._known,
            )

    def _set_handshake_timer(self) -> None:
        seconds = self._services.limits.handshake_seconds
        loop = asyncio.get_running_loop()
        self._handshake = loop.call_later(seconds, self._handshake_expired)

    def _handshake_expired(self) -> None:
        """A login at the prompt has its own, longer deadline; when it is over, this one is back."""
        if self._prompt is not None and self._prompt.waits:
            self._set_handshake_timer()
            return
        self._handshake = None
        if self._conn is not None:
            self._note("handshake-expired", address=self._address)
            self._conn.abort()

    def _make_room(self) -> None:
        """Dropped for somebody who came later (see Admission)."""
        if self._conn is not None:
            self._note("connection-dropped", address=self._address, reason="too many wait")
            self._conn.abort()

    def _inner_ended(self, text: str) -> None:
        self.disconnect(text)

    # --- who ------------------------------------------------------------------------------------

    def begin_auth(self, username: str) -> bool:
        """An inner connection inherits the outer identity; everybody else authenticates."""
        if self._inner is not None:
            self._destination = Destination(login=username)
            return False
        self._destination = Destination.parse(username)
        self._tried = True
        return True

    def public_key_auth_supported(self) -> bool:
        """Certificates, and the key that a certificate is asked for."""
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        """A bare key gets nothing but the login channel, whose certificate it asks for."""
        return self._destination.logs_in

    def judge_certificate(self, cert: asyncssh.SSHCertificate) -> VerifiedCertificate | None:
        """Everything about a certificate but its holder's signature."""
        if self._destination.logs_in:
            return None  # whoever asks for a new certificate proves the key, not the old one
        services = self._services
        now = services.clock()
        trusted: tuple[asyncssh.SSHKey, ...] = ()
        try:
            trusted = services.authority.trusted_user_keys(now)
            verified = read_certificate(cert, trusted=trusted, now=now)
            if not address_allowed(verified.facts, self._address):
                raise IdentityError(f"this certificate may not be used from {self._address}.")
            if services.ledger.is_revoked(verified.facts.serial):
                raise IdentityError("this certificate was revoked.")
        except (IdentityError, StoreError) as error:
            signer = getattr(cert, "signing_key", None)
            self._known = self._known or any(
                signer is not None and key.public_data == signer.public_data for key in trusted
            )
            self._note("certificate-refused", address=self._address, reason=str(error))
            return None
        return verified

    def kbdint_auth_supported(self) -> bool:
        """The login at the prompt, wherever there is a provider."""
        return self._services.login is not None and not self._destination.logs_in

    async def get_kbdint_challenge(self, username: str, lang: str, submethods: str) -> Challenge:
        """Begin a login at the prompt."""
        if self._services.login is None or self._prompt is not None:
            return False
        self._prompt = LoginPrompt(self._services, self._address)
        self._known = True
        return await self._prompt.begin()

    async def validate_kbdint_response(self, username: str, responses: Sequence[str]) -> Challenge:
        """The client showed the prompt; wait for the provider."""
        if self._prompt is None:
            return False
        return await self._prompt.go_on()

    def auth_completed(self) -> None:
        """Fix the identity, once, and begin the session."""
        if self._inner is not None or self._conn is None:
            return
        proven = self._conn.proven
        identity: Identity | None = None
        if isinstance(proven, VerifiedCertificate):
            identity = self._identity_of_certificate(proven)
        elif self._prompt is not None and self._prompt.identity is not None:
            identity = self._prompt.identity
        elif isinstance(proven, asyncssh.SSHKey) and self._destination.logs_in:
            self._login_key = proven
            self._settle(authenticated=True)
            return
        self._settle(authenticated=identity is not None)
        if identity is None:
            self.disconnect("not logged in")
            return
        try:
            self._session = self._sessions.begin(
                identity,
                self,
                self._address,
                str(self._conn.get_extra_info("client_version", "")),
                "certificate" if identity.certificate else "login",
            )
        except (BastionError, StoreError) as error:
            self._note("session-refused", address=self._address, reason=str(error))
            self.disconnect(str(error))

    def _identity_of_certificate(self, verified: VerifiedCertificate) -> Identity:
        claims, facts = verified.claims, verified.facts
        roles = roles_of(self._services.policy(), claims.claims) & set(facts.principals)
        return Identity(
            issuer=claims.issuer,
            subject=claims.subject,
            name=claims.name,
            claims=claims.claims,
            roles=frozenset(roles),
            expires_at=float(facts.valid_before),
            source_address=self._address,
            agent=verified.agent,
            branch=verified.branch,
            certificate=facts,
        )

    def no_room(self) -> str:
        """Why no further channel may be opened, or "": counted whether or not it asks anything."""
        limit = self._services.limits.channels_per_session
        if self._login_key is not None:
            limit = LOGIN_CHANNELS
        drives = len(self._session.drives) if self._session is not None else 0
        if self._conn is None or max(self._conn.channel_count, drives) >= limit:
            return "too many channels in this session"
        return ""

    # --- what -----------------------------------------------------------------------------------

    def session_requested(self) -> Any:
        """A session channel: the login, the bastion's own commands, or a target."""
        assert self._conn is not None
        channel = new_channel(self._conn)
        if self._login_key is not None:
            return channel, LoginChannel(self._services, self._login_key, self._address)
        session = self._session
        if session is None or session.ended is not None:
            return False
        name = self._inner_target.name if self._inner_target else self._destination.target
        if not name:
            return channel, MenuChannel(session, self._conn)
        target = self._services.targets.get(name)
        if target is None or target.kind is not TargetKind.SSH:
            target = Target(name=name, kind=TargetKind.SSH if target is None else target.kind)
        return channel, ClientChannel(session, self._conn, Place(target, self._destination.login))

    def connection_requested(
        self, dest_host: str, dest_port: int, orig_host: str, orig_port: int
    ) -> Any:
        """direct-tcpip: `ssh -J` to a target, or a forward that policy must grant."""
        request = ForwardRequest(ForwardKind.DIRECT_TCPIP, dest_host, dest_port)
        return forward.open_direct(self._forward_from(), request)

    def unix_connection_requested(self, dest_path: str) -> Any:
        """direct-streamlocal."""
        request = ForwardRequest(ForwardKind.DIRECT_STREAMLOCAL, dest_path)
        return forward.open_direct(self._forward_from(), request)

    def server_requested(self, listen_host: str, listen_port: int) -> Any:
        """`ssh -R`."""
        if self._session is None:
            return False
        request = ForwardRequest(ForwardKind.TCPIP_FORWARD, listen_host, listen_port)
        return forward.listen_on_target(self._forward_from(), request)

    def unix_server_requested(self, listen_path: str) -> Any:
        """`ssh -R` of a Unix socket."""
        if self._session is None:
            return False
        request = ForwardRequest(ForwardKind.STREAMLOCAL_FORWARD, listen_path)
        return forward.listen_on_target(self._forward_from(), request)

    def tun_requested(self, unit: int | None) -> bool:
        """Layer-3 tunnels are never granted."""
        self.note("forward-refused", forward="tun", reason="tunnels are not supported")
        return False

    def tap_requested(self, unit: int | None) -> bool:
        """Nor layer-2 tunnels."""
        return self.tun_requested(unit)

    def _forward_from(self) -> Origin:
        assert self._conn is not None
        if self._session is None or self._session.ended is not None:
            raise asyncssh.ChannelOpenError(
                asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED, "log in first"
            )
        target = self._inner_target or self._services.targets.get(self._destination.target)
        place = Place(target, self._destination.login) if target else None
        session = self._session

        def inner(target: Target) -> asyncssh.SSHServer:
            return BastionServer(self._services, self._sessions, inner=session, target=target)

        return Origin(self._services, session, self._conn, place, inner)


def _why(error: Exception | None) -> str:
    return visible(str(error), limit=200) if error else "the client left"
