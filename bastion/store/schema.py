"""The ledger's tables. `PRAGMA user_version` counts the migrations that were applied."""

from __future__ import annotations

from typing import Final

from sqlite_utils import Database

from bastion.errors import StoreError

MIGRATIONS: Final = (
    """
    CREATE TABLE sessions (
        id TEXT PRIMARY KEY, identity TEXT NOT NULL, name TEXT NOT NULL, roles TEXT NOT NULL,
        agent TEXT NOT NULL, branch TEXT NOT NULL, serial TEXT NOT NULL,
        client_address TEXT NOT NULL, client_version TEXT NOT NULL, via TEXT NOT NULL,
        started_at REAL NOT NULL, expires_at REAL NOT NULL, ended_at REAL, reason TEXT
    );
    CREATE INDEX sessions_open ON sessions (started_at) WHERE ended_at IS NULL;
    CREATE INDEX sessions_started ON sessions (started_at);
    CREATE TABLE channels (
        session_id TEXT NOT NULL REFERENCES sessions (id), id TEXT NOT NULL, kind TEXT NOT NULL,
        target TEXT NOT NULL, login TEXT NOT NULL, request TEXT NOT NULL, recording TEXT NOT NULL,
        opened_at REAL NOT NULL, ended_at REAL, reason TEXT, exit_status INTEGER,
        bytes_out INTEGER, PRIMARY KEY (session_id, id)
    ) WITHOUT ROWID;
    CREATE INDEX channels_open ON channels (session_id) WHERE ended_at IS NULL;
    CREATE TABLE verdicts (
        number INTEGER PRIMARY KEY, session_id TEXT NOT NULL, channel_id TEXT NOT NULL,
        request TEXT NOT NULL, action TEXT NOT NULL, rule TEXT NOT NULL, reason TEXT NOT NULL,
        opaque TEXT NOT NULL, at REAL NOT NULL
    );
    CREATE INDEX verdicts_session ON verdicts (session_id);
    CREATE TABLE approvals (
        id TEXT PRIMARY KEY, session_id TEXT NOT NULL, channel_id TEXT NOT NULL,
        question TEXT NOT NULL, hash TEXT NOT NULL, state TEXT NOT NULL, asked_at REAL NOT NULL,
        expires_at REAL NOT NULL, ended_at REAL, reason TEXT NOT NULL DEFAULT ''
    );
    CREATE INDEX approvals_pending ON approvals (id) WHERE state = 'pending';
    CREATE TABLE approval_answers (
        approval_id TEXT NOT NULL REFERENCES approvals (id), approver TEXT NOT NULL,
        name TEXT NOT NULL, granted INTEGER NOT NULL, reason TEXT NOT NULL, at REAL NOT NULL,
        PRIMARY KEY (approval_id, approver)
    ) WITHOUT ROWID;
    CREATE TABLE certificates (
        serial TEXT PRIMARY KEY, key_id TEXT NOT NULL, principals TEXT NOT NULL,
        valid_after INTEGER NOT NULL, valid_before INTEGER NOT NULL, authority TEXT NOT NULL,
        identity TEXT NOT NULL, name TEXT NOT NULL, session_id TEXT NOT NULL,
        issued_at REAL NOT NULL
    );
    CREATE TABLE revocations (
        serial TEXT PRIMARY KEY, reason TEXT NOT NULL, at REAL NOT NULL
    );
    CREATE TABLE locks (
        id TEXT PRIMARY KEY, kind TEXT NOT NULL, value TEXT NOT NULL, reason TEXT NOT NULL,
        until REAL, by TEXT NOT NULL, at REAL NOT NULL
    );
    CREATE TABLE file_operations (
        number INTEGER PRIMARY KEY, session_id TEXT NOT NULL, channel_id TEXT NOT NULL,
        operation TEXT NOT NULL, direction TEXT NOT NULL, protocol TEXT NOT NULL,
        path TEXT NOT NULL, other_path TEXT NOT NULL, ok INTEGER NOT NULL, size INTEGER NOT NULL,
        sha256 TEXT NOT NULL, note TEXT NOT NULL, at REAL NOT NULL
    );
    CREATE INDEX file_operations_session ON file_operations (session_id);
    """,
    """
    CREATE TABLE access_grants (
        id TEXT PRIMARY KEY, identity TEXT NOT NULL, name TEXT NOT NULL, role TEXT NOT NULL,
        targets TEXT NOT NULL, reason TEXT NOT NULL, ticket TEXT NOT NULL, by TEXT NOT NULL,
        at REAL NOT NULL, until REAL NOT NULL, ended_at REAL, ended_by TEXT, ended_reason TEXT
    );
    CREATE INDEX access_grants_open ON access_grants (until) WHERE ended_at IS NULL;
    CREATE INDEX sessions_identity ON sessions (identity);
    CREATE INDEX approvals_asked ON approvals (asked_at);
    """,
    """
    CREATE TABLE holds (
        session TEXT PRIMARY KEY, reason TEXT NOT NULL, by TEXT NOT NULL, at REAL NOT NULL
    ) WITHOUT ROWID;
    """,
)


def migrate(database: Database) -> None:
    """Bring the tables up to date; StoreError if a newer bastion made them."""
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise StoreError("A newer bastion wrote this ledger; run that one.")
    for number in range(version, len(MIGRATIONS)):
        script = f"BEGIN; {MIGRATIONS[number]} PRAGMA user_version = {number + 1}; COMMIT;"
        database.executescript(script)
