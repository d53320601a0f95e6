"""The device authorization grant: RFC 8628, from our side."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Never

from bastion.errors import LoginExpired, LoginRefused, ProviderDown
from bastion.identity.client import ProviderClient
from bastion.identity.provider import checked_url, is_loopback

GRANT_TYPE: Final = "urn:ietf:params:oauth:grant-type:device_code"

_DEFAULT_INTERVAL: Final = 5  # RFC 8628 §3.2
_SLOW_DOWN: Final = 5  # RFC 8628 §3.5
_MAX_INTERVAL: Final = 60
_MAX_SECONDS: Final = 1800
_MAX_CODE: Final = 64

MAX_FAILURES: Final = 3
"""Polls that may fail in a row: a provider's restart should not end a login, its absence should."""


@dataclass(frozen=True, slots=True)
class DeviceAuthorization:
    """What the provider answered: shown to the person, except the device code."""

    device_code: str
    user_code: str
    verification_uri: str
    verification_uri_complete: str
    """With the code in it; empty where the provider gives none."""
    expires_in: int
    interval: int

    def __repr__(self) -> str:
        return f"DeviceAuthorization(user_code={self.user_code!r})"


async def authorize(client: ProviderClient) -> DeviceAuthorization:
    """Ask for a code. LoginRefused when this client may not, ProviderDown when it cannot be had."""
    metadata = await client.provider.metadata()
    what = "device authorization"
    answer = await client.post(
        metadata.device_authorization_endpoint, {"scope": client.scope}, what
    )
    if answer.error:
        raise _refused(answer.error)
    return _read(answer.document, plain_loopback=is_loopback(metadata.issuer))


async def poll(client: ProviderClient, authorization: DeviceAuthorization) -> Mapping[str, object]:
    """Wait until the person has decided; gives the token response, unverified.

    The caller holds it to `expires_in`; cancelling it at any time is safe.
    """
    interval, failures, lost = authorization.interval, 0, False
    while True:
        await asyncio.sleep(interval)
        try:
            answer = await client.token(GRANT_TYPE, {"device_code": authorization.device_code})
        except ProviderDown:
            lost = True
            failures += 1
            if failures >= MAX_FAILURES:
                raise
            # RFC 8628 §3.5: back off when the connection fails.
            interval = min(interval * 2, _MAX_INTERVAL)
            continue
        failures = 0
        match answer.error:
            case "":
                return answer.document
            case "authorization_pending":
                pass
            case "slow_down":
                interval = min(interval + _SLOW_DOWN, _MAX_INTERVAL)
            case "invalid_grant" if lost:
                raise LoginRefused(
                    "The identity provider finished this login, but its answer was lost on the "
                    "way; log in again."
                )
            case error:
                _end(error)


def _end(error: str) -> Never:
    if error == "access_denied":
        raise LoginRefused("The login was refused at the identity provider.")
    if error == "expired_token":
        raise LoginExpired("Nobody finished the login in time; try again.")
    raise _refused(error)


def _refused(error: str) -> LoginRefused:
    return LoginRefused(f"The identity provider refuses this login ({error}); tell the operator.")


def _read(document: Mapping[str, object], *, plain_loopback: bool) -> DeviceAuthorization:
    def url(name: str) -> str:
        return checked_url(document.get(name), plain_loopback=plain_loopback, what=name)

    complete = "verification_uri_complete"
    return DeviceAuthorization(
        device_code=_code(document, "device_code", 4096),
        user_code=_code(document, "user_code", _MAX_CODE),
        verification_uri=url("verification_uri"),
        verification_uri_complete=url(complete) if document.get(complete) else "",
        expires_in=_seconds(document, "expires_in", _MAX_SECONDS, _MAX_SECONDS),
        interval=_seconds(document, "interval", _DEFAULT_INTERVAL, _MAX_INTERVAL),
    )


def _code(document: Mapping[str, object], name: str, limit: int) -> str:
    # Printable ASCII: it is written to terminals.
    value = document.get(name)
    if not isinstance(value, str) or not value.isascii() or not value.isprintable():
        raise ProviderDown(f"The identity provider's {name} is malformed.")
    if not 0 < len(value) <= limit:
        raise ProviderDown(f"The identity provider's {name} is empty or too long.")
    return value


def _seconds(document: Mapping[str, object], name: str, default: int, limit: int) -> int:
    value = document.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ProviderDown(f"The identity provider's {name} is malformed.")
    return max(1, min(value, limit))
