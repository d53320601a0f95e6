"""What must never pass for an ID token."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from joserfc.jwk import RSAKey

from bastion.errors import LoginRefused
from bastion.identity import provider as provider_module
from bastion.identity.client import ProviderClient
from bastion.identity.profile import read_claims
from bastion.identity.settings import ProviderSettings
from bastion.identity.tokens import verify_id_token
from tests.identity.hostile import EC, ED, OTHER_RSA, RSA, HostileProvider, hostile_provider, signed

NOW = 1_800_000_000.0


@pytest.fixture
async def idp() -> AsyncIterator[HostileProvider]:
    async with hostile_provider() as provider:
        provider.publish(RSA, EC, ED)
        yield provider


@pytest.fixture
async def client(idp: HostileProvider) -> AsyncIterator[ProviderClient]:
    made = ProviderClient(ProviderSettings(idp.issuer, "bastion"))
    yield made
    await made.close()


def claims(idp: HostileProvider, **changes: Any) -> dict[str, Any]:
    good = {
        "iss": idp.issuer,
        "sub": "alice",
        "aud": "bastion",
        "exp": NOW + 300,
        "iat": NOW - 1,
        "nonce": "n",
        **changes,
    }
    return {name: value for name, value in good.items() if value is not ...}


async def verify(client: ProviderClient, token: object, nonce: str | None = "n") -> Any:
    return await verify_id_token(token, client.provider, client.settings, now=NOW, nonce=nonce)


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [(RSA, "RS256"), (RSA, "RS512"), (RSA, "PS256"), (EC, "ES256"), (ED, "Ed25519")],
)
async def test_good_tokens(
    idp: HostileProvider, client: ProviderClient, key: Any, algorithm: str
) -> None:
    payload = await verify(client, signed(claims(idp), key, algorithm))
    assert payload["sub"] == "alice"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"iss": "https://evil.example"}, "another issuer"),
        ({"iss": ...}, "another issuer"),
        ({"aud": "somebody"}, "another client"),
        ({"aud": ...}, "another client"),
        ({"aud": []}, "another client"),
        ({"aud": ["somebody"]}, "another client"),
        ({"aud": {"bastion": 1}}, "another client"),
        ({"aud": "bastion2"}, "another client"),
        ({"aud": ["bastion", "somebody"]}, "azp"),
        ({"aud": ["bastion", "somebody"], "azp": "somebody"}, "azp"),
        ({"azp": "somebody"}, "azp"),
        ({"azp": None}, "azp"),
        ({"nonce": "other"}, "nonce"),
        ({"nonce": ...}, "nonce"),
        ({"nonce": None}, "nonce"),
        ({"exp": NOW - 60}, "expired"),
        ({"exp": NOW - 10**6}, "expired"),
        ({"exp": ...}, "does not say when"),
        ({"exp": str(NOW + 300)}, "does not say when"),
        ({"exp": True}, "does not say when"),
        ({"exp": 1e300}, "does not say when"),
        ({"exp": -(10**400)}, "does not say when"),
        ({"iat": ...}, "does not say when"),
        ({"iat": NOW + 61}, "future"),
        ({"nbf": NOW + 61}, "not valid yet"),
        ({"nbf": "soon"}, "not valid yet"),
    ],
)
async def test_claims_that_are_refused(
    idp: HostileProvider, client: ProviderClient, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(LoginRefused, match=words):
        await verify(client, signed(claims(idp, **changes)))


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": NOW - 59},
        {"iat": NOW + 59},
        {"nbf": NOW + 59},
        {"aud": ["bastion"]},
        {"aud": ["bastion", "other"], "azp": "bastion"},
    ],
)
async def test_what_is_within_bounds_passes(
    idp: HostileProvider, client: ProviderClient, changes: dict[str, Any]
) -> None:
    await verify(client, signed(claims(idp, **changes)))


def part(value: object) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def hand_signed(header: bytes, payload: str) -> str:
    text = f"{part(header)}.{payload}"
    key = RSA.private_key
    assert key is not None
    return f"{text}.{part(key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def hmac_signed(secret: bytes, payload: str) -> str:
    text = f"{part({'alg': 'HS256', 'kid': 'rsa'})}.{payload}"
    return f"{text}.{part(hmac.digest(secret, text.encode(), 'sha256'))}"


async def test_signatures_that_are_none(idp: HostileProvider, client: ProviderClient) -> None:
    payload = part(claims(idp))
    good = signed(claims(idp))
    header, _, signature = good.split(".")
    forged = [
        f"{part({'alg': 'none'})}.{payload}.",
        f"{part({'alg': 'none', 'kid': 'rsa'})}.{payload}.{signature}",
        f"{part({'alg': 'None', 'kid': 'rsa'})}.{payload}.{signature}",
        f"{part({'alg': 'NONE', 'kid': 'rsa'})}.{payload}.x",
        f"{part({'alg': ['RS256'], 'kid': 'rsa'})}.{payload}.{signature}",
        f"{part({'kid': 'rsa'})}.{payload}.{signature}",
        f"{part({'alg': 'RS256'})}.{payload}.{signature}",
        f"{part({'alg': 'RS256', 'kid': ['rsa']})}.{payload}.{signature}",
        f"{header}.{part(claims(idp, sub='root'))}.{signature}",  # another payload
        f"{header}.{payload}.{part(b'')}",
        f"{header}.{payload}.{part(bytes(256))}",
        f"{header}.{payload}",
        f"{header}.{payload}.{signature}.",
        f"{header}.{payload}.{signature}.{part(claims(idp, sub='root'))}",
        f"{header}.{part(claims(idp, sub='root'))}.{signature}.{payload}.{signature}",
        f"{header}..{signature}",
        f".{payload}.{signature}",
        f" {good}",
        f"{good}\n",
        f"{header}.{payload}=.{signature}",
        good.replace(".", ".\n"),
        json.dumps({"protected": header, "payload": payload, "signature": signature}),
        json.dumps({"payload": payload, "signatures": []}),
        hmac_signed(RSA.as_pem(private=False), payload),
        hmac_signed(json.dumps(RSA.as_dict(private=False)).encode(), payload),
        hmac_signed(b"bastion", payload),
        hmac_signed(b"", payload),
        signed(claims(idp), OTHER_RSA),  # right name, wrong key
        signed(claims(idp), OTHER_RSA, jwk=OTHER_RSA.as_dict(private=False)),
        signed(claims(idp), OTHER_RSA, jku="http://127.0.0.1:9/jwks"),
        signed(claims(idp), RSA, typ="at+jwt"),
        signed(claims(idp), RSA, typ="logout+jwt"),
        # rightly signed, but with a header that means something else to another reader
        hand_signed(b'{"alg":"RS256","kid":"rsa","crit":["b64"],"b64":false}', payload),
        hand_signed(b'{"alg":"RS256","kid":"rsa","b64":false}', payload),
        hand_signed(b'{"alg":"RS256","kid":"rsa","crit":["exp"]}', payload),
        hand_signed(b'{"alg":"none","alg":"RS256","kid":"rsa"}', payload),
        hand_signed(b'["RS256"]', payload),
        hand_signed(b'{"alg":"RS256","kid":"rsa"}', part(b'{"sub":"a","sub":"b"}')),
        hand_signed(b'{"alg":"RS256","kid":"rsa"}', part([claims(idp)])),
        f"{part(b'[' * 5000)}.{payload}.{signature}",
        "x" * 200_000,
        "",
        None,
        7,
        ["a"],
    ]
    for token in forged:
        with pytest.raises(LoginRefused):
            await verify(client, token)
    await verify(client, good)
    await verify(client, hand_signed(b'{"alg":"RS256","kid":"rsa"}', payload))


async def test_a_key_is_used_with_its_own_algorithm_alone(
    idp: HostileProvider, client: ProviderClient
) -> None:
    idp.publish(RSA, alg="PS256")
    with pytest.raises(LoginRefused, match="does not fit"):
        await verify(client, signed(claims(idp), RSA, "RS256"))
    await verify(client, signed(claims(idp), RSA, "PS256"))


@pytest.mark.parametrize("more", [{"use": "enc"}, {"kty": "oct"}, {"kty": "?"}])
async def test_keys_that_are_not_for_signatures(
    idp: HostileProvider, client: ProviderClient, more: dict[str, str]
) -> None:
    idp.publish(RSA, **more)
    with pytest.raises(LoginRefused, match="does not publish"):
        await verify(client, signed(claims(idp)))


@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
async def test_short_rsa_keys_are_refused(idp: HostileProvider, client: ProviderClient) -> None:
    short = RSAKey.generate_key(1024, {"kid": "short"})
    idp.publish(short)
    with pytest.raises(LoginRefused, match="does not fit"):
        await verify(client, signed(claims(idp), short))


async def test_two_keys_of_one_name_are_no_key(
    idp: HostileProvider, client: ProviderClient
) -> None:
    idp.publish(RSA, OTHER_RSA)
    for key in (RSA, OTHER_RSA):
        with pytest.raises(LoginRefused, match="does not publish"):
            await verify(client, signed(claims(idp), key))


async def test_unknown_keys_are_fetched_at_most_once_in_a_while(
    idp: HostileProvider, client: ProviderClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr(client.provider, "_monotonic", lambda: clock[0])
    idp.publish(EC)
    for _ in range(50):
        with pytest.raises(LoginRefused, match="does not publish"):
            await verify(client, signed(claims(idp)))
    assert idp.asked.count("/jwks") == 1
    idp.publish(RSA)  # rotated: EC is gone
    clock[0] += provider_module.REFETCH_SECONDS
    await verify(client, signed(claims(idp)))
    with pytest.raises(LoginRefused, match="does not publish"):
        await verify(client, signed(claims(idp), EC, "ES256"))
    assert idp.asked.count("/jwks") == 2


async def test_a_withdrawn_key_is_forgotten(
    idp: HostileProvider, client: ProviderClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr(client.provider, "_monotonic", lambda: clock[0])
    await verify(client, signed(claims(idp)))
    idp.publish(EC)
    await verify(client, signed(claims(idp)))  # cached
    clock[0] += provider_module.CACHE_SECONDS + 1
    with pytest.raises(LoginRefused, match="does not publish"):
        await verify(client, signed(claims(idp)))


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80)
@given(at=st.integers(0, 10_000), character=st.sampled_from("AQgw_-.=09az \n\x00é"))
async def test_no_changed_character_passes(
    idp: HostileProvider, client: ProviderClient, at: int, character: str
) -> None:
    good = signed(claims(idp), EC, "ES256")
    at %= len(good)
    changed = good[:at] + character + good[at + 1 :]
    # The last character of a part may have bits that mean nothing.
    if changed == good or good[at + 1 : at + 2] in (".", ""):
        return
    with pytest.raises(LoginRefused):
        await verify(client, changed)


def test_kept_claims() -> None:
    settings = ProviderSettings(
        "https://i",
        "c",
        kept_claims=("groups", "email", "realm.roles", "https://x.example/level"),
    )
    found = read_claims(
        {
            "sub": "s",
            "groups": ["a", "b"],
            "email": "e@example.org",
            "email_verified": True,
            "realm": {"roles": ["r"]},
            "https://x.example/level": 3,
            "secret": "not asked for",
            "name": "N",
        },
        settings,
    )
    assert found.name == "e@example.org"
    assert found.claims == {
        "groups": ("a", "b"),
        "email": "e@example.org",
        "realm.roles": ("r",),
        "https://x.example/level": 3,
    }


@pytest.mark.parametrize("verified", [False, None, "true", 1])
def test_an_email_that_is_not_verified_is_not_kept(verified: object) -> None:
    token = {"sub": "s", "email": "boss@example.org", "email_verified": verified}
    settings = ProviderSettings("https://i", "c")
    assert "email" not in read_claims(token, settings).claims


@pytest.mark.parametrize(
    "token",
    [{}, {"sub": ""}, {"sub": 7}, {"sub": "x" * 256}, {"sub": "s", "groups": [{"a": 1}]}],
)
def test_tokens_without_a_subject_or_with_strange_claims(token: dict[str, object]) -> None:
    with pytest.raises(LoginRefused):
        read_claims(token, ProviderSettings("https://i", "c"))


def test_time_is_taken_from_the_caller() -> None:
    assert time.time() < NOW  # all of the above would be about the future otherwise
