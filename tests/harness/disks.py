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


@contextlib.contextmanager
def quota_disk(folder: Path, scratch: Path, *, room: str) -> Iterator[Path]:
    """A folder with a quota of `room` that holds for root too, on a disk with room for much more.

    A subvolume of a btrfs, in a sparse file of 128 MB in `scratch`.
    """
    image, whole = scratch / "image", scratch / "whole"
    for path in (folder, whole):
        path.mkdir(parents=True, exist_ok=True)
    with image.open("wb") as file:
        file.truncate(128 * 1024 * 1024)
    _btrfs("mkfs.btrfs", "-q", "-M", str(image))
    _mount("-o", "loop", str(image), str(whole))
    with contextlib.ExitStack() as mounted:
        mounted.callback(subprocess.run, ["umount", "--lazy", str(whole)], check=True)
        limited = whole / "limited"
        _btrfs("btrfs", "subvolume", "create", str(limited))
        _btrfs("btrfs", "quota", "enable", str(whole))
        _btrfs("btrfs", "qgroup", "limit", room, str(limited))
        limited.chmod(0o700)
        _mount("--bind", str(limited), str(folder))
        mounted.callback(subprocess.run, ["umount", "--lazy", str(folder)], check=True)
        yield folder


def _btrfs(*words: str) -> None:
    environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
    try:
        made = subprocess.run(words, capture_output=True, env=environment, check=False)
    except FileNotFoundError:
        pytest.skip("btrfs-progs are not installed")
    if made.returncode:
        pytest.skip(f"no btrfs can be made here: {made.stderr.decode().strip()}")


def _mount(*words: str) -> None:
    if os.geteuid():
        pytest.skip("only root may mount a file system")
    mounted = subprocess.run(["mount", *words], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
