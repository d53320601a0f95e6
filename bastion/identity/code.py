"""The authorization code flow with PKCE, through our own page.

    our page  /login/ID   the person compares the confirmation code with the terminal, presses
       │                  the button: the browser that did it is remembered by a cookie
       ▼
    provider              state, nonce and code challenge are made for this one trip
       │
       ▼
    our page  /callback   the same browser, a state used once, the right issuer (RFC 9207)

Why the button and the cookie: whoever begins a login knows its URL and could send it, or the
provider's URL behind it, to somebody else and become them. The first is stopped by the code that
the other has never seen, the second by the browser not being the one that pressed the button.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from bastion.errors import IdentityError, LoginExpired, LoginRefused
from bastion.identity.claims import VerifiedClaims
from bastion.identity.client import ProviderClient
from bastion.identity.profile import verified_claims
from bastion.model import visible

_ALPHABET: Final = "BCDFGHJKLMNPQRSTVWXZ"
"""RFC 8628 §6.1: no vowels, so no words; nothing that looks like a digit."""

_MAX_PARAMETER: Final = 4096
_OVER: Final = "This login is over or was never begun; start again in the terminal."


@dataclass(eq=False)
class CodeLogin:
    """One login on its way. `result` is set by the callback, or fails with an IdentityError."""

    id: str
    url: str
    confirmation: str
    client_address: str
    expires_at: float
    result: asyncio.Future[VerifiedClaims] = field(repr=False)
    browser: bytes = b""
    """SHA-256 of the cookie of the browser that confirmed."""
    state: str = field(default="", repr=False)
    nonce: str = field(default="", repr=False)
    verifier: str = field(default="", repr=False)


class UnknownLogin(LoginExpired):
    """No login by that name or state: never begun, finished, or over."""


class CodeFlow:
    """The logins that are on their way through browsers."""

    def __init__(self, client: ProviderClient, *, clock: Callable[[], float]) -> None:
        """Pages live under the settings' `public_url`."""
        self._client = client
        self._clock = clock
        self._public_url = client.settings.public_url.rstrip("/")
        self._form_key = secrets.token_bytes(32)
        self._by_id: dict[str, CodeLogin] = {}
        self._by_state: dict[str, CodeLogin] = {}

    @property
    def secure(self) -> bool:
        """True when browsers reach us by https, so that cookies can insist on it."""
        return self._public_url.startswith("https:")

    @property
    def redirect_uri(self) -> str:
        """What must be registered with the provider."""
        return f"{self._public_url}/callback"

    def start(self, client_address: str) -> CodeLogin:
        """Begin; how many there may be is the caller's to bound."""
        login_id = secrets.token_urlsafe(18)
        letters = "".join(secrets.choice(_ALPHABET) for _ in range(8))
        login = CodeLogin(
            id=login_id,
            url=f"{self._public_url}/login/{login_id}",
            confirmation=f"{letters[:4]}-{letters[4:]}",
            client_address=client_address,
            expires_at=self._clock() + self._client.settings.login_seconds,
            result=asyncio.get_running_loop().create_future(),
        )
        self._by_id[login_id] = login
        return login

    def forget(self, login: CodeLogin) -> None:
        """End a login, whatever became of it."""
        self._by_id.pop(login.id, None)
        self._by_state.pop(login.state, None)
        login.result.cancel()

    def find(self, login_id: str) -> CodeLogin:
        """The login of a page; UnknownLogin when there is none any more."""
        login = self._by_id.get(login_id)
        if login is None or login.expires_at <= self._clock() or login.result.done():
            raise UnknownLogin(_OVER)
        return login

    def form_token(self, login: CodeLogin, cookie: str) -> str:
        """What the page's form must send back: bound to the login and to this browser."""
        bound = f"{login.id} {cookie}".encode()
        return hmac.new(self._form_key, bound, hashlib.sha256).hexdigest()

    async def confirm(self, login: CodeLogin, cookie: str, token: str) -> str:
        """The button was pressed in the browser with `cookie`; gives the provider's URL.

        Each press makes a new trip; the one before is void.
        """
        expected = self.form_token(login, cookie)
        if not cookie or not hmac.compare_digest(expected.encode(), token.encode()):
            raise LoginRefused("The button was not pressed on our page; open the page again.")
        browser = hashlib.sha256(cookie.encode()).digest()
        if login.browser not in (b"", browser):
            raise LoginRefused("Another browser is at this login; start again in the terminal.")
        login.browser = browser
        self._by_state.pop(login.state, None)
        login.state, login.nonce = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        login.verifier = secrets.token_urlsafe(48)
        self._by_state[login.state] = login
        return await self._client.authorization_url(
            redirect_uri=self.redirect_uri,
            state=login.state,
            nonce=login.nonce,
            verifier=login.verifier,
        )

    async def callback(self, unverified: Mapping[str, str], cookie: str) -> VerifiedClaims:
        """The browser is back with these query parameters; used up whatever they say.

        The same IdentityError goes to the page and to whoever waits.
        """
        login = self._by_state.pop(unverified.get("state", ""), None)
        if login is None or login.result.done() or login.expires_at <= self._clock():
            raise UnknownLogin(_OVER)
        try:
            claims = await self._finish(login, unverified, cookie)
        except IdentityError as error:
            if not login.result.done():
                login.result.set_exception(error)
                login.result.exception()  # seen: nobody may be waiting any more
            raise
        if login.result.done():
            raise UnknownLogin("This login was given up in the terminal meanwhile.")
        login.result.set_result(claims)
        return claims

    async def _finish(
        self, login: CodeLogin, unverified: Mapping[str, str], cookie: str
    ) -> VerifiedClaims:
        if not hmac.compare_digest(hashlib.sha256(cookie.encode()).digest(), login.browser):
            raise LoginRefused(
                "The login was finished in another browser than the one that began it, so it "
                "does not count; if you did not begin it, somebody wanted to log in as you."
            )
        await self._check_issuer(unverified)
        if "error" in unverified:
            said = unverified.get("error_description") or unverified["error"]
            raise LoginRefused(f"The identity provider refused the login: {_shown(said)}.")
        authorization_code = unverified.get("code", "")
        if not 0 < len(authorization_code) <= _MAX_PARAMETER:
            raise LoginRefused("The identity provider sent no code; start again.")
        answer = await self._client.token(
            "authorization_code",
            {
                "code": authorization_code,
                "redirect_uri": self.redirect_uri,
                "code_verifier": login.verifier,
            },
        )
        if answer.error:
            raise LoginRefused(f"The identity provider refuses the code ({answer.error}).")
        return await verified_claims(
            self._client, answer.document, now=self._clock(), nonce=login.nonce
        )

    async def _check_issuer(self, unverified: Mapping[str, str]) -> None:
        """RFC 9207 §2.4: against mixing up two providers."""
        metadata = await self._client.provider.metadata()
        issuer = unverified.get("iss")
        if issuer != metadata.issuer and (issuer is not None or metadata.iss_parameter):
            raise LoginRefused("The answer came from another identity provider; start again.")


def _shown(unverified_text: str) -> str:
    return visible(unverified_text, limit=200).rstrip(".")
