"""The demo's directory: throw-away keys, configuration and recordings, for one run.

bastion.yaml policy.yaml   the bastion's, as an operator would write them
ssh_config known_hosts     the client's, so that ~/.ssh is neither read nor touched
id_ed25519                 the person's throw-away key; the login puts its certificate beside it
bastion                    a script that runs `bastion` with this configuration
asciinema psql             links to the programs of that name, where there are any
state/                     CA keys, database, audit log, recordings
logs/                      what the bastion says
work/                      files to copy, and one that a denied command would have removed
"""

from __future__ import annotations

import getpass
import os
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import asyncssh
import yaml

import bastion
from bastion.demo.database import Database
from bastion.demo.provider import Provider
from bastion.demo.sshd import Sshd
from bastion.errors import BastionError
from bastion.identity.ca import Authority

POLICY: Final = Path(bastion.__file__).parent.parent / "policies" / "demo.yaml"
DATABASE_PORT: Final = 15432
POLICY_LOGIN: Final = "demo"
"""The account that the sample policy speaks of; here it is whoever runs the demo."""

_OWN_PROGRAMS: Final = os.path.dirname(sys.executable)
"""Programs of the virtual environment, which is on nobody's PATH in another terminal."""


@dataclass(frozen=True, slots=True)
class Scene:
    """Where everything of one run lies, and how it is reached."""

    directory: Path
    port: int
    """Where the bastion listens."""
    login: str = field(default_factory=getpass.getuser)
    database_port: int = DATABASE_PORT
    """Where the way to the database begins, once it is opened."""

    @property
    def config(self) -> Path:
        """The bastion's configuration."""
        return self.directory / "bastion.yaml"

    @property
    def state(self) -> Path:
        """The bastion's state directory."""
        return self.directory / "state"

    @property
    def log(self) -> Path:
        """What the bastion says; not beside the policy, whose directory it watches."""
        return self.directory / "logs" / "bastion.log"

    @property
    def work(self) -> Path:
        """The files that the commands of the demo touch."""
        return self.directory / "work"

    def prepare(self) -> Authority:
        """Write all that is known before anything runs; gives the throw-away CA."""
        authority = Authority.create(self.state / "ca")
        self.state.chmod(0o700)
        key = asyncssh.generate_private_key("ssh-ed25519", comment="bastion demo")
        _write(self.directory / "id_ed25519", key.export_private_key(), 0o600)
        _write(self.directory / "id_ed25519.pub", key.export_public_key(), 0o644)
        _write(self.directory / "known_hosts", self._known_hosts(authority), 0o644)
        _write(self.directory / "ssh_config", self._ssh_config(), 0o644)
        _write(self.directory / "bastion", self._script(), 0o755)
        if player := shutil.which("asciinema") or shutil.which("asciinema", path=_OWN_PROGRAMS):
            (self.directory / "asciinema").symlink_to(player)
        _write(self.directory / "policy.yaml", self._policy(), 0o644)
        self.work.mkdir()
        self.log.parent.mkdir()
        _write(self.work / "precious", b"a denied command would have removed this\n", 0o644)
        _write(self.work / "notes.txt", b"a file to copy\n", 0o644)
        if git := shutil.which("git"):
            subprocess.run([git, "init", "--quiet", "--bare", self.work / "app.git"], check=True)  # noqa: S603
        return authority

    def configure(self, provider: Provider, web1: Sshd, database: Database | None) -> None:
        """Write the bastion's configuration, now that its surroundings run."""
        secret = self.directory / "client_secret"
        _write(secret, provider.client_secret.encode(), 0o600)
        settings = {
            "listen": {
                "ssh": f"127.0.0.1:{self.port}",
                "names": ["bastion", "127.0.0.1", "localhost"],
            },
            "state": str(self.state),
            "policy": str(self.directory / "policy.yaml"),
            "oidc": {
                "issuer": provider.issuer,
                "client_id": provider.client_id,
                "client_secret": f"file:{secret}",
                "claims": ["groups", "email"],
            },
            "targets": {
                "web1": {
                    "address": web1.address,
                    "labels": {"env": "demo"},
                    "host_key": web1.host_key,
                    "description": "a real sshd on this machine",
                },
                **self._database(database),
            },
            "operators": [{"unix_user": self.login, "name": "bob", "roles": ["oncall"]}],
        }
        _write(self.config, yaml.safe_dump(settings, sort_keys=False).encode(), 0o600)

    def _database(self, database: Database | None) -> dict[str, object]:
        if database is None:
            return {}
        (self.directory / "psql").symlink_to(database.psql)
        secret = self.directory / "database_password"
        _write(secret, database.password.encode(), 0o600)
        target = {
            "address": database.address,
            "kind": "postgres",
            "tls": "disable",
            "credential": {"password": f"file:{secret}"},
            "description": "a real PostgreSQL on this machine",
        }
        return {"orders-db": target}

    def _known_hosts(self, authority: Authority) -> bytes:
        keys = authority.keys("host", time.time())
        return "".join(f"@cert-authority * {key.line}\n" for key in keys).encode()

    def _ssh_config(self) -> bytes:
        return f"""\
Host bastion
    HostName 127.0.0.1
    Port {self.port}
    HostKeyAlias bastion

Host *
    IdentityFile {self.directory}/id_ed25519
    IdentitiesOnly yes
    IdentityAgent none
    UserKnownHostsFile {self.directory}/known_hosts
    GlobalKnownHostsFile /dev/null
    StrictHostKeyChecking yes
""".encode()

    def _script(self) -> bytes:
        words = [sys.executable, "-m", "bastion"]
        return f"""\
#!/bin/sh
BASTION_CONFIG={shlex.quote(os.fspath(self.config))} exec {shlex.join(words)} "$@"
""".encode()

    def _policy(self) -> bytes:
        try:
            text = POLICY.read_text()
        except FileNotFoundError:
            raise BastionError(
                "The demo's sample policy is not here: run it from a checkout (make demo)."
            ) from None
        return text.replace(f"[{POLICY_LOGIN}]", f"[{self.login}]").encode()


def _write(path: Path, content: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with open(descriptor, "wb") as file:
        file.write(content)
