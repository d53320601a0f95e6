"""Recordings that nobody recorded: casts and events of random damage, played and written out.

    python -m tests.fuzz.cast_fuzz SECONDS [SEED]

Whatever is read, the only errors are sentences, and no control character comes out.
"""

from __future__ import annotations

import contextlib
import json
import random
import sys
import tempfile
import time
from pathlib import Path

from bastion.errors import BastionError
from replay.catalogue import open_tape
from replay.export import FORMATS, export
from replay.finder import Finder
from replay.screentext import screen_text
from replay.tape import Tape

HEADER = b'{"version":2,"width":80,"height":24,"title":"t","bastion":{"identity":"a"}}\n'
SHOWN = (
    "hello\r\n", "\x1b[2J", "\x1b[?1049h", "\x1b[?1049l", "80x24", "2x1", "1000x500", "\x1bc",
    "needle \x1b[31mred", "\x1b[65535b", "\x1b]52;c;x\x07", "日本" * 40, "\x1b[99999L", "\x1b[9;9H",
)  # fmt: skip
EVENTS = (
    b'{"time":1,"kind":"verdict","fields":{"action":"deny","request":"x\\u001b[2J"}}\n',
    b"[]\n",
    b'{"time":NaN,"kind":1}\n',
    b'{"time":1e999,"kind":"x","fields":{"status":[1,{"a":2}]}}\n',
    b"\xff\n",
    b'{"time":"1","kind":"k","fields":{"action":{"a":1},"request":7,"ok":false}}',
)


def event(chance: random.Random, number: int) -> bytes:
    return (
        json.dumps([number / 10, chance.choice("oooormi"), chance.choice(SHOWN)]).encode() + b"\n"
    )


def damage(chance: random.Random, lines: list[bytes]) -> None:
    at = chance.randrange(len(lines))
    match chance.randrange(6):
        case 0:
            line = bytearray(lines[at] or b"x")
            line[chance.randrange(len(line))] = chance.randrange(256)
            lines[at] = bytes(line)
        case 1:
            lines.insert(at, chance.choice(lines))
        case 2:
            lines[at] = lines[at][: chance.randrange(len(lines[at]) + 1)]
        case 3:
            text = "".join(
                chr(chance.choice((27, 91, chance.randrange(32, 0xD800)))) for _ in range(200)
            )
            moment = chance.choice([1e308, -1, 0, 1, 2**70])
            lines[at] = json.dumps([moment, chance.choice("orm"), text]).encode() + b"\n"
        case 4:
            size = (chance.randrange(2**33), chance.randrange(2**33))
            lines[at] = b'[1,"r","%dx%d"]\n' % size
        case _:
            chance.shuffle(lines)


def use(tape: Tape, folder: Path) -> None:
    """All that a player does with a recording."""
    while not tape.read_on(1.0):
        pass
    tape.happenings()
    finder = Finder(tape, "needle")
    while not finder.read_on(1.0):
        pass
    [track] = tape.tracks
    with contextlib.suppress(BastionError):
        list(screen_text(track.cast))
    for suffix in FORMATS:
        out = folder / f"out{suffix}"
        out.unlink(missing_ok=True)
        with contextlib.suppress(BastionError):
            export(track, out, count=len(track.cast) // 2)
        if suffix in {".txt", ".svg"} and out.exists():
            text = out.read_text()
            assert all(one.isprintable() or one == "\n" for one in text), suffix


def fuzz(seconds: float, seed: int) -> int:
    """Give how many recordings were opened; whatever is no sentence is raised."""
    chance = random.Random(seed)
    until, opened = time.monotonic() + seconds, 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        while time.monotonic() < until:
            lines = [HEADER, *(event(chance, number) for number in range(60))]
            for _ in range(chance.randrange(6)):
                damage(chance, lines)
            (folder / "c.cast").write_bytes(b"".join(lines))
            (folder / "c.events.jsonl").write_bytes(b"".join(chance.choices(EVENTS, k=9)))
            with contextlib.suppress(BastionError):
                with contextlib.closing(open_tape([folder / "c.cast"])) as tape:
                    use(tape, folder)
                opened += 1
    return opened


if __name__ == "__main__":
    print(fuzz(float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0), "recordings")
