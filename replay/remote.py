"""Recordings of a running bastion, through its control socket: what the policy lets one play."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar

from bastion.control.client import ControlClient
from bastion.errors import CastFault, ControlError
from bastion.wire import control as wire
from bastion.wire.packed import unpacked
from replay.castfile import CastFile
from replay.catalogue import Entry
from replay.happenings import HappeningsFile
from replay.spool import spool
from replay.tape import MAX_TRACKS, Tape, Track

T = TypeVar("T")

MAX_FETCHED: Final = 4 * 1024 * 1024 * 1024
"""Bytes of one recording that are fetched: a viewer's disk is smaller than the bastion's."""

POLL: Final = 0.3
"""Seconds between two looks at a recording that is still written."""


class Remote:
    """A catalogue over a control connection. `again`: where it was lost, another one is made."""

    def __init__(self, connect: Callable[[], ControlClient], *, again: bool) -> None:
        self._connect = connect
        self._again = again
        self._client: ControlClient | None = None
        self._lock = threading.Lock()

    def close(self) -> None:
        """Hang up."""
        if self._client is not None:
            self._client.close()

    def find(self, text: str) -> Sequence[Entry]:
        """What the bastion lists for this caller."""
        found = self._call(wire.FindRecordings(text), list[wire.RecordingShown])
        return [
            Entry(
                one.session,
                one.began,
                one.name,
                ", ".join(one.targets),
                "; ".join(one.requests),
                live=one.live,
                channels=len(one.channels),
                names=one.channels,
            )
            for one in found
        ]

    def open(self, entry: Entry) -> Tape:
        """Fetch every channel; those that are live go on growing while the tape is open."""
        copies: list[_Copy] = []
        tracks: list[Track] = []
        try:
            for channel in entry.names[:MAX_TRACKS]:
                cast, events = (
                    _Copy(self, entry.key, channel, name) for name in ("cast", "events")
                )
                copies += [cast, events]
                cast.fetch()
                events.fetch()
                opened = CastFile(cast.plain(), live=cast.live, whole=False, name=channel)
                tracks.append(Track(channel, opened, HappeningsFile(events.plain())))
        except (CastFault, ControlError):
            for track in tracks:
                track.cast.close()
            for copy in copies:
                copy.close()
            raise
        tape = Tape(tracks)
        fetcher = _Fetcher([copy for copy in copies if copy.live])
        tape.at_close += [fetcher.stop, *(copy.close for copy in copies)]
        return tape

    def read(self, session: str, channel: str, name: str, offset: int) -> wire.Piece:
        """One piece."""
        return self._call(wire.ReadRecording(session, channel, name, offset), wire.Piece)

    def _call(self, call: wire.AnyCall, shape: type[T]) -> T:
        """One call at a time, from whatever thread."""
        with self._lock:
            if self._client is None:
                self._client = self._connect()
            try:
                return self._client.call(call, shape)
            except ControlError:
                if not (self._client.lost and self._again):
                    raise
                self._client.close()
                self._client = self._connect()
                return self._client.call(call, shape)


def _key_elsewhere(_: bytes) -> bytes:
    """Whoever has the key has it on a machine of their own, and a key is sent nowhere."""
    raise CastFault(
        "this recording is encrypted: play its file where the key is, with --identity KEY"
    )


class _Copy:
    """A file without a name that holds what was fetched."""

    def __init__(self, remote: Remote, session: str, channel: str, name: str) -> None:
        self._remote = remote
        self._asked = (session, channel, name)
        self._size = 0
        self.live = False
        self._form = ""
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  (closed by close)
        self.path = Path(f"/proc/{os.getpid()}/fd/{self._file.fileno()}")

    def fetch(self) -> None:
        """Take in what is new."""
        while self._size < MAX_FETCHED:
            piece = self._remote.read(*self._asked, self._size)
            self.live = piece.live
            self._form = piece.form
            self._file.write(piece.data)
            self._file.flush()
            self._size += len(piece.data)
            if not piece.data or self._size >= piece.size:
                return

    def plain(self) -> Path:
        """Where it can be read as it was written."""
        if not self._form:
            return self.path
        self._file.seek(0)
        return spool(unpacked(self._file, self._form, _key_elsewhere))

    def close(self) -> None:
        """Forget it."""
        self._file.close()


class _Fetcher:
    """Fetches on while something is live, in a thread of its own."""

    def __init__(self, copies: Sequence[_Copy]) -> None:
        self._copies = list(copies)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        if self._copies:
            self._thread.start()

    def stop(self) -> None:
        """No more."""
        self._stop.set()
        if self._copies:
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(POLL):
            try:
                for copy in self._copies:
                    copy.fetch()
            except (ControlError, CastFault, OSError):
                return  # what is there stays; the bastion, or the right to look, is gone
            if not any(copy.live for copy in self._copies):
                return
