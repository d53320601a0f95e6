"""pgbench to one PostgreSQL: direct, through sshd's own `ssh -L`, and through the gate, in one run.

python -m tests.bench.postgres [--seconds N] [--clients 1,8,32] [--modes simple,extended,prepared]
                               [--loads select,tpcb] [--ways direct,ssh,gate] [--scale N]

Every statement through the gate is read, decided and recorded; through `ssh -L` none is. The last
columns are the CPU time of a transaction in sshd and in the bastion (its parsers, and this program,
included): they say the same on a machine that is busy with other things.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import os
import re
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import asyncssh
from rich.console import Console
from rich.table import Table

from bastion.demo.child import free_port
from tests.harness.database import POLICY, forward, write_secrets
from tests.harness.postgres import PASSWORD, Postgres, binaries, environment, postgres
from tests.harness.running import bastion

WAYS = ("direct", "ssh", "gate")
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
        yield server, {"direct": server.port, "ssh": plain, "gate": gate}


async def pgbench(port: int, *words: str) -> tuple[float, int]:
    """Transactions a second once all are connected, and how many there were."""
    program = await asyncio.create_subprocess_exec(
        binaries() / "pgbench", "-h", "127.0.0.1", "-p", str(port), "-U", "app", *words, "app",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**environment(), "PGPASSWORD": PASSWORD},
    )  # fmt: skip
    stdout, stderr = await program.communicate()
    assert program.returncode == 0, stderr.decode()
    found = re.search(rb"actually processed: (\d+).*tps = ([0-9.]+)", stdout, re.DOTALL)
    return (float(found[2]), int(found[1])) if found else (0.0, 0)


def cpu_seconds() -> dict[str, float]:
    """CPU time so far: of every sshd that runs here, and of the bastion, which is this process."""
    used = {"ssh": 0.0, "gate": time.process_time()}
    waiting = [os.getpid()]
    while waiting:
        for task in Path(f"/proc/{waiting.pop()}/task").glob("*/children"):
            with contextlib.suppress(OSError, ValueError):
                for child in map(int, task.read_text().split()):
                    waiting.append(child)
                    name, _, rest = Path(f"/proc/{child}/stat").read_text().rpartition(")")
                    ticks = sum(map(int, rest.split()[11:13]))
                    of = "ssh" if "(sshd" in name else "gate" if "(python" in name else ""
                    used[of] = used.get(of, 0.0) + ticks / os.sysconf("SC_CLK_TCK")
    return used


@dataclass(frozen=True, slots=True)
class Cell:
    """One measurement: transactions a second, and CPU microseconds of one."""

    tps: float
    cpu: float


async def measured(way: str, port: int, words: list[str], seconds: int) -> Cell:
    """Run pgbench one way."""
    before = cpu_seconds()
    tps, count = await pgbench(port, *words, "-T", str(seconds))
    used = cpu_seconds().get(way, 0.0) - before.get(way, 0.0)
    return Cell(tps, used / count * 1e6 if count else 0.0)


def row(cells: dict[str, Cell], clients: int) -> list[str]:
    """The table's columns behind the first three."""
    tps = [f"{cells[way].tps:.0f}" if way in cells else "" for way in WAYS]
    part, aim = "", AIMS.get(clients)
    if {"ssh", "gate"} <= cells.keys():
        part = f"{cells['gate'].tps / max(cells['ssh'].tps, 0.001):.2f}"
    cpu = [f"{cells[way].cpu:.0f}" if way in cells else "" for way in WAYS[1:]]
    return [*tps, part, f"{aim:.2f}" if aim else "", *cpu]


def options() -> argparse.Namespace:
    """What to measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=int, default=4, help="of each of the 54 runs")
    parser.add_argument("--clients", default="1,8,32")
    parser.add_argument("--modes", default="simple,extended,prepared")
    parser.add_argument("--loads", default="select,tpcb")
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--scale", type=int, default=10, help="pgbench's; 100,000 rows each")
    return parser.parse_args()


async def main() -> None:
    """Measure and print; the aims stand beside."""
    given = options()
    table = Table(
        "load", "protocol", "clients", "direct", "ssh -L", "gate", "gate / ssh -L", "aim",
        "sshd µs", "gate µs", title="transactions a second, and CPU microseconds of one",
    )  # fmt: skip
    console = Console(width=120)
    with tempfile.TemporaryDirectory(prefix="pgb-", dir="/tmp") as short:
        Path(short).chmod(0o755)
        async with ways(Path(short)) as (server, ports):
            await pgbench(server.port, "-i", "-q", "-s", str(given.scale))
            for load, mode, clients in itertools.product(
                given.loads.split(","), given.modes.split(","), map(int, given.clients.split(","))
            ):
                words = [*LOADS[load], "-M", mode, "-c", str(clients), "-n"]
                cells = {
                    way: await measured(way, ports[way], words, given.seconds)
                    for way in given.ways.split(",")
                }
                table.add_row(load, mode, str(clients), *row(cells, clients))
    console.print(table)
    console.print(
        "load of the machine, 1, 5, 15 minutes:", *(f"{one:.1f}" for one in os.getloadavg())
    )


if __name__ == "__main__":
    asyncio.run(main())
