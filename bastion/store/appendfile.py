"""A file that only grows, by whole lines, straight into the kernel.

What was appended survives `kill -9` at any byte; it does not survive a power cut before `sync`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path
from typing import Final

_BLOCK: Final = 64 * 1024


class AppendFile:
    """One open file; `append` writes everything or raises OSError and leaves no torn line."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._end = os.fstat(descriptor).st_size
        self._torn = False

    @classmethod
    def create(cls, name: str, *, directory: int) -> AppendFile:
        """Make a new file (0600) in an open directory; an existing one, or a link, is an error."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        return cls(os.open(name, flags, 0o600, dir_fd=directory))

    @classmethod
    def reopen(cls, path: Path) -> AppendFile:
        """Open a file for more lines, or make it (0600); a link is an error, and so is a pipe."""
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o600)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(errno.EINVAL, "it is no file")
        return cls(descriptor)

    @property
    def size(self) -> int:
        """Bytes so far."""
        return self._end

    def fileno(self) -> int:
        """The descriptor, for locks."""
        return self._descriptor

    def append(self, line: bytes) -> None:
        """Write `line` whole, or raise OSError: then what was written of it is cut off again.

        The next call may try again: a disk that was full need not be full for ever.
        """
        if self._torn:
            self.cut(self._end)
        self._torn = True
        try:
            written = os.write(self._descriptor, line)
            while written < len(line):
                # A full disk may take a part and say so only at the next write.
                written += os.write(self._descriptor, memoryview(line)[written:])
        except OSError:
            with contextlib.suppress(OSError):
                self.cut(self._end)
            raise
        self._end += len(line)
        self._torn = False

    def cut(self, size: int) -> None:
        """Shorten to `size` bytes."""
        os.ftruncate(self._descriptor, size)
        self._end = size
        self._torn = False

    def cut_torn_line(self) -> bytes:
        """Remove what stands after the last newline, and give it; the file must be open to read."""
        torn = b""
        start = self._end
        while start and b"\n" not in torn:
            start = max(0, start - _BLOCK)
            torn = os.pread(self._descriptor, self._end - len(torn) - start, start) + torn
        torn = torn[torn.rfind(b"\n") + 1 :]
        if torn:
            self.cut(self._end - len(torn))
        return torn

    def sync(self) -> None:
        """Wait until the disk has it."""
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        """Close; a second call is an error of the caller."""
        os.close(self._descriptor)
