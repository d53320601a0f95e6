"""Small real file systems: full ones, read-only ones, and disks that fail after they said yes."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def small_disk(folder: Path, options: str) -> Iterator[Path]:
    """A tmpfs with mount options such as `size=64k`; skips where nobody may mount."""
    folder.mkdir()
    _mount("-t", "tmpfs", "-o", options, "tmpfs", str(folder))
    try:
        yield folder
    finally:
        # A lazy one: what still holds a file open there fails its own test, not this clean-up.
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextlib.contextmanager
def lying_disk(folder: Path, *, room: str) -> Iterator[Path]:
    """A disk that takes every write and loses all beyond `room` of them when it is synced.

    An ext4 of 8 MB, without journal, in a sparse file on a tmpfs that has no room for it.
    """
    folder.mkdir()
    with small_disk(folder / "under", f"size={room}") as under:
        image = under / "image"
        with image.open("wb") as file:
            file.truncate(8 * 1024 * 1024)
        make = ["mkfs.ext4", "-q", "-O", "^has_journal", "-N", "32", "-m", "0", str(image)]
        environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
        if subprocess.run(make, capture_output=True, env=environment).returncode:
            pytest.skip("an ext4 cannot be made here")
        over = folder / "over"
        over.mkdir()
        _mount("-o", "loop", str(image), str(over))
        try:
            yield over
        finally:
            subprocess.run(["umount", str(over)], check=True)


def _mount(*words: str) -> None:
    if os.geteuid():
        pytest.skip("only root may mount a file system")
    mounted = subprocess.run(["mount", *words], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
