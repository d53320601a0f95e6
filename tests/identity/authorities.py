"""Grants, people and ssh-keygen, as the identity tests need them."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import asyncssh

from bastion.identity.ca import Authority, IssuedCertificate
from bastion.identity.claims import VerifiedClaims

NOW = 1_800_000_000.5


@dataclass(frozen=True)
class Grant:
    lifetime_seconds: int = 600
    principals: tuple[str, ...] = ("engineer", "oncall")
    source_addresses: tuple[str, ...] = ()
    extensions: frozenset[str] = frozenset({"permit-pty", "permit-port-forwarding"})


ALICE = VerifiedClaims(
    "https://idp.example",
    "248289761001",
    "alice",
    MappingProxyType({"groups": ("dev", "ops"), "email": "alice@example.org", "level": 3}),
)


def key(algorithm: str = "ssh-ed25519", **options: int) -> asyncssh.SSHKey:
    return asyncssh.generate_private_key(algorithm, **options)


def signed(authority: Authority, grant: Grant | None = None, now: float = NOW) -> IssuedCertificate:
    return authority.sign_user(key(), grant or Grant(), ALICE, session_id="s1", now=now)


def ssh_keygen(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["ssh-keygen", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=20,
        env={"PATH": "/usr/bin:/bin", "TZ": "UTC"},
    )
