"""Private keys on disk: 0600 in a 0700 directory that is ours, or refused with the mend.

The checks are made on the opened file, never on its name, so nothing can be swapped in between.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path
from typing import Final

from bastion.errors import StoreError

MAX_KEY_FILE: Final = 65536
"""A key file is under 1 KB; a device or a log in its place must not be read into memory."""


def prepare_directory(path: Path) -> None:
    """Make `path` a 0700 directory, or check that it is one; StoreError otherwise."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{path} cannot be used: {error.strerror}.") from None
    check_directory(path)


def check_directory(path: Path) -> None:
    """StoreError unless `path` is a directory of ours that nobody else may enter."""
    try:
        found = path.lstat()
    except OSError as error:
        raise StoreError(f"{path} cannot be used: {error.strerror}.") from None
    if not stat.S_ISDIR(found.st_mode):
        raise StoreError(f"{path} is not a directory (links are not followed); replace it by one.")
    _check_owner_and_mode(path, found, "700")


def _check_owner_and_mode(path: Path, found: os.stat_result, mode: str) -> None:
    if found.st_uid != os.geteuid():
        raise StoreError(
            f"{path} belongs to user {found.st_uid}, and this runs as {os.geteuid()}; "
            f"run this as that user, or: chown {os.geteuid()} {path}"
        )
    if found.st_mode & 0o077:
        raise StoreError(f"{path} is open to others; run: chmod {mode} {path}")


def read_private(path: Path) -> bytes:
    """Read a file that only we may read; StoreError with the mend otherwise."""
    try:
        # O_NONBLOCK: a fifo in the key's place must not hang the start.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise StoreError(f"{path} is missing; `bastion ca init` makes the authorities.") from None
    except OSError as error:
        if path.is_symlink():
            raise StoreError(f"{path} is a link; put the key itself there.") from None
        raise StoreError(f"{path} cannot be read: {error.strerror}.") from None
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise StoreError(f"{path} is not a regular file.")
        _check_owner_and_mode(path, found, "600")
        if found.st_nlink != 1:
            raise StoreError(f"{path} has a second name (a hard link); make the key anew.")
        return file.read(MAX_KEY_FILE)


def write_private(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Replace `path` by `data` in one step that survives a crash; StoreError when it cannot."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(draft, flags, mode), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        sync_directory(path.parent)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise StoreError(f"{path} cannot be written: {error.strerror}.") from None


def sync_directory(path: Path) -> None:
    """Make the names in a directory survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
