"""The index of what was on screens: SQLite's full-text search, beside the ledger and not in it.

It can be made anew from the recordings at any time, so nothing depends on it. Text is found
anywhere in a word (trigrams), in whatever case; texts of one or two characters are not found.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlite_utils import Database

from bastion.errors import StoreError

NAME: Final = "search.db"

SHORTEST: Final = 3
"""Characters: shorter ones have no trigram."""

MAX_HITS: Final = 1000

_CHECK_EVERY: Final = 1000
"""Steps of SQLite's machine between two looks at the clock."""

_SCHEMA: Final = """
    CREATE TABLE IF NOT EXISTS indexed (
        session TEXT NOT NULL, channel TEXT NOT NULL, pieces INTEGER NOT NULL,
        whole INTEGER NOT NULL, PRIMARY KEY (session, channel)
    ) WITHOUT ROWID;
    CREATE VIRTUAL TABLE IF NOT EXISTS pieces USING fts5 (
        text, session UNINDEXED, channel UNINDEXED, time UNINDEXED, tokenize = 'trigram'
    );
"""


@dataclass(frozen=True, slots=True)
class Piece:
    """Some lines that were on a screen, and when the first of them was, in seconds."""

    time: float
    text: str


@dataclass(frozen=True, slots=True)
class Hit:
    """Where a text was: in a channel, at about a time, and the line that holds it."""

    session: str
    channel: str
    time: float
    line: str


class SearchIndex:
    """One open index. Every failure is a StoreError."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        """Open it; where it is missing it is made (0600), or is empty if `read_only`."""
        try:
            if not read_only:
                os.close(os.open(path, os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
            mode = "ro" if path.exists() and read_only else "rw" if not read_only else "memory"
            self._connection = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode={mode}", uri=True, check_same_thread=False
            )
            self._database = Database(self._connection, execute_plugins=False)
            if mode != "ro":
                self._database.executescript(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"The search index {path} cannot be opened: {error}.") from error

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def has(self, session: str, channel: str) -> bool:
        """Whether a channel is indexed."""
        with _told():
            found = self._connection.execute(
                "SELECT 1 FROM indexed WHERE session = ? AND channel = ?", (session, channel)
            )
            return found.fetchone() is not None

    def add(self, session: str, channel: str, pieces: Iterable[Piece], *, limit: int) -> None:
        """Index a channel, all of it or nothing; what is beyond `limit` characters is left out."""
        with _told(), self._connection:
            count = size = 0
            whole = True
            for piece in pieces:
                if size >= limit:
                    whole = False
                    break
                self._connection.execute(
                    "INSERT INTO pieces (text, session, channel, time) VALUES (?, ?, ?, ?)",
                    (piece.text, session, channel, piece.time),
                )
                size += len(piece.text)
                count += 1
            self._connection.execute(
                "INSERT INTO indexed VALUES (?, ?, ?, ?)", (session, channel, count, whole)
            )

    def forget(self, session: str) -> None:
        """Take out all of a session, whose recording is gone."""
        with _told(), self._connection:
            self._connection.execute("DELETE FROM pieces WHERE session = ?", (session,))
            self._connection.execute("DELETE FROM indexed WHERE session = ?", (session,))

    def find(self, text: str, *, seconds: float, limit: int = MAX_HITS) -> list[Hit]:
        """Pieces that hold a text, the best first; StoreError where the time was not enough."""
        if len(text) < SHORTEST:
            return []
        until = time.monotonic() + seconds
        known = text.encode("utf-8", "replace").decode().replace("\0", "")
        phrase = '"' + known.replace('"', '""') + '"'
        self._connection.set_progress_handler(lambda: time.monotonic() > until, _CHECK_EVERY)
        try:
            with _told():
                rows = self._connection.execute(
                    "SELECT session, channel, time, text FROM pieces WHERE pieces MATCH ? LIMIT ?",
                    (phrase, limit),
                ).fetchall()
        finally:
            self._connection.set_progress_handler(None, 0)
        return [Hit(row[0], row[1], row[2], _line(row[3], text)) for row in rows]


def _line(piece: str, text: str) -> str:
    wanted = text.casefold()
    lines = piece.splitlines()
    return next((line.strip() for line in lines if wanted in line.casefold()), lines[0])


@contextlib.contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        if "interrupt" in str(error):
            raise StoreError("The search took too long; look for more of the text.") from None
        raise StoreError(f"The search index cannot be used: {error}.") from error
