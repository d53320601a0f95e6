"""The device grant against two real providers."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from bastion.errors import IdentityError, LoginExpired, LoginRefused, ProviderDown
from bastion.identity import login as login_module
from bastion.identity.login import LoginService
from bastion.identity.settings import ProviderSettings
from bastion.model import Secret
from tests.harness.idp import RunningProvider, nanoidp_server, oidc_provider_server

pytestmark = pytest.mark.story

PROVIDERS = {"nanoidp": nanoidp_server, "oidc-provider": oidc_provider_server}


def settings(idp: RunningProvider, **changes: object) -> ProviderSettings:
    secret = Secret(idp.client_secret.encode()) if idp.client_secret else None
    plain = ProviderSettings(idp.issuer, idp.client_id, secret, unverified_email=True)
    return replace(plain, **changes)  # type: ignore[arg-type]


@asynccontextmanager
async def logging_in(idp: RunningProvider, **changes: object) -> AsyncIterator[LoginService]:
    service = LoginService(settings(idp, **changes))
    try:
        yield service
    finally:
        await service.close()


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_person_logs_in(tmp_path: Path, provider: str) -> None:
    async with PROVIDERS[provider](tmp_path) as idp, logging_in(idp) as service:
        pending = await service.start("127.0.0.1")
        assert pending.flow == "device"
        assert pending.url.startswith(idp.issuer)
        assert pending.code in pending.complete_url
        assert any(pending.code in line for line in pending.instructions)
        waiting = asyncio.create_task(pending.wait())
        await idp.approve_device(pending.complete_url, "alice")
        claims = await waiting
        assert (claims.issuer, claims.subject, claims.name) == (idp.issuer, "alice", "alice")
        assert claims.claims == {
            "email": "alice@example.org",
            "groups": ("engineers", "oncall"),
        }


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_refusing_at_the_provider_ends_the_login(tmp_path: Path, provider: str) -> None:
    async with PROVIDERS[provider](tmp_path) as idp, logging_in(idp) as service:
        pending = await service.start("127.0.0.1")
        waiting = asyncio.create_task(pending.wait())
        await idp.deny_device(pending.complete_url, "alice")
        with pytest.raises(LoginRefused, match="refused at the identity provider"):
            await waiting


async def test_many_people_log_in_at_once(tmp_path: Path) -> None:
    async with nanoidp_server(tmp_path) as idp, logging_in(idp) as service:
        pendings = [await service.start("127.0.0.1") for _ in range(6)]
        waiting = [asyncio.create_task(pending.wait()) for pending in pendings]
        names = ["alice", "bob", "mallory"] * 2
        for pending, name in zip(pendings, names, strict=True):
            await idp.approve_device(pending.complete_url, name)
        assert [claims.subject for claims in await asyncio.gather(*waiting)] == names


async def test_a_public_client_needs_no_secret(tmp_path: Path) -> None:
    async with nanoidp_server(tmp_path, client_secret="") as idp, logging_in(idp) as service:
        pending = await service.start("127.0.0.1")
        waiting = asyncio.create_task(pending.wait())
        await idp.approve_device(pending.code, "bob")
        assert (await waiting).subject == "bob"


async def test_a_wrong_secret_is_one_sentence(tmp_path: Path) -> None:
    async with (
        nanoidp_server(tmp_path) as idp,
        logging_in(idp, client_secret=Secret(b"wrong")) as service,
    ):
        with pytest.raises(LoginRefused, match=r"refuses this login \(invalid_client\)"):
            await service.start("127.0.0.1")


async def test_nobody_finishes_in_time(tmp_path: Path) -> None:
    async with nanoidp_server(tmp_path) as idp, logging_in(idp, login_seconds=1) as service:
        pending = await service.start("127.0.0.1")
        with pytest.raises(LoginExpired, match="Nobody finished"):
            await pending.wait()


async def test_giving_up_from_either_side(tmp_path: Path) -> None:
    async with nanoidp_server(tmp_path) as idp, logging_in(idp) as service:
        pending = await service.start("127.0.0.1")
        waiting = asyncio.create_task(pending.wait())
        await asyncio.sleep(0)
        pending.cancel()
        with pytest.raises(LoginRefused, match="given up"):
            await waiting
        pending = await service.start("127.0.0.1")
        waiting = asyncio.create_task(pending.wait())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        with pytest.raises(LoginRefused, match="given up"):
            await pending.wait()


async def test_logins_are_bounded_and_their_room_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(login_module, "MAX_PENDING_PER_ADDRESS", 2)
    monkeypatch.setattr(login_module, "MAX_PENDING", 3)
    async with nanoidp_server(tmp_path) as idp, logging_in(idp) as service:
        first = await service.start("192.0.2.1")
        await service.start("192.0.2.1")
        with pytest.raises(IdentityError, match="Too many logins"):
            await service.start("192.0.2.1")
        await service.start("192.0.2.2")
        with pytest.raises(IdentityError, match="Too many logins"):
            await service.start("192.0.2.3")
        first.cancel()
        started = await asyncio.gather(
            *(service.start("192.0.2.3") for _ in range(5)), return_exceptions=True
        )
        assert sum(isinstance(one, IdentityError) for one in started) == 4


async def test_the_provider_goes_down_midway_and_comes_back(tmp_path: Path) -> None:
    async with nanoidp_server(tmp_path) as idp, logging_in(idp) as service:
        pending = await service.start("127.0.0.1")
        await idp.stop()
        with pytest.raises(ProviderDown, match="cannot be reached"):
            await pending.wait()
        with pytest.raises(ProviderDown, match="cannot be reached"):
            await service.start("127.0.0.1")
        await idp.start()
        pending = await service.start("127.0.0.1")
        waiting = asyncio.create_task(pending.wait())
        await idp.approve_device(pending.complete_url, "alice")
        assert (await waiting).subject == "alice"


async def test_a_provider_that_is_down_from_the_start() -> None:
    nobody = ProviderSettings("http://127.0.0.1:1", "bastion")
    service = LoginService(nobody)
    with pytest.raises(ProviderDown, match="cannot be reached"):
        await service.start("127.0.0.1")
    await service.close()


async def test_a_secret_is_in_no_log_or_repr(tmp_path: Path) -> None:
    async with nanoidp_server(tmp_path) as idp, logging_in(idp) as service:
        assert idp.client_secret not in repr(service.settings)
        pending = await service.start("127.0.0.1")
        assert not re.search(r"device_code=[^'\s]", repr(vars(pending)))
        pending.cancel()
