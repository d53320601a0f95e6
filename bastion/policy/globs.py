"""Globs of policies, and what a partly known path could still turn out to be.

A rule's path glob: `*` and `?` stay within one component, `**` crosses them, `/x/**` is /x and all
below, `~/x` is x below the login's home. A name glob (programs, targets, claims, hosts): `*` and
`?` stand for anything. Nothing else is special. All matching is linear (re2).

Paths are compared after lexical normalisation only. Nothing here can know of symbolic links on the
target, nor of what changes there between the verdict and the opening: a policy that must hold
against a person who may create links has to deny links, or rest on the target's own permissions.
"""

from __future__ import annotations

from enum import IntEnum
from functools import lru_cache
from typing import Final

import re2

MAX_OVERLAP: Final = 10_000
"""Steps of `overlaps`: a line full of stars must not buy seconds of thinking (then: could be)."""


class Match(IntEnum):
    """Whether something is what a rule speaks of. `min` joins conditions, `max` alternatives."""

    NO = 0
    COULD = 1
    """Not to be told from the text: some way to complete it matches."""
    YES = 2


ANY: Final = "\0any"
"""One character, not a slash."""
STAR: Final = "\0star"
"""Any number of characters, no slash."""
DEEP: Final = "\0deep"
"""Any number of any characters."""

Tokens = tuple[str, ...]


@lru_cache(maxsize=4096)
def _compiled(pattern: str, path: bool) -> re2.Pattern:
    tokens = rule_tokens(pattern) if path else name_tokens(pattern)
    one = "[^/]" if path else "."
    wild = {ANY: one, STAR: "[^/]*", DEEP: ".*"}
    regex = "".join(wild.get(token) or re2.escape(token) for token in tokens)
    options = re2.Options()
    options.dot_nl = True
    options.log_errors = False
    return re2.compile(regex, options)


@lru_cache(maxsize=4096)
def name_tokens(pattern: str) -> Tokens:
    """A rule's name glob as tokens."""
    return tuple({"*": DEEP, "?": ANY}.get(letter, letter) for letter in pattern)


@lru_cache(maxsize=4096)
def rule_tokens(pattern: str) -> Tokens:
    """A rule's path glob as tokens."""
    tokens: list[str] = []
    rest = pattern
    while rest:
        if rest.startswith("**"):
            tokens.append(DEEP)
            rest = rest[2:]
        else:
            tokens.append({"*": STAR, "?": ANY}.get(rest[0], rest[0]))
            rest = rest[1:]
    return tuple(tokens)


def shell_tokens(pattern: str) -> Tokens:
    """A shell's own glob as tokens that cover at least all it may expand to."""
    tokens: list[str] = []
    position = 0
    while position < len(pattern):
        letter = pattern[position]
        end = pattern.find("]", position + 2) if letter == "[" else -1
        if letter == "\\" and position + 1 < len(pattern):
            position += 1
            tokens.append(pattern[position])
        elif pattern.startswith("**", position) or pattern[position + 1 : position + 2] == "(":
            tokens.append(DEEP)  # globstar, or an extended glob such as `+(a|b)`, whatever is set
            break
        elif end > 0:
            tokens.append(ANY)
            position = end
        else:
            tokens.append({"*": STAR, "?": ANY}.get(letter, letter))
        position += 1
    return tuple(tokens)


def matches_name(text: str, pattern: str) -> bool:
    """Whether all of `text` is what the name glob says."""
    if "*" not in pattern and "?" not in pattern:
        return text == pattern
    return _compiled(pattern, False).fullmatch(_clean(text)) is not None


def matches_path(path: str, pattern: str) -> bool:
    """Whether the normalised `path` is what the path glob says."""
    if "*" not in pattern and "?" not in pattern:
        return path == pattern
    if pattern.endswith("/**") and (path == pattern[:-3] or (pattern == "/**" and path == "/")):
        return True
    return _compiled(pattern, True).fullmatch(_clean(path)) is not None


def _clean(text: str) -> str:
    # re2 takes UTF-8; a lone surrogate (bytes of a path that are not) becomes a question mark,
    # which `*` and `?` still match and no literal does.
    return text.encode("utf-8", "replace").decode("utf-8")


def overlaps(one: Tokens, other: Tokens) -> bool:
    """Whether some text is covered by both (True too where that takes too long to find out)."""
    if (len(one) + 1) * (len(other) + 1) > MAX_OVERLAP:
        return True
    # row[j]: the rest of `one` from here overlaps with other[j:]; filled from the ends.
    row = [all(token in (STAR, DEEP) for token in other[j:]) for j in range(len(other) + 1)]
    for token in reversed(one):
        below = row
        row = [False] * (len(other) + 1)
        row[-1] = token in (STAR, DEEP) and below[-1]
        for j in range(len(other) - 1, -1, -1):
            row[j] = _step(token, other[j], below, row, j)
    return row[0]


def _step(mine: str, theirs: str, below: list[bool], row: list[bool], j: int) -> bool:
    if mine in (STAR, DEEP) and below[j]:  # mine is empty
        return True
    if theirs in (STAR, DEEP) and row[j + 1]:  # theirs is empty
        return True
    if not _share(mine, theirs):
        return False
    return (
        below[j + 1]
        or (mine in (STAR, DEEP) and row[j + 1])
        or (theirs in (STAR, DEEP) and below[j])
    )


def _share(mine: str, theirs: str) -> bool:
    """Whether one character is covered by both tokens."""
    if len(mine) > 1 and len(theirs) > 1:
        return True
    if len(mine) == 1 and len(theirs) == 1:
        return mine == theirs
    wild, letter = (mine, theirs) if len(mine) > 1 else (theirs, mine)
    return wild == DEEP or letter != "/"


def normalise(path: str) -> str:
    """Lexically: no `//`, `.`, trailing slash, nor any `..` that has something before it.

    Absolute paths stay absolute (`/..` is `/`); a relative path may keep `..` at its beginning.
    Behind a symbolic link `x/..` may be elsewhere on the target: text cannot tell. The one link
    that is on every target is followed: `/proc/PID/root` is `/`.
    """
    kept: list[str] = []
    absolute = path.startswith("/")
    for part in path.split("/"):
        if part in ("", "."):
            continue
        if part != "..":
            kept.append(part)
        elif kept and kept[-1] != "..":
            kept.pop()
        elif not absolute:
            kept.append(part)
    while absolute and (end := _root_link(kept)):
        del kept[:end]
    joined = "/".join(kept)
    return f"/{joined}" if absolute else joined or "."


def _root_link(parts: list[str]) -> int:
    """How many parts a leading `/proc/PID/root` or `/proc/PID/task/TID/root` takes; 0: none."""
    if parts[:1] != ["proc"]:
        return 0
    if parts[2:3] == ["root"]:
        return 3
    return 5 if parts[2:3] == ["task"] and parts[4:5] == ["root"] else 0
