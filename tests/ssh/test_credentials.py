"""How the bastion gets into a target: by what it brings, and never by what it was not told."""

from __future__ import annotations

import os
import re
import shlex

import asyncssh
import pytest

from tests.harness.running import POLICY, bastion
from tests.harness.sshd import account

pytestmark = pytest.mark.story


def key_in(path):
    key = asyncssh.generate_private_key("ssh-ed25519")
    path.write_bytes(key.export_private_key("openssh"))
    path.chmod(0o600)
    return key.export_public_key().decode().strip()


@pytest.mark.parametrize("kind", ["file", "env", "command"])
async def test_a_key_by_reference_opens_the_target(tmp_path, monkeypatch, kind):
    path = tmp_path / "target key"
    public = key_in(path)
    monkeypatch.setenv("BASTION_TARGET_KEY", path.read_text())
    reference = {
        "file": f"file:{path}",
        "env": "env:BASTION_TARGET_KEY",
        "command": f"command:/bin/cat {shlex.quote(str(path))}",
    }[kind]
    async with bastion(
        tmp_path,
        opaque="allow",
        authorized_keys=[public],
        target_extra=f"\n    credential: {{key: {reference!r}}}",
    ) as running:
        ran = await running.ssh("echo in")
        assert (ran.status, ran.stdout, ran.stderr) == (0, b"in\n", "")


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("file:/no/such/key", "cannot be read"),
        ("env:NO_SUCH_VARIABLE_HERE", "is not set"),
        ("command:/bin/false", "ended with status 1"),
        ("command:/bin/echo no key", "does not hold an unencrypted private key"),
    ],
)
async def test_a_credential_that_is_none_is_one_sentence(tmp_path, reference, said):
    extra = f"\n    credential: {{key: '{reference}'}}"
    async with bastion(tmp_path, opaque="allow", target_extra=extra) as running:
        for via in ("direct", "jump"):
            ran = await running.ssh("echo in", via=via)
            assert (ran.status, ran.stdout) == (254, b"")
            assert ran.stderr.count("\n") == 1
            assert "bastion: target web1 cannot be dialled: " in ran.stderr
            assert said in ran.stderr


async def test_a_key_that_the_target_does_not_know_is_one_sentence(tmp_path):
    key_in(tmp_path / "key")
    extra = f"\n    credential: {{key: 'file:{tmp_path}/key'}}"
    async with bastion(tmp_path, opaque="allow", target_extra=extra) as running:
        ran = await running.ssh("echo in")
        assert (ran.status, ran.stdout, ran.stderr.count("\n")) == (254, b"", 1)
        assert "does not let the bastion in" in ran.stderr
        assert "does not let" in running.audited("dial-failed")[-1]["reason"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes accounts")
async def test_a_password_by_reference_opens_the_target_and_is_dropped(tmp_path, monkeypatch):
    monkeypatch.setenv("BASTION_TARGET_PASSWORD", "correct horse battery")
    with account(password="correct horse battery") as login:
        async with bastion(
            tmp_path,
            opaque="allow",
            policy=POLICY.replace("LOGIN", login),
            sshd_extra=["Match User *", "PasswordAuthentication yes"],
            target_extra="\n    credential: {password: 'env:BASTION_TARGET_PASSWORD'}",
        ) as running:
            async with running.connect(f"{login}@web1") as client:
                ran = await client.run("whoami; echo correct horse battery")
                assert re.fullmatch(rf"{login}\n\[masked:credential:....\]\n", ran.stdout)
                (session,) = running.sessions.live()
                (dialled,) = session._dialled.values()
                (secret,) = dialled.result().secrets
                dropped = session
            async with running.connect("alice"):
                assert dropped.ended
                with pytest.raises(ValueError, match="dropped"):
                    secret.reveal()


async def test_first_use_is_trusted_once_and_audited(tmp_path):
    async with bastion(tmp_path, opaque="allow", target="trust_on_first_use: true") as running:
        assert (await running.ssh("echo in")).stdout == b"in\n"
        (audited,) = running.audited("host-key-trusted-on-first-use")
        assert audited["key"].split()[:2] == running.target.host_key.split()[:2]
        assert (await running.ssh("echo in", via="jump")).stdout == b"in\n"
        assert len(running.audited("host-key-trusted-on-first-use")) == 1
        other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
        running.services.first_use._keys["web1"] = " ".join(other.split()[:2])
        ran = await running.ssh("echo in")
        assert (ran.status, ran.stdout) == (254, b"")
        assert "does not trust" in ran.stderr


async def test_first_use_that_cannot_be_kept_is_no_trust(tmp_path):
    async with bastion(tmp_path, opaque="allow", target="trust_on_first_use: true") as running:
        (running.directory / "state/first_use_hosts").mkdir()
        ran = await running.ssh("echo in")
    assert (ran.status, ran.stdout) == (254, b"")
    assert "first_use_hosts cannot be written" in ran.stderr


@pytest.mark.parametrize("via", ["direct", "jump"])
async def test_a_target_that_is_down_is_one_sentence(tmp_path, via):
    async with bastion(tmp_path, opaque="allow", address="127.0.0.1:1") as running:
        ran = await running.ssh("echo in", via=via)
    assert (ran.status, ran.stdout) == (254, b"")
    assert ran.stderr.startswith("bastion: target web1 refused the connection")
    assert ran.stderr.count("\n") == 1
