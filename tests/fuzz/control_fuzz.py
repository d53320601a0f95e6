"""Throw nonsense at a control socket: python -m tests.fuzz.control_fuzz [--seconds N] [--seed N]

Whatever comes, the service answers or hangs up, never raises, grants nothing to who may not, and
still answers a good call afterwards.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import random
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bastion.policy.approvals import Operator
from bastion.tap.tail import Tail
from bastion.wire import control as wire
from tests.control.desk import QUESTION, Desk

METHODS = [call.__struct_config__.tag for call in wire.AnyCall.__args__]  # type: ignore[attr-defined]
NOBODY = Operator("", "eve", frozenset({"dev"}), "https://idp#eve")
WORDS: list[Any] = [
    "", "s1", "c1", "web", "x" * 3000, "\ud800", "\x1b[2J", "identity", QUESTION.hash, 0, -1, 2**63,
    1e308, None, True, [], {}, ["a"] * 50, {"method": "grant"},
]  # fmt: skip
FIELDS = ["approval", "hash", "reason", "repeat", "session", "channel", "kind", "value", "until",
          "lock", "serial", "limit", "open_only", "grant", "path", "offset"]  # fmt: skip


@dataclass
class Score:
    """What happened."""

    lines: int = 0
    answered: int = 0
    refused: int = 0
    hung_up: int = 0


def line(dice: random.Random, approval: str) -> bytes:
    """One line, good in parts: pure noise would never get past the first check."""
    fields = {
        dice.choice(FIELDS): dice.choice([*WORDS, approval]) for _ in range(dice.randrange(4))
    }
    call = {"method": dice.choice([*METHODS, "nothing"]), **fields}
    version = dice.choice([1, 1, 1, 2, "1"])
    data = json.dumps({"version": version, "id": dice.randrange(9), "call": call}).encode()
    match dice.randrange(12):
        case 0:
            data = dice.randbytes(dice.randrange(200))
        case 1:
            cut = dice.randrange(len(data))
            data = data[:cut] + dice.randbytes(3) + data[cut:]
        case 2:
            data = b"[" * dice.randrange(60_000)
        case 3:
            data = data * dice.randrange(1, 4)
        case 4:
            data = b"x" * 70_000
    return data + dice.choice([b"\n", b"\n", b"\n", b"\r\n", b""])


async def talk(dice: random.Random, desk: Desk, approval: str, score: Score) -> None:
    """One connection, some lines in pieces, and whatever comes back."""
    while desk.service._attached.total() > 4:
        await asyncio.sleep(0.001)  # those that were hung up on are still being noticed
    theirs = desk.service.attach(lambda: NOBODY)
    theirs.setblocking(False)
    reader, writer = await asyncio.open_unix_connection(sock=theirs, limit=wire.MAX_REPLY)
    try:
        with contextlib.suppress(ConnectionError):
            for _ in range(dice.randrange(1, 8)):
                data = line(dice, approval)
                score.lines += 1
                while data:
                    size = dice.randrange(1, len(data) + 1)
                    writer.write(data[:size])
                    data = data[size:]
                desk.publish("channel-opened", target="web")
                desk.live.shown["c1"].feed(dice.randbytes(100))
            if dice.random() < 0.7:
                writer.write_eof()
                async with asyncio.timeout(20):
                    for reply in (await reader.read()).splitlines():
                        _judge(wire.decode_reply(reply), score)
                score.hung_up += 1
    finally:
        writer.close()


def _judge(reply: wire.Reply, score: Score) -> None:
    assert not (reply.error and reply.result)
    if reply.error:
        score.refused += 1
        assert "Traceback" not in reply.error
    elif reply.event is None:
        score.answered += 1
    else:
        raise AssertionError(f"eve was told {reply.event}")


async def fuzz(folder: Path, seed: int, *, rounds: int = 0, seconds: float = 0.0) -> Score:
    """Talk for so many rounds, or so long; AssertionError where the service did what it may not."""
    faults: list[str] = []

    class Watch(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            faults.append(record.getMessage())

    watch = Watch(logging.ERROR)
    logging.getLogger().addHandler(watch)
    dice, score, desk = random.Random(seed), Score(), Desk(folder, ())
    desk.live.shown["c1"] = Tail(80, 24)
    await desk.service.start()
    try:
        approval = desk.ask(approvers=("lead",))
        until = time.monotonic() + seconds
        while rounds > 0 or time.monotonic() < until:
            rounds -= 1
            await talk(dice, desk, approval, score)
        assert [one.id for one in desk.board.pending()] == [approval], "nobody decided it"
        assert not desk.ledger.locks(300.0)
        assert not desk.live.ended
        assert (await desk.call(wire.GetStatus(), wire.Status)).approvals == 1
        assert not faults, faults
    finally:
        await desk.close()
        logging.getLogger().removeHandler(watch)
    return score


def main() -> None:
    """Run for a while and print the score."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print("seed", options.seed)
        print(asyncio.run(fuzz(Path(folder), options.seed, seconds=options.seconds)))


if __name__ == "__main__":
    main()
