"""A person's login, from the URL that is shown to the claims that were verified.

service = LoginService(settings)
pending = await service.start("203.0.113.9")
show(pending.instructions)
claims = await pending.wait()
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Literal

from bastion.errors import IdentityError, LoginExpired, LoginRefused
from bastion.identity import code, device
from bastion.identity.claims import VerifiedClaims
from bastion.identity.client import ProviderClient
from bastion.identity.profile import verified_claims
from bastion.identity.provider import ProviderMetadata
from bastion.identity.settings import ProviderSettings

MAX_PENDING: Final = 256
"""Anybody may begin a login without being known: each costs memory here and a poll there."""

MAX_PENDING_PER_ADDRESS: Final = 16


@dataclass(frozen=True, slots=True)
class _Begun:
    flow: Literal["device", "code"]
    url: str
    code: str
    complete_url: str
    expires_at: float
    finish: Callable[[], Awaitable[VerifiedClaims]]
    abandon: Callable[[], None]


class PendingLogin:
    """A login that somebody may finish in a browser until `expires_at` (seconds since the epoch).

    `flow` is `device`: the person enters `code` at `url`, or opens `complete_url`, which has it.
    Or `code`: the person opens `url`, a page of ours, compares `code`, and goes on from there.
    """

    def __init__(
        self, begun: _Begun, clock: Callable[[], float], release: Callable[[PendingLogin], None]
    ) -> None:
        """Made by `LoginService.start` alone."""
        self.flow = begun.flow
        self.url = begun.url
        self.code = begun.code
        self.complete_url = begun.complete_url
        self.expires_at = begun.expires_at
        self._finish = begun.finish
        self._abandon = begun.abandon
        self._clock = clock
        self._release: Callable[[PendingLogin], None] | None = release
        self._task: asyncio.Task[VerifiedClaims] | None = None

    @property
    def instructions(self) -> tuple[str, ...]:
        """What to tell the person, a line each, fit for a terminal."""
        if self.flow == "code":
            return (
                f"To log in, open this page:  {self.url}",
                f"and check that it shows:    {self.code}",
            )
        at_once = (f"or open, at once:    {self.complete_url}",) if self.complete_url else ()
        return (
            f"To log in, open:     {self.url}",
            f"and enter the code:  {self.code}",
            *at_once,
        )

    async def wait(self) -> VerifiedClaims:
        """Wait until the login is done; once only.

        LoginRefused, LoginExpired or ProviderDown say why there is none. Safe to cancel.
        """
        if self._release is None or self._task is not None:
            raise LoginRefused("This login was given up.")
        self._task = asyncio.ensure_future(self._finish())
        try:
            async with asyncio.timeout(max(0.0, self.expires_at - self._clock())):
                return await self._task
        except TimeoutError:
            raise LoginExpired("Nobody finished the login in time; try again.") from None
        except asyncio.CancelledError:
            if (waiting := asyncio.current_task()) and waiting.cancelling():
                raise
            raise LoginRefused("This login was given up.") from None
        finally:
            self.cancel()

    def cancel(self) -> None:
        """Give up, from any side, any number of times; a `wait` ends with LoginRefused."""
        if self._release is not None:
            self._release(self)
            self._release = None
            self._abandon()
        if self._task is not None:
            self._task.cancel()


class LoginService:
    """Begins logins with one provider; bounded, many at once."""

    def __init__(
        self, settings: ProviderSettings, *, clock: Callable[[], float] = time.time
    ) -> None:
        """Nothing is fetched before the first login. `clock` gives seconds since the epoch."""
        self.settings = settings
        self._clock = clock
        self._client = ProviderClient(settings)
        self.code_flow = code.CodeFlow(self._client, clock=clock)
        self._pending: dict[PendingLogin, str] = {}

    async def start(self, client_address: str) -> PendingLogin:
        """Begin a login for whoever sits at `client_address`, which the page shows.

        ProviderDown, LoginRefused or IdentityError (too many at once) say why not.
        """
        self._forget_expired()
        network = _network(client_address)
        self._check_room(network)
        uses_device = self._uses_device(await self._client.provider.metadata())
        begun = await self._start_device() if uses_device else self._start_code(client_address)
        try:
            self._check_room(network)  # others may have begun meanwhile
        except IdentityError:
            begun.abandon()
            raise
        pending = PendingLogin(begun, self._clock, self._release)
        self._pending[pending] = network
        return pending

    async def close(self) -> None:
        """Give all logins up and close the connections."""
        for pending in tuple(self._pending):
            pending.cancel()
        await self._client.close()

    def _release(self, pending: PendingLogin) -> None:
        self._pending.pop(pending, None)

    def _uses_device(self, metadata: ProviderMetadata) -> bool:
        offered = bool(metadata.device_authorization_endpoint)
        if self.settings.flow == "device" and not offered:
            raise LoginRefused(
                "The identity provider has no device login; the operator should set `flow: code`."
            )
        if self.settings.flow == "code" or not offered:
            if not self.settings.public_url:
                raise LoginRefused(
                    "The identity provider needs a login page of ours, and none is configured; "
                    "the operator should set `public_url`."
                )
            return False
        return True

    async def _start_device(self) -> _Begun:
        authorization = await device.authorize(self._client)
        now = self._clock()

        async def finish() -> VerifiedClaims:
            unverified = await device.poll(self._client, authorization)
            return await verified_claims(self._client, unverified, now=self._clock(), nonce=None)

        return _Begun(
            flow="device",
            url=authorization.verification_uri,
            code=authorization.user_code,
            complete_url=authorization.verification_uri_complete,
            expires_at=now + min(authorization.expires_in, self.settings.login_seconds),
            finish=finish,
            abandon=lambda: None,
        )

    def _start_code(self, client_address: str) -> _Begun:
        login = self.code_flow.start(client_address)

        async def finish() -> VerifiedClaims:
            return await login.result

        return _Begun(
            flow="code",
            url=login.url,
            code=login.confirmation,
            complete_url="",
            expires_at=login.expires_at,
            finish=finish,
            abandon=lambda: self.code_flow.forget(login),
        )

    def _check_room(self, network: str) -> None:
        waiting = Counter(self._pending.values())
        if waiting[network] >= MAX_PENDING_PER_ADDRESS or waiting.total() >= MAX_PENDING:
            raise IdentityError("Too many logins are waiting; finish one, or try again later.")

    def _forget_expired(self) -> None:
        now = self._clock()
        for pending in [p for p in self._pending if p.expires_at <= now]:
            pending.cancel()


def _network(client_address: str) -> str:
    """What is counted as one client: an IPv4 address, or an IPv6 /64, which one person has."""
    try:
        address = ipaddress.ip_address(client_address.partition("%")[0])
    except ValueError:
        return client_address
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    return str(address.ipv4_mapped or ipaddress.ip_network((address, 64), strict=False))
