"""What was decided and asked before, out of the ledger: for approvers and the console."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bastion.store.ledgerfile import LedgerFile, Row


@dataclass(frozen=True, slots=True)
class Decided:
    """An approval that ended: its row, its question, the requester's roles, and who answered."""

    row: Row
    question: Mapping[str, Any]
    roles: frozenset[str]
    names: tuple[str, ...]
    approvers: frozenset[str]


def decisions(file: LedgerFile, limit: int) -> list[Decided]:
    """Approvals that ended, newest first."""
    rows = file.rows(
        "SELECT a.*, coalesce(s.roles, '[]') AS roles FROM approvals a"
        " LEFT JOIN sessions s ON s.id = a.session_id"
        " WHERE a.state != 'pending' ORDER BY a.asked_at DESC LIMIT ?",
        (limit,),
    )
    answers: dict[str, list[Row]] = defaultdict(list)
    marks = ", ".join("?" * len(rows))
    for answer in file.rows(
        f"SELECT * FROM approval_answers WHERE approval_id IN ({marks}) ORDER BY at",  # noqa: S608
        [row["id"] for row in rows],
    ):
        answers[answer["approval_id"]].append(answer)
    return [_decided(row, answers[row["id"]]) for row in rows]


def _decided(row: Row, answers: list[Row]) -> Decided:
    return Decided(
        row,
        json.loads(row["question"]),
        frozenset(json.loads(row["roles"])),
        tuple(answer["name"] for answer in answers),
        frozenset(answer["approver"] for answer in answers),
    )


def requests_of(file: LedgerFile, identity: str, limit: int) -> list[Row]:
    """What an identity asked for in its latest sessions, newest first, with the verdicts."""
    return file.rows(
        "SELECT v.at, coalesce(c.target, '') AS target, substr(v.request, 1, 500) AS request,"
        " v.action, v.rule FROM verdicts v"
        " LEFT JOIN channels c ON c.session_id = v.session_id AND c.id = v.channel_id"
        " WHERE v.session_id IN (SELECT id FROM sessions WHERE identity = ?"
        " ORDER BY started_at DESC LIMIT 20) ORDER BY v.number DESC LIMIT ?",
        (identity, limit),
    )
