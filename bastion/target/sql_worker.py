"""Reads SQL for the bastion, in a process of its own: `python -m bastion.target.sql_worker`.

libpg_query is C, and a text made for it can crash it. Here that ends one reading. A text comes as
four bytes of length and UTF-8; the reading goes back as four bytes of length and MessagePack.
"""

from __future__ import annotations

import resource
import signal
import sys
import threading
from typing import BinaryIO, Final

import msgspec

from bastion.model import SqlReading
from bastion.policy.sql.reading import read_sql

MEMORY: Final = 2 * 1024 * 1024 * 1024
"""Bytes of address space, the stack included: a text must not take the machine's memory."""
STACK: Final = 512 * 1024 * 1024
"""Bytes of stack: what nests deeply is read or refused, and crashes only far beyond."""


def main() -> None:
    """Answer until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ctrl-C at `bastion serve` is the bastion's
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    sys.setrecursionlimit(20_000)
    threading.stack_size(STACK)
    reading = threading.Thread(target=serve, args=(sys.stdin.buffer, sys.stdout.buffer))
    reading.start()
    reading.join()


def serve(source: BinaryIO, sink: BinaryIO) -> None:
    """One text after the other."""
    encoder = msgspec.msgpack.Encoder()
    while len(head := source.read(4)) == 4:
        text = source.read(int.from_bytes(head, "big")).decode()
        try:
            answer = encoder.encode(read_sql(text))
        except (MemoryError, RecursionError):
            answer = encoder.encode(SqlReading(fault="it takes too much to be read"))
        except Exception:  # noqa: BLE001 - a mistake of ours costs this text, not the worker
            answer = encoder.encode(SqlReading(fault="the gate does not know how to read it"))
        sink.write(len(answer).to_bytes(4, "big") + answer)
        sink.flush()


if __name__ == "__main__":
    main()
