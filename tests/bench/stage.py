"""What is measured: one sshd, and the ways to it. Every way is plain `ssh` with other options."""

from __future__ import annotations

import contextlib
import getpass
import re
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import asyncssh
import yaml

from bastion.demo.child import Child, free_port, running
from bastion.demo.sshd import SshdOptions, sshd
from bastion.identity.ca import Authority
from bastion.identity.claims import VerifiedClaims
from bastion.ssh.options import ENCRYPTION

POLICY = """\
version: 1
roles:
  bench: {match: {group: bench}}
grants:
  - name: bench
    roles: [bench]
    targets: {names: ["*"]}
    logins: [LOGIN]
    session: {exec: true, pty: true, files: true}
    requests: {default: allow, opaque: allow}
"""

LOGIN = getpass.getuser()


@dataclass(frozen=True)
class BenchGrant:
    """What `Authority.sign_user` signs for the client of the measurement."""

    lifetime_seconds: int = 3600
    principals: tuple[str, ...] = ("bench",)
    source_addresses: tuple[str, ...] = ()
    extensions: frozenset[str] = frozenset({"permit-pty", "permit-port-forwarding"})


@dataclass(frozen=True)
class Stage:
    """Where everything listens, and the ssh options of every way."""

    directory: Path
    ways: dict[str, list[str]]
    bastion: Child
    port: int
    recordings: Path


@contextlib.asynccontextmanager
async def stage(directory: Path) -> AsyncIterator[Stage]:
    """sshd, the yardstick and the bastion run inside the block."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    key.write_private_key(str(directory / "key"))
    (directory / "key").chmod(0o600)
    public = key.export_public_key().decode().strip()
    (directory / "authorized").write_text(f"{public}\n")
    state = directory / "state"
    authority = Authority.create(state / "ca")
    state.chmod(0o700)
    claims = VerifiedClaims("https://bench", "bench", "bench", {"group": "bench"})
    issued = authority.sign_user(key, BenchGrant(), claims, session_id="bench", now=time.time())
    (directory / "certificate").write_text(f"{issued.line}\n")
    options = SshdOptions(
        user_authorities=[found.line for found in authority.keys("session", time.time())],
        authorized_keys=[public],
    )
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(sshd(directory / "sshd", options))
        key_files = (str(directory / "key"), str(directory / "authorized"))
        yardstick = [sys.executable, "-m", "tests.bench.relay", str(server.port), LOGIN, *key_files]
        relays = []
        for number, ciphers in enumerate(([], [",".join(ENCRYPTION)])):
            log = directory / f"relay-{number}.log"
            relay = await stack.enter_async_context(running([*yardstick, *ciphers], log=log))
            await relay.wait_for("relay on port")
            found = re.search(r"port (\d+)", relay.said())
            assert found is not None
            relays.append(int(found[1]))
        port = free_port()
        config = write_config(directory, port, server.address, server.host_key)
        serve = [sys.executable, "-m", "bastion", "serve", "--config", str(config)]
        bastion = await stack.enter_async_context(running(serve, log=directory / "bastion.log"))
        await bastion.wait_for("^ready$")
        yield Stage(
            directory,
            ways(directory, server.port, relays, port),
            bastion,
            port,
            state / "recordings",
        )


def write_config(directory: Path, port: int, address: str, host_key: str) -> Path:
    """bastion.yaml and its policy: everything allowed, everything gated and recorded."""
    policy = directory / "policy" / "bench.yaml"  # alone: its directory is watched
    policy.parent.mkdir()
    policy.write_text(POLICY.replace("LOGIN", LOGIN))
    config = directory / "bastion.yaml"
    limits = {
        "unauthenticated": 1000,
        "unauthenticated_per_address": 1000,
        "sessions_per_identity": 1000,
    }
    document = {
        "listen": {"ssh": f"127.0.0.1:{port}"},
        "state": str(directory / "state"),
        "policy": str(policy),
        "targets": {"web1": {"address": address, "host_key": host_key}},
        "limits": limits,
    }
    config.write_text(yaml.safe_dump(document))
    return config


def ways(directory: Path, direct: int, relays: list[int], bastion: int) -> dict[str, list[str]]:
    """The ssh command line of every contestant, but for the remote command."""
    plain = ["ssh", "-F", "/dev/null", "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none"]
    plain += ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
    plain += ["-o", "LogLevel=ERROR", "-i", str(directory / "key")]
    jump = " ".join([*plain, "-W", "%h:%p", "-p", str(direct), f"{LOGIN}@127.0.0.1"])
    certificate = ["-o", f"CertificateFile={directory}/certificate"]
    to = [f"{LOGIN}@127.0.0.1"]
    return {
        "direct": [*plain, "-p", str(direct), *to],
        "ssh -J": [*plain, "-o", f"ProxyCommand={jump}", "-p", str(direct), *to],
        "relay": [*plain, "-p", str(relays[0]), *to],
        "GCM relay": [*plain, "-p", str(relays[1]), *to],
        "bastion": [*plain, *certificate, "-p", str(bastion), f"{LOGIN}@web1@127.0.0.1"],
    }
