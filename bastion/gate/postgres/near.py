"""Whether a statement may come near a table with masked columns.

What the server says of such a statement (errors, notices) may hold values that are masked: the row
that a constraint refuses, a text that is no number. Of others it says what it likes. This reads
names, which are taken for any schema's; and it remembers, for what is made of such tables in the
session can be met again under another name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from bastion.gate.postgres.mask import Masks
from bastion.model import SqlReading, SqlStatement, SqlUse

_WHOLE_DATABASE: Final = frozenset({"vacuum", "reindex", "cluster", "refresh"})
"""Without a table they mean all of them."""
_MAKING: Final = ("create", "alter")
_AGAIN: Final = 30.0
"""Seconds after which a name that is no column (an alias) is looked up once more."""
_MOST_LOOKED: Final = 1000


@dataclass(slots=True)
class Near:
    """Of one session."""

    masks: Masks
    _made: bool = False
    """Something was made or changed of what is near: a function, a trigger, a view."""
    _cursor: bool = False
    """A cursor was declared on it; a later FETCH names no table."""
    functions: set[str] = field(default_factory=set)
    """Functions that this session has made."""
    made: set[str] = field(default_factory=set)
    """Tables that it has made or altered."""
    _looked: dict[int, tuple[SqlStatement, float]] = field(default_factory=dict)
    """Statements for whose columns the catalog was looked up, and when."""

    def to(self, reading: SqlReading) -> bool:
        """Whether any of the statements comes near."""
        if not self.masks.active:
            return False
        return bool(reading.fault) or any(map(self.to_statement, reading.statements))

    def to_statement(self, statement: SqlStatement) -> bool:
        """The same of one statement."""
        if self._made or self.masks.everywhere or statement.opaque:
            return self.masks.active
        if not self.masks.active:
            return False
        behind = not self.masks.behind.isdisjoint(statement.behind)
        return behind or any(map(self._use, statement.uses))

    def _use(self, use: SqlUse) -> bool:
        if use.table:
            return use.table.rpartition(".")[2] in self.masks.near
        if use.function and use.function.rpartition(".")[2] in self.masks.functions:
            return True
        if use.kind == "execute":
            return True  # of what is not known here
        return use.kind in _WHOLE_DATABASE or (use.kind == "cursor" and self._cursor)

    def lacks(self, reading: SqlReading, at: float) -> bool:
        """Whether it names what was not there when the masks were looked up."""
        return self.masks.active and any(
            self.masks.known.lacks_name(one, self.made | self.functions)
            or (self._looked_at(one) < at - _AGAIN and self._lacks_column(one))
            for one in reading.statements
        )

    def _lacks_column(self, statement: SqlStatement) -> bool:
        return self.masks.known.lacks_column(statement, self.masks.tables)

    def _looked_at(self, statement: SqlStatement) -> float:
        return self._looked.get(id(statement), (statement, -_AGAIN))[1]

    def looked(self, reading: SqlReading, at: float) -> None:
        """They were looked up again for it: a name that is still unknown is none of a column."""
        if len(self._looked) > _MOST_LOOKED:
            self._looked.clear()
        self._looked.update((id(one), (one, at)) for one in reading.statements)

    def may_be_strange(self, reading: SqlReading) -> bool:
        """Whether its result may be of a table that this session has made or altered."""
        tables = {use.table.rpartition(".")[2] for one in reading.statements for use in one.uses}
        tables.discard("")
        return bool(self.made) and (not tables or not tables.isdisjoint(self.made))

    def runs(self, reading: SqlReading) -> bool:
        """The same of what is about to run, which is remembered."""
        near = self.to(reading)
        if self.masks.active:
            made = [use for statement in reading.statements for use in statement.uses
                    if use.kind == "create-function"]  # fmt: skip
            self.functions.update(use.function.rpartition(".")[2] for use in made)
            self.made.update(
                use.table.rpartition(".")[2]
                for statement in reading.statements for use in statement.uses
                if use.table and use.kind in _MAKING
            )  # fmt: skip
        if near:
            kinds = {use.kind for statement in reading.statements for use in statement.uses}
            self._made = self._made or any(one.startswith(_MAKING) for one in kinds)
            self._cursor = self._cursor or "cursor" in kinds
        return near
