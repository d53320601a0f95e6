"""Commands entered before, kept in a private file: one for each identity and login on a target."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from bastion.editor.line import MAX_RECALLED
from bastion.errors import StoreError

MAX_COMMAND: Final = 8 * 1024
"""Characters. Longer ones (a pasted file) are recalled in this session only."""
MAX_FILE: Final = 1024 * 1024
"""Bytes. A file that has grown beyond is cut to its newest half."""


def history_name(identity: str, login: str, target: str) -> str:
    """Name a file so that nothing in the names can leave the folder, nor tell who it is."""
    return hashlib.sha256("\0".join((identity, login, target)).encode()).hexdigest()


class HistoryFile:
    """`entries` and `add`. Without a path, or once the file has failed, only this session's.

    `mask` takes secrets out of what is written. A command that begins with a blank is never kept.
    """

    def __init__(self, path: Path | None, mask: Callable[[str], str]) -> None:
        self._path = path
        self._mask = mask
        self._entries: list[str] = []
        self.trouble = ""
        """One sentence that says why nothing is kept; empty while it is."""
        if path is not None:
            try:
                self._entries = _load(path)
            except (OSError, StoreError) as error:
                self._give_up(error)

    def entries(self) -> Sequence[str]:
        """Oldest first."""
        return self._entries

    def add(self, command: str) -> None:
        """Keep one command, unless it is the one before it again."""
        command = command.rstrip("\n")
        if not command.strip() or command[0].isspace():
            return
        if self._entries and self._entries[-1] == command:
            return
        self._entries.append(command)
        del self._entries[:-MAX_RECALLED]
        if self._path is None or self.trouble or len(command) > MAX_COMMAND:
            return
        try:
            _append(self._path, self._mask(command))
        except (OSError, StoreError) as error:
            self._give_up(error)

    def _give_up(self, error: OSError | StoreError) -> None:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        self.trouble = f"The history is not kept: {reason}"


def _open(path: Path) -> int:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    descriptor = os.open(path, flags, 0o600)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_mode & 0o077:
        os.close(descriptor)
        raise StoreError(f"{path} is open to other users; mend it with: chmod 600 {path}")
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


def _load(path: Path) -> list[str]:
    if not path.exists():
        return []
    descriptor = _open(path)
    try:
        size = os.fstat(descriptor).st_size
        data = os.pread(descriptor, 2 * MAX_FILE, max(0, size - 2 * MAX_FILE))
    finally:
        os.close(descriptor)
    entries: list[str] = []
    for line in data.splitlines():
        try:
            command = json.loads(line)
        except (ValueError, RecursionError):
            continue  # cut off by a full disk, or by the bound above
        if isinstance(command, str) and command:
            entries.append(command[:MAX_COMMAND])
    return entries[-MAX_RECALLED:]


def _append(path: Path, command: str) -> None:
    descriptor = _open(path)
    try:
        os.write(descriptor, json.dumps(command).encode() + b"\n")
        size = os.fstat(descriptor).st_size
        if size > MAX_FILE:
            kept = os.pread(descriptor, MAX_FILE // 2, size - MAX_FILE // 2).partition(b"\n")[2]
            # In place, under the lock: whoever waits for it has this very file open.
            os.ftruncate(descriptor, 0)
            os.write(descriptor, kept)
    finally:
        os.close(descriptor)
