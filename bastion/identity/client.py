"""This bastion as an OAuth client: it names and proves itself at the provider's endpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

import httpx2
from authlib.integrations.httpx_client import OAuth2ClientAuth
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge

from bastion.errors import ProviderDown
from bastion.identity import fetch
from bastion.identity.provider import Provider, ProviderMetadata
from bastion.identity.settings import ProviderSettings
from bastion.model import visible

_MAX_ERROR: Final = 80
_CLIENT_ERRORS: Final = range(400, 500)
_TOO_MANY_REQUESTS: Final = 429

TOKEN_SECONDS: Final = 40.0
"""For an answer of the token endpoint. A code is used once: whoever hangs up on a slow provider has
used it all the same, and the login is lost."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What an endpoint said: a document, or an error code (RFC 6749 §5.2) fit to be shown."""

    error: str
    document: Mapping[str, object] = field(repr=False)


class ProviderClient:
    """One bounded HTTP client, the provider behind it, and our credentials there."""

    def __init__(self, settings: ProviderSettings) -> None:
        """Nothing is sent yet."""
        self.settings = settings
        self._http = httpx2.AsyncClient(
            transport=fetch.transport(settings.ca_file),
            timeout=fetch.TIMEOUT,
            follow_redirects=False,
        )
        self.provider = Provider(settings.issuer, self._http)

    @property
    def scope(self) -> str:
        """Scopes as they go over the wire; `openid` is always among them."""
        return " ".join(dict.fromkeys(("openid", *self.settings.scopes)))

    async def post(
        self, url: str, fields: Mapping[str, str], what: str, seconds: float | None = None
    ) -> Answer:
        """POST a form with our credentials; ProviderDown unless the answer is OAuth's."""
        metadata = await self.provider.metadata()
        async with fetch.provider_errors(what, seconds):
            response = await self._http.post(
                url,
                data=dict(fields),
                auth=self._auth(metadata),
                headers={"accept": "application/json"},
                timeout=seconds or fetch.TIMEOUT,
            )
        if response.status_code in _CLIENT_ERRORS and response.status_code != _TOO_MANY_REQUESTS:
            return Answer(_error_code(response), {})
        return Answer("", fetch.json_object(response, what))

    async def token(self, grant_type: str, fields: Mapping[str, str]) -> Answer:
        """Ask the token endpoint."""
        metadata = await self.provider.metadata()
        form = {"grant_type": grant_type, **fields}
        return await self.post(metadata.token_endpoint, form, "token endpoint", TOKEN_SECONDS)

    async def userinfo(self, access_token: str) -> Mapping[str, object]:
        """What the userinfo endpoint says of the token's owner; empty where there is none."""
        metadata = await self.provider.metadata()
        if not metadata.userinfo_endpoint or not access_token.isprintable():
            return {}
        headers = {"authorization": f"Bearer {access_token}"}
        return await fetch.get_json(self._http, metadata.userinfo_endpoint, "userinfo", headers)

    async def authorization_url(
        self, *, redirect_uri: str, state: str, nonce: str, verifier: str
    ) -> str:
        """Where a browser is sent for the code flow, with PKCE S256."""
        metadata = await self.provider.metadata()
        return str(
            prepare_grant_uri(
                metadata.authorization_endpoint,
                client_id=self.settings.client_id,
                response_type="code",
                redirect_uri=redirect_uri,
                scope=self.scope,
                state=state,
                nonce=nonce,
                code_challenge=create_s256_code_challenge(verifier),
                code_challenge_method="S256",
            )
        )

    def _auth(self, metadata: ProviderMetadata) -> httpx2.Auth:
        client_id, secret = self.settings.client_id, self.settings.client_secret
        if secret is None:
            method, shown = "none", ""
        elif "client_secret_basic" in metadata.token_auth_methods:
            # RFC 6749 §2.3.1: both are form-encoded first.
            method, client_id = "client_secret_basic", quote(client_id, safe="")
            shown = quote(secret.reveal().decode(), safe="")
        else:
            method, shown = "client_secret_post", secret.reveal().decode()
        auth = OAuth2ClientAuth(client_id, shown, method)
        assert isinstance(auth, httpx2.Auth)
        return auth

    async def close(self) -> None:
        """Let go of the connections."""
        await self._http.aclose()


def _error_code(response: httpx2.Response) -> str:
    """The OAuth error code of a refusal; ProviderDown when it has none."""
    error: object = None
    if "json" in response.headers.get("content-type", ""):
        error = fetch.read_object(response.content).get("error")
    if not isinstance(error, str) or not error:
        raise ProviderDown(
            f"The identity provider answered {response.status_code} without saying why; "
            "tell the operator."
        )
    return visible(error, limit=_MAX_ERROR)
