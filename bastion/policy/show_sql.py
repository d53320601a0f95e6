"""What SQL does, a line a thing, for people."""

from __future__ import annotations

from bastion.model import SqlColumn, SqlReading, SqlUse, visible


def show_use(use: SqlUse) -> str:
    """One thing a statement does, on one line."""
    words = [use.kind.replace("-", " ")]
    words += [visible(word, limit=120) for word in (use.table, use.function, use.setting) if word]
    if use.name:
        words.append(visible(use.name, limit=120))
    shown = " ".join(words)
    return shown if use.restricted else f"{shown}, every row (no WHERE that picks any out)"


def show_column(column: SqlColumn) -> str:
    """One column."""
    of = visible(column.table, limit=120) or "(some table)"
    return f"{of}.{visible(column.column, limit=120)}"


def sql_lines(reading: SqlReading, limit: int) -> tuple[str, ...]:
    """All that a text does, each thing once; functions that only compute come last."""
    uses = [use for statement in reading.statements for use in statement.uses]
    uses.sort(key=lambda use: use.kind == "function")
    lines = list(dict.fromkeys(show_use(use) for use in uses))
    if len(lines) > limit:
        lines = [*lines[:limit], f"… and {len(lines) - limit} more that are not shown"]
    return tuple(lines)
