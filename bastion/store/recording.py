"""One channel's recording while it grows: its lines, straight into the kernel, and its seal."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bastion.errors import RecordingFailed
from bastion.events import Stream
from bastion.store import seal
from bastion.store.appendfile import AppendFile
from bastion.store.seal import Extent, Rolling, Seal
from bastion.tap.cast import CastTap, CastTotals
from bastion.tap.masks import UNMASKED, Masks
from bastion.wire.asciicast import Fact
from bastion.wire.encrypted import Writer
from bastion.wire.packed import ENCRYPTED, PLAIN

FLOOR_CHECK_EVERY: Final = 4 * 1024 * 1024
"""Bytes written between two looks at the free space: one costs about a microsecond."""

CAST: Final = "cast"
EVENTS: Final = "events"
SUFFIXES: Final = {CAST: ".cast", EVENTS: ".events.jsonl"}
"""The files of a channel that its seal is about, and how their names end."""

SEAL_SUFFIX: Final = ".seal.jsonl"


@dataclass(frozen=True, slots=True)
class Files:
    """The open files of one channel; with `writers` for those that are encrypted."""

    cast: AppendFile
    events: AppendFile
    seal: AppendFile
    writers: Mapping[str, Writer] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """How far a recording had got at a moment."""

    at: float
    files: dict[str, Extent]


class Recording:
    """One channel's recording while it grows; made by `Recordings.open`.

    After the first failure every further call raises RecordingFailed again with the same reason.
    """

    def __init__(
        self,
        path: Path,
        files: Files,
        key: Ed25519PrivateKey,
        started_at: float,
        floor: int,
        on_close: Callable[[Recording, float], None],
        masks: Masks = UNMASKED,
    ) -> None:
        self.path = path
        self._files = {CAST: files.cast, EVENTS: files.events}
        self._writers = files.writers
        self._seal = Seal(files.seal, key)
        self._key_name = seal.fingerprint(key.public_key())
        self._rolling = {CAST: Rolling(), EVENTS: Rolling()}
        self._tap = CastTap(started_at)
        self._started_at = started_at
        self._floor = floor
        self._masks = masks
        self._on_close = on_close
        self._unchecked = 0
        self._failure = ""
        self._closed = False
        self._folder_synced = False
        self._gap = False
        """A checkpoint could not be written: no later line may speak of what it would have."""
        self.sealed_at = started_at

    @property
    def closed(self) -> bool:
        """True after `close`, or after a failure."""
        return self._closed

    @property
    def failure(self) -> str:
        """Why nothing more could be written, or nothing."""
        return self._failure

    def begin(
        self,
        *,
        columns: int,
        rows: int,
        env: Mapping[str, str],
        title: str,
        facts: Mapping[str, Fact],
    ) -> None:
        """Write every file's first line."""
        title, facts = self._masks.text(title), _facts(self._masks, facts)
        session, channel = facts["session"], facts["channel"]
        self._guard(
            self._started_at,
            lambda: self._seal.append(
                "open",
                self._started_at,
                # Nothing is vouched for yet: a power cut may still take all of it.
                {name: Extent() for name in SUFFIXES},
                session=session,
                channel=channel,
                key=self._key_name,
                format=seal.FORMAT,
                form=ENCRYPTED if self._writers else PLAIN,
            ),
        )
        for name, writer in self._writers.items():
            self._append(self._started_at, name, writer.header)
            self._rolling[name].feed_unit(writer.header)
        self._write(
            self._started_at,
            CAST,
            self._tap.header(columns=columns, rows=rows, env=env, title=title, facts=facts),
        )
        self.event(self._started_at, "start", facts)

    def output(self, at: float, data: bytes, stream: Stream = Stream.STDOUT) -> None:
        """Record bytes that are about to be shown."""
        self._write(at, CAST, self._tap.output(at, data, stream))

    def resize(self, at: float, columns: int, rows: int) -> None:
        """Record a new window size."""
        self._write(at, CAST, self._tap.resize(at, columns, rows))

    def marker(self, at: float, label: str) -> None:
        """Record a place to jump to."""
        self._write(at, CAST, self._tap.marker(at, self._masks.text(label)))

    def event(
        self, at: float, kind: str, fields: Mapping[str, object], *, masked: bool = False
    ) -> None:
        """Record a verdict, an approval, a file operation; values as JSON has them.

        `masked`: whoever calls has taken the secrets out.
        """
        time = round(max(0.0, at - self._started_at), 6)
        kept = fields if masked else self._masks.fields(fields)
        line = _line({"time": time, "at": at, "kind": kind, "fields": kept})
        self._write(at, EVENTS, line)

    def close(self, at: float) -> CastTotals:
        """Write what waits and give the sums. A second call gives the sums again."""
        if not self._closed:
            self._write(at, CAST, self._tap.close(at))
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
            self._end(at)
        elif self._failure:
            raise RecordingFailed(self._failure)
        return self._tap.totals()

    # --- the seal -----------------------------------------------------------------------------

    @property
    def unsealed_lines(self) -> int:
        """Lines since the last snapshot."""
        return sum(rolling.lines_since for rolling in self._rolling.values())

    def snapshot(self, at: float) -> Snapshot:
        """How far it has got now; each snapshot is to be sealed, in order."""
        self.sealed_at = at
        return Snapshot(at, {name: rolling.take() for name, rolling in self._rolling.items()})

    def seal(self, snapshot: Snapshot) -> None:
        """Sign a checkpoint, or raise OSError. It waits for disks, so it has a thread of its own.

        The files first: after a power cut no seal may vouch for what is not there.
        """
        if self._gap:
            raise OSError("an earlier checkpoint is missing")
        self._gap = True
        self._sync()
        self._seal.append("checkpoint", snapshot.at, snapshot.files)
        self._seal.sync()
        self._gap = False

    def seal_end(self, snapshot: Snapshot) -> str:
        """Sign the last line and give its hash, or raise OSError."""
        if self._gap:
            raise OSError("an earlier checkpoint is missing")
        self._sync()
        if self._failure:
            self._seal.append("failed", snapshot.at, snapshot.files, reason=self._failure)
        else:
            self._seal.append("end", snapshot.at, snapshot.files)
        self._seal.sync()
        return self._seal.last_hash

    def fail(self, error: OSError, at: float) -> None:
        """The disk did not take what was written: nothing more may be recorded, or shown."""
        if not self._closed:
            self._failure = sentence(error)
            self._end(at)

    def release(self) -> None:
        """Let go of the files, after the last seal."""
        files: list[AppendFile | Seal] = [*self._files.values(), self._seal]
        for file in files:
            # A network file system may report a lost write as late as here; `_write` has told the
            # reason that matters, and nothing can be written any more.
            with contextlib.suppress(OSError):
                file.close()

    def _sync(self) -> None:
        for file in self._files.values():
            file.sync()
        if not self._folder_synced:
            _sync_folders(self.path.parent, self.path.parent.parent, self.path.parent.parent.parent)
            self._folder_synced = True

    def _write(self, at: float, name: str, lines: bytes) -> None:
        if self._closed:
            raise RecordingFailed(self._failure or "The recording is already closed.")
        writer = self._writers.get(name)
        if writer is None:
            self._append(at, name, lines)
            self._rolling[name].feed(lines)
        elif lines:
            frame = writer.frame(lines)
            self._append(at, name, frame)
            self._rolling[name].feed_unit(frame)

    def _append(self, at: float, name: str, data: bytes) -> None:
        try:
            self._files[name].append(data)
        except OSError as error:
            raise self._failed(error, at) from error
        self._unchecked += len(data)
        if self._unchecked >= FLOOR_CHECK_EVERY:
            self._unchecked = 0
            self._guard(at, lambda: check_floor(self.path.parent, self._floor))

    def _guard(self, at: float, step: Callable[[], None]) -> None:
        try:
            step()
        except OSError as error:
            raise self._failed(error, at) from error

    def _failed(self, error: OSError, at: float) -> RecordingFailed:
        self._failure = sentence(error)
        self._end(at)
        return RecordingFailed(self._failure)

    def _end(self, at: float) -> None:
        self._closed = True
        self._on_close(self, at)


def _line(event: Mapping[str, object]) -> bytes:
    """One line of JSON in ASCII, which no reader splits or decodes in another way."""
    try:
        line = _encoder.encode(event)
    except (TypeError, ValueError):  # a lone surrogate
        line = b"\xff"
    return (line if line.isascii() else json.dumps(event).encode()) + b"\n"


_encoder: Final = msgspec.json.Encoder()


def _sync_folders(*folders: Path) -> None:
    for folder in folders:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def check_floor(path: Path, floor: int) -> None:
    """OSError where less than `floor` bytes are free: full is too late."""
    room = os.statvfs(path)
    if room.f_bavail * room.f_frsize < floor:
        raise OSError(f"less than {floor // (1024 * 1024)} MiB are free")


def sentence(error: OSError) -> str:
    """What the person on the channel is told."""
    reason = error.strerror or str(error)
    return f"The recording cannot be written ({reason}), and nothing may go on unrecorded."


def _facts(masks: Masks, facts: Mapping[str, Fact]) -> dict[str, Fact]:
    exact = {name: value for name, value in facts.items() if not isinstance(value, str)}
    texts = {name: str(value) for name, value in masks.fields(facts).items() if name not in exact}
    return {name: exact.get(name, texts.get(name, "")) for name in facts}
