"""Which functions of a database may read what is masked, by what their bodies say.

Those that are written in SQL or plpgsql are opened. One is dangerous that names a masked column,
runs text that is made at run time, or calls one that is; what cannot be read is.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final

from bastion.gate.postgres import misuse
from bastion.gate.postgres.mask import Masks
from bastion.model import SqlReading, SqlStatement

MOST_READ: Final = 5000
"""Functions that are opened: of a database with more, all are dangerous."""
LONGEST_KEPT: Final = 16 * 1024
_read: Final[OrderedDict[str, tuple[SqlStatement, ...]]] = OrderedDict()
"""What functions do, by their text."""
_CALLING: Final = frozenset({"function", "call"})


@dataclass(slots=True)
class _Function:
    oid: int
    name: str
    text: str
    statements: tuple[SqlStatement, ...] = ()
    """Nothing where it could not be read."""


class Bodies:
    """The functions of one database, and what calls them by another name."""

    def __init__(self, functions: list[list[str]], behind: list[list[str]]) -> None:
        self._functions = [_Function(int(oid), name, text) for oid, name, text in functions]
        self._behind = [(kind, name, int(oid)) for kind, name, oid in behind]

    async def open(self, read: Callable[[str], Awaitable[SqlReading]]) -> None:
        """Have all of them read; each once, for they stay the same from session to session."""
        if len(self._functions) > MOST_READ:
            return
        for one in self._functions:
            found = _read.pop(one.text, None)
            if found is None:
                found = (await read(one.text)).statements
            one.statements = found
            if found and len(one.text) <= LONGEST_KEPT:
                _read[one.text] = found
        while len(_read) > MOST_READ:
            _read.popitem(last=False)

    def dangerous(self, masks: Masks) -> frozenset[int]:
        """Those that may read what is masked, and those that call one of them."""
        found = {one.oid for one in self._functions if _reads(one, masks)}
        while True:
            known = self.behind(masks, found)
            more = {
                one.oid
                for one in self._functions
                if one.oid not in found and any(_calls(each, known) for each in one.statements)
            }
            if not more:
                return frozenset(found)
            found |= more

    def behind(self, masks: Masks, dangerous: set[int] | frozenset[int]) -> Masks:
        """With the names of these functions, and of aggregates, operators and types over them."""
        names = {one.name for one in self._functions if one.oid in dangerous}
        names |= {name for kind, name, oid in self._behind if kind == "f" and oid in dangerous}
        others = {name for kind, name, oid in self._behind if kind != "f" and oid in dangerous}
        return replace(masks, functions=frozenset(names), behind=frozenset(others))


def _reads(function: _Function, masks: Masks) -> bool:
    return not function.statements or any(misuse.reads(one, masks) for one in function.statements)


def _calls(statement: SqlStatement, masks: Masks) -> bool:
    names = {use.function.rpartition(".")[2] for use in statement.uses if use.kind in _CALLING}
    hidden = masks.behind.isdisjoint(statement.behind) and masks.behind.isdisjoint(names)
    return not (hidden and masks.functions.isdisjoint(names))
