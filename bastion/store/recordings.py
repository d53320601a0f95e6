"""Recordings on disk: one cast a channel, and beside it what was decided, on the same clock.

    recordings/2026-11-23/SESSION/CHANNEL.cast
    recordings/2026-11-23/SESSION/CHANNEL.events.jsonl
    recordings/2026-11-23/SESSION/CHANNEL.seal.jsonl

Every line goes to the kernel before `output` returns, so the caller may show the bytes afterwards
(invariant 6). Nothing is buffered here and nothing is retried: the first error ends the recording.
The seal vouches for what the disk has, so it is written after a sync: see `store/sealing.py`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bastion.errors import RecordingFailed
from bastion.store.appendfile import AppendFile
from bastion.store.encrypting import Recipients
from bastion.store.packing import PART
from bastion.store.recording import (
    SEAL_SUFFIX,
    SUFFIXES,
    Files,
    Recording,
    check_floor,
    sentence,
)
from bastion.tap.masks import UNMASKED, Masks
from bastion.wire.asciicast import Fact
from bastion.wire.packed import ENCRYPTED

DEFAULT_FLOOR: Final = 256 * 1024 * 1024
"""Bytes that stay free: a full disk must not lock the owner out of the machine."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


class Keeper(Protocol):
    """Who seals recordings while they grow and when they end."""

    def opened(self, recording: Recording) -> None:
        """A recording begins."""

    def closed(self, recording: Recording, at: float) -> None:
        """It has got its last line; `Recording.seal_end` is to be called, then `release`."""


class Recordings:
    """The recordings folder. `floor_bytes`: below this much free space nothing is recorded.

    `key` signs the seals; without one a key is used that nobody keeps, which still finds damage.
    Without a `keeper` a recording is sealed once, when it is closed. With `recipients` only they
    can read what is recorded.
    """

    def __init__(
        self,
        root: Path,
        *,
        floor_bytes: int = DEFAULT_FLOOR,
        key: Ed25519PrivateKey | None = None,
        keeper: Keeper | None = None,
        masks: Masks = UNMASKED,
        recipients: Recipients | None = None,
    ) -> None:
        self._recipients = recipients
        self._root = root
        self._floor = floor_bytes
        self._key = key or Ed25519PrivateKey.generate()
        self._masks = masks
        self._keeper = keeper or _SealAtOnce()
        self.live = 0
        """How many are being written."""
        self.failed = 0
        """How many could not be begun, or could not be written on."""

    def open(
        self,
        session_id: str,
        channel_id: str,
        *,
        at: float,
        columns: int = 80,
        rows: int = 24,
        term: str = "",
        title: str = "",
        facts: Mapping[str, Fact] | None = None,
    ) -> Recording:
        """Begin a channel's recording; RecordingFailed if any of it cannot be written.

        `at` is seconds since the epoch, `term` the client's TERM, `facts` what the header says
        about the channel (identity, target, login, request, pty, …).
        """
        if not (_NAME.fullmatch(session_id) and _NAME.fullmatch(channel_id)):
            raise RecordingFailed("The recording cannot be named: the session id is not plain.")
        day = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")
        try:
            check_floor(self._root, self._floor)
            with _folder(self._root, day, session_id) as folder:
                files = _create(folder, channel_id, self._recipients)
        except (OSError, RecordingFailed) as error:
            self.failed += 1
            why = sentence(error) if isinstance(error, OSError) else str(error)
            raise RecordingFailed(why) from error
        path = self._root / day / session_id / f"{channel_id}.cast"
        recording = Recording(path, files, self._key, at, self._floor, self._closed, self._masks)
        self.live += 1
        self._keeper.opened(recording)
        recording.begin(
            columns=columns,
            rows=rows,
            env={"TERM": term} if term else {},
            title=title,
            facts={"session": session_id, "channel": channel_id, **(facts or {})},
        )
        return recording

    def _closed(self, recording: Recording, at: float) -> None:
        self.live -= 1
        self.failed += bool(recording.failure)
        self._keeper.closed(recording, at)

    def find(self, session_id: str = "") -> Iterator[Path]:
        """Every cast, or every cast of one session, in whatever form, oldest day first."""
        pattern = session_id if _NAME.fullmatch(session_id) else "*"
        if not session_id or pattern != "*":
            found = sorted(self._root.glob(f"????-??-??/{pattern}/*.cast*"))
            yield from (path for path in found if path.suffix != PART)


class _SealAtOnce:
    """The keeper of recordings that nobody waits for."""

    def opened(self, recording: Recording) -> None:
        """Nothing is sealed before the end."""

    def closed(self, recording: Recording, at: float) -> None:
        """What cannot be sealed stays unfinished; the next start of a bastion finishes it."""
        with contextlib.suppress(OSError):
            recording.seal_end(recording.snapshot(at))
        recording.release()


def _create(folder: int, channel_id: str, recipients: Recipients | None) -> Files:
    """Make the three files, the seal first: what has none was not made by us."""
    ending = f".{ENCRYPTED}" if recipients else ""
    with contextlib.ExitStack() as opened:
        files = []
        for suffix in (SEAL_SUFFIX, *(f"{suffix}{ending}" for suffix in SUFFIXES.values())):
            file = AppendFile.create(f"{channel_id}{suffix}", directory=folder)
            opened.callback(file.close)
            files.append(file)
        sealed, cast, events = files
        # Held while it grows, so that a verifier can tell live from left behind.
        fcntl.flock(sealed.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        opened.pop_all()
    writers = {name: recipients.writer() for name in SUFFIXES} if recipients else {}
    return Files(cast, events, sealed, writers)


@contextlib.contextmanager
def _folder(root: Path, *names: str) -> Iterator[int]:
    """Open `root/names…`, making what is missing (0700); no step may be a link."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(root, flags)
    try:
        for name in names:
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, 0o700, dir_fd=descriptor)
            deeper = os.open(name, flags, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = deeper
        yield descriptor
    finally:
        os.close(descriptor)
