"""An ID token → its verified payload: OpenID Connect Core §3.1.3.7, strictly."""

from __future__ import annotations

import json
import math
import re
import warnings
from collections.abc import Mapping
from typing import Final

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from joserfc import jws
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import Key
from joserfc.util import urlsafe_b64decode

from bastion.errors import LoginRefused
from bastion.identity.provider import Provider
from bastion.identity.settings import ProviderSettings

MAX_TOKEN: Final = 128 * 1024
"""Parsed before anything is verified, so it is bounded first."""

_COMPACT: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\Z")
"""Exactly three parts. Implementations that were lenient here could be shown one text and made to
verify another."""

_CURVES: Final = {
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", "Ed25519"),
    "Ed25519": ("OKP", "Ed25519"),
}
_RSA: Final = ("RSA", None)
_MIN_RSA_BITS: Final = 2048


async def verify_id_token(
    unverified_token: object,
    provider: Provider,
    settings: ProviderSettings,
    *,
    now: float,
    nonce: str | None,
) -> Mapping[str, object]:
    """Check signature, algorithm, issuer, audience, nonce and times; give the verified payload.

    `nonce` is None for the device grant, which has none. LoginRefused says what is wrong;
    ProviderDown when the keys cannot be fetched.
    """
    payload = await _verified_payload(unverified_token, provider, settings)
    _check_audience(payload, settings)
    if nonce is not None and payload.get("nonce") != nonce:
        raise _refused("is an answer to another login (nonce)")
    _check_times(payload, now, settings.clock_skew_seconds)
    return payload


async def _verified_payload(
    unverified_token: object, provider: Provider, settings: ProviderSettings
) -> Mapping[str, object]:
    if not isinstance(unverified_token, str) or len(unverified_token) > MAX_TOKEN:
        raise _refused("is missing or too long")
    if not _COMPACT.match(unverified_token):
        raise _refused("is not a signed token in compact form")
    unverified_header = _object(unverified_token.partition(".")[0])
    algorithm = unverified_header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in settings.algorithms:
        raise _refused(f"is signed by {str(algorithm)[:20]!r}, which is not allowed")
    # RFC 7515 §4.1.11: what is critical and not understood refuses. `b64` changes what is signed.
    if "crit" in unverified_header or "b64" in unverified_header:
        raise _refused("has critical header parameters that are not supported")
    # RFC 8725 §3.11: an access or logout token of the same provider is not an ID token.
    if str(unverified_header.get("typ", "JWT")).lower() != "jwt":
        raise _refused("is a token of another type")
    kid = unverified_header.get("kid")
    if kid is not None and not isinstance(kid, str):
        raise _refused("names its key wrongly")
    key = await provider.key(kid)
    if key is None:
        raise _refused("is signed by a key that the provider does not publish")
    _check_key(key, algorithm)
    try:
        with warnings.catch_warnings():
            # RFC 9864 deprecates the name EdDSA because it does not say the curve; we do.
            warnings.simplefilter("ignore", SecurityWarning)
            signed = jws.deserialize_compact(unverified_token, key, algorithms=[algorithm])
    except (JoseError, ValueError, TypeError):
        raise _refused("has a wrong signature") from None
    assert signed.payload is not None
    return _json_object(signed.payload)


def _check_key(key: Key, algorithm: str) -> None:
    """RFC 8725 §3.1: a key is used with its own algorithm alone."""
    declared = key.as_dict(private=False)
    public = key.public_key
    if (
        (declared.get("kty"), declared.get("crv")) != _CURVES.get(algorithm, _RSA)
        or declared.get("alg", algorithm) != algorithm
        or (isinstance(public, RSAPublicKey) and public.key_size < _MIN_RSA_BITS)
    ):
        raise _refused("is signed by a key that does not fit its algorithm")


def _check_audience(payload: Mapping[str, object], settings: ProviderSettings) -> None:
    if payload.get("iss") != settings.issuer:
        raise _refused("comes from another issuer")
    audience = payload.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if settings.client_id not in audiences:
        raise _refused("is meant for another client (aud)")
    if len(audiences) > 1 and "azp" not in payload:
        raise _refused("has several audiences and does not say whose it is (azp)")
    if payload.get("azp", settings.client_id) != settings.client_id:
        raise _refused("was given to another client (azp)")


def _check_times(payload: Mapping[str, object], now: float, skew: int) -> None:
    expires, issued = _time(payload, "exp"), _time(payload, "iat")
    if expires is None or issued is None:
        raise _refused("does not say when it was issued and until when it is valid")
    if now >= expires + skew:
        raise _refused("has expired; are the clocks right?")
    if issued > now + skew:
        raise _refused("comes from the future; are the clocks right?")
    if "nbf" in payload:
        not_before = _time(payload, "nbf")
        if not_before is None or not_before > now + skew:
            raise _refused("is not valid yet; are the clocks right?")


def _time(payload: Mapping[str, object], name: str) -> float | None:
    value = payload.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 2**53:
        return None
    return value if math.isfinite(value) else None


def _object(part: str) -> Mapping[str, object]:
    try:
        return _json_object(urlsafe_b64decode(part.encode()))
    except ValueError:
        raise _refused("is not readable") from None


def _json_object(data: bytes) -> Mapping[str, object]:
    try:
        document = json.loads(data.decode(), object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError):
        raise _refused("is not readable") from None
    if not isinstance(document, dict):
        raise _refused("is not readable")
    return document


def _no_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a name appears twice")
    return document


def _refused(what: str) -> LoginRefused:
    return LoginRefused(f"The identity provider's token {what}; you are not logged in.")
