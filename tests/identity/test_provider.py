"""A provider that is broken or hostile: bounded, and one sentence each."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from bastion.errors import LoginExpired, LoginRefused, ProviderDown
from bastion.identity import device, fetch
from bastion.identity.login import LoginService
from bastion.identity.settings import ProviderSettings
from tests.identity.hostile import RSA, HostileProvider, hostile_provider

DISCOVERY = "/.well-known/openid-configuration"


@pytest.fixture
async def idp() -> AsyncIterator[HostileProvider]:
    async with hostile_provider() as provider:
        provider.publish(RSA)
        provider.replies["/device"] = authorization(provider)
        yield provider


@pytest.fixture
async def service(idp: HostileProvider) -> AsyncIterator[LoginService]:
    made = LoginService(ProviderSettings(idp.issuer, "bastion"))
    yield made
    await made.close()


def authorization(idp: HostileProvider, **changes: object) -> dict[str, Any]:
    good = {
        "device_code": "d",
        "user_code": "ABCD-EFGH",
        "verification_uri": f"{idp.issuer}/verify",
        "expires_in": 600,
        "interval": 1,
        **changes,
    }
    return {name: value for name, value in good.items() if value is not None}


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": "https://evil.example"},
        {"issuer": None},
        {"token_endpoint": "http://evil.example/token"},
        {"token_endpoint": "ftp://127.0.0.1/token"},
        {"token_endpoint": "https://user:pass@evil.example/token"},
        {"token_endpoint": 7},
        {"token_endpoint": None},
        {"jwks_uri": "file:///etc/passwd"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": "https://x\n.example"},
        {"authorization_endpoint": "https://x.example/'><script>"},
        {"authorization_endpoint": "https://good.example\\@evil.example/"},
        {"token_endpoint": "https://[::1"},
        {"token_endpoint": "https://x:y/"},
        {"token_endpoint": "https://[v1.x]/"},
        {"token_endpoint": "https:///token"},
        {"device_authorization_endpoint": "http://192.0.2.1/device"},
    ],
)
async def test_discovery_documents_that_are_refused(
    idp: HostileProvider, service: LoginService, changes: dict[str, object]
) -> None:
    idp.replies[DISCOVERY] = idp.discovery(**changes)
    with pytest.raises(ProviderDown):
        await service.start("192.0.2.1")


async def test_the_issuer_counts_to_the_last_slash(idp: HostileProvider) -> None:
    service = LoginService(ProviderSettings(f"{idp.issuer}/", "bastion"))
    with pytest.raises(ProviderDown, match="to the last slash"):
        await service.start("192.0.2.1")
    await service.close()


@pytest.mark.parametrize(
    "issuer", ["http://idp.example", "ftp://127.0.0.1", "idp", "", "http://[::1"]
)
def test_an_issuer_must_be_https(issuer: str) -> None:
    with pytest.raises(ProviderDown, match="not an https URL"):
        LoginService(ProviderSettings(issuer, "bastion"))


def response(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    head = "\r\n".join((f"HTTP/1.1 {status}", "connection: close", *headers))
    return head.encode() + b"\r\n\r\n" + body


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"nonsense\r\n\r\n",
        response(b"not json"),
        response(b"[]"),
        response(b"[" * 100_000),
        response(b"\xff\xfe"),
        response(b"", status="204 No Content"),
        response(b"", status="500 Oops"),
        response(b"", "location: http://127.0.0.1:1/", status="302 Found"),
        response(b'{"x":"' + b"y" * (fetch.MAX_RESPONSE + 1) + b'"}'),
        response(zlib.compress(b" " * 50_000_000), "content-encoding: deflate"),
    ],
    ids=[
        "nothing", "nonsense", "not json", "list", "deep", "bytes", "204", "500", "redirect",
        "long", "bomb",
    ],
)  # fmt: skip
async def test_answers_that_are_none(
    idp: HostileProvider, service: LoginService, reply: bytes
) -> None:
    for place in (DISCOVERY, "/device"):
        kept = idp.replies[place]
        idp.replies[place] = reply
        with pytest.raises(ProviderDown) as down:
            await service.start("192.0.2.1")
        assert str(down.value).isprintable()
        idp.replies[place] = kept


async def test_a_provider_that_never_answers(
    idp: HostileProvider, service: LoginService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "DEADLINE_SECONDS", 0.2)
    async with asyncio.timeout(5):
        idp.replies[DISCOVERY] = response(b'{"a":', "content-length: 100")[:-3]
        with pytest.raises(ProviderDown):
            await service.start("192.0.2.1")


@pytest.mark.parametrize(
    "changes",
    [
        {"user_code": "\x1b]0;owned\x07"},
        {"user_code": "x" * 65},
        {"user_code": ""},
        {"user_code": None},
        {"user_code": "é"},
        {"device_code": None},
        {"verification_uri": "http://evil.example/"},
        {"verification_uri": "https://evil.example/\x1b[2J"},
        {"verification_uri_complete": "javascript:alert(1)"},
        {"interval": "fast"},
        {"interval": True},
        {"expires_in": "long"},
    ],
)
async def test_device_answers_that_are_refused(
    idp: HostileProvider, service: LoginService, changes: dict[str, object]
) -> None:
    idp.replies["/device"] = authorization(idp, **changes)
    with pytest.raises(ProviderDown):
        await service.start("192.0.2.1")


async def test_intervals_and_lifetimes_are_bounded(
    idp: HostileProvider, service: LoginService
) -> None:
    idp.replies["/device"] = authorization(idp, interval=10**9, expires_in=10**9)
    found = await device.authorize(service._client)
    assert (found.interval, found.expires_in) == (60, 1800)
    idp.replies["/device"] = authorization(idp, interval=-5, expires_in=-5)
    found = await device.authorize(service._client)
    assert (found.interval, found.expires_in) == (1, 1)
    idp.replies["/device"] = authorization(idp, interval=None, expires_in=None)
    found = await device.authorize(service._client)
    assert (found.interval, found.expires_in) == (5, 1800)


async def test_polling_waits_longer_when_it_is_told_to(
    idp: HostileProvider, service: LoginService, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    async def note(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr(device.asyncio, "sleep", note)
    answers: Any = iter(
        [
            (400, {"error": "authorization_pending"}),
            (400, {"error": "slow_down"}),
            (400, {"error": "authorization_pending"}),
            b"",  # a connection that breaks: twice as long
            (503, {}),
            (400, {"error": "slow_down"}),
            (400, {"error": "expired_token"}),
        ]
    )
    idp.replies["/token"] = lambda: next(answers)
    pending = await service.start("192.0.2.1")
    with pytest.raises(LoginExpired):
        await pending.wait()
    assert waits == [1, 1, 6, 6, 12, 24, 29]


async def no_time(_: float) -> None:
    """Polling without the pauses."""


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((400, {"error": "access_denied"}), LoginRefused),
        ((400, {"error": "\x1b[2J" * 1000}), LoginRefused),
        ((400, {}), ProviderDown),
        ((400, {"error": 7}), ProviderDown),
        ((429, {"error": "slow_down"}), ProviderDown),
        ({}, ProviderDown),
        ({"id_token": None}, LoginRefused),
        ({"id_token": "a.b.c"}, LoginRefused),
        ({"access_token": "only"}, LoginRefused),
    ],
)
async def test_how_polling_ends(
    idp: HostileProvider,
    service: LoginService,
    monkeypatch: pytest.MonkeyPatch,
    answer: Any,
    error: type[Exception],
) -> None:
    monkeypatch.setattr(device, "MAX_FAILURES", 1)
    monkeypatch.setattr(device.asyncio, "sleep", no_time)
    idp.replies["/token"] = answer
    pending = await service.start("192.0.2.1")
    with pytest.raises(error) as raised:
        await pending.wait()
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 300


async def test_a_login_whose_answer_was_lost_says_so(
    idp: HostileProvider, service: LoginService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A code is used once: the poll after a lost answer is told that it was used."""
    monkeypatch.setattr(device.asyncio, "sleep", no_time)
    answers: list[Any] = [b"", (400, {"error": "invalid_grant"})]
    idp.replies["/token"] = lambda: answers.pop(0)
    pending = await service.start("192.0.2.1")
    with pytest.raises(LoginRefused, match="its answer was lost on the way; log in again"):
        await pending.wait()
    assert answers == []


async def test_a_token_is_waited_for_longer_than_anything_else(
    idp: HostileProvider, service: LoginService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A provider under load that answers late has used the code by then."""
    monkeypatch.setattr(device.asyncio, "sleep", no_time)
    idp.replies["/token"] = (400, {"error": "access_denied"})
    pending = await service.start("192.0.2.1")
    monkeypatch.setattr(fetch, "DEADLINE_SECONDS", 0.0)
    monkeypatch.setattr(fetch, "TIMEOUT", httpx2.Timeout(0.0))
    with pytest.raises(LoginRefused, match="refused at the identity provider"):
        await pending.wait()


async def test_a_provider_without_device_grant_needs_our_page(idp: HostileProvider) -> None:
    idp.replies[DISCOVERY] = idp.discovery(device_authorization_endpoint=None)
    for flow, words in (("auto", "`public_url`"), ("device", "flow: code"), ("code", "public_url")):
        service = LoginService(ProviderSettings(idp.issuer, "b", flow=flow))  # type: ignore[arg-type]
        with pytest.raises(LoginRefused, match=words):
            await service.start("192.0.2.1")
        await service.close()
