"""Log in at the SSH prompt: keyboard-interactive shows the URL and the code, and waits."""

from __future__ import annotations

import asyncio
from typing import Final

from bastion.errors import IdentityError
from bastion.identity.claims import VerifiedClaims
from bastion.identity.login import PendingLogin
from bastion.model import Identity, visible
from bastion.policy.access import certificate_grant, roles_of
from bastion.ssh.services import Services

Challenge = bool | tuple[str, str, str, list[tuple[str, bool]]]

ROUND_SECONDS: Final = 20.0
"""After this long the prompt says that it still waits: the client shows it at once."""


def instructions(pending: PendingLogin) -> str:
    """What a person reads: where to go, what to check there."""
    lines = [*map(visible, pending.instructions), "Waiting for you there; ctrl-C ends it."]
    return "\r\n".join(lines) + "\r\n"


class LoginPrompt:
    """One login on one connection."""

    def __init__(self, services: Services, address: str) -> None:
        self._services = services
        self._address = address
        self._pending: PendingLogin | None = None
        self._waiting: asyncio.Task[VerifiedClaims] | None = None
        self._over = False
        self._in_round = False
        self.identity: Identity | None = None

    @property
    def waits(self) -> bool:
        """Whether the provider may still answer."""
        return not self._over and (self._waiting is None or not self._waiting.done())

    async def begin(self) -> Challenge:
        """Start at the provider and show where to go."""
        assert self._services.login is not None
        try:
            self._pending = await self._services.login.start(self._address)
        except IdentityError as error:
            return self._say_last(str(error))
        self._waiting = asyncio.get_running_loop().create_task(self._pending.wait())
        return ("bastion login", instructions(self._pending), "", [])

    async def go_on(self) -> Challenge:
        """Wait a round: True when logged in, False when it ended, else say that it still waits."""
        if self._over or self._waiting is None or self._pending is None or self._in_round:
            return False  # a client may answer many times at once; each would wait here
        self._in_round = True
        done, _ = await asyncio.wait({self._waiting}, timeout=ROUND_SECONDS)
        self._in_round = False
        if not done:
            left = max(0.0, self._pending.expires_at - self._services.clock())
            return ("", f"Still waiting for the login ({left:.0f} s left).\r\n", "", [])
        try:
            claims = self._waiting.result()
            self.identity = identity_of_login(self._services, claims, self._address)
        except IdentityError as error:
            self._note_refused(str(error))
            return self._say_last(str(error))
        return True

    def cancel(self) -> None:
        """The client left."""
        if self._waiting is not None:
            self._waiting.cancel()
        if self._pending is not None:
            self._pending.cancel()

    def _say_last(self, text: str) -> Challenge:
        self._over = True
        return ("", f"{visible(text)}\r\n", "", [])

    def _note_refused(self, reason: str) -> None:
        self._services.audit.append(
            "login-refused", self._services.clock(), address=self._address, reason=reason
        )


def identity_of_login(services: Services, claims: VerifiedClaims, address: str) -> Identity:
    """The identity of a finished login, for as long as the policy grants a certificate."""
    policy = services.policy()
    roles = roles_of(policy, claims.claims)
    held = services.access.of(f"{claims.issuer}#{claims.subject}")
    grant = certificate_grant(
        policy, claims.claims, roles, address, granted=[one.granted for one in held]
    )
    lifetime = min(grant.lifetime_seconds, services.max_lifetime)
    return Identity(
        issuer=claims.issuer,
        subject=claims.subject,
        name=claims.name,
        claims=claims.claims,
        roles=frozenset(roles),
        expires_at=services.clock() + lifetime,
        source_address=address,
    )
