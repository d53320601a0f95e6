"""What `bastion recordings search` finds, as rows: from the ledger and the index of screens."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from typing import Any, Final

from bastion.cli.screen import when
from bastion.store import found
from bastion.store.found import FoundSession, Query
from bastion.store.ledger import Ledger
from bastion.store.search import NAME, Hit, SearchIndex
from bastion.store.state import StateDirectory

SECONDS: Final = 30.0
"""That one search may take: whoever waits at a prompt can wait so long."""

SHOWN: Final = 3
"""Places of one session that are shown."""


def search_state(state: StateDirectory, query: Query) -> list[dict[str, Any]]:
    """A row for each place that holds the text, or for each session where it is in a name."""
    hits: dict[str, list[Hit]] = defaultdict(list)
    if query.text:
        with contextlib.closing(SearchIndex(state.path / NAME, read_only=True)) as index:
            for hit in index.find(query.text, seconds=SECONDS):
                hits[hit.session].append(hit)
    with contextlib.closing(Ledger(state.database, read_only=True)) as ledger:
        sessions = found.sessions(ledger.file, query, list(hits))
        said = {
            one.row["id"]: found.requests(ledger.file, one.row["id"], query.text)
            for one in sessions
        }
    return [row for one in sessions for row in _rows(one, hits[one.row["id"]], said[one.row["id"]])]


def _rows(session: FoundSession, hits: list[Hit], said: list[str]) -> list[dict[str, Any]]:
    base = {
        "session": session.row["id"],
        "began": when(session.row["started_at"]),
        "who": session.row["name"],
        "targets": ", ".join(dict.fromkeys(row["target"] for row in session.channels)),
    }
    places = [(f"{hit.channel} at {hit.time:.0f} s", hit.line) for hit in hits]
    places += [("a request", text) for text in said]
    return [base | {"where": where, "what": what} for where, what in places[:SHOWN]] or [
        base | {"where": "", "what": "; ".join(row["request"] for row in session.channels[:SHOWN])}
    ]
