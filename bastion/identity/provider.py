"""What a provider says about itself: its discovery document and its keys, fetched and cached."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import httpx2
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, Key

from bastion.errors import ProviderDown
from bastion.identity import fetch

CACHE_SECONDS: Final = 3600
"""A key the provider has withdrawn is believed at most this long."""

REFETCH_SECONDS: Final = 30
"""Between two fetches for unknown keys: a flood of forged tokens must not become a flood of
requests to the provider."""

FAILURE_SECONDS: Final = 2.0
"""A provider that did not answer is not asked again before this."""

MAX_URL: Final = 2048
MAX_KEYS: Final = 64
_PUBLIC_KINDS: Final = frozenset({"RSA", "EC", "OKP"})


@dataclass(frozen=True, slots=True)
class ProviderMetadata:
    """The parts of a discovery document that are used, checked."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    device_authorization_endpoint: str
    """Empty where the provider has no device grant."""
    userinfo_endpoint: str
    """Empty where it has none."""
    token_auth_methods: tuple[str, ...]
    iss_parameter: bool
    """RFC 9207: the provider always sends `iss` back to the callback page."""


def is_loopback(url: str) -> bool:
    """True for hosts that are this machine by their very spelling."""
    try:
        host = httpx2.URL(url).host
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except (httpx2.InvalidURL, ValueError):
        return False


def checked_url(url: object, *, plain_loopback: bool, what: str) -> str:
    """Return `url` if it is https, or http on loopback where that is allowed; else ProviderDown.

    Some of these are written to terminals and opened by browsers: printable ASCII, and nothing
    that two parsers read differently.
    """
    if isinstance(url, str) and _is_plain(url):
        try:
            parts = httpx2.URL(url)
        except httpx2.InvalidURL:
            parts = httpx2.URL("")
        plain = parts.scheme == "http" and plain_loopback and is_loopback(url)
        if (parts.scheme == "https" or plain) and parts.host and not parts.userinfo:
            return url
    raise ProviderDown(f"The identity provider's {what} is not an https URL; tell the operator.")


def _is_plain(url: str) -> bool:
    return (
        len(url) <= MAX_URL
        and url.isascii()
        and url.isprintable()
        and not any(character in url for character in " \\<>\"'`")
    )


def read_metadata(document: Mapping[str, object], issuer: str) -> ProviderMetadata:
    """Check a discovery document against the issuer it was fetched for."""
    if document.get("issuer") != issuer:
        raise ProviderDown(
            f"The identity provider calls itself {str(document.get('issuer'))[:200]!r}, the "
            f"configuration {issuer!r}; they must be equal, to the last slash."
        )
    loopback = is_loopback(issuer)

    def url(name: str) -> str:
        return checked_url(document.get(name), plain_loopback=loopback, what=name)

    def optional_url(name: str) -> str:
        return url(name) if document.get(name) else ""

    methods = document.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
    return ProviderMetadata(
        issuer=issuer,
        authorization_endpoint=url("authorization_endpoint"),
        token_endpoint=url("token_endpoint"),
        jwks_uri=url("jwks_uri"),
        device_authorization_endpoint=optional_url("device_authorization_endpoint"),
        userinfo_endpoint=optional_url("userinfo_endpoint"),
        token_auth_methods=tuple(map(str, methods)) if isinstance(methods, list) else (),
        iss_parameter=document.get("authorization_response_iss_parameter_supported") is True,
    )


class Provider:
    """One provider's metadata and keys, cached. Safe for many logins at once."""

    def __init__(
        self,
        issuer: str,
        client: httpx2.AsyncClient,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is fetched yet: a bastion starts while its provider is down."""
        self._issuer = checked_url(issuer, plain_loopback=True, what="issuer")
        self._client = client
        self._monotonic = monotonic
        self._lock = asyncio.Lock()
        self._metadata: ProviderMetadata | None = None
        self._metadata_at = 0.0
        self._keys: Mapping[str, Key] = {}
        self._keys_at: float | None = None
        self._down: tuple[float, str] | None = None

    async def metadata(self) -> ProviderMetadata:
        """The discovery document; ProviderDown when it cannot be had."""
        async with self._lock:
            now = self._monotonic()
            if self._metadata is None or now - self._metadata_at > CACHE_SECONDS:
                url = self._issuer.rstrip("/") + "/.well-known/openid-configuration"
                document = await self._fetch(url, "discovery document")
                self._metadata = read_metadata(document, self._issuer)
                self._metadata_at = now
            return self._metadata

    async def key(self, kid: str | None) -> Key | None:
        """The public key named `kid`; with None, the only key there is. None when unknown.

        An unknown name fetches the keys again, at most once in REFETCH_SECONDS.
        """
        metadata = await self.metadata()
        async with self._lock:
            now = self._monotonic()
            age = None if self._keys_at is None else now - self._keys_at
            found = self._find(kid)
            if age is None or age > CACHE_SECONDS or (found is None and age >= REFETCH_SECONDS):
                document = await self._fetch(metadata.jwks_uri, "key set")
                self._keys, self._keys_at = read_keys(document), now
                found = self._find(kid)
            return found

    async def _fetch(self, url: str, what: str) -> Mapping[str, object]:
        """Fetch; after a failure those who waited meanwhile fail at once, not one by one."""
        if self._down and self._monotonic() - self._down[0] < FAILURE_SECONDS:
            raise ProviderDown(self._down[1])
        try:
            document = await fetch.get_json(self._client, url, what)
        except ProviderDown as error:
            self._down = (self._monotonic(), str(error))
            raise
        self._down = None
        return document

    def _find(self, kid: str | None) -> Key | None:
        if kid is not None:
            return self._keys.get(kid)
        return next(iter(self._keys.values())) if len(self._keys) == 1 else None


def read_keys(document: Mapping[str, object]) -> Mapping[str, Key]:
    """The public signing keys of a JWKS by `kid`. Others are skipped, as RFC 7517 §5 says.

    A name that two keys share names neither: which one would sign cannot be told.
    """
    listed = document.get("keys")
    if not isinstance(listed, list) or len(listed) > MAX_KEYS:
        raise ProviderDown("The identity provider's key set is malformed.")
    keys: dict[str, Key] = {}
    shared: set[str] = set()
    for entry in listed:
        key = _signing_key(entry)
        if key is None:
            continue
        key.ensure_kid()
        name = str(key.kid)
        if name in keys:
            shared.add(name)
        keys[name] = key
    return {name: key for name, key in keys.items() if name not in shared}


def _signing_key(entry: object) -> Key | None:
    if not isinstance(entry, dict) or entry.get("kty") not in _PUBLIC_KINDS:
        return None
    if entry.get("use", "sig") != "sig" or "d" in entry:
        return None
    try:
        return JWKRegistry.import_key(entry)
    except (JoseError, ValueError, TypeError, KeyError):
        return None
