"""What of a database was there when what is masked was looked up.

Other sessions make, rename and alter tables while this one lives. A name that was not there then
is a reason to look again before a statement is decided; a table or column of a result that was not
there is a reason to show nothing of it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from bastion.model import SqlColumn, SqlStatement
from bastion.wire.postgres import Column

FIRST_NORMAL_OID: Final = 16384
"""Tables below are the server's own, which no session makes."""
_CALLING: Final = frozenset({"function", "call"})


@dataclass(frozen=True, slots=True)
class Known:
    """Names are bare, but for `tables`."""

    relations: Mapping[int, int] = field(default_factory=dict)
    """OID of a table or view → how many columns it has had."""
    tables: frozenset[str] = frozenset()
    """Each as `name` and as `schema.name`: an unqualified one is of what search_path says."""
    functions: frozenset[str] = frozenset()
    columns: frozenset[str] = frozenset()
    """Of any table."""
    masked: frozenset[str] = frozenset()
    """All columns of tables with masked ones, as `table.column`."""

    def strange(self, columns: Sequence[Column]) -> bool:
        """Whether a result has a column of what was not there."""
        return any(
            one.table >= FIRST_NORMAL_OID and one.number > self.relations.get(one.table, -1)
            for one in columns
        )

    def lacks_name(self, statement: SqlStatement, made: Collection[str]) -> bool:
        """Whether it names a table or function that was not there, nor was `made` here since."""
        for use in statement.uses:
            named = bool(use.table) and use.kind not in {"create", "drop"}
            if named and use.table not in self.tables and _bare(use.table) not in made:
                return True
            function = _bare(use.function)
            called = bool(function) and use.kind in _CALLING
            if called and function not in self.functions and function not in made:
                return True
        return False

    def lacks_column(self, statement: SqlStatement, tables: Collection[str]) -> bool:
        """Whether it names a column of one of `tables`, which have masked ones, that was not
        there; or a function that takes a row of them."""
        named = {_bare(use.table) for use in statement.uses}
        called = (one for one in statement.calls if one.column not in self.columns)
        if any(called) and not named.isdisjoint(tables):
            return True
        return any(
            _bare(one.table) in tables and self._lacks(one, statement) for one in statement.columns
        )

    def _lacks(self, column: SqlColumn, statement: SqlStatement) -> bool:
        name = column.column
        if name == "*" or name.startswith("#"):
            return False
        if f"{_bare(column.table)}.{name}" in self.masked:
            return False
        others = (one for one in statement.columns if one.column == name)
        return name not in self.columns or all(one.table == column.table for one in others)


def _bare(name: str) -> str:
    return name.rpartition(".")[2]
