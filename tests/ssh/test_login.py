"""Logging in over SSH, against a real provider: the certificate printed, and the prompt."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess

import asyncssh
import pytest

from tests.harness.idp import nanoidp_server
from tests.harness.running import bastion

pytestmark = pytest.mark.story

CODE = re.compile(r"enter the code:\s+(\S+)")


@pytest.fixture
async def provider(tmp_path):
    (tmp_path / "idp").mkdir()
    async with nanoidp_server(tmp_path / "idp") as provider:
        yield provider


@pytest.fixture
async def running(tmp_path, provider, monkeypatch):
    monkeypatch.setenv("OIDC_SECRET", provider.client_secret)
    oidc = (
        f"oidc: {{issuer: '{provider.issuer}', client_id: {provider.client_id},"
        " client_secret: 'env:OIDC_SECRET'}\n"
    )
    async with bastion(tmp_path, oidc=oidc) as running:
        (tmp_path / "id-cert.pub").unlink()
        yield running


async def shown_code(process):
    """The code, as soon as the client has shown it."""
    seen = ""
    async with asyncio.timeout(30):
        while not (found := CODE.search(seen)):
            line = await process.stderr.readline()
            assert line, seen
            seen += line.decode()
    return found[1]


async def test_ssh_login_prints_a_certificate_for_the_key_that_signed(running, provider, tmp_path):
    process = await running.start("ssh", "login@bastion")
    await provider.approve_device(await shown_code(process), "alice")
    stdout, stderr = await process.communicate()
    assert process.returncode == 0, stderr
    (tmp_path / "id-cert.pub").write_bytes(stdout)
    listed = subprocess.run(
        ["ssh-keygen", "-L", "-f", tmp_path / "id-cert.pub"], capture_output=True, text=True
    ).stdout
    assert "dev" in listed
    assert "permit-pty" in listed
    ran = await running.ssh("echo with the certificate")
    assert ran.stdout == b"with the certificate\n"
    issued = [json.loads(line) for line in running.audit().splitlines()]
    assert [e["fields"]["principals"] for e in issued if e["kind"] == "certificate-issued"] == [
        ["dev", "oncall"]
    ]


async def test_login_at_the_prompt_goes_on_to_the_command(running, provider):
    options = ["-o", "BatchMode=no", "-o", "LogLevel=INFO"]
    process = await running.start(
        "ssh", *options, f"{running.login}@web1@bastion", "echo after the login"
    )
    await provider.approve_device(await shown_code(process), "alice")
    stdout, stderr = await process.communicate()
    assert (process.returncode, stdout) == (0, b"after the login\n"), stderr


async def test_who_has_no_role_is_told_so_and_gets_nothing(running, provider):
    process = await running.start("ssh", "login@bastion")
    await provider.approve_device(await shown_code(process), "mallory")
    stdout, stderr = await process.communicate()
    assert (process.returncode, stdout) == (254, b"")
    assert "role" in stderr.decode()


async def test_a_refused_login_is_told(running, provider):
    process = await running.start("ssh", "login@bastion")
    await provider.deny_device(await shown_code(process), "alice")
    stdout, stderr = await process.communicate()
    assert (process.returncode, stdout) == (254, b""), stderr


async def test_with_the_provider_down_live_sessions_go_on_and_logins_say_so(running, provider):
    running.issue()
    process = await running.start(
        "ssh", *running.to_target("direct"), "echo started; cat", stdin=asyncio.subprocess.PIPE
    )
    assert await process.stdout.readline() == b"started\n"
    await provider.stop()
    ran = await running.run("ssh", "login@bastion")
    assert ran.status == 254
    assert "provider" in ran.stderr
    stdout, _ = await process.communicate(b"still here\n")
    assert stdout == b"still here\n"


async def test_a_bare_key_that_signed_is_nobody(running, tmp_path):
    """FIELD class G: neither an offered key nor a signing one is an identity."""
    key = asyncssh.read_private_key(str(tmp_path / "id"))
    async with asyncssh.connect(
        "127.0.0.1",
        running.port,
        username="login",
        client_keys=[key],
        known_hosts=None,
        config=None,
        agent_path=None,
    ) as connection:
        with pytest.raises(asyncssh.ChannelOpenError, match="log in first"):
            await connection.open_connection("web1", 22)
    with pytest.raises(asyncssh.PermissionDenied):
        await asyncssh.connect(
            "127.0.0.1",
            running.port,
            username=f"{running.login}@web1",
            client_keys=[key],
            known_hosts=None,
            config=None,
            agent_path=None,
            kbdint_auth=False,
        )


async def test_logins_given_up_and_certificates_run_out_locked_the_address_out(running, tmp_path):
    options = ["-o", "BatchMode=no", "-o", "LogLevel=INFO"]
    for _ in range(6):
        process = await running.start("ssh", *options, f"{running.login}@web1@bastion", "true")
        await shown_code(process)
        process.terminate()
        await process.communicate()
    running.issue(lifetime=-1)
    for _ in range(6):
        assert (await running.ssh("true")).status == 255
    running.issue()
    assert (await running.ssh("echo in")).stdout == b"in\n"


async def test_a_login_that_succeeded_was_audited_as_a_failure(running, provider):
    process = await running.start("ssh", "login@bastion")
    await provider.approve_device(await shown_code(process), "alice")
    await process.communicate()
    assert process.returncode == 0
    assert "certificate-issued" in running.audit()
    assert "auth-failed" not in running.audit()
