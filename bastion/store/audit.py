"""The audit log: every entry carries the hash of the one before it; signed heads vouch for them.

`audit.jsonl` holds an entry a line: {"at":…,"fields":{…},"kind":…,"prev":…,"seq":…,"hash":…}. The
hash is SHA-256 over the line without its hash, byte for byte. `heads.jsonl` holds, every so many
entries, an Ed25519 signature over a sequence number and the hash that the log had there.

What this shows and what it cannot: `verify` finds every edit, reorder and removal up to the last
head, and a tail that was cut below it. Whoever can write both files can cut the entries after an
older head together with the heads that knew them; whoever can read the key can write a new history.
Both are found by a head that was kept elsewhere: `bastion audit head` prints one, and
`bastion audit verify --head FILE` holds the log against it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from bastion.errors import StoreError
from bastion.store import auditfile, chain
from bastion.store.appendfile import AppendFile
from bastion.store.auditfile import HEAD_EVERY, Head
from bastion.store.signing import load_signing_key
from bastion.tap.masks import UNMASKED, Masks

MAX_TEXT: Final = 256 * 1024
"""Characters of one text: an SSH packet holds no longer command; beyond it a digest is kept."""


Listener = Callable[[str, Mapping[str, object]], None]
"""Gets the kind and the fields of an entry that was written."""

log = logging.getLogger(__name__)


class AuditLog:
    """The one writer of an audit folder. Every failure to write is a StoreError.

    What could not be written has left no trace, so the next entry may be tried again.
    """

    def __init__(
        self,
        folder: Path,
        *,
        head_every: int = HEAD_EVERY,
        clock: Callable[[], float] = time.time,
        masks: Masks = UNMASKED,
    ) -> None:
        """Open or begin the log; a line that a crash tore is cut off, and an entry says so.

        StoreError: another writer has it, the key is open to others, or the log's end is damaged.
        """
        self._told: list[Listener] = []
        self._head_every = head_every
        self._masks = masks
        self._closed = False
        self._key = load_signing_key(folder / auditfile.KEY)
        with contextlib.ExitStack() as opened:
            try:
                self._log = AppendFile.reopen(folder / auditfile.LOG)
                opened.callback(self._log.close)
                _lock(self._log)
                self._heads = AppendFile.reopen(folder / auditfile.HEADS)
                opened.callback(self._heads.close)
                torn = self._log.cut_torn_line()
                self._heads.cut_torn_line()
                self._next, self._last_hash, self._signed = auditfile.read_end(folder)
            except OSError as error:
                raise StoreError(f"The audit log cannot be opened ({error.strerror}).") from error
            opened.pop_all()
        if torn:
            self.append(
                "audit-repaired",
                clock(),
                removed_bytes=len(torn),
                removed_text=torn.decode("utf-8", "surrogateescape"),
                removed_sha256=hashlib.sha256(torn).hexdigest(),
                reason="the last line was not whole: the bastion was killed while it was written",
            )

    def append(self, kind: str, at: float, **fields: object) -> None:
        """Write one entry. Values as JSON has them; text is kept exactly, but for secrets."""
        if self._closed:
            raise StoreError("The audit log is closed.")
        body = chain.canonical(
            {
                "at": at,
                "fields": {
                    name: _bounded(value) for name, value in self._masks.fields(fields).items()
                },
                "kind": kind,
                "prev": self._last_hash,
                "seq": self._next,
            }
        )
        line, digest = chain.seal_line(body)
        try:
            self._log.append(line)
        except OSError as error:
            raise _unwritable(error) from error
        self._next += 1
        self._last_hash = digest
        for told in self._told:
            try:
                told(kind, fields)
            except Exception:
                # It is written: what a listener makes of it must not end a session.
                log.exception("a listener failed on %s", kind)
        if self._next - self._signed >= self._head_every:
            self.sign_head(at)

    def listen(self, listener: Listener) -> None:
        """Tell of every entry from now on."""
        self._told.append(listener)

    def sign_head(self, at: float) -> Head | None:
        """Sign where the log stands, and give that head; None while it is empty."""
        if self._next == 0:
            return None
        seq, digest = self._next - 1, self._last_hash
        signature = self._key.sign(auditfile.head_message(seq, digest, at))
        head = Head(seq, digest, at, signature.hex())
        try:
            # The log first: after a power cut no head may vouch for entries that are not there.
            self._log.sync()
            self._heads.append(head.line())
        except OSError as error:
            raise _unwritable(error) from error
        self._signed = self._next
        return head

    def close(self, at: float) -> None:
        """Sign a last head and let go of the files."""
        try:
            self.sign_head(at)
        finally:
            self._closed = True
            self._log.close()
            self._heads.close()


def _unwritable(error: OSError) -> StoreError:
    reason = error.strerror or error
    return StoreError(
        f"The audit log cannot be written ({reason}), and nothing may go on unaudited."
    )


def _bounded(value: object) -> object:
    if isinstance(value, str) and len(value) > MAX_TEXT:
        digest = hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()
        return {"beginning": value[:1000], "characters": len(value), "sha256": digest}
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    return value


def _lock(file: AppendFile) -> None:
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise StoreError("Another bastion writes this audit log; stop it first.") from None
