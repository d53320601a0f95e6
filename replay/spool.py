"""Files that are read in any order and lie packed: unpacked once, into a file without a name."""

from __future__ import annotations

import atexit
import os
import tempfile
from collections import deque
from pathlib import Path
from typing import BinaryIO, Final

from bastion.errors import CastFault
from bastion.wire.encrypted import OpenKey
from bastion.wire.packed import form_of, no_key, unpacked

MAX_UNPACKED: Final = 8 * 1024 * 1024 * 1024
"""Bytes: a few of them can unpack to a disk full."""

MAX_HELD: Final = 500
"""Files that are held; a session has two a channel, and whoever opened one keeps it open."""

_spooled: Final[deque[BinaryIO]] = deque()
"""Held for those who have not opened them yet: their names last as long as they do."""


@atexit.register
def _let_go() -> None:
    while _spooled:
        _spooled.popleft().close()


def plain_file(path: Path, open_key: OpenKey = no_key) -> Path:
    """A path where the file can be read as it was written; CastFault where it is damaged."""
    form = form_of(path.name)
    if not form:
        return path
    try:
        check_regular(path)
        with path.open("rb") as file:
            return spool(unpacked(file, form, open_key))
    except OSError as error:
        raise CastFault(f"{path} cannot be read: {error.strerror}.") from None
    except CastFault as fault:
        raise CastFault(f"{path.name}: {fault}".rstrip(".") + ".") from None


def check_regular(path: Path) -> None:
    """CastFault for a pipe or a device: opening one waits for ever, reading one may not end."""
    if path.exists() and not path.is_file():
        raise CastFault("this is no file that can be read in any order")


def spool(source: BinaryIO) -> Path:
    """Copy all of it into a file without a name, and give the path where this program finds it."""
    copy = tempfile.TemporaryFile()  # noqa: SIM115  (held on purpose)
    try:
        size = 0
        while piece := source.read(1024 * 1024):
            size += copy.write(piece)
            if size > MAX_UNPACKED:
                raise CastFault("this recording unpacks to more than can be played")
        copy.flush()
    except BaseException:
        copy.close()
        raise
    _spooled.append(copy)
    if len(_spooled) > MAX_HELD:
        _spooled.popleft().close()
    return Path(f"/proc/{os.getpid()}/fd/{copy.fileno()}")
