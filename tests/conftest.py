"""Fixtures that many tests share: things that are real, not stand-ins."""

from __future__ import annotations

import os
import sys

import asyncssh
import pytest
from hypothesis import HealthCheck, settings

from tests.harness.sshd import Sshd, SshdOptions, sshd

# ansible, asciinema and ssh-audit are found whether or not the environment is activated.
os.environ["PATH"] = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])

# How long an example takes says what else this machine does. In CI every run tries the same ones.
settings.register_profile(
    "suite",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize="CI" in os.environ,
)
settings.load_profile("suite")


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
