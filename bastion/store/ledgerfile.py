"""The ledger as a file: opened safely, written in transactions, read as rows."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from sqlite_utils import Database

from bastion.errors import StoreError
from bastion.store import schema
from bastion.tap.masks import UNMASKED, Masks

Row = dict[str, Any]

BUSY_TIMEOUT: Final = 2000
"""Milliseconds to wait for a reader that holds the file; then the write fails, and is refused."""

_FREE: Final = frozenset({"request", "reason", "path", "other_path", "note", "client_version"})
"""Columns whose text comes from people and programs."""


class LedgerFile:
    """One open database. Every failure is a StoreError."""

    def __init__(self, path: Path, *, read_only: bool, masks: Masks = UNMASKED) -> None:
        """Open the file, making it (0600) and its tables where missing, unless `read_only`."""
        self._masks = masks
        with contextlib.ExitStack() as opened:
            try:
                connection = opened.enter_context(contextlib.closing(_open(path, read_only)))
                self._database = Database(connection, execute_plugins=False)
                if not read_only:
                    _prepare(connection)
                    schema.migrate(self._database)
            except (OSError, sqlite3.Error) as error:
                raise StoreError(f"The ledger {path} cannot be opened: {error}.") from error
            opened.pop_all()
        self._connection = connection

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def insert(self, table: str, row: Row) -> None:
        """Add a row, its free texts masked; `table` and the names are ours, never a caller's."""
        row = {
            name: self.masked(value) if name in _FREE and isinstance(value, str) else value
            for name, value in row.items()
        }
        names = ", ".join(row)
        marks = ", ".join("?" * len(row))
        self.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(row.values()))  # noqa: S608

    def masked(self, text: str) -> str:
        """A free text as it may be kept."""
        return self._masks.text(text)

    def execute(self, sql: str, values: Sequence[object]) -> None:
        """Change something, whole or not at all."""
        with self.transaction() as connection:
            connection.execute(sql, [_stored(value) for value in values])

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Several changes, all or none."""
        try:
            with self._connection:
                yield self._connection
        except sqlite3.Error as error:
            raise StoreError(f"The ledger cannot be written: {error}.") from error

    def rows(self, sql: str, values: Sequence[object] = ()) -> list[Row]:
        """Read rows, with every text as it was given."""
        try:
            return [
                {name: _exact(value) for name, value in row.items()}
                for row in self._database.query(sql, [_stored(value) for value in values])
            ]
        except sqlite3.Error as error:
            raise StoreError(f"The ledger cannot be read: {error}.") from error


def _open(path: Path, read_only: bool) -> sqlite3.Connection:
    if read_only:
        if not path.exists():
            raise StoreError(f"{path} is not there yet: `bastion serve` makes it.")
        return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    # SQLite gives its side files the mode of the database, so that one is made first.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    if path.stat().st_mode & 0o077:
        raise StoreError(f"{path} is open to other users; mend it with: chmod 600 {path}")
    return sqlite3.connect(path)


def _prepare(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT}")


def _stored(value: object) -> object:
    """SQLite's text must be UTF-8; what is not (a lone surrogate) is kept as bytes."""
    if isinstance(value, str) and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            return value.encode("utf-8", "surrogatepass")
    return value


def _exact(value: object) -> object:
    return value.decode("utf-8", "surrogatepass") if isinstance(value, bytes) else value
