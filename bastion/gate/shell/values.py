"""What variables hold, as a gated shell says it (target/shell_scripts, `__bastion_values`).

`NAME COUNT` on a line, then COUNT times `BYTES VALUE`. The target says it, so it is only ever a
reason to look closer; what does not keep to the form is left out, and stays unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

Values = tuple[tuple[str, tuple[str, ...]], ...]

NAMES_LIMIT: Final = 32
"""Variables asked about for one command."""
VALUES_LIMIT: Final = 256
"""Elements of one array that are looked at."""
ARGUMENTS: Final = "@"
"""The name for all positional parameters, in the question and in the answer."""


def question(unknown: Sequence[str]) -> tuple[str, ...]:
    """The names to ask the shell for; positional parameters come all together."""
    names = dict.fromkeys(ARGUMENTS if _is_positional(name) else name for name in unknown)
    return tuple(name for name in names if name == ARGUMENTS or _is_name(name))[:NAMES_LIMIT]


def read_values(said: str, unknown: Sequence[str]) -> Values:
    """The values of the variables in `unknown`; `()` is one that is not set."""
    found = _read(said.encode("utf-8", "surrogateescape"))
    arguments = found.get(ARGUMENTS)
    known: list[tuple[str, tuple[str, ...]]] = []
    for name in unknown:
        if name.isdigit() and _is_positional(name) and arguments is not None:
            known.append((name, arguments[int(name) - 1 :][:1]))
        elif _is_positional(name) and arguments is not None:
            known.append((name, arguments))
        elif name in found:
            known.append((name, found[name]))
    return tuple(known)


def _read(said: bytes) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    while said:
        head, _, said = said.partition(b"\n")
        name, _, count = head.partition(b" ")
        if not count.isdigit() or int(count) > VALUES_LIMIT:
            return found
        values: list[str] = []
        for _ in range(int(count)):
            length, _, said = said.partition(b" ")
            if not length.isdigit() or int(length) >= len(said):
                return found
            values.append(said[: int(length)].decode("utf-8", "surrogateescape"))
            said = said[int(length) + 1 :]
        found[name.decode("ascii", "replace")] = tuple(values)
    return found


def _is_positional(name: str) -> bool:
    return (name.isdigit() and int(name) > 0) or name in ("@", "*")


def _is_name(name: str) -> bool:
    return name.isascii() and name.isidentifier()
