"""What the listener speaks: algorithms, keys, and everything of asyncssh that stays off."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import asyncssh
from asyncssh.kex import get_kex_algs

from bastion.ssh.services import Services

KEX: Final = tuple(
    name
    for name in (
        "mlkem768x25519-sha256",
        "curve25519-sha256",
        "curve25519-sha256@libssh.org",
    )
    if name.encode() in get_kex_algs()
)
"""The first is post-quantum; asyncssh has it where the OpenSSL of cryptography's wheel does."""
ENCRYPTION: Final = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")
"""AES-GCM alone by default: the client's order decides, OpenSSH's puts chacha20-poly1305 and
AES-CTR before it, and those cost asyncssh twice as much. `listen.ciphers` can say otherwise."""
MACS: Final = ("hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com")
SIGNATURES: Final = (
    "ssh-ed25519",
    "sk-ssh-ed25519@openssh.com",
    "rsa-sha2-512",
    "rsa-sha2-256",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)
"""What people's keys may sign with; never ssh-rsa (SHA-1) or DSA."""

VERSION: Final = "OpenSSH_bastion"
"""OpenSSH's client tells a server that nobody reads its output any more (`ssh … | head`) only where
the version begins like this; without it a program whose output goes nowhere would run for ever."""

KEEPALIVE_SECONDS: Final = 30.0
LOGIN_CEILING_SECONDS: Final = 1800.0
"""asyncssh's own bound of authentication; ours are shorter, this one only backs them up."""


async def server_options(
    services: Services,
    factory: Callable[[], asyncssh.SSHServer],
    certificate: asyncssh.SSHCertificate | None,
) -> asyncssh.SSHServerConnectionOptions:
    """Options of a server connection that shows the bastion's host key, with `certificate`."""
    keys: list[object] = [services.host_key]
    if certificate is not None:
        keys = [(services.host_key, certificate)]
    options: asyncssh.SSHServerConnectionOptions = (
        await asyncssh.SSHServerConnectionOptions.construct(
            None,
            config=None,
            server_factory=factory,
            server_host_keys=keys,
            server_version=VERSION,
            kex_algs=list(KEX),
            encryption_algs=list(services.ciphers or ENCRYPTION),
            mac_algs=list(MACS),
            signature_algs=list(SIGNATURES),
            compression_algs=None,
            gss_host=None,
            host_based_auth=False,
            password_auth=False,
            public_key_auth=True,
            kbdint_auth=True,
            agent_forwarding=True,
            x11_forwarding=True,
            x11_auth_path=services.x11_authority_path,
            allow_scp=False,
            encoding=None,
            line_editor=False,
            keepalive_interval=KEEPALIVE_SECONDS,
            login_timeout=LOGIN_CEILING_SECONDS,
        )
    )
    return options
