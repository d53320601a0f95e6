"""make bench: the same work, each way to the same sshd, interleaved, in one run.

python -m tests.bench [--rounds N] [--megabytes N] [--keys N] [--connections N]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import pty
import select
import shutil
import statistics
import subprocess
import tempfile
import termios
import time
import tty
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench.stage import Stage, stage

YARDSTICK_LIMIT = 1.3
"""How much longer than the bare relay the bastion may take."""

CONTESTANTS = ("direct", "ssh -J", "relay", "GCM relay", "bastion")
"""`relay` is asyncssh's with its own list of ciphers; `GCM relay` has the bastion's, and shows what
gate, recording and audit cost on top."""

Samples = dict[str, list[float]]


def connect(way: list[str]) -> float:
    """Seconds for a connection that runs `true`."""
    began = time.perf_counter()
    subprocess.run([*way, "true"], check=True, stdin=subprocess.DEVNULL)
    return time.perf_counter() - began


def bulk(way: list[str], file: Path, times: int) -> float:
    """Seconds for `times` copies of a file as exec output, connection included."""
    command = f"cat {' '.join([str(file)] * times)}"
    began = time.perf_counter()
    with subprocess.Popen([*way, command], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as ssh:
        assert ssh.stdout is not None
        received = 0
        while chunk := os.read(ssh.stdout.fileno(), 1 << 20):
            received += len(chunk)
    wanted = file.stat().st_size * times
    assert (ssh.returncode, received) == (0, wanted), (ssh.returncode, received, wanted, way[-1])
    return time.perf_counter() - began


@contextlib.contextmanager
def echoing(way: list[str]) -> Iterator[int]:
    """A terminal in which every key comes back: a pty here, a pty and `cat` there, both raw."""
    pid, terminal = pty.fork()
    if not pid:
        os.execvp(way[0], [way[0], "-tt", *way[1:], "stty raw -echo; echo up; exec cat"])
    tty.setraw(terminal, termios.TCSANOW)
    seen = b""
    while b"up" not in seen:
        seen += os.read(terminal, 4096)
    while select.select([terminal], [], [], 0.2)[0]:
        os.read(terminal, 4096)
    try:
        yield terminal
    finally:
        os.close(terminal)
        os.waitpid(pid, 0)


def echo(terminal: int) -> float:
    """Seconds from a key to its echo."""
    began = time.perf_counter()
    os.write(terminal, b"k")
    assert os.read(terminal, 16) == b"k"
    return time.perf_counter() - began


def measure_connect(there: Stage, rounds: int) -> Samples:
    """Interleaved, so that a busy minute of the machine hits every contestant alike."""
    samples: Samples = {name: [] for name in there.ways}
    for _ in range(rounds):
        for name, way in there.ways.items():
            samples[name].append(connect(way))
    return samples


def measure_echo(there: Stage, keys: int) -> Samples:
    """All terminals are open at once and take their turns, key by key."""
    samples: Samples = {name: [] for name in there.ways}
    with contextlib.ExitStack() as stack:
        terminals = {n: stack.enter_context(echoing(way)) for n, way in there.ways.items()}
        for terminal in terminals.values():
            for _ in range(20):
                echo(terminal)
        for _ in range(keys):
            for name, terminal in terminals.items():
                samples[name].append(echo(terminal))
    return samples


def measure_bulk(there: Stage, rounds: int, megabytes: int) -> Samples:
    """Text, as a recording mostly holds; the recordings are removed between the rounds."""
    file, size = there.directory / "bulk.txt", min(megabytes, 64)
    line = b"2026-11-23T12:00:00Z host app[123]: GET /api/v1/orders/4711 200 in 12 ms, 3 rows\n"
    file.write_bytes((line * (size * 1_000_000 // len(line) + 1))[: size * 1_000_000])
    samples: Samples = {name: [] for name in there.ways}
    for _ in range(rounds):
        for name, way in there.ways.items():
            samples[name].append(bulk(way, file, megabytes // size))
            shutil.rmtree(there.recordings / time.strftime("%Y-%m-%d", time.gmtime()), True)
    return samples


def percentile(samples: list[float], share: float) -> float:
    """The value that `share` of the samples do not exceed."""
    return sorted(samples)[min(len(samples) - 1, int(len(samples) * share))]


@dataclass(frozen=True)
class Row:
    """One line of the table: samples in seconds, and what is shown of them."""

    title: str
    samples: Samples
    reduce: Callable[[list[float]], float]
    unit: str = "ms"
    judged: bool = True
    """A p99 is shown, not judged: on a busy machine it measures the neighbours."""


def report(rows: list[Row]) -> bool:
    """A table of figures and ratios; True when the bastion keeps within the yardstick."""
    console, good = Console(width=132), True
    table = Table("", *CONTESTANTS, *(f"÷ {name}" for name in CONTESTANTS[:-1]))
    for row in rows:
        value = {name: row.reduce(found) for name, found in row.samples.items()}
        ratio = {name: value["bastion"] / value[name] for name in value}
        good &= ratio["relay"] <= YARDSTICK_LIMIT or not row.judged
        factor = 1000 if row.unit == "ms" else 1
        table.add_row(
            f"{row.title} ({row.unit})",
            *(f"{value[name] * factor:.2f}" for name in CONTESTANTS),
            *(f"{ratio[name]:.2f}" for name in CONTESTANTS[:-1]),
        )
    console.print(table)
    verdict = "within" if good else "NOT within"
    console.print(f"bastion: {verdict} {YARDSTICK_LIMIT} × the bare relay (p99 apart)")
    return good


async def main() -> bool:
    """Measure and report."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="rounds of the bulk output")
    parser.add_argument("--megabytes", type=int, default=512)
    parser.add_argument("--keys", type=int, default=1000)
    parser.add_argument("--connections", type=int, default=15)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bastion-bench-") as place:
        async with stage(Path(place)) as there:
            connects = await asyncio.to_thread(measure_connect, there, arguments.connections)
            echoes = await asyncio.to_thread(measure_echo, there, arguments.keys)
            bulks = await asyncio.to_thread(
                measure_bulk, there, arguments.rounds, arguments.megabytes
            )
    size = f"{arguments.megabytes} MB of output"
    return report(
        [
            Row("connect + true, median", connects, statistics.median),
            Row("key echo, p50", echoes, statistics.median),
            Row("key echo, p99", echoes, lambda found: percentile(found, 0.99), judged=False),
            Row(f"{size}, best", bulks, min, unit="s"),
        ]
    )


if __name__ == "__main__":
    raise SystemExit(0 if asyncio.run(main()) else 1)
