"""The gate beside a direct connection: the same random messages, the same kinds of answers.

What the policy denies is replaced, for the direct connection, by what the gate replaces it by: a
statement that the server rejects. So whatever the gate forgets, reorders or invents shows. What it
recorded is compared with the server's own log besides, statement by statement: nothing ran that is
not on record, and what is on record as done was run, in that order.

python -m tests.fuzz.postgres_fuzz [--count N] [--seed N]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bastion.gate.postgres.messages import OR
from bastion.wire import postgres as wire
from tests.harness.database import Stage, database

SQL = (
    "SELECT 1",
    "SELECT n FROM generate_series(1, 7) n",
    "SELECT 1; SELECT 2; SELECT 'three'",
    "SELECT 1 / 0",
    "SELECT 1; SELECT nothing; SELECT 3",
    "selec",
    "",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "SAVEPOINT a",
    "INSERT INTO t VALUES (1, 'twice')",
    r"SELECT 'a\' /* granted */",
    "COPY t TO STDOUT",
    "COPY t FROM STDIN",
    "SET DateStyle = 'ISO, DMY'",
    "SET client_encoding TO 'LATIN1'",
    "RESET client_encoding",
    "SELECT 'zwölf' AS größe /* granted */",
    "DROP TABLE größe /* denied */",
    "DROP TABLE t /* denied */",
    "SELECT 1; TRUNCATE t /* denied */",
    "UPDATE t SET v = v /* granted */",
    "UPDATE t SET v = v /* refused */",
)
PREPARED = tuple(text for text in SQL if ";" not in text and "refused" not in text)
LOGGED = re.compile(r"scene (\d+)\|LOG:  (?:statement|execute (?!fetch)\S+): (.*)")
"""A line of the server's log; what goes on in a portal is logged as `execute fetch from`."""
NAMES = ("", "a", "b")
NOISE = frozenset("NSAK")


@dataclass
class Wire:
    """One connection, spoken to in raw messages."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    frames: wire.Frames = field(default_factory=lambda: wire.Frames(b""))

    async def until(self, mark: bytes) -> list[str]:
        """The kinds of all messages up to ReadyForQuery after a row with the mark."""
        kinds: list[str] = []
        seen = False
        while True:
            try:
                data = await asyncio.wait_for(self.reader.read(65536), 20)
            except (ConnectionResetError, BrokenPipeError):
                data = b""
            except TimeoutError:
                return [*kinds, "silent"]
            if not data:
                return [*kinds, "closed"]
            for message in self.frames.feed(data):
                kind = chr(message.kind)
                if kind not in NOISE:
                    kinds.append(kind)
                seen = seen or (kind == "D" and mark in message.raw)
                if kind == "Z" and seen:
                    return kinds


def _bind(portal: str, statement: str) -> bytes:
    return wire.encode(b"B", wire.text_bytes(portal, statement) + bytes(6))


def _execute(portal: str, rows: int) -> bytes:
    return wire.encode(b"E", wire.text_bytes(portal) + rows.to_bytes(4, "big"))


def message(chance: random.Random) -> tuple[bytes, bytes]:
    """One message for the gate, and the same for the direct connection."""
    name, portal = chance.choice(NAMES), chance.choice(NAMES)
    match chance.randrange(11):
        case 0 | 1:
            sql = chance.choice(SQL)
            direct = "refused" if "denied" in sql or "refused" in sql else sql
            return wire.query(sql), wire.query(direct)
        case 2 | 3:
            sql = chance.choice(PREPARED)
            direct = "refused" if "denied" in sql else sql
            return wire.parse(name, sql), wire.parse(name, direct)
        case 4 | 5:
            both = _bind(portal, name)
        case 6 | 7:
            both = _execute(portal, chance.choice((0, 0, 1, 3)))
        case 8:
            both = wire.encode(b"D", chance.choice((b"S", b"P")) + wire.text_bytes(name))
        case 9:
            both = wire.encode(b"C", chance.choice((b"S", b"P")) + wire.text_bytes(name))
        case _:
            both = chance.choice(
                (wire.encode(b"S"), wire.encode(b"S"), wire.encode(b"H"),
                 wire.encode(b"d", b"77\tseven\n"), wire.encode(b"c"), wire.encode(b"f", b"no\0"))
            )  # fmt: skip
    return both, both


def scene(seed: int) -> tuple[list[bytes], list[bytes], bytes]:
    """Messages for the gate and for the direct connection, and the mark that ends both."""
    chance = random.Random(seed)
    pairs = [message(chance) for _ in range(chance.randrange(1, 14))]
    mark = f"end of {seed}."
    last = [
        wire.encode(b"f", b"over\0"),
        wire.encode(b"S"),
        wire.query("ROLLBACK"),
        wire.query(f"SELECT '{mark}'"),
    ]
    return [one for one, _ in pairs] + last, [other for _, other in pairs] + last, mark.encode()


async def connect(stage: Stage, seed: int, *, direct: bool) -> Wire:
    """Log in: through the forward, or over the server's socket."""
    if direct:
        path = f"{stage.server.directory}/.s.PGSQL.{stage.server.port}"
        reader, writer = await asyncio.open_unix_connection(path)
    else:
        reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
    user, name = ("postgres", "direct") if direct else ("app", f"scene {seed}")
    settings = [("user", user), ("database", "app"), ("application_name", name)]
    writer.write(wire.startup(settings))
    made = Wire(reader, writer)
    writer.write(wire.query(f"SELECT 'begun {seed}.'"))
    await made.until(b"begun")
    return made


