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

    def runs(self, reading: SqlReading) -> bool:
        """The same of what is about to run, which is remembered."""
        near = self.to(reading)
        if self.masks.active:
            made = [use for statement in reading.statements for use in statement.uses
                    if use.kind == "create-function"]  # fmt: skip
            self.functions.update(use.function.rpartition(".")[2] for use in made)
        if near:
            kinds = {use.kind for statement in reading.statements for use in statement.uses}
            self._made = self._made or any(one.startswith(_MAKING) for one in kinds)
            self._cursor = self._cursor or "cursor" in kinds
        return near
