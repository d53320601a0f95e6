"""`ssh login@bastion`: log in, and print the certificate for the key that just signed.

The key was proven by its signature, so nobody can have another's key certified; but until the
login is finished the connection is nobody's, and may open nothing else.
"""

from __future__ import annotations

import asyncio
import secrets

import asyncssh

from bastion.errors import BastionError, IdentityError
from bastion.identity.claims import VerifiedClaims
from bastion.model import EXIT_REFUSED, Identity, visible
from bastion.policy.access import certificate_grant, roles_of
from bastion.ssh.login_prompt import instructions
from bastion.ssh.services import Services
from bastion.store.access import access_text


class LoginChannel(asyncssh.SSHServerSession[bytes]):
    """Whatever is asked for on this channel, the answer is a certificate."""

    def __init__(self, services: Services, key: asyncssh.SSHKey, address: str) -> None:
        self._services = services
        self._key = key
        self._address = address
        self._chan: asyncssh.SSHServerChannel[bytes] | None = None
        self._task: asyncio.Task[None] | None = None
        self._pty = False

    def connection_made(self, chan: asyncssh.SSHServerChannel[bytes]) -> None:
        """The channel is open."""
        self._chan = chan

    def requested(self, name: str) -> None:
        """Audited with the login itself."""

    def awaits_exit(self) -> bool:
        """A client that closes has given the login up."""
        return False

    def nobody_reads(self) -> None:
        """The certificate is one line."""

    async def permit_agent(self) -> bool:
        """Nobody yet, so nothing yet."""
        return False

    async def permit_x11(self, single: bool) -> bool:
        """Nobody yet, so nothing yet."""
        return False

    def pty_requested(self, term_type: str, term_size: object, term_modes: object) -> bool:
        """A terminal only changes the line ends."""
        self._pty = True
        return True

    def shell_requested(self) -> bool:
        """`ssh login@bastion`."""
        return True

    def exec_requested(self, command: str) -> bool:
        """`ssh login@bastion certificate`: scripts may say it in words."""
        return True

    def session_started(self) -> None:
        """Begin the login."""
        self._task = asyncio.get_running_loop().create_task(self._log_in())

    def data_received(self, data: bytes, datatype: int | None) -> None:
        """Ctrl-C on a terminal; a login asks for nothing else here."""
        if self._pty and b"\x03" in data:
            self._end("the login was given up.")

    def eof_received(self) -> bool:
        """The client only listens."""
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """The client left."""
        self._chan = None
        if self._task is not None:
            self._task.cancel()

    async def _log_in(self) -> None:
        login = self._services.login
        try:
            if login is None:
                raise IdentityError("this bastion has no identity provider; ask its operators.")
            pending = await login.start(self._address)
            try:
                self._write(instructions(pending).replace("\r\n", self._newline()), stderr=True)
                claims = await pending.wait()
            finally:
                pending.cancel()
            line = self._certify(claims)
        except BastionError as error:
            self._end(str(error))
            return
        self._write(line + self._newline())
        if self._chan is not None:
            self._chan.exit(0)

    def _certify(self, claims: VerifiedClaims) -> str:
        services, now = self._services, self._services.clock()
        policy = services.policy()
        roles = roles_of(policy, claims.claims)
        held = services.access.of(f"{claims.issuer}#{claims.subject}")
        grant = certificate_grant(
            policy, claims.claims, roles, self._address, granted=[one.granted for one in held]
        )
        session_id = secrets.token_hex(8)
        issued = services.authority.sign_user(
            self._key, grant, claims, session_id=session_id, now=now, access=access_text(held)
        )
        identity = Identity(
            claims.issuer, claims.subject, claims.name, claims.claims, frozenset(roles)
        )
        services.audit.append(
            "certificate-issued",
            now,
            identity=claims.name,
            subject=identity.id,
            address=self._address,
            serial=issued.facts.serial,
            key_id=issued.facts.key_id,
            principals=list(issued.facts.principals),
            valid_before=issued.facts.valid_before,
            key=self._key.get_fingerprint(),
        )
        services.ledger.certificate_issued(issued.facts, identity, session_id, now)
        seconds = issued.facts.valid_before - int(now)
        told = (
            f"logged in as {claims.name} ({', '.join(sorted(roles))}); "
            f"the certificate is good for {seconds // 60} min {seconds % 60} s."
        )
        self._write(f"bastion: {visible(told)}{self._newline()}", stderr=True)
        return issued.line

    def _newline(self) -> str:
        return "\r\n" if self._pty else "\n"

    def _write(self, text: str, *, stderr: bool = False) -> None:
        if self._chan is not None:
            kind = asyncssh.EXTENDED_DATA_STDERR if stderr else None
            self._chan.write(text.encode(), kind)

    def _end(self, text: str) -> None:
        self._write(f"bastion: {visible(text)}{self._newline()}", stderr=True)
        if self._chan is not None:
            self._chan.exit(EXIT_REFUSED)
