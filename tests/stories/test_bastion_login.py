"""`bastion login` from end to end: a real provider, agent, bastion and target, and plain ssh."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest

from tests.harness.idp import nanoidp_server
from tests.harness.running import bastion
from tests.identity.small_bastion import run, ssh_agent

pytestmark = pytest.mark.story


async def test_log_in_once_then_plain_ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "idp").mkdir()
    async with nanoidp_server(tmp_path / "idp") as provider, ssh_agent(tmp_path) as agent:
        monkeypatch.setenv("OIDC_SECRET", provider.client_secret)
        oidc = (
            f"oidc: {{issuer: '{provider.issuer}', client_id: {provider.client_id},"
            " client_secret: 'env:OIDC_SECRET'}\n"
        )
        async with bastion(tmp_path, oidc=oidc) as running:
            home = tmp_path / "home"
            home.mkdir()
            env = {"PATH": os.environ["PATH"], "HOME": str(home), "SSH_AUTH_SOCK": agent}
            authority = tmp_path / "state" / "ca" / "host.pub"
            login = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "bastion", "login", "127.0.0.1", "-p", str(running.port),
                "--host-ca", str(authority), "--no-browser", "--write-config",
                stderr=asyncio.subprocess.PIPE, env=env,
            )  # fmt: skip
            assert login.stderr is not None
            said = ""
            async with asyncio.timeout(30):
                while not (code := re.search(r"enter the code:\s+(\S+)", said)):
                    line = (await login.stderr.readline()).decode()
                    assert line, said
                    said += line
            await provider.approve_device(code[1], "alice")
            said += (await login.stderr.read()).decode()
            assert await login.wait() == 0, said
            assert "In your ssh-agent" in said
            ssh = home / ".ssh"
            plain = (
                "ssh", "-F", ssh / "bastion" / "config", "-o", "BatchMode=yes",
                "-o", f"UserKnownHostsFile={ssh / 'known_hosts'}",
            )  # fmt: skip
            # OpenSSH does not hand -o options on to the jump it starts, so it reads them here
            with (ssh / "bastion" / "config").open("a") as config:
                config.write(f"Host *\n    UserKnownHostsFile {ssh / 'known_hosts'}\n")
            to_target = f"{running.login}@web1"
            for where in (f"{to_target}", f"{to_target}@bastion"):
                status, out, err = await run(*plain, where, "echo through", env=env)
                assert (status, out) == (0, "through\n"), err
            status, out, err = await run(*plain, "bastion", "whoami", env=env)
            assert status == 0, err
            assert "alice" in out
