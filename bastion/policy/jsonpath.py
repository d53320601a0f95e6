"""Which values of a JSON text are named: the part of RFC 9535 that a stream can follow.

    $.card.number   $['card']["number"]   users[*].ssn   rows[0].*   $..password   $..['api key']

Names and indices, `*` for any member or element, `..` for any depth; a leading `$.` may be left
out. Names are compared as RFC 9535 has it: letter by letter, after escapes. Not taken are filters,
slices, several selectors in one bracket, and indices from the end: they want the whole text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Final, NamedTuple

MOST_STEPS: Final = 32
"""A path's: each costs a look at every member of a text."""
LONGEST_NAME: Final = 200
MOST_KNOWN: Final = 4096
"""Steps through a text that are remembered: a target could make one up for every member."""

_STEP: Final = re.compile(
    r"(?:(?P<deep>\.\.)|(?P<dot>\.)|(?=\[))"
    r"(?:(?P<any>\*)|(?P<name>[A-Za-z_\u0080-\U0010ffff][0-9A-Za-z_\u0080-\U0010ffff]*)"
    r"|(?(dot)(?!))\[\s*(?:(?P<every>\*)|(?P<index>0|[1-9][0-9]{0,14})"
    r"|'(?P<single>(?:[^'\\]|\\.)*)'|\"(?P<double>(?:[^\"\\]|\\.)*)\")\s*\])"
)
_APOSTROPHE: Final = re.compile(r"\\.|\"", re.DOTALL)

Place = frozenset[tuple[int, int]]
"""Where in a text one is: of some paths (by number), how many steps have been taken."""


class Step(NamedTuple):
    """One step of a path. `key`: a member's name, an element's index, None for any."""

    key: str | int | None
    deep: bool
    """Also any number of levels below."""


def parse_path(text: str) -> tuple[Step, ...]:
    """Read a path; ValueError says what is wrong with it."""
    rest = text[1:] if text.startswith("$") else text if text[:1] in {".", "["} else f".{text}"
    steps: list[Step] = []
    at = 0
    while at < len(rest):
        found = _STEP.match(rest, at)
        if found is None:
            raise ValueError(
                f"`{text}` is no path from {rest[at:]!r} on: write $.name, $['a name'], $[0], $[*]"
                " or $..name (no filters, slices or lists of names)"
            )
        steps.append(Step(_key(found), found["deep"] is not None))
        at = found.end()
    names = (step.key for step in steps if isinstance(step.key, str))
    if len(steps) > MOST_STEPS or any(len(name) > LONGEST_NAME for name in names):
        raise ValueError(f"`{text}` has too many steps, or too long a name")
    return tuple(steps)


def _key(found: re.Match[str]) -> str | int | None:
    if found["index"] is not None:
        return int(found["index"])
    if found["name"] is not None:
        return found["name"]
    if found["single"] is not None:
        return _decoded(_APOSTROPHE.sub(_for_quotes, found["single"]))
    return None if found["double"] is None else _decoded(found["double"])


def _for_quotes(one: re.Match[str]) -> str:
    """What stands between apostrophes, as it would stand between quotes."""
    return {'"': '\\"', "\\'": "'"}.get(one[0], one[0])


def _decoded(inside: str) -> str:
    try:
        name: str = json.loads(f'"{inside}"')
    except ValueError:
        raise ValueError(f"`{inside}` is no name as JSON has it") from None
    return name


class Paths:
    """Several paths, followed at once through a text."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._paths = [parse_path(text) for text in texts]
        steps = [step for path in self._paths for step in path]
        self.names: Final = frozenset(step.key for step in steps if isinstance(step.key, str))
        self.last_names: Final = tuple(
            next((step.key for step in reversed(path) if isinstance(step.key, str)), "")
            for path in self._paths
        )
        """The last name in each path; "" where it has none."""
        self._indices = frozenset(step.key for step in steps if isinstance(step.key, int))
        self.root: Final[Place] = frozenset((n, 0) for n, path in enumerate(self._paths) if path)
        self.whole: Final = any(not path for path in self._paths)
        """Whether a path names the text itself."""
        self._known: dict[tuple[Place, str | int | None, bool], tuple[Place, bool]] = {}

    def __bool__(self) -> bool:
        return bool(self._paths)

    def member(self, place: Place, name: str | None) -> tuple[Place, bool]:
        """Go to a member; where that is, and whether a path names its value. None: a name that is
        no path's."""
        return self._go(place, name if name in self.names else None, member=True)

    def element(self, place: Place, index: int) -> tuple[Place, bool]:
        """Go to an element of an array."""
        return self._go(place, index if index in self._indices else None, member=False)

    def _go(self, place: Place, key: str | int | None, *, member: bool) -> tuple[Place, bool]:
        known = self._known.get((place, key, member))
        if known is None:
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            known = self._known[place, key, member] = self._gone(place, key)
        return known

    def _gone(self, place: Place, key: str | int | None) -> tuple[Place, bool]:
        there: set[tuple[int, int]] = set()
        named = False
        for number, taken in place:
            path = self._paths[number]
            if path[taken].deep:
                there.add((number, taken))
            if path[taken].key is None or path[taken].key == key:
                named = named or taken + 1 == len(path)
                there.add((number, taken + 1))
        return frozenset(one for one in there if one[1] < len(self._paths[one[0]])), named
