"""Recordings on disk: one cast a channel, and beside it what was decided, on the same clock.

    recordings/2026-11-23/SESSION/CHANNEL.cast
    recordings/2026-11-23/SESSION/CHANNEL.events.jsonl

Every line goes to the kernel before `output` returns, so the caller may show the bytes afterwards
(invariant 6). Nothing is buffered here and nothing is retried: the first error ends the recording.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from bastion.errors import RecordingFailed
from bastion.events import Stream
from bastion.store.appendfile import AppendFile
from bastion.tap.cast import CastTap, CastTotals
from bastion.wire.asciicast import Fact

DEFAULT_FLOOR: Final = 256 * 1024 * 1024
"""Bytes that stay free: a full disk must not lock the owner out of the machine."""

FLOOR_CHECK_EVERY: Final = 4 * 1024 * 1024
"""Bytes written between two looks at the free space: one costs about a microsecond."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


class Recordings:
    """The recordings folder. `floor_bytes`: below this much free space nothing is recorded."""

    def __init__(self, root: Path, *, floor_bytes: int = DEFAULT_FLOOR) -> None:
        self._root = root
        self._floor = floor_bytes

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
            _check_floor(self._root, self._floor)
            with _folder(self._root, day, session_id) as folder:
                cast = AppendFile.create(f"{channel_id}.cast", directory=folder)
                try:
                    events = AppendFile.create(f"{channel_id}.events.jsonl", directory=folder)
                except OSError:
                    cast.close()
                    raise
        except OSError as error:
            raise RecordingFailed(_sentence(error)) from error
        path = self._root / day / session_id / f"{channel_id}.cast"
        recording = Recording(path, cast, events, at, self._floor)
        recording.begin(
            columns=columns,
            rows=rows,
            env={"TERM": term} if term else {},
            title=title,
            facts={"session": session_id, "channel": channel_id, **(facts or {})},
        )
        return recording

    def find(self, session_id: str = "") -> Iterator[Path]:
        """Every cast, or every cast of one session, oldest day first."""
        pattern = session_id if _NAME.fullmatch(session_id) else "*"
        if not session_id or pattern != "*":
            yield from sorted(self._root.glob(f"????-??-??/{pattern}/*.cast"))


class Recording:
    """One channel's recording while it grows; made by `Recordings.open`.

    After the first failure every further call raises RecordingFailed again with the same reason.
    """

    def __init__(
        self, path: Path, cast: AppendFile, events: AppendFile, started_at: float, floor: int
    ) -> None:
        self.path = path
        self._cast = cast
        self._events = events
        self._tap = CastTap(started_at)
        self._started_at = started_at
        self._floor = floor
        self._unchecked = 0
        self._failure = ""
        self._closed = False

    @property
    def closed(self) -> bool:
        """True after `close`, or after a failure."""
        return self._closed

    def begin(
        self,
        *,
        columns: int,
        rows: int,
        env: Mapping[str, str],
        title: str,
        facts: Mapping[str, Fact],
    ) -> None:
        """Write both files' first lines."""
        self._write(
            self._cast,
            self._tap.header(columns=columns, rows=rows, env=env, title=title, facts=facts),
        )
        self.event(self._started_at, "start", facts)

    def output(self, at: float, data: bytes, stream: Stream = Stream.STDOUT) -> None:
        """Record bytes that are about to be shown."""
        self._write(self._cast, self._tap.output(at, data, stream))

    def resize(self, at: float, columns: int, rows: int) -> None:
        """Record a new window size."""
        self._write(self._cast, self._tap.resize(at, columns, rows))

    def marker(self, at: float, label: str) -> None:
        """Record a place to jump to."""
        self._write(self._cast, self._tap.marker(at, label))

    def event(self, at: float, kind: str, fields: Mapping[str, object]) -> None:
        """Record a verdict, an approval, a file operation beside the cast. Values as JSON has them.

        Later these lines are to be chained and sealed: this is the one place that writes them.
        """
        time = round(max(0.0, at - self._started_at), 6)
        line = json.dumps({"time": time, "at": at, "kind": kind, "fields": dict(fields)})
        self._write(self._events, line.encode() + b"\n")

    def close(self, at: float) -> CastTotals:
        """Write what waits and give the sums. A second call gives the sums again."""
        if not self._closed:
            self._write(self._cast, self._tap.close(at))
            totals = self._tap.totals()
            self.event(
                at,
                "end",
                {
                    "events": totals.events,
                    "stdout_bytes": totals.stdout.size,
                    "stdout_sha256": totals.stdout.sha256,
                    "stderr_bytes": totals.stderr.size,
                    "stderr_sha256": totals.stderr.sha256,
                    "replaced": totals.stdout.replaced + totals.stderr.replaced,
                },
            )
            self._release()
        elif self._failure:
            raise RecordingFailed(self._failure)
        return self._tap.totals()

    def _write(self, file: AppendFile, line: bytes) -> None:
        if self._closed:
            raise RecordingFailed(self._failure or "The recording is already closed.")
        try:
            file.append(line)
            self._unchecked += len(line)
            if self._unchecked >= FLOOR_CHECK_EVERY:
                self._unchecked = 0
                _check_floor(self.path.parent, self._floor)
        except OSError as error:
            self._failure = _sentence(error)
            self._release()
            raise RecordingFailed(self._failure) from error

    def _release(self) -> None:
        self._closed = True
        for file in (self._cast, self._events):
            # A network file system may report a lost write as late as here; `_write` has told the
            # reason that matters, and nothing can be written any more.
            with contextlib.suppress(OSError):
                file.close()


def _check_floor(path: Path, floor: int) -> None:
    room = os.statvfs(path)
    if room.f_bavail * room.f_frsize < floor:
        raise OSError(f"less than {floor // (1024 * 1024)} MiB are free")


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


def _sentence(error: OSError) -> str:
    reason = error.strerror or str(error)
    return f"The recording cannot be written ({reason}), and nothing may go on unrecorded."
