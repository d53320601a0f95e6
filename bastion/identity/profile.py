"""A token endpoint's answer → who this is: the verified ID token, completed by userinfo."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from bastion.errors import LoginRefused
from bastion.identity.claims import MAX_TEXT, VerifiedClaims, claim_value
from bastion.identity.client import ProviderClient
from bastion.identity.settings import ProviderSettings
from bastion.identity.tokens import verify_id_token
from bastion.model import ClaimValue

_MAX_SUBJECT: Final = 255  # OpenID Connect Core §2


async def verified_claims(
    client: ProviderClient,
    token_response: Mapping[str, object],
    *,
    now: float,
    nonce: str | None,
) -> VerifiedClaims:
    """Verify the ID token in a token response and keep what the settings keep.

    Many providers tell groups at the userinfo endpoint alone; it is asked when something that is
    to be kept is missing. IdentityError says what is wrong.
    """
    settings = client.settings
    token = await verify_id_token(
        token_response.get("id_token"), client.provider, settings, now=now, nonce=nonce
    )
    access_token = token_response.get("access_token")
    if isinstance(access_token, str) and _lacks_something(token, settings):
        token = {**await _userinfo(client, access_token, token["sub"]), **token}
    return read_claims(token, settings)


def read_claims(verified: Mapping[str, object], settings: ProviderSettings) -> VerifiedClaims:
    """Pick subject, name and kept claims out of a verified token."""
    subject = verified.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= _MAX_SUBJECT:
        raise LoginRefused("The identity provider's token does not say whom it is about (sub).")
    kept: dict[str, ClaimValue] = {}
    for name in settings.kept_claims:
        found = _lookup(verified, name)
        if found is None or (name == "email" and not _email_counts(verified, settings)):
            continue
        value = claim_value(found)
        if value is None:
            raise LoginRefused(
                f"The identity provider's claim {name!r} is neither text, number nor a list of "
                "texts; the operator should not keep it."
            )
        kept[name] = value
    return VerifiedClaims(
        settings.issuer, subject, _name(verified, settings) or subject, MappingProxyType(kept)
    )


def _lacks_something(token: Mapping[str, object], settings: ProviderSettings) -> bool:
    return not _name(token, settings) or any(
        _lookup(token, name) is None for name in settings.kept_claims
    )


async def _userinfo(
    client: ProviderClient, access_token: str, subject: object
) -> Mapping[str, object]:
    found = await client.userinfo(access_token)
    # OpenID Connect Core §5.3.2: without this an access token of somebody else's could be slipped
    # in beside the right ID token.
    if found and found.get("sub") != subject:
        raise LoginRefused("The identity provider's userinfo is about somebody else.")
    return found


def _email_counts(verified: Mapping[str, object], settings: ProviderSettings) -> bool:
    return settings.unverified_email or verified.get("email_verified") is True


def _name(verified: Mapping[str, object], settings: ProviderSettings) -> str:
    for claim in settings.name_claims:
        found = verified.get(claim)
        if isinstance(found, str) and 0 < len(found) <= MAX_TEXT:
            return found
    return ""


def _lookup(verified: Mapping[str, object], name: str) -> object:
    """`a.b` is first a name of its own (some are URLs), then `b` inside the object `a`."""
    if name in verified:
        return verified[name]
    first, dot, rest = name.partition(".")
    inner = verified.get(first)
    return _lookup(inner, rest) if dot and isinstance(inner, dict) else None