async def differ(stage: Stage, seed: int) -> str:
    """What the gate answered otherwise than the server itself; "" if nothing."""
    ours, theirs, mark = scene(seed)
    answers = []
    for messages, direct in ((ours, False), (theirs, True)):
        made = await connect(stage, seed, direct=direct)
        chance = random.Random(seed)
        stream = b"".join(messages)
        while stream:
            size = chance.choice((1, 3, 50, 1000, len(stream)))
            made.writer.write(stream[:size])
            stream = stream[size:]
            if chance.random() < 0.3:
                await asyncio.sleep(0.002)
        answers.append(await made.until(mark))
        made.writer.close()
    if answers[0] == answers[1] or answers[0][-1] == answers[1][-1] == "closed":
        return ""  # after a fatal error, what was still unread may be lost with the connection
    return f"seed {seed}:\n  sent    {ours}\n  gate    {answers[0]}\n  server  {answers[1]}"


def logged(stage: Stage) -> dict[int, list[str]]:
    """What the server says that it ran for each scene."""
    found: dict[int, list[str]] = defaultdict(list)
    for line in stage.server.log.splitlines():
        if (match := LOGGED.fullmatch(line)) and match[2]:
            found[int(match[1])].append(match[2])
    return found


def recorded(stage: Stage) -> Iterator[tuple[int, list[str], list[str]]]:
    """A scene, what is on record of it, and what of that as done."""
    folder = stage.bastion.directory / "state/recordings"
    for path in folder.glob("*/*/*.events.jsonl"):
        events = [json.loads(line) for line in path.read_text().splitlines()]
        asked = [one["fields"] for one in events if one["kind"] == "query"]
        fine = {
            one["fields"]["number"] for one in events
            if one["kind"] == "query-done" and one["fields"]["sqlstate"] == "00000"
            and one["fields"]["tag"] != "empty"
        }  # fmt: skip
        marks = [found for one in asked if (found := re.search(r"'begun (\d+)\.'", one["sql"]))]
        asked = [one for one in asked if one["sql"]]
        if marks:
            new = [one for one in asked if one["rule"] != "goes-on"]
            done = [one["sql"] for one in new if one["number"] in fine]
            # The server logs a portal without rows again where it refuses to run it once more.
            yield int(marks[0][1]), [one["sql"] for one in asked], done


def within(some: Sequence[str], others: Sequence[str]) -> bool:
    """Whether all of `some` are in `others`, in the same order. A record may name several texts of
    which it is one."""
    rest = iter(others)
    return all(any(_meet(one, other) for other in rest) for one in some)


def _meet(one: str, other: str) -> bool:
    return not set(one.split(OR)).isdisjoint(other.split(OR))


def log_differs(stage: Stage) -> list[str]:
    """Where the record and the server's log do not agree."""
    log = logged(stage)
    known = {seed: (asked, done) for seed, asked, done in recorded(stage)}
    found = [f"scene {seed} ran without a record" for seed in log.keys() - known.keys()]
    for seed, (asked, done) in known.items():
        if not within(log[seed], asked) or not within(done, log[seed]):
            found.append(f"scene {seed}:\n  asked  {asked}\n  done   {done}\n  server {log[seed]}")
    return found


async def answer(stage: Stage) -> None:
    """Grant and refuse what is held, as its text says."""
    approvals = stage.bastion.services.approvals
    while True:
        for held in approvals.pending():
            stage.bastion.answer(held.id, grant=b"granted" in held.question.request)
        await asyncio.sleep(0.01)


async def fuzz(stage: Stage, seeds: range) -> list[str]:
    """All that differed; nothing that is denied or refused may have run."""
    answering = asyncio.create_task(answer(stage))
    try:
        found = [one for seed in seeds if (one := await differ(stage, seed))]
    finally:
        answering.cancel()
    ran = [line for one in logged(stage).values() for line in one if re.search(NEVER, line)]
    return found + [f"ran: {line}" for line in ran] + log_differs(stage)


NEVER = r"denied \*/|refused \*/"
LOG = {"log_line_prefix": "%a|"}


async def main() -> None:
    """Run it for as long as one wants."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        async with database(Path(directory), settings=LOG) as stage:
            found = await fuzz(stage, range(arguments.seed, arguments.seed + arguments.count))
    print("\n".join(found) or f"{arguments.count} scenes, no difference")


if __name__ == "__main__":
    asyncio.run(main())
