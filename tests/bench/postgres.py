"""pgbench to one PostgreSQL: direct, through sshd's own `ssh -L`, and through the gate, in one run.

python -m tests.bench.postgres [--seconds N] [--clients 1,8,32] [--modes simple,extended,prepared]
                               [--loads select,tpcb]

Every statement through the gate is read, decided and recorded; through `ssh -L` none is.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import re
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import asyncssh
from rich.console import Console
from rich.table import Table

from bastion.demo.child import free_port
from tests.harness.database import POLICY, forward, write_secrets
from tests.harness.postgres import PASSWORD, Postgres, binaries, environment, postgres
from tests.harness.running import bastion

WAYS = ("direct", "ssh -L", "gate")
LOADS = {"select": ["-S"], "tpcb": []}
AIMS = {1: 1.0, 8: 0.7}
"""What the gate is to reach, in parts of `ssh -L`."""


@contextlib.asynccontextmanager
async def ways(directory: Path) -> AsyncIterator[tuple[Postgres, dict[str, int]]]:
    """The server, and the port of every way to it."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    key.write_private_key(str(directory / "plain"))
    (directory / "plain").chmod(0o600)
    public = key.export_public_key().decode().strip()
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(
            postgres(directory / "s", "", settings={"log_statement": "none"})
        )
        config = write_secrets(directory, server, "password")
        running = await stack.enter_async_context(
            bastion(
                directory,
                policy=POLICY.replace("LOGINS", "[app]").replace("DATABASE", "{}"),
                config=config,
                authorized_keys=[public],
            )
        )
        gate = await stack.enter_async_context(forward(running))
        plain = free_port()
        port = running.target.address.rpartition(":")[2]
        ssh = await asyncio.create_subprocess_exec(
            "ssh", "-N", "-F", "/dev/null", "-i", str(directory / "plain"), "-p", port,
            "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
            "-o", "IdentitiesOnly=yes", "-o", "LogLevel=ERROR",
            "-L", f"127.0.0.1:{plain}:127.0.0.1:{server.port}",
            f"{running.login}@127.0.0.1",
        )  # fmt: skip
        stack.callback(ssh.terminate)
        async with asyncio.timeout(20):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", plain)
                except OSError:
                    await asyncio.sleep(0.05)
                    continue
                writer.close()
                break
        yield server, {"direct": server.port, "ssh -L": plain, "gate": gate}


async def pgbench(port: int, *words: str) -> float:
    """Transactions a second."""
    program = await asyncio.create_subprocess_exec(
        binaries() / "pgbench", "-h", "127.0.0.1", "-p", str(port), "-U", "app", *words, "app",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**environment(), "PGPASSWORD": PASSWORD},
    )  # fmt: skip
    stdout, stderr = await program.communicate()
    assert program.returncode == 0, stderr.decode()
    found = re.search(rb"tps = ([0-9.]+)", stdout)
    return float(found[1]) if found else 0.0


async def main() -> None:
    """Measure, print, and say which aims were missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--clients", default="1,8,32")
    parser.add_argument("--modes", default="simple,extended,prepared")
    parser.add_argument("--loads", default="select,tpcb")
    arguments = parser.parse_args()
    table = Table("load", "protocol", "clients", *WAYS, "gate / ssh -L", "aim")
    with tempfile.TemporaryDirectory(prefix="pgb-", dir="/tmp") as short:
        Path(short).chmod(0o755)
        async with ways(Path(short)) as (server, ports):
            await pgbench(server.port, "-i", "-q", "-s", "5")
            for load in arguments.loads.split(","):
                for mode in arguments.modes.split(","):
                    for clients in map(int, arguments.clients.split(",")):
                        words = [*LOADS[load], "-M", mode, "-c", str(clients), "-n"]
                        tps = {
                            way: await pgbench(ports[way], *words, "-T", str(arguments.seconds))
                            for way in WAYS
                        }
                        part = tps["gate"] / tps["ssh -L"]
                        aim = AIMS.get(clients)
                        table.add_row(
                            load, mode, str(clients), *(f"{tps[way]:.0f}" for way in WAYS),
                            f"{part:.2f}", f"{aim:.2f}" if aim else "",
                        )  # fmt: skip
    Console().print(table)


if __name__ == "__main__":
    asyncio.run(main())
