"""ssh-audit, which knows what is weak in SSH, finds no failure in the listener."""

from __future__ import annotations

import asyncio
import json
import sys

import asyncssh
import pytest

from bastion.demo.child import free_port, running
from tests.bench.stage import write_config


def verdicts(report, level):
    """What ssh-audit says at `level` (`fail`, `warn`), algorithm by algorithm."""
    return {
        f"{kind} {entry['algorithm']}": entry["notes"][level]
        for kind in ("kex", "key", "enc", "mac")
        for entry in report[kind]
        if entry["notes"].get(level)
    }


@pytest.mark.story
async def test_ssh_audit_finds_no_failure(tmp_path):
    port = free_port()
    key = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().strip()
    config = write_config(tmp_path, port, "127.0.0.1:22", key)
    serve = [sys.executable, "-m", "bastion", "serve", "--config", str(config)]
    async with running(serve, log=tmp_path / "log") as bastion:
        await bastion.wait_for("^ready$")
        audit = await asyncio.create_subprocess_exec(
            *("ssh-audit", "--json", "--skip-rate-test", "--port", str(port), "127.0.0.1"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await audit.communicate()
    report = json.loads(said)
    assert report["banner"]["software"] == "OpenSSH_bastion"
    assert report["cves"] == []
    assert verdicts(report, "fail") == {}
    # OpenSSH before 9.9 has no key exchange that is proof against a quantum computer.
    assert set(verdicts(report, "warn")) <= {
        "kex curve25519-sha256",
        "kex curve25519-sha256@libssh.org",
    }
