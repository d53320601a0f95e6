"""Command lines: every simple command that a line would run, every path, and what cannot be told.

Two parsers read each text: a strict one of our own (`parse`, after bash(1)), and
tree-sitter-bash. What either sees is listed; where they differ the reading is opaque.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Final

from bastion.model import Dialect, visible
from bastion.policy.facts import Opaque, OpaqueKind, Reading
from bastion.policy.shell import dialects, disks, flat, integrity, opening, steps
from bastion.policy.shell.parse import Parser
from bastion.policy.shell.state import Place
from bastion.policy.shell.tree import ExhaustedError, IncompleteError, UnreadableError
from bastion.policy.shell.values import Prompt
from bastion.policy.shell.walk import Walker

MAX_TEXT: Final = 4 * 1024
"""Characters: the second parser is quadratic in what it does not understand, and a person must be
able to read what they approve."""
MAX_REMEMBERED: Final = 32
"""Readings kept, for one line is asked about several times: to choose its gate, to decide, …"""

_PLAIN: Final = re.compile(r"[\t\n\x20-\x7e]*")


@lru_cache(maxsize=MAX_REMEMBERED)
def read(
    command: str,
    dialect: Dialect = Dialect.BASH,
    *,
    pty: bool = True,
    prompt: Prompt | None = None,
    line: str = "",
) -> Reading:
    """Read one command line as `dialect` would. Never raises; what it cannot tell is `opaque`.

    `pty`: it runs on a terminal, where some programs start a pager. `prompt`: the running shell
    that reads it. `line`: the line of which `command` is one simple command, as bash reports it:
    it then stands where it stands there.
    """
    walker = Walker(prompt, dialect)
    place = Place(posix=dialect is Dialect.SH, terminal=pty)
    for each in _places(command, dialect, prompt, line, place):
        _read_at(walker, command, each, dialect)
    opening.list_startup_writes(walker)
    disks.list_disks(walker)
    if prompt is not None:
        integrity.mention(walker, command)
        integrity.paths(walker)
    asked = walker.own.asked if walker.own is not None else ()
    return Reading(
        command,
        tuple(walker.commands),
        tuple(walker.paths),
        tuple(_shown(opaque) for opaque in walker.opaque),
        tuple(walker.downloads),
        tuple(visible(what, limit=100) for what in walker.definitions),
        tuple(walker.tampering),
        tuple(asked),
    )


def _read_at(walker: Walker, command: str, place: Place, dialect: Dialect) -> None:
    _judge_characters(walker, command)
    if len(command) > MAX_TEXT:
        walker.cannot_tell(OpaqueKind.LIMIT, f"longer than {MAX_TEXT} characters")
        for reason in dialects.differences(dialect, command):
            walker.cannot_tell(OpaqueKind.DIALECT, reason)
        flat.list_flat(walker, command)
    else:
        try:
            walker.read_text(command, place)
        except (RecursionError, ExhaustedError):
            walker.cannot_tell(OpaqueKind.LIMIT, "the command nests too deeply or does too much")
            flat.list_flat(walker, command)


def _places(
    command: str, dialect: Dialect, prompt: Prompt | None, line: str, otherwise: Place
) -> list[Place]:
    if not line:
        return [otherwise]
    own = _places_in(line, dialect, otherwise.terminal, prompt)
    found = [place for key in steps.keys(command) for place in own.get(key, ())]
    return found or [otherwise]


@lru_cache(maxsize=4)
def _places_in(
    line: str, dialect: Dialect, terminal: bool, prompt: Prompt | None
) -> Mapping[object, list[Place]]:
    """Give where each simple command of a line stands: many steps of one line are read."""
    walker = Walker(Prompt(defined=prompt.defined if prompt is not None else ()))
    _read_at(walker, line, Place(posix=dialect is Dialect.SH, terminal=terminal), dialect)
    return walker.places


_CLOSES: Final = re.compile(r"(?<=\s)\}(?=\s|$|[;&|])")


def is_complete(text: str, dialect: Dialect = Dialect.BASH) -> bool:
    """Tell whether a shell would run `text` now, or wait for more lines.

    Text that can never become a program is complete: the shell would refuse it at once. For zsh a
    `}` ends a group wherever it stands as a word, also without a `;` before it.
    """
    if _may_run(text):
        return True
    return dialect is Dialect.ZSH and _may_run(_CLOSES.sub("; }", text))


def _may_run(text: str) -> bool:
    if len(text) > MAX_TEXT:
        return True
    try:
        Parser(text).program()
    except IncompleteError:
        return False
    except (UnreadableError, RecursionError):
        return True
    return True


def _shown(opaque: Opaque) -> Opaque:
    return replace(opaque, reason=visible(opaque.reason), raw=visible(opaque.raw, limit=200))


def _judge_characters(walker: Walker, command: str) -> None:
    """Refuse what a person cannot see, or would read as something else."""
    if _PLAIN.fullmatch(command):
        return
    for character in command:
        if character in "\t\n " or (character.isascii() and character.isprintable()):
            continue
        category = unicodedata.category(character)
        if (
            category in ("Cc", "Cf", "Zs", "Zl", "Zp", "Co", "Cn", "Cs")
            or visible(character) != character
        ):
            walker.cannot_tell(
                OpaqueKind.CHARACTERS,
                f"holds {visible(character)}, which cannot be seen",
                character,
            )
            return
