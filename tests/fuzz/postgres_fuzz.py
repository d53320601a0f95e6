"""The gate beside a direct connection: the same random messages, the same kinds of answers.

What the policy denies is replaced, for the direct connection, by what the gate replaces it by: a
statement that the server rejects. So whatever the gate forgets, reorders or invents shows.

python -m tests.fuzz.postgres_fuzz [--count N] [--seed N]
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

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
    r"SELECT 'a\'",
    "COPY t TO STDOUT",
    "COPY t FROM STDIN",
    "SET application_name = 'x'",
    "DROP TABLE t /* denied */",
    "SELECT 1; TRUNCATE t /* denied */",
)
PREPARED = tuple(text for text in SQL if ";" not in text)
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
            except ConnectionResetError:
                data = b""
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
            direct = "refused" if "denied" in sql else sql
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


async def connect(stage: Stage, *, direct: bool) -> Wire:
    """Log in: through the forward, or over the server's socket."""
    if direct:
        path = f"{stage.server.directory}/.s.PGSQL.{stage.server.port}"
        reader, writer = await asyncio.open_unix_connection(path)
    else:
        reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
    user = "postgres" if direct else "app"
    writer.write(wire.startup([("user", user), ("database", "app")]))
    made = Wire(reader, writer)
    writer.write(wire.query("SELECT 'begun'"))
    await made.until(b"begun")
    return made


async def differ(stage: Stage, seed: int) -> str:
    """What the gate answered otherwise than the server itself; "" if nothing."""
    ours, theirs, mark = scene(seed)
    answers = []
    for messages, direct in ((ours, False), (theirs, True)):
        made = await connect(stage, direct=direct)
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


async def fuzz(stage: Stage, seeds: range) -> list[str]:
    """All that differed; nothing that is denied may have run."""
    found = [one for seed in seeds if (one := await differ(stage, seed))]
    ran = [line for line in stage.server.log.splitlines() if "denied" in line]
    return found + [f"ran: {line}" for line in ran]


async def main() -> None:
    """Run it for as long as one wants."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        async with database(Path(directory)) as stage:
            found = await fuzz(stage, range(arguments.seed, arguments.seed + arguments.count))
    print("\n".join(found) or f"{arguments.count} scenes, no difference")


if __name__ == "__main__":
    asyncio.run(main())
