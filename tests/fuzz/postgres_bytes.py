"""Bytes of a client and of a server for the PostgreSQL gate: a fault in one sentence, or nothing.

`python -m tests.fuzz.postgres_bytes [libFuzzer's options] FOLDER` runs for ever under atheris,
which is not installed with the rest (`pip install atheris`); inputs are kept in the folder.
"""

from __future__ import annotations

import importlib
import struct
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Final

from bastion.errors import ProtocolFault
from bastion.events import Effect, FromClient, FromTarget, ReadSql, SqlRead
from bastion.gate.postgres.gate import Admitted, PostgresGate
from bastion.gate.postgres.known import Known
from bastion.gate.postgres.mask import Masks
from bastion.model import Request, SqlReading, SqlStatement, SqlUse
from bastion.policy.access import DatabaseTerms
from bastion.policy.rules import Action, Verdict
from bastion.wire import postgres as wire

GREETING: Final = (
    wire.setting("TimeZone", "UTC")
    + wire.setting("client_encoding", "UTF8")
    + wire.backend_key(4711, b"real")
    + wire.ready("I")
)
COLUMN: Final = b"c\0" + struct.pack(">ihihih", 16384, 1, 25, -1, -1, 0)
COLUMNS: Final = wire.encode(b"T", b"\0\1" + COLUMN)

CLIENT_MESSAGES: Final = (
    wire.query("SELECT 1"),
    wire.encode(b"P", b"s\0SELECT $1\0\0\1\0\0\0\x17"),
    wire.encode(b"B", b"p\0s\0\0\1\0\0\0\1\0\0\0\1x\0\1\0\0"),
    wire.encode(b"D", b"Ss\0"),
    wire.encode(b"E", b"p\0\0\0\0\0"),
    wire.encode(b"C", b"Pp\0"),
    wire.encode(b"F", struct.pack(">ihhhih", 952, 1, 1, 1, 4, 7) + b"\0\0" + b"\0\1"),
    wire.encode(b"d", b"1\t2\n"),
    wire.encode(b"f", b"no\0"),
    wire.encode(b"H"),
    wire.encode(b"S"),
    wire.encode(b"X"),
)
"""One of each type that a client sends."""
SERVER_MESSAGES: Final = (
    COLUMNS,
    wire.encode_row([b"x"]),
    wire.encode(b"C", b"SELECT 1\0"),
    wire.encode(b"1"),
    wire.encode(b"2"),
    wire.encode(b"t", b"\0\1\0\0\0\x17"),
    wire.encode(b"G", b"\0\0\1\0\0"),
    wire.encode(b"H", b"\0\0\1\0\0"),
    wire.encode(b"d", b"1\n"),
    wire.encode(b"A", b"\0\0\0\1channel\0payload\0"),
    wire.encode(b"V", b"\0\0\0\1x"),
    wire.notice("a notice"),
    wire.error("22012", "division by zero"),
    wire.setting("TimeZone", "UTC"),
    wire.setting("client_encoding", "EUC_JP"),
    wire.ready("I"),
)
"""One of each type that a server sends."""
ASK: Final = wire.query("SELECT 1") + b"".join(CLIENT_MESSAGES[1:5]) + wire.encode(b"S")


def opened(*, masked: bool = False) -> PostgresGate:
    """A gate whose client is admitted and whose server is ready."""

    def decide(_request: Request) -> Verdict:
        return Verdict(Action.ALLOW, "all", "")

    def admit(_user: str, _database: str) -> Admitted:
        return Admitted("app", decide, DatabaseTerms(function_calls=True))

    gate = PostgresGate(admit, bytes(32), "nonce")
    gate.feed(FromClient(0.0, wire.startup([("user", "app"), ("database", "db")])))
    if masked:
        gate.mask(Masks({16384: frozenset({1})}, active=True, known=Known({16384: 9})))
    gate.feed(FromTarget(0.0, GREETING))
    return gate


def run(gate: PostgresGate, event: FromClient | FromTarget) -> list[Effect]:
    """Feed an event, and the readings that it wants; every effect."""
    effects: list[Effect] = []
    pending: list[FromClient | FromTarget | SqlRead] = [event]
    while pending:
        for effect in gate.feed(pending.pop(0)):
            effects.append(effect)
            if isinstance(effect, ReadSql):
                reading = SqlReading((SqlStatement((SqlUse("select"),)),))
                pending.append(SqlRead(0.0, effect.number, reading))
    return effects


def survives(data: bytes, *, server: bool, masked: bool, cuts: tuple[int, ...] = ()) -> str:
    """Feed bytes, cut at places; gives the fault's sentence, or ""."""
    gate = opened(masked=masked)
    run(gate, FromClient(0.0, ASK))
    kind = FromTarget if server else FromClient
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in cuts)})
    try:
        for start, end in pairwise(edges):
            run(gate, kind(1.0, data[start:end]))
    except ProtocolFault as fault:
        return str(fault)
    return ""


def malformed(message: bytes) -> Iterator[bytes]:
    """The message with every length of a body, every byte at its limits, every lie of size."""
    body = message[5:]
    for size in range(len(body)):
        yield wire.encode(message[:1], body[:size])
    for place in range(len(body)):
        for value in (0x00, 0x01, 0x7F, 0x80, 0xFF):
            yield wire.encode(message[:1], body[:place] + bytes([value]) + body[place + 1 :])
    for extra in (b"\0", b"\xff" * 8):
        yield wire.encode(message[:1], body + extra)
    for length in (0, 1, 2, 3, 5, 2**31 - 1, 2**31, 2**32 - 1):
        yield message[:1] + length.to_bytes(4, "big") + body


def one_input(data: bytes) -> None:
    """The first two bytes say who sends the rest, and where it is cut."""
    if len(data) < 2:
        return
    said = survives(
        data[2:], server=bool(data[0] & 1), masked=bool(data[0] & 2), cuts=(data[1], data[1] * 7)
    )
    assert "\n" not in said, said


def main() -> None:
    """Hand over to atheris, which finds the inputs that reach new code."""
    import atheris  # a tool for the hand; the suite does not need it

    for name in [one for one in sys.modules if one.startswith("bastion.")]:
        del sys.modules[name]  # imported anew, with what atheris adds
    with atheris.instrument_imports(include=["bastion.wire", "bastion.gate"]):
        fresh = importlib.import_module("tests.fuzz.postgres_bytes")
    for folder in (Path(word) for word in sys.argv[1:] if not word.startswith("-")):
        for number, message in enumerate(CLIENT_MESSAGES):
            (folder / f"client-{number}").write_bytes(b"\0\0" + message)
        for number, message in enumerate(SERVER_MESSAGES):
            (folder / f"server-{number}").write_bytes(b"\1\0" + COLUMNS + message)
            (folder / f"masked-{number}").write_bytes(b"\3\0" + COLUMNS + message)
    atheris.Setup(sys.argv, fresh.one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
