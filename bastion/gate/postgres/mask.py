"""Which cells of a result are not shown, and what stands in their place.

By where a column comes from (the table's OID and the column's number, as RowDescription says), so
that an alias does not evade it; and by what is in a cell, where a CellMasker is given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from bastion.gate.postgres.known import Known
from bastion.wire.postgres import Column

MASKED: Final = b"[masked]"
TEXT_TYPES: Final = frozenset({25, 1042, 1043, 18, 19, 114, 705})
"""text, char(n), varchar, "char", name, json, unknown: a sentence is a value of these."""
_JSON: Final = 114
_LIMITED: Final = frozenset({1042, 1043})
_SHORT: Final = frozenset({18})


class CellMasker(Protocol):
    """Finds secrets in values (`tap.cells.Cells`)."""

    def may(self, data: bytes) -> bool:
        """Whether any value in `data` may have one, wherever values begin and end there."""

    def mask(self, cell: bytes) -> tuple[bytes, Sequence[str]]:
        """One whole value without its secrets, and the names of what was found."""

    @property
    def paths(self) -> bool:
        """Whether values in JSON are masked by their paths."""

    def json(self, cell: bytes) -> tuple[bytes | None, int]:
        """One JSON text without what paths name, and how many values those were; None: no JSON."""

    def spans(self, data: bytes) -> Iterable[Span]:
        """Where in `data` secrets are, in no order."""


class GoesOn(Protocol):
    """A detector, to a value that does not end where the data does."""

    @property
    def name(self) -> str:
        """As marks and events say it."""

    def goes_on(self, text: bytes) -> int:
        """How many bytes of `text` may still belong to a value that began before it."""


Span = tuple[int, int, GoesOn | None]
"""A secret: begin, end, and what found it."""


@dataclass(frozen=True, slots=True)
class Masks:
    """The columns of one database that are masked: table OID → column numbers (0: all)."""

    columns: Mapping[int, frozenset[int]] = field(default_factory=dict)
    active: bool = False
    """Something is to be masked at all."""
    names: tuple[str, ...] = ()
    """The same columns as `schema.table.column`, views and partitions among them."""
    functions: frozenset[str] = frozenset()
    """Functions with a body of their own, which may read what is masked."""
    near: frozenset[str] = frozenset()
    """Names of tables and views from which a statement may come to a table with masked columns:
    those themselves, and by views, foreign keys, triggers, partitions."""
    everywhere: bool = False
    """Any statement may: an event trigger, or a cast that is not written, has such a function."""
    cells: CellMasker | None = None
    """Finds secrets in cells of any column; None where nothing is looked for."""
    known: Known = field(default_factory=Known)
    """What was there when all this was looked up."""
    tables: frozenset[str] = frozenset()
    """Names of the tables and views that have masked columns."""
    row_functions: frozenset[str] = frozenset()
    """Functions that take a whole row, which `row.name` calls as well."""
    named_alike: frozenset[str] = frozenset()
    """Columns of masked tables that have the name of such a function."""
    behind: frozenset[str] = frozenset()
    """Operators and types behind which is one of `functions`."""
    generated: Mapping[int, frozenset[int]] = field(default_factory=dict)
    """Columns of masked tables that a COPY without a list of columns leaves out."""
    ruled: frozenset[str] = frozenset()
    """Tables with rules by which a change shows, or stores, what is masked."""

    def hidden(self, columns: Sequence[Column]) -> tuple[int, ...]:
        """The positions in a row that are hidden."""
        return tuple(
            index
            for index, column in enumerate(columns)
            if (numbers := self.columns.get(column.table)) is not None
            and (column.number in numbers or 0 in numbers or column.number == 0)
        )

    def made(self, columns: Sequence[Column]) -> tuple[int, ...]:
        """The positions of what is no column, and may be made of masked ones."""
        return tuple(at for at, column in enumerate(columns) if self.active and not column.table)


def masked_row(
    values: list[bytes | None],
    columns: Sequence[Column],
    hidden: Sequence[int],
) -> list[bytes | None]:
    """The row with hidden cells replaced: a text where that is a value of the type, else NULL."""
    for index in hidden:
        if index < len(values) and values[index] is not None:
            values[index] = instead(columns[index])
    return values


def format_of(formats: Sequence[int], index: int) -> int:
    """The format of a column: none given means text, one means all."""
    if not formats:
        return 0
    return formats[0] if len(formats) == 1 else formats[index] if index < len(formats) else 1


def instead(column: Column) -> bytes | None:
    """What stands for a masked value, the same in text and binary; None is NULL."""
    if column.type == _JSON:
        return b'"[masked]"'
    if column.type in _LIMITED and 4 <= column.modifier < 4 + len(MASKED):
        return b"*" * (column.modifier - 4)  # varchar(3) holds no more
    if column.type in _SHORT or column.type not in TEXT_TYPES:
        return None  # of a number or a date, whatever the format, only NULL is surely a value
    return MASKED
