"""Fixtures that many tests share: things that are real, not stand-ins."""

from __future__ import annotations

import asyncssh
import pytest

from tests.harness.sshd import Sshd, SshdOptions, sshd


@pytest.fixture
def user_key() -> asyncssh.SSHKey:
    """A fresh key pair of a person."""
    return asyncssh.generate_private_key("ssh-ed25519")


@pytest.fixture
async def plain_sshd(tmp_path, user_key):
    """A real sshd on loopback that lets `user_key` in as the account that runs the tests."""
    public = user_key.export_public_key().decode().strip()
    async with sshd(tmp_path / "sshd", SshdOptions(authorized_keys=[public])) as server:
        assert isinstance(server, Sshd)
        yield server
