"""What happened on a channel beside its screen: its events file, of whatever kinds, as a list."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

MAX_HAPPENINGS: Final = 50_000
"""Lines that are kept: a list longer than this is read by no person."""

MAX_LINE: Final = 1024 * 1024
"""Bytes of one line; longer ones are damage, or nothing that fits a list."""

MAX_TITLE: Final = 2000

_TITLES: Final = (
    "command",
    "line",
    "statement",
    "sql",
    "request",
    "title",
    "path",
    "text",
    "reason",
)
"""Fields that say in words what a happening is about, the most telling first."""

_VERDICTS: Final = ("action", "outcome", "verdict")

_REFUSED: Final = frozenset({"deny", "denied", "refused", "expired", "withdrawn"})


UNGATED_RULE: Final = "shell-ungated"
"""The policy's name for an interactive shell that is let through as it is."""


class Sort(StrEnum):
    """What a player jumps to."""

    COMMAND = "command"
    DENIAL = "denial"
    APPROVAL = "approval"
    MASK = "mask"
    ERROR = "error"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Happening:
    """One line of an events file, or a marker of a cast. `time` is on the cast's clock."""

    time: float
    kind: str
    title: str
    verdict: str = ""
    sort: Sort = Sort.OTHER
    detail: str = ""
    """Rule and reason, or whatever else it says."""
    ungated: bool = False
    """From here on nothing on the channel is decided any more."""


class HappeningsFile:
    """An events file that may still grow; one that is not there says nothing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._count = 0

    def read_new(self) -> list[Happening]:
        """What whole lines have come since the last look, without what every recording has."""
        found: list[Happening] = []
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                while self._count < MAX_HAPPENINGS and (line := file.readline(MAX_LINE)):
                    if not line.endswith(b"\n") and len(line) < MAX_LINE:
                        break
                    self._offset += len(line)
                    self._count += 1
                    happening = _read(line)
                    if happening is not None and not _is_usual(happening):
                        found.append(happening)
        except OSError:
            pass
        return found


def _is_usual(happening: Happening) -> bool:
    if happening.kind == "channel-ended":
        return happening.sort is not Sort.ERROR
    return happening.kind in {"start", "end"}


def of_marker(time: float, label: str) -> Happening:
    """A marker of a cast that has no events file: ours begin with their verdict."""
    first, _, rest = label.partition(" ")
    rule, colon, text = rest.partition(": ")
    if first in {"allow", "deny", "approve"} and colon:
        return Happening(time, "verdict", text, first, _sort("verdict", first, {}), rule)
    return Happening(time, "marker", label)


def _read(line: bytes) -> Happening | None:
    try:
        raw = json.loads(line)
        time, kind, fields = float(raw["time"]), raw["kind"], raw.get("fields", {})
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None
    if not (isinstance(kind, str) and isinstance(fields, dict) and math.isfinite(time)):
        return None
    verdict = next((str(fields[name]) for name in _VERDICTS if fields.get(name)), "")
    if fields.get("rule") == UNGATED_RULE:
        verdict = "ungated"
    title = next((name for name in _TITLES if isinstance(fields.get(name), str)), "")
    said = fields[title] if title and fields[title] else _of_database(kind, fields)
    rest = {name: value for name, value in fields.items() if name not in (title, *_VERDICTS)}
    return Happening(
        max(0.0, time),
        kind,
        said[:MAX_TITLE],
        verdict,
        _sort(kind, verdict, fields),
        _words(rest)[:MAX_TITLE],
        fields.get("rule") == UNGATED_RULE,
    )


def _of_database(kind: str, fields: Mapping[str, Any]) -> str:
    """How a statement ended, and rows of its result; `_words` of other kinds."""
    number = fields.get("number")
    if kind == "query-done":
        failed = fields.get("sqlstate", "00000") != "00000"
        ended = (
            f"ERROR {fields.get('sqlstate')}: {fields.get('said')}" if failed else fields.get("tag")
        )
        counted = fields.get("rows")
        return f"#{number} {ended}" + (f", {counted} rows" if counted is not None else "")
    rows = fields.get("rows")
    if kind == "rows" and isinstance(rows, list):
        cells = (row if isinstance(row, list) else [row] for row in rows[:20])
        shown = "; ".join(
            " | ".join("(null)" if cell is None else str(cell) for cell in row) for row in cells
        )
        return f"#{number} from row {fields.get('first')}: {shown}"
    return _words(fields)


def _words(fields: Mapping[str, Any]) -> str:
    """All that a happening says, for kinds that are not known here."""
    said = []
    for name, value in fields.items():
        if value not in ("", None, [], {}):
            text = value if isinstance(value, str) else json.dumps(value)
            said.append(f"{name} {text}")
    return ", ".join(said)


def _sort(kind: str, verdict: str, fields: Mapping[str, Any]) -> Sort:
    if verdict in _REFUSED:
        return Sort.DENIAL
    if verdict == "ungated":
        return Sort.OTHER
    if "approval" in kind or verdict == "approve":
        return Sort.APPROVAL
    if "mask" in kind:
        return Sort.MASK
    failed = fields.get("ok") is False or fields.get("status") not in (None, 0)
    failed = failed or fields.get("sqlstate", "00000") != "00000"
    if failed or "fail" in kind or "error" in kind or fields.get("error"):
        return Sort.ERROR
    return Sort.COMMAND if verdict else Sort.OTHER
