"""Grant to run: from an approver's answer to the first byte of the command's output, while a
hundred other requests wait. python -m tests.bench.approvals [--grants N] [--limit MILLISECONDS]

Client, bastion and approver share one loop here, so each also waits for the others' work: what is
measured is an upper bound. The answer goes through the control socket, as a console's does.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncssh

from bastion.policy.approvals import Operator
from bastion.wire import control as wire
from tests.harness.running import POLICY, Bastion, bastion

PEOPLE = 5
EACH = 20
"""Requests of one person: as many as the board lets wait."""

COLD = "first command of a session (dials the target)"
WARM = "later command of a session"
ALLOWED = "the same command where nothing is held, for comparison"
OWN = "the bastion's own part: answer taken, audited, the held command set going"


@dataclass
class Desk:
    """An approver's own connection to the control service."""

    running: Bastion
    reader: asyncio.StreamReader = field(init=False)
    writer: asyncio.StreamWriter = field(init=False)
    number: int = 0

    async def open(self) -> None:
        """Attach, as somebody on call."""
        lead = Operator("", "lena", frozenset({"oncall"}), "https://idp.test#lena")
        theirs = self.running.services.link.desk.attach(lambda: lead)
        theirs.setblocking(False)
        self.reader, self.writer = await asyncio.open_unix_connection(
            sock=theirs, limit=wire.MAX_REPLY
        )

    async def grant(self, approval: str, digest: str) -> None:
        """Grant one."""
        self.number += 1
        call = wire.Grant(approval, digest)
        self.writer.write(wire.encode(wire.Request(wire.VERSION, self.number, call)))
        reply = wire.decode_reply(await self.reader.readline())
        assert not reply.error, reply.error


@dataclass
class Person:
    """One connection that holds commands."""

    connection: asyncssh.SSHClientConnection
    waiting: dict[str, Any] = field(default_factory=dict)
    number: int = 0
    warm: bool = False


async def hold(running: Bastion, person: Person) -> None:
    """Start a command that is held, and note its approval."""
    board = running.services.approvals
    before = {one.id for one in board.pending()}
    person.number += 1
    command = f"touch /dev/null; echo ran {person.number}"
    process = await person.connection.create_process(command)
    while not (new := [one for one in board.pending() if one.id not in before]):
        await asyncio.sleep(0.001)
    person.waiting[new[0].id] = process


Took = dict[str, list[float]]


async def measure(running: Bastion, desk: Desk, person: Person, took: Took) -> None:
    """Grant this person's oldest, and wait for its output; then the same without a hold."""
    approval, process = next(iter(person.waiting.items()))
    del person.waiting[approval]
    found = running.services.approvals.find(approval)
    assert found is not None
    began = time.perf_counter()
    await desk.grant(approval, found.question.hash)
    # What the grant sets going was scheduled before its answer was sent.
    took[OWN].append(time.perf_counter() - began)
    line = await process.stdout.readline()
    took[WARM if person.warm else COLD].append(time.perf_counter() - began)
    assert line.startswith("ran "), line
    await process.wait()
    person.warm = True
    began = time.perf_counter()
    process = await person.connection.create_process("echo ran")
    await process.stdout.readline()
    took[ALLOWED].append(time.perf_counter() - began)
    await process.wait()


async def run(grants: int) -> Took:
    """Seconds of each grant, by whether its session had dialled before."""
    took: Took = {OWN: [], COLD: [], WARM: [], ALLOWED: []}
    policy = POLICY.replace("wait: 30s", "wait: 30m").replace(
        "    logins: [LOGIN]\n", "    logins: [LOGIN]\n    certificate: {lifetime: 1h}\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        async with bastion(Path(folder), policy=policy) as running:
            desk = Desk(running)
            await desk.open()
            people = []
            for number in range(PEOPLE):
                running.issue(name=f"p{number}")
                people.append(Person(await running.connect()))
            for person in people:
                for _ in range(EACH):
                    await hold(running, person)
            for number in range(grants):
                person = people[number % PEOPLE]
                if number % 10 >= PEOPLE:
                    person.connection.abort()
                    await asyncio.sleep(0.05)
                    fresh = await _again(running, people, number % PEOPLE)
                    person = fresh
                await measure(running, desk, person, took)
                await hold(running, person)
            desk.writer.close()
            for person in people:
                person.connection.abort()
    return took


async def _again(running: Bastion, people: list[Person], number: int) -> Person:
    """The same person on a new connection, with as many requests waiting."""
    running.issue(name=f"p{number}")
    person = Person(await running.connect())
    people[number] = person
    for _ in range(EACH):
        await hold(running, person)
    return person


def show(took: Took) -> float:
    """Print the figures in milliseconds; give the p99 of the bastion's own part: the rest is the
    target's and the machine's, and is what a command that nobody holds takes too."""
    found = {}
    for name, samples in took.items():
        ordered = sorted(one * 1000 for one in samples)
        found[name] = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
        p50 = statistics.median(ordered)
        print(f"{name}: p50 {p50:.1f} ms, p99 {found[name]:.1f} ms, n {len(ordered)}")
    return found[OWN]


def main() -> None:
    """Measure and judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--grants", type=int, default=200)
    parser.add_argument("--limit", type=float, default=200.0)
    options = parser.parse_args()
    if show(asyncio.run(run(options.grants))) > options.limit:
        raise SystemExit(f"the p99 of the bastion's own part is over {options.limit:.0f} ms")


if __name__ == "__main__":
    main()
