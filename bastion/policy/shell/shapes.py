"""Expansions of which the text tells the shape: `x.$$`, `log-$(date +%F)`, `"${f%.txt}.md"`.

What they become is not known, but that it is a part of one name, without a slash: so the word is a
pattern like `log-*`, and no rule about a path elsewhere could mean it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from bastion.policy.facts import Word
from bastion.policy.shell.tree import (
    Literal,
    Name,
    Parameter,
    Part,
    RawWord,
    Simple,
    Substitution,
)

_NUMBERS: Final = frozenset({"$", "?", "#", "!", "UID", "EUID", "PPID"})
"""Parameters that nobody can assign: numbers, or nothing."""
_PRINTS_NAME: Final = re.compile(
    r"date(?: -u| --utc)?(?: -I\w*| --iso-8601| \+[\w%:.+-]+)|hostname(?: -[sf])?|whoami|nproc|arch"
    r"|id -[ug]n?|uname(?: -[rsmn])?|git rev-parse (?:--short(?:=\d+)? )?HEAD"
    r"|dpkg --print-architecture"
)
"""What prints one word without a slash, a blank or a leading dash (`date` by its format alone)."""
_SLASHED: Final = re.compile(r"%[-_0^#]*[DcxntrhZeklP+]")


def shaped(
    word: RawWord,
    values: Mapping[str, tuple[Word, ...]],
    redefined: set[str],
    *,
    any_name: str,
    target: bool = False,
) -> RawWord:
    """Put names and known values in the place of expansions, where that is all they can be."""
    if not any(isinstance(part, Parameter | Substitution) for part in word.parts):
        return word
    last = word.parts[-1]
    alone = all(part == Literal("", quoted=True) for part in word.parts[:-1])
    if (
        not target
        and alone
        and isinstance(last, Parameter)
        and not last.operator
        and last.name in values
    ):
        return word  # the value itself, which `expand` knows
    parts: list[Part] = []
    for index, part in enumerate(word.parts):
        shape: Part | None = None
        if isinstance(part, Parameter):
            shape = _parameter(part, values, word.parts[index + 1 : index + 2])
        elif isinstance(part, Substitution) and any_name not in redefined:
            shape = _substitution(part, redefined)
        parts.append(shape or part)
    return RawWord(parts, word.raw)


def _parameter(
    part: Parameter, values: Mapping[str, tuple[Word, ...]], after: list[Part]
) -> Part | None:
    if part.name in _NUMBERS and not part.operator:
        return Name("*")
    if part.operator == "##*/" and part.quoted and _continues(after):
        return Name("*")
    known = values.get(part.name)
    if known is None or len(known) != 1 or not part.quoted:
        return None
    value = known[0]
    if value.text is not None:
        text = _cut(value.text, part.operator)
        return Literal(text, quoted=True) if text is not None else _part_of(value.text, part)
    if value.dynamic not in ("glob", "name") or value.raw.startswith("~"):
        return None
    if not part.operator:
        return Name(value.raw)
    return _part_of(value.raw, part)


def _continues(after: list[Part]) -> bool:
    """Tell whether the name goes on, so that it is not `..`."""
    first = after[0] if after else None
    return isinstance(first, Literal) and re.match(r"[\w-]|\.\w", first.text) is not None


def _cut(text: str, operator: str) -> str | None:
    """Give what `${name%.txt}` and `${name##*/}` leave of a literal."""
    if not operator:
        return text
    if operator == "##*/":
        return text.rpartition("/")[2]
    plain = re.fullmatch(r"%{1,2}([\w.-]+)", operator)
    return text.removesuffix(plain.group(1)) if plain else None


def _part_of(text: str, part: Parameter) -> Part | None:
    """Cutting something off a name without a slash leaves such a name."""
    if part.operator == "##*/":
        text = text.rpartition("/")[2]
    elif not re.match(r"[%#]", part.operator) or not all(
        isinstance(each, Literal) for each in part.parts
    ):
        return None
    return Name("*") if "/" not in text and not text.startswith(".") else None


def _substitution(part: Substitution, redefined: set[str]) -> Part | None:
    if part.opener not in ("$(", "`") or len(part.body.items) != 1:
        return None
    only = part.body.items[0]
    if not isinstance(only, Simple) or only.redirects or only.assignments:
        return None
    texts: list[str] = []
    for word in only.words:
        pieces = word.parts if isinstance(word, RawWord) else [None]
        if not all(isinstance(piece, Literal) for piece in pieces):
            return None
        texts.append("".join(piece.text for piece in pieces if isinstance(piece, Literal)))
    line = " ".join(texts)
    if not _PRINTS_NAME.fullmatch(line) or _SLASHED.search(line) or texts[0] in redefined:
        return None
    return Name("*")
