from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bastion.errors import LoginRefused
from bastion.identity.login import LoginService
from bastion.identity.settings import ProviderSettings
from bastion.model import Secret
from tests.harness.idp import RunningProvider, nanoidp_server


def settings(idp: RunningProvider) -> ProviderSettings:
    return ProviderSettings(
        idp.issuer, idp.client_id, Secret(idp.client_secret.encode()), unverified_email=True
    )


async def test_a_person_logs_in_by_device(tmp_path: Path) -> None:
    async with nanoidp_server(tmp_path) as idp:
        service = LoginService(settings(idp))
        pending = await service.start("127.0.0.1")
        assert pending.flow == "device"
        waiting = asyncio.create_task(pending.wait())
        await idp.approve_device(pending.complete_url, "alice")
        claims = await waiting
        print(claims, pending.instructions)
        await service.close()
