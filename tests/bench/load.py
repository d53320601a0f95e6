"""200 people at once: every session is recorded whole, and what one costs in memory is printed.

python -m tests.bench.load [SESSIONS]

All sessions are open together: each runs a command that answers, waits until every other one is
there, and answers again; then the last words are looked for in every recording.
"""

from __future__ import annotations

import asyncio
import resource
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import asyncssh

from tests.bench.stage import LOGIN, Stage, stage

SESSIONS = 200
AT_ONCE = 20
"""Handshakes under way at a time: the clients run on the same two cores."""


@dataclass(frozen=True)
class LoadResult:
    """What came out."""

    sessions: int
    answered: int
    recorded: int
    resident_kib: float
    """What the bastion's memory grew by, for each session that was open."""
    opened_seconds: float

    def __str__(self) -> str:
        return (
            f"load: {self.sessions} sessions at once, {self.answered} answered, "
            f"{self.recorded} recorded whole, {self.resident_kib:.0f} KiB each, "
            f"opened in {self.opened_seconds:.1f} s"
        )


def resident(pid: int) -> int:
    """Resident memory of a program, in KiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError("no VmRSS")


class Client:
    """One person with one session."""

    def __init__(self, there: Stage, number: int) -> None:
        self.there, self.number = there, number

    async def open(self, gate: asyncio.Semaphore) -> None:
        """Connect and wait for the first answer; the session stays open."""
        async with gate:
            self.connection = await asyncssh.connect(
                "127.0.0.1",
                self.there.port,
                username=f"{LOGIN}@web1",
                client_keys=[
                    (str(self.there.directory / "key"), str(self.there.directory / "certificate"))
                ],
                known_hosts=None,
                agent_path=None,
                config=None,
                login_timeout=120,
            )
            self.session = await self.connection.create_process(
                f"echo begin-{self.number}; cat; echo end-{self.number}"
            )
            assert await self.session.stdout.readline() == f"begin-{self.number}\n"

    async def finish(self) -> bool:
        """Say something, hear it again and the end after it."""
        self.session.stdin.write(f"middle-{self.number}\n")
        self.session.stdin.write_eof()
        result = await self.session.wait()
        self.connection.close()
        await self.connection.wait_closed()
        heard = f"middle-{self.number}\nend-{self.number}\n"
        return (result.exit_status, result.stdout) == (0, heard)


async def load(there: Stage, sessions: int = SESSIONS) -> LoadResult:
    """Open all, finish all, count what was kept."""
    warm = Client(there, 0)
    await warm.open(asyncio.Semaphore(1))
    await warm.finish()
    before, began = resident(there.bastion.pid), time.perf_counter()
    clients, gate = (
        [Client(there, number) for number in range(1, sessions + 1)],
        asyncio.Semaphore(AT_ONCE),
    )
    await asyncio.gather(*(client.open(gate) for client in clients))
    opened = time.perf_counter() - began
    grown = resident(there.bastion.pid) - before
    answered = await asyncio.gather(*(client.finish() for client in clients))
    casts = [cast.read_text() for cast in there.recordings.glob("*/*/*.cast")]
    recorded = sum(
        any(f"begin-{n}\\r" in cast or f"begin-{n}\\n" in cast for cast in casts)
        and any(f"end-{n}\\r" in cast or f"end-{n}\\n" in cast for cast in casts)
        for n in range(1, sessions + 1)
    )
    return LoadResult(sessions, sum(answered), recorded, grown / sessions, opened)


async def main() -> bool:
    """Run it and print."""
    sessions = int(sys.argv[1]) if len(sys.argv) > 1 else SESSIONS
    wanted = 16 * sessions + 256
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, wanted), hard), hard))
    with tempfile.TemporaryDirectory(prefix="bastion-load-") as place:
        async with stage(Path(place)) as there:
            result = await load(there, sessions)
    print(result)
    return result.answered == result.recorded == sessions


if __name__ == "__main__":
    raise SystemExit(0 if asyncio.run(main()) else 1)
