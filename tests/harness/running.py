"""A whole bastion in the test's own loop, a real sshd behind it, and OpenSSH in front."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncssh

from bastion import app
from bastion.config import load_config
from bastion.identity.ca import Authority
from bastion.identity.claims import VerifiedClaims
from bastion.model import CertificateFacts
from bastion.policy.access import certificate_grant, roles_of
from bastion.policy.approvals import Answer
from bastion.ssh.services import Services
from bastion.ssh.sessions import Sessions
from tests.harness.sshd import Sshd, SshdOptions, sshd

POLICY = """\
version: 1
roles:
  dev: {match: {groups: [dev, engineers]}}
  oncall: {match: {groups: oncall}}
grants:
  - name: web
    roles: [dev]
    targets: {names: [web1]}
    logins: [LOGIN]
    session: SESSION
    requests:
      deny: [no-reboot]
      approve: [held]
      default: allow
      opaque: OPAQUE
      approval: {approvers: [oncall], wait: 30s}
rules:
  no-reboot:
    reason: production does not reboot
    hint: ask the on-call
    command: {program: [reboot, shutdown]}
    examples: {match: [reboot], no_match: [ls]}
  held:
    reason: a person looks first
    command: {program: touch}
    approval: {approvers: [oncall], wait: 30s}
    examples: {match: [touch x], no_match: [ls]}
"""


@dataclass(frozen=True, slots=True)
class Ran:
    """What a program did."""

    status: int
    stdout: bytes
    stderr: str


@dataclass
class Clock:
    """The bastion's clock, which a test may advance."""

    ahead: float = 0.0

    def __call__(self) -> float:
        """Seconds since the epoch, and what the test made of them."""
        return time.time() + self.ahead


@dataclass(eq=False)
class Bastion:
    """A running bastion with one target, `web1`."""

    directory: Path
    port: int
    services: Services
    sessions: Sessions
    target: Sshd
    clock: Clock
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))

    @property
    def login(self) -> str:
        """The account on the target."""
        return self.target.login

    @property
    def ssh_config(self) -> Path:
        """`-F` file: Host bastion, the key and certificate of `issue`."""
        return self.directory / "ssh_config"

    def issue(
        self,
        *,
        groups: Sequence[str] = ("dev",),
        name: str = "alice",
        key: str = "id",
        lifetime: float | None = None,
    ) -> CertificateFacts:
        """Give the client's key a certificate, as a finished login would."""
        path = self.directory / key
        private = asyncssh.generate_private_key("ssh-ed25519")
        claims = VerifiedClaims("https://idp.test", name, name, {"groups": tuple(groups)})
        policy = self.services.policy()
        grant = certificate_grant(
            policy, claims.claims, roles_of(policy, claims.claims), "127.0.0.1"
        )
        authority: Authority = self.services.authority
        issued = authority.sign_user(
            private.convert_to_public(),
            grant,
            claims,
            session_id=secrets.token_hex(8),
            now=time.time()
            if lifetime is None
            else time.time() + lifetime - grant.lifetime_seconds,
        )
        for file in (path, Path(f"{path}-cert.pub")):
            file.unlink(missing_ok=True)
        path.write_bytes(private.export_private_key("openssh"))
        path.chmod(0o600)
        Path(f"{path}-cert.pub").write_text(issued.line + "\n")
        return issued.facts

    async def start(
        self, *words: str, stdin: int | None = asyncio.subprocess.DEVNULL
    ) -> asyncio.subprocess.Process:
        """Start a program (`ssh` gets `-F`)."""
        program, *rest = words
        if program in {"ssh", "scp", "sftp"}:
            rest = ["-F", str(self.ssh_config), *rest]
        return await asyncio.create_subprocess_exec(
            program,
            *rest,
            stdin=stdin,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=dict(self.environment),
            start_new_session=True,
        )

    async def run(self, *words: str, stdin: bytes | None = None, wait: float = 60) -> Ran:
        """Run a program to its end."""
        process = await self.start(
            *words, stdin=asyncio.subprocess.DEVNULL if stdin is None else asyncio.subprocess.PIPE
        )
        try:
            stdout, stderr = await asyncio.wait_for(process.communicate(stdin), wait)
        except TimeoutError:
            process.kill()
            stdout, stderr = await process.communicate()
            raise AssertionError(f"{words} hung; stderr: {stderr.decode()}") from None
        assert process.returncode is not None
        return Ran(process.returncode, stdout, stderr.decode("utf-8", "replace"))

    async def ssh(self, *words: str, stdin: bytes | None = None, via: str = "direct") -> Ran:
        """`ssh` to web1: `direct` is LOGIN@web1@bastion, `jump` is -J."""
        return await self.run("ssh", *self.to_target(via), *words, stdin=stdin)

    def to_target(self, via: str) -> list[str]:
        """The words that name the target."""
        if via == "jump":
            return ["-J", "bastion", f"{self.login}@web1"]
        return [f"{self.login}@web1@bastion"]

    def connect(self, user: str = "", **options: Any) -> Any:
        """asyncssh's client, to web1 unless `user` says otherwise; to be used with `async with`."""
        key = asyncssh.read_private_key(str(self.directory / "id"))
        certificate = asyncssh.read_certificate(str(self.directory / "id-cert.pub"))
        return asyncssh.connect(
            "127.0.0.1",
            self.port,
            username=user or f"{self.login}@web1",
            **{
                "client_keys": [(key, certificate)],
                "known_hosts": None,
                "config": None,
                "agent_path": None,
                **options,
            },
        )

    def audited(self, kind: str) -> list[dict[str, Any]]:
        """The fields of every audit line of a kind."""
        entries = map(json.loads, self.audit().splitlines())
        return [entry["fields"] for entry in entries if entry["kind"] == kind]

    def audit(self) -> str:
        """The audit log so far."""
        return (self.directory / "state/audit/audit.jsonl").read_text()

    def casts(self) -> list[Path]:
        """Every recording, oldest first."""
        found = (self.directory / "state/recordings").glob("*/*/*.cast")
        return sorted(found, key=lambda path: path.stat().st_mtime_ns)

    async def pending(self) -> str:
        """The id of the one approval that waits, as soon as there is one."""
        async with asyncio.timeout(20):
            while not (held := self.services.approvals.pending()):
                await asyncio.sleep(0.01)
        return held[0].id

    def answer(self, approval: str, *, grant: bool, name: str = "bob", reason: str = "") -> None:
        """Decide it, as an on-call person."""
        question = next(a for a in self.services.approvals.pending() if a.id == approval).question
        roles = frozenset({"oncall"})
        answer = Answer(f"unix#{name}", name, roles, grant, reason, time.time(), question.hash)
        self.services.approvals.answer(approval, answer)


