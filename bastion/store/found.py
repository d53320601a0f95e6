"""Which sessions were recorded, by whom, where, what was asked for in them: from the ledger."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bastion.store.ledgerfile import LedgerFile, Row

_SAID: Final = (
    "s.name LIKE ? ESCAPE '!' OR s.id = ?"
    " OR EXISTS (SELECT 1 FROM channels c WHERE c.session_id = s.id"
    " AND (c.request LIKE ? ESCAPE '!' OR c.target LIKE ? ESCAPE '!'))"
    " OR EXISTS (SELECT 1 FROM verdicts v WHERE v.session_id = s.id"
    " AND v.request LIKE ? ESCAPE '!')"
)


@dataclass(frozen=True, slots=True)
class Query:
    """What is looked for; all that is given must hold. `text` matches names and requests."""

    text: str = ""
    identity: str = ""
    target: str = ""
    verdict: str = ""
    since: float | None = None
    until: float | None = None
    limit: int = 200


@dataclass(frozen=True, slots=True)
class FoundSession:
    """A session and its channels, oldest first."""

    row: Row
    channels: tuple[Row, ...]


def sessions(file: LedgerFile, query: Query, on_screen: Sequence[str] = ()) -> list[FoundSession]:
    """Sessions with recordings, newest first. `on_screen`: ids where the text was on a screen."""
    conditions, values = _conditions(query, on_screen)
    rows = file.rows(
        f"SELECT s.* FROM sessions s WHERE {' AND '.join(conditions)}"  # noqa: S608
        " ORDER BY s.started_at DESC, s.id LIMIT ?",
        [*values, query.limit],
    )
    channels: dict[str, list[Row]] = defaultdict(list)
    ids = [row["id"] for row in rows]
    for at in range(0, len(ids), 500):
        part = ids[at : at + 500]
        for channel in file.rows(
            "SELECT * FROM channels WHERE recording != '' AND session_id IN"  # noqa: S608
            f" ({_marks(part)}) ORDER BY opened_at, id",
            part,
        ):
            channels[channel["session_id"]].append(channel)
    return [FoundSession(row, tuple(channels[row["id"]])) for row in rows]


def channel(file: LedgerFile, session_id: str, channel_id: str) -> tuple[Row, Row] | None:
    """The rows of one session and one of its channels, or None."""
    session = file.rows("SELECT * FROM sessions WHERE id = ?", (session_id,))
    rows = file.rows(
        "SELECT * FROM channels WHERE session_id = ? AND id = ? AND recording != ''",
        (session_id, channel_id),
    )
    return (session[0], rows[0]) if session and rows else None


def requests(file: LedgerFile, session_id: str, text: str) -> list[str]:
    """What was asked for in a session that holds a text; nothing for no text."""
    rows = file.rows(
        "SELECT DISTINCT request FROM verdicts WHERE session_id = ? AND request LIKE ? ESCAPE '!'"
        " ORDER BY number LIMIT 10",
        (session_id, f"%{_escaped(text)}%"),
    )
    return [row["request"] for row in rows] if text else []


def _conditions(query: Query, on_screen: Sequence[str]) -> tuple[list[str], list[object]]:
    conditions = ["EXISTS (SELECT 1 FROM channels c WHERE c.session_id = s.id)"]
    values: list[object] = []
    if query.identity:
        conditions.append("(s.name = ? OR s.identity = ?)")
        values += [query.identity, query.identity]
    if query.target:
        conditions.append(
            "EXISTS (SELECT 1 FROM channels c WHERE c.session_id = s.id AND c.target = ?)"
        )
        values.append(query.target)
    if query.verdict:
        conditions.append(
            "EXISTS (SELECT 1 FROM verdicts v WHERE v.session_id = s.id AND v.action = ?)"
        )
        values.append(query.verdict)
    if query.since is not None:
        conditions.append("s.started_at >= ?")
        values.append(query.since)
    if query.until is not None:
        conditions.append("s.started_at < ?")
        values.append(query.until)
    if query.text:
        like = f"%{_escaped(query.text)}%"
        conditions.append(f"({_SAID} OR s.id IN ({_marks(on_screen)}))")
        values += [like, query.text, like, like, like, *on_screen]
    return conditions, values


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))


def _escaped(text: str) -> str:
    """For LIKE, where % and _ stand for others."""
    return text.replace("!", "!!").replace("%", "!%").replace("_", "!_")
