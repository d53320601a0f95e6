"""Recordings through the control socket: who may play which, and that they did is audited."""

from __future__ import annotations

import contextlib
import json
import os
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bastion.errors import ControlError
from bastion.policy.approvals import Operator
from bastion.policy.rights import Right, Subject, may
from bastion.policy.rules import Policy
from bastion.store import found
from bastion.store.audit import AuditLog
from bastion.store.found import Query
from bastion.store.ledgerfile import LedgerFile, Row
from bastion.store.recording import SUFFIXES
from bastion.store.retention import Retention
from bastion.store.search import NAME, SHORTEST, SearchIndex
from bastion.store.state import StateDirectory
from bastion.store.stored import find_stored
from bastion.wire import control as wire

PIECE: Final = 512 * 1024
"""Bytes of one answer: encoding it takes some milliseconds of the loop that serves everybody."""

AGAIN: Final = 600.0
"""Seconds after which reading on is audited as watching anew."""

MAX_WATCHED: Final = 10_000
"""Who watches what, remembered so that it is audited once and not for every piece."""

MAX_TEXT: Final = 200
MAX_REASON: Final = 2000

MAX_HITS: Final = 300
"""Places that one search looks at: each costs a look at who may see it."""

SEARCH_SECONDS: Final = 0.2
"""Of the loop that serves everybody; an index that needs more is asked for more of the text."""


class Playing:
    """Finds and reads recordings for an operator that is already known."""

    def __init__(
        self,
        ledger: LedgerFile,
        audit: AuditLog,
        policy: Callable[[], Policy],
        clock: Callable[[], float],
        state: StateDirectory,
    ) -> None:
        self._ledger = ledger
        self._audit = audit
        self._policy = policy
        self._clock = clock
        self._retention = Retention(state.recordings, ledger, audit)
        self._search = state.path / NAME
        self._watched: OrderedDict[tuple[str, str, str], float] = OrderedDict()

    def find(self, operator: Operator, call: wire.FindRecordings) -> list[wire.RecordingShown]:
        """Sessions of which this operator may play something."""
        if max(map(len, (call.text, call.identity, call.target, call.verdict))) > MAX_TEXT:
            raise ControlError(f"Nothing longer than {MAX_TEXT} characters is searched for.")
        query = Query(
            text=call.text,
            identity=call.identity,
            target=call.target,
            verdict=call.verdict,
            since=call.since,
            until=call.until,
            limit=min(max(1, call.limit), 1000),
        )
        shown = []
        for session in found.sessions(self._ledger, query, self._on_screen(operator, call.text)):
            channels = [row for row in session.channels if self._may(operator, session.row, row)]
            if channels:
                shown.append(_shown(session.row, channels))
        return shown

    def _on_screen(self, operator: Operator, text: str) -> list[str]:
        """Sessions that showed the text on a channel which this operator may play."""
        if len(text) < SHORTEST:
            return []
        with contextlib.closing(SearchIndex(self._search, read_only=True)) as index:
            hits = index.find(text, seconds=SEARCH_SECONDS, limit=MAX_HITS)
        sessions = set()
        for session, channel in {(hit.session, hit.channel) for hit in hits}:
            rows = found.channel(self._ledger, session, channel)
            if rows is not None and self._may(operator, *rows):
                sessions.add(session)
        return sorted(sessions)

    def read(self, operator: Operator, call: wire.ReadRecording) -> wire.Piece:
        """A piece of a file; ControlError where there is none, or none for this operator."""
        rows = found.channel(self._ledger, call.session, call.channel)
        # What one may not play is not told apart from what is not there.
        if rows is None or call.file not in SUFFIXES or not self._may(operator, *rows):
            raise ControlError("There is no such recording that you may play.")
        self._note(operator, call)
        stem = Path(rows[1]["recording"]).with_suffix("")
        path, form = find_stored(stem, call.file)
        try:
            with path.open("rb") as file:
                data = os.pread(file.fileno(), PIECE, min(max(0, call.offset), 2**62))
                size = os.fstat(file.fileno()).st_size
        except OSError as error:
            raise ControlError(f"The recording cannot be read: {error.strerror}.") from None
        return wire.Piece(data, size, rows[1]["ended_at"] is None, form)

    # --- keeping ------------------------------------------------------------------------------

    def hold(self, operator: Operator, call: wire.HoldRecording) -> wire.Ended:
        """Keep a session's recordings."""
        _check_machine(operator)
        if not call.reason.strip() or len(call.reason) > MAX_REASON:
            raise ControlError("Say why they are held, in some words.")
        self._retention.hold(call.session, call.reason, operator.name, self._clock())
        return wire.Ended(1)

    def release(self, operator: Operator, call: wire.ReleaseRecording) -> wire.Ended:
        """Let retention have them again."""
        _check_machine(operator)
        self._retention.release(call.session, operator.name, self._clock())
        return wire.Ended(1)

    def delete(self, operator: Operator, call: wire.DeleteRecording) -> wire.Ended:
        """Delete a session's recordings."""
        _check_machine(operator)
        self._retention.delete(call.session, call.reason, operator.name, self._clock())
        return wire.Ended(1)

    def _may(self, operator: Operator, session: Row, channel: Row) -> bool:
        subject = Subject(
            session["identity"], frozenset(json.loads(session["roles"])), (channel["target"],)
        )
        right = Right.REPLAY if channel["ended_at"] is not None else Right.FOLLOW
        return may(self._policy(), operator, right, subject)

    def _note(self, operator: Operator, call: wire.ReadRecording) -> None:
        """Audited before anything is read; again after a while."""
        watched = (operator.id, call.session, call.channel)
        at = self._clock()
        if at - self._watched.get(watched, -AGAIN) < AGAIN:
            return
        self._audit.append(
            "recording-watched",
            at,
            operator=operator.id,
            user=operator.unix_user,
            session=call.session,
            channel=call.channel,
        )
        self._watched[watched] = at
        self._watched.move_to_end(watched)
        while len(self._watched) > MAX_WATCHED:
            self._watched.popitem(last=False)


def _check_machine(operator: Operator) -> None:
    if not operator.machine:
        raise ControlError("Only the machine's own operators keep and delete recordings.")


def _shown(session: Row, channels: list[Row]) -> wire.RecordingShown:
    return wire.RecordingShown(
        session=session["id"],
        name=session["name"],
        began=session["started_at"],
        live=any(row["ended_at"] is None for row in channels),
        targets=tuple(dict.fromkeys(row["target"] for row in channels)),
        requests=tuple(row["request"][:200] for row in channels[:5]),
        channels=tuple(row["id"] for row in channels),
    )
