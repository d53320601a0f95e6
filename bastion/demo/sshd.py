"""A real OpenSSH server on loopback, run by any account: the demo's target, and the tests'."""

from __future__ import annotations

import contextlib
import getpass
import grp
import os
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import asyncssh

from bastion.demo.child import Child, ChildError, free_port, running
from bastion.errors import BastionError

PORT_ATTEMPTS: Final = 5


@dataclass(frozen=True, slots=True)
class SshdOptions:
    """What the server trusts and offers. Keys are text, `ssh-ed25519 AAAA…`."""

    user_authorities: Sequence[str] = ()
    """User CAs: a certificate of theirs opens the login that is its principal."""
    authorized_keys: Sequence[str] = ()
    principals: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Login → principals that open it, instead of the login's own name."""
    host_authority: asyncssh.SSHKey | None = None
    """Host CA that certifies the host key, for the names below."""
    host_names: Sequence[str] = ("127.0.0.1",)
    accept_env: Sequence[str] = ("LANG", "LC_*")
    sftp: str = "internal-sftp"
    passwords: bool = False
    port: int = 0
    """0 takes a free one."""
    extra: Sequence[str] = ()
    """More lines for sshd_config."""


@dataclass(frozen=True, slots=True)
class Sshd:
    """A running server. `login` is the account that can always log in: the one that runs it."""

    port: int
    host_key: str
    """Public key, for a pin: `ssh-ed25519 AAAA…`."""
    child: Child
    directory: Path
    login: str = field(default_factory=getpass.getuser)
    host: str = "127.0.0.1"

    @property
    def address(self) -> str:
        """`host:port`."""
        return f"{self.host}:{self.port}"

    def log(self) -> str:
        """Its log so far, at level VERBOSE: who came, with which key, and what was run."""
        return self.child.said()


def find_program(name: str) -> str:
    """Absolute path of a program; sshd's is not on the PATH of ordinary users."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if found is None:
        raise BastionError(f"{name} is not installed: install OpenSSH's server and client.")
    return found


def terminals_fail() -> bool:
    """Whether sshd, run by this account, dies of every terminal that it is asked for.

    It hands each to the group `tty` (OpenSSH's sshpty.c, pty_setowner); where /dev/pts is mounted
    without `gid=`, as in some containers, only root may.
    """
    if os.geteuid() == 0:
        return False
    ours, theirs = os.openpty()
    try:
        return os.fstat(theirs).st_gid != grp.getgrnam("tty").gr_gid
    except KeyError:
        return False
    finally:
        os.close(ours)
        os.close(theirs)


@contextlib.asynccontextmanager
async def sshd(directory: Path, options: SshdOptions | None = None) -> AsyncIterator[Sshd]:
    """Run a server with its files in `directory`; it is ready inside the block, and gone after."""
    options = options or SshdOptions()
    host_key = _prepare(directory, options)
    program = find_program("sshd")
    for attempt in range(1, PORT_ATTEMPTS + 1):
        port = options.port or free_port()
        config = directory / "sshd_config"
        config.write_text("\n".join(_config(directory, options, port)) + "\n")
        log = directory / f"sshd-{attempt}.log"
        async with running([program, "-D", "-e", "-f", config], log=log) as child:
            try:
                await child.wait_for(f"Server listening on 127.0.0.1 port {port}.")
            except ChildError:
                if attempt < PORT_ATTEMPTS and "Address already in use" in child.said():
                    continue
                raise
            yield Sshd(port=port, host_key=host_key, child=child, directory=directory)
            return


def _prepare(directory: Path, options: SshdOptions) -> str:
    """Write the keys that the server reads, and give the public half of its own."""
    directory.mkdir(parents=True, exist_ok=True)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # as root it does not start without
    (directory / "user_cas").write_text("".join(f"{key}\n" for key in options.user_authorities))
    (directory / "keys").write_text("".join(f"{key}\n" for key in options.authorized_keys))
    for login, names in options.principals.items():
        (directory / "principals").mkdir(exist_ok=True)
        (directory / "principals" / login).write_text("".join(f"{name}\n" for name in names))
    key = asyncssh.generate_private_key("ssh-ed25519")
    path = directory / "host_key"
    key.write_private_key(str(path))
    path.chmod(0o600)
    if options.host_authority is not None:
        certificate = options.host_authority.generate_host_certificate(
            key, "host", principals=list(options.host_names)
        )
        certificate.write_certificate(str(directory / "host_key-cert.pub"))
    return key.export_public_key().decode().strip()


def _config(directory: Path, options: SshdOptions, port: int) -> list[str]:
    lines = [
        f"Port {port}",
        "ListenAddress 127.0.0.1",
        f"HostKey {directory}/host_key",
        f"AuthorizedKeysFile {directory}/keys",
        f"TrustedUserCAKeys {directory}/user_cas",
        f"PasswordAuthentication {'yes' if options.passwords else 'no'}",
        "KbdInteractiveAuthentication no",
        "UsePAM no",
        "StrictModes no",  # its files lie in a temporary directory
        "PermitRootLogin yes",
        "PidFile none",
        "LogLevel VERBOSE",
        f"Subsystem sftp {options.sftp}",
        "MaxStartups 1000",  # load tests open hundreds at once
        "MaxSessions 100",
        "PrintMotd no",
        "PrintLastLog no",
        "UseDNS no",
    ]
    if options.accept_env:
        lines.append(f"AcceptEnv {' '.join(options.accept_env)}")
    if options.host_authority is not None:
        lines.append(f"HostCertificate {directory}/host_key-cert.pub")
    if options.principals:
        lines.append(f"AuthorizedPrincipalsFile {directory}/principals/%u")
    return [*lines, *options.extra]
