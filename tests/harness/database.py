"""A bastion with a PostgreSQL target, and a forward to it as `ssh -N -L` makes one."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from bastion.demo.child import free_port
from tests.harness.postgres import ADMIN_PASSWORD, PASSWORD, Postgres, environment, postgres
from tests.harness.running import Bastion, Ran, bastion

POLICY = """\
version: 1
roles:
  dev: {match: {groups: [dev]}}
  oncall: {match: {groups: oncall}}
rules:
  every-row:
    reason: It would change every row.
    hint: Name the rows in a WHERE.
    sql: {kind: [update, delete], without: where}
    examples: {match: [{sql: DELETE FROM t}], no_match: [{sql: DELETE FROM t WHERE id = 1}]}
  no-drop:
    reason: Tables stay.
    hint: Ask the owner.
    sql: {kind: [drop, truncate, copy-program]}
    examples: {match: [{sql: DROP TABLE t}], no_match: [{sql: SELECT 1}]}
grants:
  - name: web
    roles: [dev]
    targets: {names: [web1]}
    logins: [LOGIN]
    session: SESSION
    requests: {default: allow, opaque: OPAQUE, approval: {approvers: [oncall], wait: 30s}}
  - name: db
    roles: [dev]
    targets: {names: [orders-db]}
    logins: LOGINS
    session: {database: DATABASE}
    requests:
      deny: [no-drop]
      approve: [every-row]
      default: allow
      opaque: approve
      approval: {approvers: [oncall], wait: 30s}
"""

TABLES = """
CREATE TABLE t (id int PRIMARY KEY, v text);
INSERT INTO t SELECT n, 'v' || n FROM generate_series(1, 20) n;
CREATE TABLE people (id int PRIMARY KEY, name text, ssn text, born date);
INSERT INTO people VALUES (1, 'ann', '123-45-6789', '1980-01-01'), (2, 'bob', '987-65-4321', NULL);
GRANT ALL ON t, people TO app, cert; GRANT pg_read_all_stats TO app;
"""


@dataclass(frozen=True, slots=True)
class Stage:
    """What runs."""

    bastion: Bastion
    server: Postgres
    port: int
    """Of the forward, on 127.0.0.1."""

    def dsn(self, user: str = "app", **options: object) -> str:
        """A libpq connection string."""
        more = " ".join(f"{key}={value}" for key, value in options.items())
        return f"host=127.0.0.1 port={self.port} user={user} dbname=app {more}"

    async def psql(self, *words: str, stdin: bytes = b"", user: str = "app") -> Ran:
        """psql through the bastion."""
        return await self.bastion.run("psql", "-X", "-d", self.dsn(user), *words, stdin=stdin)

    def events(self) -> str:
        """What lies beside the casts of the forwards."""
        folder = self.bastion.directory / "state/recordings"
        return "".join(path.read_text() for path in sorted(folder.glob("*/*/*.events.jsonl")))


@contextlib.asynccontextmanager
async def database(
    directory: Path,
    *,
    terms: str = "{}",
    logins: str = "[app]",
    credential: str = "password",
    sql: str = TABLES,
    policy: str = POLICY,
    target: str = "",
    newest: bool = False,
    settings: Mapping[str, str] = MappingProxyType({}),
) -> AsyncIterator[Stage]:
    """Run it all: server, bastion, forward. `newest`: the newest release, which has no TLS here."""
    with tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp") as short:
        Path(short).chmod(0o755)
        async with postgres(Path(short) / "s", sql, settings, newest=newest) as server:
            config = write_secrets(directory, server, credential) + target
            config += "    tls: disable\n" if newest else ""
            text = policy.replace("LOGINS", logins).replace("DATABASE", terms)
            async with (
                bastion(directory, policy=text, config=config) as running,
                forward(running) as port,
            ):
                yield Stage(running, server, port)


def write_secrets(directory: Path, server: Postgres, credential: str) -> str:
    """The files that hold what the bastion logs in with; gives the target's lines."""
    secrets = {"password": PASSWORD, "maker": ADMIN_PASSWORD}
    for name, secret in secrets.items():
        path = directory / name
        path.write_text(secret)
        path.chmod(0o600)
    for name in ("client.pem", "client.key"):
        path = directory / name
        path.write_bytes((server.directory / name).read_bytes())
        path.chmod(0o600)
    credentials = {
        "password": f"{{password: 'file:{directory}/password'}}",
        "certificate": f"{{client_certificate: 'file:{directory}/client.pem',"
        f" key: 'file:{directory}/client.key'}}",
        "temporary": f"{{temporary_role: {{user: maker, password: 'file:{directory}/maker'}}}}",
    }
    return (
        f"  orders-db:\n    address: '127.0.0.1:{server.port}'\n    kind: postgres\n"
        f"    tls_ca: {server.ca}\n    credential: {credentials[credential]}\n"
    )


@contextlib.asynccontextmanager
async def forward(running: Bastion, to: str = "orders-db:5432") -> AsyncIterator[int]:
    """`ssh -N -L`, the program itself."""
    port = free_port()
    process = await running.start(
        "ssh", "-N", "-o", "ExitOnForwardFailure=yes", "-L", f"127.0.0.1:{port}:{to}", "bastion"
    )
    try:
        async with asyncio.timeout(30):
            while True:
                assert process.returncode is None, await process.stderr.read()  # type: ignore[union-attr]
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await asyncio.sleep(0.05)
                    continue
                writer.close()
                break
        yield port
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


__all__ = ["Stage", "database", "environment", "forward"]
