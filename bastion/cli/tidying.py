"""What `bastion recordings tidy` does, once: index, pack away, delete what is over."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from bastion.cli.state import connect
from bastion.errors import BastionError, CastFault, ControlError
from bastion.model import visible
from bastion.store import auditfile, retention
from bastion.store.audit import AuditLog
from bastion.store.ledger import Ledger
from bastion.store.packing import pack
from bastion.store.recording import SEAL_SUFFIX
from bastion.store.retention import Retention
from bastion.store.sealfile import is_held, last_kind
from bastion.store.search import NAME, Piece, SearchIndex
from bastion.store.settings import RecordingsEntry
from bastion.store.signing import read_public_key
from bastion.store.state import StateDirectory
from bastion.wire import control as wire
from bastion.wire.packed import ENCRYPTED

MAX_INDEXED: Final = 16 * 1024 * 1024
"""Characters of one channel that are indexed: a log of gigabytes is found by its first part."""

BY: Final = "retention"


@dataclass(slots=True)
class Tidied:
    """What was done."""

    indexed: int = 0
    packed: int = 0
    saved: int = 0
    deleted: int = 0
    problems: int = 0


def tidy(state: StateDirectory, settings: RecordingsEntry, *, at: float) -> Tidied:
    """Do what is due; what fails is told, and the rest goes on."""
    with contextlib.suppress(OSError):
        os.nice(19)  # nothing here is urgent
    done = Tidied()
    key = read_public_key(state.audit / auditfile.PUBLIC_KEY)
    with contextlib.closing(SearchIndex(state.path / NAME)) as index:
        for stem in _ended(state.recordings):
            with _told(stem, done):
                done.indexed += _index(stem, index)
            if at - _last_change(stem) >= settings.pack_after:
                with _told(stem, done):
                    saved = pack(stem, key)
                    done.saved, done.packed = done.saved + saved, done.packed + bool(saved)
        if settings.keep is not None or settings.keep_size is not None:
            _retain(state, settings, index, done, at)
    return done


def _ended(root: Path) -> Iterator[Path]:
    """Every channel whose seal has its end."""
    for path in sorted(root.glob(f"????-??-??/*/*{SEAL_SUFFIX}")):
        if not is_held(path) and last_kind(path) in {"end", "failed", "finished"}:
            yield Path(str(path).removesuffix(SEAL_SUFFIX))


def _last_change(stem: Path) -> float:
    return Path(f"{stem}{SEAL_SUFFIX}").stat().st_mtime


@contextlib.contextmanager
def _told(stem: Path, done: Tidied) -> Iterator[None]:
    try:
        yield
    except (BastionError, OSError) as error:
        done.problems += 1
        click.echo(visible(f"bastion: {stem.parent.name}/{stem.name}: {error}"), err=True)


def _index(stem: Path, index: SearchIndex) -> int:
    session, channel = stem.parent.name, stem.name
    if index.has(session, channel):
        return 0
    index.add(session, channel, _pieces(stem), limit=MAX_INDEXED)
    return 1


def _pieces(stem: Path) -> Iterator[Piece]:
    from bastion.store.recording import CAST
    from bastion.store.stored import find_stored
    from replay.castfile import CastFile
    from replay.screentext import screen_text
    from replay.spool import plain_file

    path, form = find_stored(stem, CAST)
    if form == ENCRYPTED:
        return  # what only its recipients may read stands in no index
    try:
        cast = CastFile(plain_file(path), name=path.name)
    except CastFault:
        return  # nothing was ever shown
    with cast:
        for moment, text in screen_text(cast):
            yield Piece(moment, text)


# --- retention ------------------------------------------------------------------------------


def _retain(
    state: StateDirectory, settings: RecordingsEntry, index: SearchIndex, done: Tidied, at: float
) -> None:
    with contextlib.closing(Ledger(state.database, read_only=True)) as ledger:
        holds = frozenset(retention.held(ledger.file))
    over = list(
        retention.due(state.recordings, holds, at, keep=settings.keep, keep_size=settings.keep_size)
    )
    if over:
        with _deleting(state) as delete:
            for session, reason in over:
                with _told(state.recordings / session / "*", done):
                    delete(session, reason)
                    index.forget(session)
                    done.deleted += 1


@contextlib.contextmanager
def _deleting(state: StateDirectory) -> Iterator[Callable[[str, str], object]]:
    """The running bastion deletes, for it alone writes the audit; without one, this does."""
    try:
        client = connect(state)
    except ControlError:
        with _own(state) as own:
            yield lambda session, reason: own.delete(session, reason, BY, time.time())
        return
    with client:
        yield lambda session, reason: client.call(wire.DeleteRecording(session, reason), wire.Ended)


@contextlib.contextmanager
def _own(state: StateDirectory) -> Iterator[Retention]:
    with contextlib.ExitStack() as stack:
        state.acquire()
        stack.callback(state.release)
        audit = AuditLog(state.audit)
        stack.callback(lambda: audit.close(time.time()))
        ledger = Ledger(state.database)
        stack.callback(ledger.close)
        yield Retention(state.recordings, ledger.file, audit)
