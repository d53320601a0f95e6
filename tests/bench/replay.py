"""How long it takes to open a recording, to seek in it, and to verify it.

`python -m tests.bench.replay [MEGABYTES]`, beside `asciinema cat` on the same files: the one way
in which asciinema reads a whole cast.
"""

from __future__ import annotations

import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bastion.store.recordings import Recordings
from bastion.store.sealfile import State, verify_recording
from replay.catalogue import open_tape
from replay.playback import Playback

SEEKS = 60


def listing(megabytes: int) -> Iterator[tuple[float, bytes]]:
    """Coloured output in pieces of 4 KB, as fast as a network gives it."""
    chance = random.Random(1)
    line = "\x1b[0m\x1b[01;34mdrwxr-xr-x\x1b[0m 2 root root {} \x1b[01;32m{}.conf\x1b[0m\r\n"
    sent, at = 0, 0.0
    while sent < megabytes * 1_000_000:
        piece = "".join(line.format(chance.random(), chance.random()) for _ in range(45)).encode()
        yield at, piece
        sent += len(piece)
        at += 0.001


def workday() -> Iterator[tuple[float, bytes]]:
    """Eight hours at a prompt and in an editor: 700,000 small events."""
    chance = random.Random(2)
    at = 0.0
    while at < 8 * 3600:
        at += chance.expovariate(25)
        row, column = chance.randrange(1, 40), chance.randrange(1, 100)
        yield at, f"\x1b[{row};{column}H\x1b[3{row % 8}mword{row}\x1b[0m".encode()


def record(root: Path, name: str, events: Iterator[tuple[float, bytes]]) -> Path:
    recording = Recordings(root, floor_bytes=0, key=KEY).open(
        "s", name, at=1.0, columns=120, rows=40, term="xterm"
    )
    last = 0.0
    for number, (last, data) in enumerate(events):
        recording.output(1.0 + last, data)
        if number % 50_000 == 49_999:
            recording.seal(recording.snapshot(1.0 + last))
    recording.close(1.0 + last)
    return recording.path


def timed(step: Callable[[], object]) -> float:
    began = time.perf_counter()
    step()
    return time.perf_counter() - began


def seeks(path: Path) -> tuple[float, list[float]]:
    """Seconds to index, and to go to random places."""
    tape = open_tape([path])
    opened = timed(lambda: tape.read_on(float("inf")))
    playback = Playback(tape.times)
    [track] = tape.tracks
    chance = random.Random(3)

    def go() -> None:
        playback.seek(playback.duration * chance.random())
        while not track.stage.show(playback.count, 1.0):
            pass

    found = sorted(timed(go) for _ in range(SEEKS))
    tape.close()
    return opened, found


KEY = Ed25519PrivateKey.generate()


def main() -> None:
    """Print a line a figure."""
    megabytes = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    with tempfile.TemporaryDirectory() as folder:
        for name, events in ((f"{megabytes} MB", listing(megabytes)), ("8 hours", workday())):
            path = record(Path(folder), name.replace(" ", "-"), events)
            size = path.stat().st_size / 1e6
            opened, found = seeks(path)
            states: list[State] = []
            stem, public = path.with_suffix(""), KEY.public_key()
            verified = timed(lambda: states.append(verify_recording(stem, public).state))  # noqa: B023
            assert states == [State.WHOLE]
            cat = [sys.executable, "-m", "asciinema", "cat", str(path)]
            read = timed(lambda: subprocess.run(cat, stdout=subprocess.DEVNULL, check=True))  # noqa: B023
            print(
                f"{name} ({size:.0f} MB on disk): open {opened:.1f} s,"
                f" seek median {statistics.median(found) * 1000:.0f} ms,"
                f" worst of {SEEKS} {found[-1] * 1000:.0f} ms,"
                f" verify {verified:.1f} s; asciinema cat {read:.1f} s"
            )


if __name__ == "__main__":
    main()