@contextlib.asynccontextmanager
async def bastion(
    directory: Path,
    *,
    session: str = "{pty: true, exec: true, files: true, subsystems: [sftp]}",
    policy: str = POLICY,
    opaque: str = "approve",
    config: str = "",
    address: str = "",
    target: str = "",
    target_extra: str = "",
    also: Mapping[str, str] | None = None,
    authorized_keys: Sequence[str] = (),
    sshd_extra: Sequence[str] = (),
    oidc: str = "",
    listen: str = "",
) -> AsyncIterator[Bastion]:
    """Run it all in `directory`; `config`, `target` and `listen` add lines to bastion.yaml.

    `address` puts another target in the place of sshd. `also`: other names of it, with more lines.
    """
    state = directory / "state"
    state.mkdir(mode=0o700, exist_ok=True)
    authority = Authority.create(state / "ca")
    trusted = [
        key.public.export_public_key().decode().strip()
        for key in authority.keys("session", time.time())
    ]
    options = SshdOptions(
        user_authorities=trusted, authorized_keys=authorized_keys, extra=sshd_extra
    )
    async with sshd(directory / "sshd", options) as server:
        port = _free_port()
        text = policy.replace("LOGIN", server.login).replace("SESSION", session)
        (directory / "policy.yaml").write_text(text.replace("OPAQUE", opaque))
        for name, lines in (also or {}).items():
            target_extra += (
                f"\n  {name}:\n    address: '{server.address}'\n"
                f'    host_key: "{server.host_key}"\n    {lines}'
            )
        target_lines = (target or f'host_key: "{server.host_key}"') + target_extra
        (directory / "bastion.yaml").write_text(
            f"listen: {{ssh: '127.0.0.1:{port}', names: [bastion, 127.0.0.1]{listen}}}\n"
            f"state: {state}\npolicy: {directory}/policy.yaml\n{oidc}"
            f"targets:\n  web1:\n    address: '{address or server.address}'\n"
            f"    {target_lines}\n{config}"
        )
        clock = Clock()
        async with app.running(load_config(directory / "bastion.yaml"), clock) as parts:
            services = parts.services
            running = Bastion(directory, port, services, parts.sessions, server, clock)
            host_ca = services.authority.keys("host", time.time())[0].public
            line = host_ca.export_public_key().decode().strip()
            (directory / "known_hosts").write_text(f"@cert-authority * {line}\n")
            running.ssh_config.write_text(
                f"Host bastion\n  HostName 127.0.0.1\n  Port {port}\n  HostKeyAlias bastion\n"
                f"Host *\n  IdentityFile {directory}/id\n"
                f"  CertificateFile {directory}/id-cert.pub\n"
                f"  IdentitiesOnly yes\n  IdentityAgent none\n  StrictHostKeyChecking yes\n"
                f"  UserKnownHostsFile {directory}/known_hosts\n  LogLevel ERROR\n"
                f"  BatchMode yes\n"
            )
            running.issue()
            yield running


def _free_port() -> int:
    from bastion.demo.child import free_port

    return free_port()
