"""The ledger: what happened, as rows that can be asked about. The audit log is the proof.

SQLite in WAL mode; one bastion writes, command lines read. Commits are not synced one by one: a
`kill -9` loses nothing, a power cut may lose the last moments.
"""

from __future__ import annotations

import contextlib
import json
import secrets
from pathlib import Path

from bastion.events import FileDone
from bastion.model import CertificateFacts, Identity
from bastion.policy.rules import Verdict
from bastion.store.ledgerfile import LedgerFile, Row
from bastion.store.locks import Lock, LockKind
from bastion.tap.masks import UNMASKED, Masks


class Ledger:
    """All methods are synchronous and short; every failure is a StoreError.

    Texts are kept exactly, lone surrogates too, but for secrets in free texts. Times are seconds
    since the epoch.
    """

    def __init__(self, path: Path, *, read_only: bool = False, masks: Masks = UNMASKED) -> None:
        """Open the file, making it (0600) and its tables where missing, unless `read_only`."""
        with contextlib.ExitStack() as opened:
            self._file = LedgerFile(path, read_only=read_only, masks=masks)
            opened.callback(self._file.close)
            self._seen_version: object = None
            self.refresh()
            opened.pop_all()

    @property
    def file(self) -> LedgerFile:
        """The file, for the stores that keep tables of their own in it."""
        return self._file

    def refresh(self) -> None:
        """Take in the locks and revocations that another process wrote since the last look."""
        version = self._file.rows("PRAGMA data_version")[0]["data_version"]
        if version != self._seen_version:
            self._seen_version = version
            self._revoked = self._load_revoked()
            self._locks = self._load_locks()

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    # --- sessions and channels ---

    def session_started(
        self,
        session_id: str,
        identity: Identity,
        client_address: str,
        client_version: str,
        via: str,
        at: float,
    ) -> None:
        """A session is authenticated. `via` says how it came in."""
        self._file.insert(
            "sessions",
            {
                "id": session_id,
                "identity": identity.id,
                "name": identity.name,
                "roles": json.dumps(sorted(identity.roles)),
                "agent": identity.agent,
                "branch": identity.branch,
                "serial": str(identity.certificate.serial) if identity.certificate else "",
                "client_address": client_address,
                "client_version": client_version,
                "via": via,
                "started_at": at,
                "expires_at": identity.expires_at,
            },
        )

    def session_ended(self, session_id: str, reason: str, at: float) -> None:
        """A session is over; its first end counts."""
        self._file.execute(
            "UPDATE sessions SET ended_at = ?, reason = ? WHERE id = ? AND ended_at IS NULL",
            (at, reason, session_id),
        )

    def channel_opened(
        self,
        session_id: str,
        channel_id: str,
        kind: str,
        target: str,
        login: str,
        request_text: str,
        recording_path: str,
        at: float,
    ) -> None:
        """A channel has made its request."""
        self._file.insert(
            "channels",
            {
                "session_id": session_id,
                "id": channel_id,
                "kind": kind,
                "target": target,
                "login": login,
                "request": request_text,
                "recording": recording_path,
                "opened_at": at,
            },
        )

    def channel_login(self, session_id: str, channel_id: str, login: str) -> None:
        """A channel's login is known now."""
        self._file.execute(
            "UPDATE channels SET login = ? WHERE session_id = ? AND id = ?",
            (login, session_id, channel_id),
        )

    def channel_ended(
        self,
        session_id: str,
        channel_id: str,
        reason: str,
        exit_status: int | None,
        bytes_out: int,
        at: float,
    ) -> None:
        """A channel is over; its first end counts."""
        self._file.execute(
            "UPDATE channels SET ended_at = ?, reason = ?, exit_status = ?, bytes_out = ?"
            " WHERE session_id = ? AND id = ? AND ended_at IS NULL",
            (at, reason, exit_status, bytes_out, session_id, channel_id),
        )

    def close_leftovers(self, at: float) -> int:
        """Close what a crash left open, truthfully; give how many sessions that were.

        Nobody knows when they ended: the time is that of this start, the reason says why.
        """
        reason = "bastion stopped"
        with self._file.transaction() as connection:
            connection.execute(
                "UPDATE channels SET ended_at = ?, reason = ? WHERE ended_at IS NULL", (at, reason)
            )
            connection.execute(
                "UPDATE approvals SET state = 'withdrawn', ended_at = ?, reason = ?"
                " WHERE state = 'pending'",
                (at, reason),
            )
            return connection.execute(
                "UPDATE sessions SET ended_at = ?, reason = ? WHERE ended_at IS NULL", (at, reason)
            ).rowcount

    def verdict(
        self, session_id: str, channel_id: str, request_text: str, verdict: Verdict, at: float
    ) -> None:
        """A verdict was reached."""
        self._file.insert(
            "verdicts",
            {
                "session_id": session_id,
                "channel_id": channel_id,
                "request": request_text,
                "action": verdict.action.value,
                "rule": verdict.rule,
                "reason": verdict.reason,
                "opaque": json.dumps(verdict.opaque),
                "at": at,
            },
        )

    def file_done(self, session_id: str, channel_id: str, done: FileDone, at: float) -> None:
        """A file operation ended."""
        request = done.request
        self._file.insert(
            "file_operations",
            {
                "session_id": session_id,
                "channel_id": channel_id,
                "operation": request.operation.value,
                "direction": request.direction.value,
                "protocol": request.protocol,
                "path": request.path,
                "other_path": request.other_path,
                "ok": int(done.ok),
                "size": done.size,
                "sha256": done.sha256,
                "note": done.note,
                "at": at,
            },
        )

    # --- certificates ---

    def certificate_issued(
        self, facts: CertificateFacts, identity: Identity, session_id: str, at: float
    ) -> None:
        """A certificate was signed. A serial that was used before is a StoreError."""
        self._file.insert(
            "certificates",
            {
                "serial": str(facts.serial),
                "key_id": facts.key_id,
                "principals": json.dumps(facts.principals),
                "valid_after": facts.valid_after,
                "valid_before": facts.valid_before,
                "authority": facts.authority,
                "identity": identity.id,
                "name": identity.name,
                "session_id": session_id,
                "issued_at": at,
            },
        )

    def revoke(self, serial: int, reason: str, at: float) -> None:
        """Refuse this serial from now on; a second revocation changes nothing."""
        self._file.execute(
            "INSERT OR IGNORE INTO revocations (serial, reason, at) VALUES (?, ?, ?)",
            (str(serial), self._file.masked(reason), at),
        )
        self._revoked |= {serial}

    def revoked_serials(self) -> frozenset[int]:
        """All revoked serials, from memory."""
        return self._revoked

    def is_revoked(self, serial: int) -> bool:
        """Whether this serial is revoked, from memory."""
        return serial in self._revoked

    # --- locks ---

    def add_lock(
        self, kind: str, value: str, reason: str, until: float | None, by: str, at: float
    ) -> Lock:
        """Set a lock and give it. An unknown kind is a ValueError."""
        lock = Lock(secrets.token_hex(3), LockKind(kind), value, reason, until, by, at)
        self._file.insert(
            "locks",
            {
                "id": lock.id,
                "kind": lock.kind.value,
                "value": value,
                "reason": reason,
                "until": until,
                "by": by,
                "at": at,
            },
        )
        self._locks = (*self._locks, lock)
        return lock

    def remove_lock(self, lock_id: str) -> bool:
        """Take a lock away; False if there is none of that id."""
        if not lock_id.isascii():
            return False
        with self._file.transaction() as connection:
            removed = connection.execute("DELETE FROM locks WHERE id = ?", (lock_id,)).rowcount
        self._locks = tuple(lock for lock in self._locks if lock.id != lock_id)
        return removed > 0

    def locks(self, at: float) -> tuple[Lock, ...]:
        """The locks in force, from memory."""
        return tuple(lock for lock in self._locks if lock.holds(at))

    def lock_on(
        self, identity: Identity, target: str, session_id: str, serial: int | None, at: float
    ) -> Lock | None:
        """The first lock that stands in the way, from memory; `""` and None stand for none yet."""
        for lock in self.locks(at):
            if lock.covers(identity, target, session_id, serial):
                return lock
        return None

    # --- approvals ---

    def approval_asked(
        self,
        approval_id: str,
        session_id: str,
        channel_id: str,
        question: str,
        digest: str,
        asked_at: float,
        expires_at: float,
    ) -> None:
        """A request is held; `question` is what approvers see, as JSON."""
        self._file.insert(
            "approvals",
            {
                "id": approval_id,
                "session_id": session_id,
                "channel_id": channel_id,
                "question": question,
                "hash": digest,
                "state": "pending",
                "asked_at": asked_at,
                "expires_at": expires_at,
            },
        )

    def approval_answered(
        self, approval_id: str, approver: str, name: str, granted: bool, reason: str, at: float
    ) -> None:
        """A person answered; the same person twice is a StoreError."""
        self._file.insert(
            "approval_answers",
            {
                "approval_id": approval_id,
                "approver": approver,
                "name": name,
                "granted": int(granted),
                "reason": reason,
                "at": at,
            },
        )

    def approval_ended(self, approval_id: str, state: str, reason: str, at: float) -> None:
        """An approval reached its end state; the first one counts."""
        self._file.execute(
            "UPDATE approvals SET state = ?, reason = ?, ended_at = ?"
            " WHERE id = ? AND state = 'pending'",
            (state, self._file.masked(reason), at, approval_id),
        )

    # --- questions, for command lines and the console ---

    def sessions(self, *, open_only: bool = False, limit: int = 100) -> list[Row]:
        """Sessions, newest first, each with the number of its channels, its targets, and what the
        newest of its open channels runs."""
        return self._file.rows(
            "SELECT s.*, count(c.id) AS channels,"
            " coalesce(group_concat(DISTINCT c.target), '') AS targets,"
            " coalesce((SELECT o.request FROM channels o WHERE o.session_id = s.id"
            " AND o.ended_at IS NULL ORDER BY o.opened_at DESC LIMIT 1), '') AS running"
            " FROM sessions s LEFT JOIN channels c ON c.session_id = s.id"
            " WHERE s.ended_at IS NULL OR NOT ?"
            " GROUP BY s.id ORDER BY s.started_at DESC, s.id LIMIT ?",
            (open_only, limit),
        )

    def count_open_sessions(self) -> int:
        """How many sessions are live."""
        [row] = self._file.rows("SELECT count(*) AS open FROM sessions WHERE ended_at IS NULL")
        return int(row["open"])

    def session(self, session_id: str) -> Row | None:
        """One session with all that hangs on it, or None."""
        rows = self._file.rows("SELECT * FROM sessions WHERE id = ?", (session_id,))
        if not rows:
            return None
        session = rows[0]
        for name, order in (
            ("channels", "opened_at"),
            ("verdicts", "number"),
            ("file_operations", "number"),
            ("approvals", "asked_at"),
        ):
            session[name] = self._file.rows(
                f"SELECT * FROM {name} WHERE session_id = ? ORDER BY {order}",  # noqa: S608
                (session_id,),
            )
        return session

    def approvals(self, *, limit: int = 100) -> list[Row]:
        """Approvals in whatever state, newest first."""
        return self._file.rows("SELECT * FROM approvals ORDER BY asked_at DESC LIMIT ?", (limit,))

    def approval(self, approval_id: str) -> Row | None:
        """One approval with its answers, or None."""
        rows = self._file.rows("SELECT * FROM approvals WHERE id = ?", (approval_id,))
        if not rows:
            return None
        rows[0]["answers"] = self._file.rows(
            "SELECT * FROM approval_answers WHERE approval_id = ? ORDER BY at", (approval_id,)
        )
        return rows[0]

    def certificates(self, *, limit: int = 100) -> list[Row]:
        """Issued certificates, newest first, with `revoked_at` where revoked."""
        return self._file.rows(
            "SELECT c.*, r.at AS revoked_at, r.reason AS revoked_reason FROM certificates c"
            " LEFT JOIN revocations r ON r.serial = c.serial ORDER BY c.issued_at DESC LIMIT ?",
            (limit,),
        )

    def _load_revoked(self) -> frozenset[int]:
        return frozenset(
            int(row["serial"]) for row in self._file.rows("SELECT serial FROM revocations")
        )

    def _load_locks(self) -> tuple[Lock, ...]:
        rows = self._file.rows("SELECT * FROM locks ORDER BY at")
        return tuple(Lock(**{**row, "kind": LockKind(row["kind"])}) for row in rows)
