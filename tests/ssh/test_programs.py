"""The programs people use, unchanged, through both ways in, against a real sshd."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys

import paramiko
import pytest

from tests.harness.running import bastion

pytestmark = pytest.mark.story


@pytest.fixture
async def running(tmp_path):
    async with bastion(tmp_path, opaque="allow") as running:
        yield running


@pytest.fixture(params=["direct", "jump"])
def via(request):
    return request.param


@pytest.fixture
def payload(tmp_path):
    path = tmp_path / "payload.bin"
    path.write_bytes(os.urandom(3_000_000))
    return path


def remote_shell(running, via):
    """What `-e`, GIT_SSH_COMMAND and friends take."""
    jump = " -J bastion" if via == "jump" else ""
    return f"ssh -F {running.ssh_config}{jump}"


def host(running, via):
    return f"{running.login}@web1" if via == "jump" else f"{running.login}%web1@bastion"


def copy_options(via):
    return ["-J", "bastion"] if via == "jump" else []


@pytest.mark.parametrize("mode", ["-s", "-O"])
async def test_scp_both_ways_in_both_modes(running, via, payload, tmp_path, mode):
    there, back = tmp_path / "there", tmp_path / "back"
    options = [mode, *copy_options(via)]
    up = await running.run("scp", *options, str(payload), f"{host(running, via)}:{there}")
    assert (up.status, up.stderr) == (0, "")
    down = await running.run("scp", *options, f"{host(running, via)}:{there}", str(back))
    assert (down.status, down.stderr) == (0, "")
    assert back.read_bytes() == payload.read_bytes()
    digest = hashlib.sha256(payload.read_bytes()).hexdigest()
    entries = [json.loads(line) for line in running.audit().splitlines()]
    files = [e["fields"] for e in entries if e["kind"] == "file" and e["fields"]["sha256"]]
    assert [(f["direction"], f["size"], f["sha256"]) for f in files] == [
        ("upload", 3_000_000, digest),
        ("download", 3_000_000, digest),
    ]


async def test_sftp_works_as_people_know_it(running, via, payload, tmp_path):
    batch = f"mkdir {tmp_path}/d\nput {payload} {tmp_path}/d/x\nls {tmp_path}/d\n"
    batch += f"rename {tmp_path}/d/x {tmp_path}/d/y\nget {tmp_path}/d/y {tmp_path}/z\n"
    batch += f"rm {tmp_path}/d/y\nrmdir {tmp_path}/d\n"
    (tmp_path / "batch").write_text(batch)
    options = ["-b", str(tmp_path / "batch"), *copy_options(via)]
    ran = await running.run("sftp", *options, host(running, via))
    assert ran.status == 0, ran.stderr
    assert (tmp_path / "z").read_bytes() == payload.read_bytes()


async def test_rsync_both_ways(running, via, payload, tmp_path):
    shell = remote_shell(running, via)
    there = f"{host(running, via)}:{tmp_path}/there.bin"
    up = await running.run("rsync", "-az", "-e", shell, str(payload), there)
    assert up.status == 0, up.stderr
    down = await running.run("rsync", "-a", "-e", shell, there, f"{tmp_path}/back.bin")
    assert down.status == 0, down.stderr
    assert (tmp_path / "back.bin").read_bytes() == payload.read_bytes()


async def test_git_clones_and_pushes(running, via, tmp_path):
    repository, clone = tmp_path / "r.git", tmp_path / "clone"
    running.environment["GIT_SSH_COMMAND"] = remote_shell(running, via)
    running.environment["GIT_CONFIG_GLOBAL"] = "/dev/null"
    url = f"{host(running, via)}:{repository}"
    author = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    steps = [
        ["git", "init", "-q", "--bare", str(repository)],
        ["git", "clone", "-q", url, str(clone)],
        ["git", "-C", str(clone), *author, "commit", "-q", "--allow-empty", "-m", "one"],
        ["git", "-C", str(clone), "push", "-q", "origin", "HEAD"],
        ["git", "-C", str(clone), "fetch", "-q"],
    ]
    for step in steps:
        ran = await running.run(*step)
        assert ran.status == 0, (step, ran.stderr)
    assert (await running.run("git", "-C", str(repository), "log", "--oneline", "--all")).stdout


async def test_ansible_pings_with_pipelining(running, via, tmp_path):
    jump = " -J bastion" if via == "jump" else ""
    (tmp_path / "hosts").write_text(f"{host(running, via)}\n")
    running.environment |= {
        "ANSIBLE_PIPELINING": "true",
        "ANSIBLE_SSH_ARGS": f"-F {running.ssh_config}{jump}",
        "ANSIBLE_HOME": str(tmp_path / "ansible"),
        "ANSIBLE_LOCAL_TEMP": str(tmp_path / "ansible-tmp"),
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(tmp_path / "cp"),
        "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
        "LC_ALL": "C.UTF-8",
    }
    program = os.path.join(os.path.dirname(sys.executable), "ansible")
    ran = await running.run(program, "all", "-i", str(tmp_path / "hosts"), "-m", "ping")
    assert b'"ping": "pong"' in ran.stdout, (ran.stdout, ran.stderr)


async def test_one_connection_carries_several_channels(running, via, tmp_path):
    control = ["-o", f"ControlPath={tmp_path}/cm", "-o", "ControlMaster=auto"]
    target = running.to_target(via)
    master = await running.start("ssh", *control, "-o", "ControlPersist=30", "-N", *target)
    async with asyncio.timeout(20):
        while not (tmp_path / "cm").exists():
            await asyncio.sleep(0.02)
    runs = await asyncio.gather(
        *(running.run("ssh", *control, *target, f"echo {n}; exit {n}") for n in range(8))
    )
    assert [(ran.status, ran.stdout) for ran in runs] == [(n, b"%d\n" % n) for n in range(8)]
    await running.run("ssh", *control, "-O", "exit", *target)
    await master.wait()


async def test_proxy_command_with_w(running):
    proxy = f"ssh -F {running.ssh_config} -W %h:%p bastion"
    ran = await running.run(
        "ssh", "-o", f"ProxyCommand={proxy}", f"{running.login}@web1", "echo through"
    )
    assert ran.stdout == b"through\n"


async def test_paramiko_speaks_sftp_too(running, payload, tmp_path):
    def transfer():
        key = paramiko.Ed25519Key.from_private_key_file(str(tmp_path / "id"))
        key.load_certificate(str(tmp_path / "id-cert.pub"))
        client = paramiko.SSHClient()
        client.set_missing_host_key_policy(paramiko.MissingHostKeyPolicy())
        client.connect(
            "127.0.0.1",
            running.port,
            username=f"{running.login}@web1",
            pkey=key,
            allow_agent=False,
            look_for_keys=False,
        )
        with client, client.open_sftp() as sftp:
            sftp.put(str(payload), str(tmp_path / "p"))
            sftp.get(str(tmp_path / "p"), str(tmp_path / "q"))
            return sftp.listdir(str(tmp_path))

    assert "p" in await asyncio.to_thread(transfer)
    assert (tmp_path / "q").read_bytes() == payload.read_bytes()
