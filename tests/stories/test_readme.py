"""README's commands, run as they are printed; only ID, and where a file lies, are filled in."""

from __future__ import annotations

import asyncio
import getpass
import os
import re
import shutil
import signal
import sys
from pathlib import Path

import pytest

from bastion.demo.child import free_port
from tests.harness.idp import nanoidp_server
from tests.harness.running import bastion
from tests.ssh.test_access import ACCESS, as_boss

pytestmark = pytest.mark.story

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = re.findall(r"^\$ (.+)$", (ROOT / "README.md").read_text(), re.MULTILINE)

LOGIN = "ssh login@bastion > ~/.ssh/id_ed25519-cert.pub"
LIST = "bastion approvals list"
GRANT = "bastion approvals grant ID"
REFUSE = "bastion approvals refuse ID --reason 'not on a Friday'"
SERVE = "make serve CONFIG=/etc/bastion/bastion.yaml"
DEMO = "make demo"
REQUEST = "ssh bastion request web1 --for 30m --reason migrating the shop --wait"
REQUESTS = "ssh bastion requests"
REVOKE = "ssh bastion revoke ID --reason done"


def test_every_command_is_run_here():
    """`make test` is what runs this; the demo's own, in DIR, are run by its check."""
    asked = {REQUEST, REQUESTS, REVOKE}
    here = {command for command in COMMANDS if "DIR/" not in command}
    assert here == {DEMO, LOGIN, LIST, GRANT, REFUSE, SERVE, "make test"} | asked


@pytest.fixture
async def running(tmp_path, monkeypatch):
    (tmp_path / "idp").mkdir()
    (tmp_path / ".ssh").mkdir()
    async with nanoidp_server(tmp_path / "idp") as provider:
        monkeypatch.setenv("OIDC_SECRET", provider.client_secret)
        oidc = (
            f"oidc: {{issuer: '{provider.issuer}', client_id: {provider.client_id},"
            " client_secret: 'env:OIDC_SECRET'}\n"
        )
        operators = f"operators: [{{unix_user: {getpass.getuser()}, roles: [oncall]}}]\n"
        async with bastion(tmp_path, oidc=oidc, config=operators) as running:
            bin_ = tmp_path / "bin"
            bin_.mkdir()
            # OpenSSH takes the home directory from the account, not from HOME.
            wrapper = f'#!/bin/sh\nexec {shutil.which("ssh")} -F {tmp_path}/ssh_config "$@"\n'
            (bin_ / "ssh").write_text(wrapper)
            (bin_ / "ssh").chmod(0o755)
            running.environment |= {
                "HOME": str(tmp_path),
                "PATH": f"{bin_}:{Path(sys.executable).parent}:{os.environ['PATH']}",
                "BASTION_STATE": str(tmp_path / "state"),
            }
            yield running, provider


async def shell(running, command, **filled):
    for word, value in filled.items():
        command = command.replace(word, value)
    return await running.start("bash", "-c", command)


async def test_login(running, tmp_path):
    here, provider = running
    process = await shell(here, LOGIN)
    async with asyncio.timeout(30):
        while not (found := re.search(rb"code:\s+(\S+)", await process.stderr.readline())):
            pass
    await provider.approve_device(found[1].decode(), "alice")
    await process.communicate()
    assert process.returncode == 0
    assert (tmp_path / ".ssh/id_ed25519-cert.pub").read_text().startswith("ssh-ed25519-cert-v01")


@pytest.mark.parametrize(("answer", "status"), [(GRANT, 0), (REFUSE, 254)])
async def test_approvals(running, tmp_path, answer, status):
    here, _ = running
    asking = asyncio.create_task(here.ssh(f"touch {tmp_path}/made"))
    approval = await here.pending()
    listed, _ = await (await shell(here, LIST)).communicate()
    assert approval in listed.decode()
    assert "touch" in listed.decode()
    decided = await shell(here, answer, ID=approval)
    _, stderr = await decided.communicate()
    assert decided.returncode == 0, stderr
    assert (await asking).status == status
    assert (tmp_path / "made").exists() is (status == 0)


async def test_access(tmp_path):
    async with bastion(tmp_path, policy=ACCESS) as here:
        here.issue(groups=["oncall"], name="olga")
        ssh = f"ssh -F {tmp_path}/ssh_config "
        asking = await shell(here, REQUEST, **{"ssh ": ssh})
        request = await here.pending()
        assert (await as_boss(here, "grant", request)).status == 0
        said, stderr = await asking.communicate()
        assert asking.returncode == 0, stderr
        listed, _ = await (await shell(here, REQUESTS, **{"ssh ": ssh})).communicate()
        assert "granted" in listed.decode()
        revoked = await shell(here, REVOKE, **{"ssh ": ssh, "ID": said.decode().split()[0]})
        _, stderr = await revoked.communicate()
        assert revoked.returncode == 0, stderr


async def test_make_serve(running, tmp_path):
    here, _ = running
    other = tmp_path / "other.yaml"
    text = (tmp_path / "bastion.yaml").read_text()
    (tmp_path / "other").mkdir(mode=0o700)
    text = text.replace(f":{here.port}'", f":{free_port()}'")
    other.write_text(text.replace(f"state: {tmp_path}/state", f"state: {tmp_path}/other"))
    await until_ready(f"cd {ROOT}; {SERVE}".replace("/etc/bastion/bastion.yaml", str(other)))


async def test_make_demo():
    await until_ready(f"cd {ROOT}; {DEMO} PORT={free_port()}")


async def until_ready(command):
    """Run it until it says that it is ready, and end it as ctrl-C would."""
    process = await asyncio.create_subprocess_exec(
        "bash",
        "-c",
        command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    said = b""
    async with asyncio.timeout(90):
        while b"ready\n" not in said:
            line = await process.stdout.readline()
            assert line, said.decode()
            said += line
    os.killpg(process.pid, signal.SIGINT)
    await asyncio.wait_for(process.communicate(), 30)
