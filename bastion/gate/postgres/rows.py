"""Rows that a policy wants on record: what of them is kept, and what is left out is said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from bastion.gate.postgres.flight import Run
from bastion.gate.postgres.mask import format_of
from bastion.gate.postgres.values import shown_cell

MOST_ROWS: Final = 1000
"""Of one statement. A table of millions must not fill the disk of the recordings."""
MOST_CHARACTERS: Final = 100_000
"""Of one statement's rows."""
MOST_OF_CELL: Final = 2000
MOST_COLUMNS: Final = 200


@dataclass(slots=True)
class Keeper:
    """Collects the rows of one session; each statement has its own bounds."""

    _run: Run | None = None
    _rows: list[list[str | None]] = field(default_factory=list)
    _kept: int = 0
    """Rows of this statement that are on record, or about to be."""
    _size: int = 0
    left_out: int = 0
    codec: str = "utf-8"
    """Of client_encoding, which rows come in."""

    def row(self, run: Run, values: Sequence[bytes | None]) -> None:
        """A row as the client gets it."""
        self._turn_to(run)
        if self._kept >= MOST_ROWS or self._size >= MOST_CHARACTERS:
            self.left_out += 1
            return
        shown = [self._cell(run, index, one) for index, one in enumerate(values[:MOST_COLUMNS])]
        if len(values) > MOST_COLUMNS:
            shown.append(f"… and {len(values) - MOST_COLUMNS} more columns")
        self._add(shown)

    def long(self, run: Run) -> None:
        """A row that is too long to be kept whole anywhere."""
        self._turn_to(run)
        self._add(["(a row too long to be recorded)"])

    def _add(self, shown: list[str | None]) -> None:
        self._kept += 1
        self._size += sum(len(one) for one in shown if one is not None) + len(shown)
        self._rows.append(shown)

    def _turn_to(self, run: Run) -> None:
        if run is not self._run:
            self._run = run
            self._kept = self._size = self.left_out = 0
            self._rows.clear()

    def _cell(self, run: Run, index: int, value: bytes | None) -> str | None:
        if value is None:
            return None
        columns = run.columns or ()
        oid = columns[index].type if index < len(columns) else 0
        binary = format_of(run.formats, index) == 1 if columns else False
        return shown_cell(value, oid, binary=binary, most=MOST_OF_CELL, codec=self.codec)

    def taken(self) -> dict[str, object] | None:
        """The rows since the last call, for the record, which has them before the client does."""
        if not self._rows or self._run is None:
            return None
        rows, self._rows = self._rows, []
        fields: dict[str, object] = {"number": self._run.number, "rows": rows}
        fields["first"] = self._kept - len(rows) + 1
        names = [column.name for column in (self._run.columns or ())[:MOST_COLUMNS]]
        return {**fields, "columns": names}

    def done(self) -> int:
        """The statement is over; gives how many of its rows are not on record."""
        left_out, self.left_out = self.left_out, 0
        self._run = None
        return left_out
