"""What masking costs: `python -m tests.bench.bench_masking`. Aims: 150 MB/s on logs, 50 on base64,
and 99 of 100 pieces of 4 KB under a millisecond."""

from __future__ import annotations

import base64
import random
import time
from typing import Final

from bastion.tap.mask import Masker
from tests.corpora_masking import MASKING

SIZE: Final = 2_000_000
rng = random.Random(1)


def logs(secret_every: int = 0) -> bytes:
    """Lines of sshd; with a secret in every so many of them."""
    lines = []
    for n in range(20_000):
        line = f"Nov 24 12:{n % 60:02d}:01 web{n % 9} sshd[{n}]: Accepted publickey for u{n % 50} "
        line += f"from 10.0.{n % 250}.7 port {n * 17 % 60000} ssh2: ED25519 SHA256:abcDEF{n}"
        if secret_every and n % secret_every == 0:
            line += " DB_PASSWORD=hunter2x key=AKIAIOSFODNN7EXAMPLE"
        lines.append(line)
    return "\n".join(lines).encode()


def listing() -> bytes:
    """`ls -l --color`."""
    return b"".join(
        b"-rw-r--r-- 1 root root %d Nov 24 12:00 \x1b[01;34mfile%d.txt\x1b[0m\r\n" % (n * 997, n)
        for n in range(30_000)
    )


def digits() -> bytes:
    """The worst there is: every line may be a card number."""
    return b"".join(b"%d\n" % rng.randrange(10**15, 10**16) for _ in range(SIZE // 17))


TEXTS: Final = {
    "logs": logs(),
    "logs, a secret in 50 lines": logs(50),
    "ls -l in colour": listing(),
    "base64, lines": base64.encodebytes(rng.randbytes(SIZE)),
    "base64, one line": base64.b64encode(rng.randbytes(SIZE)),
    "hex": rng.randbytes(SIZE // 2).hex().encode(),
    "digits": digits(),
}


def measure(data: bytes, size: int) -> tuple[float, list[float]]:
    """CPU seconds for all of it, and for each piece. All of it goes before, unmeasured, for what
    comes first makes re2 build its automata: the first megabytes cost about twice as much."""
    masker, times = Masker(MASKING), []
    for at in range(0, len(data), size):
        masker.feed(data[at : at + size])
    began = time.process_time()
    for at in range(0, len(data), size):
        piece = data[at : at + size]
        start = time.thread_time()
        masker.feed(piece)
        times.append(time.thread_time() - start)
    return time.process_time() - began, sorted(times)


def main() -> None:
    """A line a text and size of piece."""
    for name, text in TEXTS.items():
        for size in (4096, 32768):
            data = text[:SIZE]
            spent, times = measure(data, size)
            middle, late = times[len(times) // 2], times[int(len(times) * 0.99)]
            print(
                f"{name:28} {size // 1024:3} KB {len(data) / spent / 1e6:6.0f} MB/s of CPU,"
                f" {middle * 1e6:6.0f} µs a piece, {late * 1e6:6.0f} µs in the worst of 100"
            )


if __name__ == "__main__":
    main()
