"""The state directory: everything the bastion keeps, in one place that nobody else can read.

STATE/ca/  STATE/bastion.db  STATE/audit/  STATE/recordings/  STATE/control.sock  STATE/lock
"""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path

from bastion.errors import StoreError


class StateDirectory:
    """Paths of the state directory, made where missing (0700) and checked where present."""

    def __init__(self, path: Path, *, create: bool = True) -> None:
        """StoreError says what is wrong and how it is mended. `create=False` only looks.

        `path` itself may be a link (systemd makes one for DynamicUser); what is inside may not.
        """
        self.path = Path(os.path.realpath(path))
        self._lock: int | None = None
        if create:
            _make(self.path)
        _check(self.path)
        for folder in (self.ca, self.audit, self.recordings):
            if create:
                _make(folder)
            if create or folder.exists():
                _check(folder)

    @property
    def ca(self) -> Path:
        """Keys of the user and host CAs."""
        return self.path / "ca"

    @property
    def database(self) -> Path:
        """The ledger's SQLite file."""
        return self.path / "bastion.db"

    @property
    def audit(self) -> Path:
        """The audit log and its heads."""
        return self.path / "audit"

    @property
    def recordings(self) -> Path:
        """Casts, by day and session."""
        return self.path / "recordings"

    @property
    def control_socket(self) -> Path:
        """Where the running bastion takes orders."""
        return self.path / "control.sock"

    def acquire(self) -> None:
        """Take this directory for one running bastion; StoreError if another has it."""
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            descriptor = os.open(self.path / "lock", flags, 0o600)
        except OSError as error:
            raise StoreError(f"{self.path}/lock cannot be opened: {error.strerror}.") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise StoreError(
                f"Another bastion runs on {self.path}; stop it, or name another state directory."
            ) from None
        self._lock = descriptor

    def release(self) -> None:
        """Give the directory back; the kernel does so too when the bastion is killed."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _make(path: Path) -> None:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{path} cannot be made: {error.strerror}.") from error


def _check(path: Path) -> None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        raise StoreError(f"{path} is not there yet: `bastion serve` makes it.") from None
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}.") from error
    if not stat.S_ISDIR(found.st_mode):
        raise StoreError(f"{path} is not a directory; move it away and start again.")
    if os.geteuid() not in (0, found.st_uid):
        raise StoreError(f"{path} belongs to another user; run as that user, or chown it.")
    if found.st_mode & 0o077:
        raise StoreError(f"{path} is open to other users; mend it with: chmod 700 {path}")
