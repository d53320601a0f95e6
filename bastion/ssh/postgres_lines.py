"""Statements and rows as lines of a cast, for whoever plays it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

LONGEST: Final = 2000
"""Characters of a line."""


def done_line(fields: Mapping[str, object], said: str) -> str:
    """How a statement ended (`query-done`); `said`: the error's message, masked."""
    ended = f"ERROR {fields['sqlstate']}: {said}" if said else f"{fields['tag']}"
    parts = [f"  #{fields['number']} {ended}"]
    if fields["rows"] is not None:
        parts.append(f"{fields['rows']} rows")
    seconds = fields["seconds"]
    assert isinstance(seconds, float)
    parts.append(f"{seconds * 1000:.1f} ms")
    if left_out := fields.get("rows_left_out"):
        parts.append(f"{left_out} rows not recorded")
    return ", ".join(parts)


def row_lines(fields: Mapping[str, object]) -> Iterator[str]:
    """Rows (`rows`), a line each; the first ones below the names of their columns."""
    columns, rows = fields["columns"], fields["rows"]
    assert isinstance(columns, list)
    assert isinstance(rows, list)
    if columns and fields["first"] == 1:
        yield _line(columns)
    for row in rows:
        yield _line(row)


def _line(cells: list[str | None]) -> str:
    shown = " | ".join("(null)" if one is None else " ".join(one.split()) for one in cells)
    return f"    {shown[:LONGEST]}"
