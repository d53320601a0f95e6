"""How long recordings are kept: by age and size, unless somebody holds them; all audited."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bastion.errors import StoreError
from bastion.store.audit import AuditLog
from bastion.store.ledgerfile import LedgerFile, Row
from bastion.store.recording import SEAL_SUFFIX
from bastion.store.sealfile import is_held
from bastion.store.stored import stem_of

_SESSION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True)
class Kept:
    """A session's folder. `ended_at` is when its last seal was written."""

    session: str
    folder: Path
    size: int
    ended_at: float
    live: bool


class Retention:
    """Holds and deletes recordings; the one who audits calls it."""

    def __init__(self, root: Path, file: LedgerFile, audit: AuditLog) -> None:
        self._root = root
        self._file = file
        self._audit = audit

    def hold(self, session: str, reason: str, by: str, at: float) -> None:
        """Keep a session's recordings until they are released, whatever their age."""
        if not list(_folders(self._root, session)):
            raise StoreError(f"No recording of {session!r} is here; list them.")
        self._audit.append("recording-held", at, session=session, reason=reason, by=by)
        self._file.execute(
            "INSERT OR REPLACE INTO holds (session, reason, by, at) VALUES (?, ?, ?, ?)",
            (session, self._file.masked(reason), by, at),
        )

    def release(self, session: str, by: str, at: float) -> None:
        """Let retention have them again."""
        if session not in held(self._file):
            raise StoreError(f"{session!r} is not held; list what is.")
        self._audit.append("recording-released", at, session=session, by=by)
        self._file.execute("DELETE FROM holds WHERE session = ?", (session,))

    def delete(self, session: str, reason: str, by: str, at: float) -> int:
        """Delete a session's recordings, and give the bytes that this freed.

        Audited for each channel before anything goes: a deletion that stops half way is known.
        """
        if session in held(self._file):
            raise StoreError(f"{session!r} is held ({held(self._file)[session]['reason']}).")
        folders = list(_folders(self._root, session))
        if not folders:
            raise StoreError(f"No recording of {session!r} is here; list them.")
        for folder in folders:
            if _kept(folder).live:
                raise StoreError(f"{session!r} is still recorded; end it first.")
        size = 0
        for folder in folders:
            for channel in sorted({stem_of(path).name for path in folder.iterdir()}):
                self._audit.append(
                    "recording-deleted", at, session=session, channel=channel, reason=reason, by=by
                )
            size += _kept(folder).size
            shutil.rmtree(folder)
            with contextlib.suppress(OSError):
                folder.parent.rmdir()  # the day, if this was its last session
        self._file.execute("UPDATE channels SET recording = '' WHERE session_id = ?", (session,))
        return size


def held(file: LedgerFile) -> dict[str, Row]:
    """What is held, by session."""
    return {row["session"]: row for row in file.rows("SELECT * FROM holds ORDER BY at")}


def due(
    root: Path, holds: frozenset[str], at: float, *, keep: float | None, keep_size: int | None
) -> Iterator[tuple[str, str]]:
    """Sessions that are to go now, oldest first, and why; what is held or live stays."""
    sessions = sorted(
        (_kept(folder) for folder in _folders(root, "")), key=lambda kept: kept.ended_at
    )
    total = sum(kept.size for kept in sessions)
    for kept in sessions:
        if kept.session in holds or kept.live:
            continue
        if keep is not None and at - kept.ended_at > keep:
            yield kept.session, "it is older than recordings are kept"
        elif keep_size is not None and total > keep_size:
            yield kept.session, "there is no room for more recordings, and it was the oldest"
        else:
            continue
        total -= kept.size


def _folders(root: Path, session: str) -> Iterator[Path]:
    """The folders of one session (which may have begun twice at midnight), or of all."""
    if not session or _SESSION.fullmatch(session):
        for folder in sorted(root.glob(f"????-??-??/{session or '*'}")):
            if folder.is_dir() and not folder.is_symlink():
                yield folder


def _kept(folder: Path) -> Kept:
    paths = list(folder.iterdir())
    # Packing writes the others anew; the seal's last line was the last of the recording.
    seals = [path for path in paths if path.name.endswith(SEAL_SUFFIX)]
    return Kept(
        folder.name,
        folder,
        size=sum(os.lstat(path).st_blocks * 512 for path in paths),
        ended_at=max((os.lstat(path).st_mtime for path in seals or [folder]), default=0.0),
        live=any(map(is_held, seals)),
    )
