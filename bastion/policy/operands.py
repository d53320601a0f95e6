"""What a word or path of a command line could mean, against the globs of a rule.

A literal is compared; anything else is asked whether some completion of it would match. Where the
session stands is unknown: relative paths are taken to begin in the login's home, so they are never
absolute paths of a rule, unless they climb (`../../etc`), which may reach the root or /home.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from bastion.policy.facts import PathUse, Word
from bastion.policy.globs import (
    DEEP,
    Match,
    Tokens,
    matches_name,
    matches_path,
    name_tokens,
    normalise,
    overlaps,
    rule_tokens,
    shell_tokens,
)

HOMES: Final = ("/root", "/home/*")
"""Where homes usually are: `~/.ssh/**` also speaks of `/home/ann/.ssh/id`, and a rule about
`/home/ann/x` cannot tell about the relative path `x`. Homes elsewhere are not known."""

_GLOB_LETTERS: Final = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class Place:
    """One thing a word may name: an exact `path`, or whatever `tokens` cover.

    `home`: relative to the login's home. `parent`: for a glob, the directory it looks in.
    `sure` is False where the word need not name this at all.
    """

    path: str = ""
    tokens: Tokens = ()
    home: bool = False
    parent: str = ""
    sure: bool = True


ANYTHING: Final = Place(tokens=(DEEP,), sure=False)


def match_word(
    word: Word, patterns: Iterable[str], directories: tuple[str | None, ...] = ("",)
) -> Match:
    """Whether the word is one of the rule's patterns (paths, `key=/path`, or plain name globs)."""
    best = Match.NO
    places: list[Place] | None = None
    for pattern in patterns:
        if is_path(pattern):
            places = word_places(word, directories) if places is None else places
            found = match_places(places, pattern)
        elif (key := _key(pattern)) is not None:
            found = _match_keyed(word, key, pattern[len(key) :], directories)
        else:
            found = _match_name(word, pattern)
        best = max(best, found)
        if best is Match.YES:
            break
    return best


def is_path(pattern: str) -> bool:
    """Whether a rule's pattern speaks of paths."""
    return pattern.startswith(("/", "~/", "**"))


def _key(pattern: str) -> str | None:
    """`of=` of `of=/dev/*`."""
    key, equals, value = pattern.partition("=")
    return key + equals if equals and is_path(value) else None


def _match_keyed(word: Word, key: str, pattern: str, directories: tuple[str | None, ...]) -> Match:
    if word.text is not None:
        if not word.text.startswith(key):
            return Match.NO
        value = word.text[len(key) :]
        return match_places(text_places(value, directories), pattern)
    if word.dynamic in ("glob", "name") and word.raw.startswith(key):
        return match_places(glob_places(word.raw[len(key) :], directories), pattern)
    return Match.COULD if could_begin(word, key) else Match.NO


def could_begin(word: Word, beginning: str) -> bool:
    """Whether a word that is not literal could become one that begins so."""
    if word.dynamic == "tilde":
        return beginning.startswith("/")
    if word.dynamic in ("glob", "name"):
        return overlaps(shell_tokens(word.raw), (*beginning, DEEP))
    if not is_single(word):
        return True  # unquoted: it may split into several words
    return word.prefix.startswith(beginning) or beginning.startswith(word.prefix)


def is_single(word: Word) -> bool:
    """Whether the word surely stays one word: literal, or all of it inside one pair of quotes."""
    raw = word.raw
    if word.text is not None or word.dynamic == "name":
        return True
    if "@" in raw:  # "$@" and "${a[@]}" become many words
        return False
    return _ONE_PAIR.fullmatch(raw) is not None or _PIECES.fullmatch(raw) is not None


_ONE_PAIR: Final = re.compile(r'"[^"]+"')
_PIECES: Final = re.compile(
    r"""(?:[\w./:,=%+-]|'[^']*'|"(?:[^"'`\\$]|\$\w+|\$\{\w+\}|\$\([^"'`()\\]*\)|\$(?![({\w]))*")+"""
)
"""Plain text beside quotes in which nothing stands that may hold quotes of its own."""


def _match_name(word: Word, pattern: str) -> Match:
    if word.text is not None:
        text = word.text
        found = matches_name(text, pattern) or (
            "/" in text and matches_name(normalise(text), pattern)
        )
        return Match.YES if found and text else Match.NO
    if word.dynamic in ("glob", "name"):
        could = overlaps(shell_tokens(word.raw), name_tokens(pattern))
    elif word.dynamic == "tilde":
        could = overlaps(("/", DEEP), name_tokens(pattern))
    elif is_single(word):
        could = overlaps((*word.prefix, DEEP), name_tokens(pattern))
    else:
        could = True
    return Match.COULD if could else Match.NO


# --- places -----------------------------------------------------------------------------------


def word_places(word: Word, directories: tuple[str | None, ...]) -> list[Place]:
    """All that a word may name as a path."""
    if word.text is not None:
        return text_places(word.text, directories)
    if word.dynamic == "tilde":
        return tilde_places(word.raw)
    if word.dynamic == "name":
        pattern = word_places(Word(None, word.raw, "glob"), directories)
        return [replace(place, parent="", sure=False) for place in pattern]
    if word.dynamic == "found" and is_found(word):
        return found_places(word.prefix, directories)
    if word.dynamic == "glob":
        if word.raw.startswith("~"):
            return [ANYTHING] if not word.raw.startswith("~/") else glob_places(word.raw[2:], ("",))
        return glob_places(word.raw, directories)
    return [ANYTHING]


def is_found(word: Word) -> bool:
    """Whether the word is just what find found, below the directory that is its prefix."""
    return word.raw == "{}" or word.raw.rstrip("/") == word.prefix.rstrip("/")


def found_places(root: str, directories: tuple[str | None, ...]) -> list[Place]:
    """What find may find: the directory it begins in, and all below; its names never climb."""
    places: list[Place] = []
    if not root:
        return [ANYTHING]
    for place in text_places(root, directories):
        if not place.path:
            return [ANYTHING]
        below = () if place.path == "." else (*place.path.rstrip("/"), "/")
        places.append(Place(path=place.path, home=place.home, sure=False))
        places.append(Place(tokens=(*below, DEEP), home=place.home, sure=False))
    return places


def places_below(places: Iterable[Place]) -> list[Place]:
    """Whatever may lie below any of these."""
    found: list[Place] = []
    for place in places:
        at = place.tokens or (() if place.path == "." else tuple(place.path.rstrip("/")))
        tokens = (*at, "/", DEEP) if at or place.path.startswith("/") else (DEEP,)
        found.append(Place(tokens=tokens, home=place.home, sure=False))
    return found


def use_places(use: PathUse, *, found_in: str | None = None) -> list[Place]:
    """All that a path use may name; `found_in`: what find, run there, finds is below its path."""
    if use.dynamic == "found" and found_in is not None:
        return found_places(use.path, (found_in,))
    if use.dynamic == "" and use.path.startswith("~"):
        return tilde_places(use.path)
    if use.dynamic == "":
        return text_places(use.path, ("",))
    if use.dynamic in ("glob", "name"):
        return word_places(Word(None, use.path, use.dynamic), ("",))
    if use.dynamic == "directory":
        return text_places(use.path, (None,))
    return [ANYTHING]


def tilde_places(raw: str) -> list[Place]:
    """`~/x` is below the login's home; `~user/x` is below some absolute directory."""
    user, _, rest = raw.partition("/")
    if user == "~":
        return text_places(rest or ".", ("",))
    below = normalise(rest) if rest else "."
    if below == ".":
        return [Place(tokens=("/", DEEP), sure=False)]
    if below.startswith(".."):
        return [ANYTHING]
    return [Place(tokens=("/", DEEP, "/", *below), sure=False)]


def text_places(text: str, directories: tuple[str | None, ...]) -> list[Place]:
    """A literal path, seen from each directory the program may run in."""
    if text.startswith("/"):
        return [Place(path=normalise(text))]
    if not text:
        return []
    found: list[Place] = []
    for directory in directories:
        if directory is None:
            rest = _climbed(normalise(text))
            tail = ("/", *rest) if rest else ()
            found.append(Place(tokens=("/", DEEP, *tail), sure=False))
            found.append(Place(path=f"/{rest}", sure=False))
        elif directory.startswith("/"):
            found.append(Place(path=normalise(f"{directory}/{text}")))
        else:
            found.extend(_home_places(normalise(f"{directory.lstrip('~/')}/{text}".lstrip("/"))))
    return found


def _climbed(path: str) -> str:
    parts = [part for part in path.split("/") if part not in ("..", ".")]
    return "/".join(parts)


def _home_places(path: str) -> list[Place]:
    if path != ".." and not path.startswith("../"):
        return [Place(path=path, home=True)]
    rest = _climbed(path)
    places = [Place(path=f"/{rest}", sure=False)]
    if rest:
        places.append(Place(path=f"/home/{rest}", sure=False))
    return places


def glob_places(pattern: str, directories: tuple[str | None, ...]) -> list[Place]:
    """A shell glob: what it may expand to, and the directory it looks in."""
    places: list[Place] = []
    for place in text_places(pattern, directories):
        if not place.path:
            places.append(Place(tokens=(DEEP,), sure=False))
            continue
        parent, _, last = place.path.rpartition("/")
        parent = parent or ("/" if place.path.startswith("/") else ".")
        exact = not _GLOB_LETTERS & set(parent) and last != ""
        places.append(
            Place(
                tokens=shell_tokens(place.path),
                home=place.home,
                parent=parent.replace("\\", "") if exact else "",
                sure=place.sure,
            )
        )
        if not exact:
            places.append(Place(tokens=shell_tokens(parent), home=place.home, sure=False))
    return places


def match_places(places: Iterable[Place], pattern: str) -> Match:
    """Whether a place is, or could be, what a rule's path glob says.

    A glob directly in a directory counts as that directory: `/etc/*` is all of /etc.
    """
    best = Match.NO
    for place in places:
        for glob, home in _readings(pattern):
            if home is None or home == place.home:
                best = max(best, _match_place(place, glob))
            elif place.home and best is Match.NO:
                best = _match_at_home(place, glob)
    return best


def _readings(pattern: str) -> list[tuple[str, bool | None]]:
    """A pattern as (glob, whether it is relative to the home; None: either)."""
    if pattern.startswith("**") or pattern == "/**":
        return [(pattern.lstrip("/"), None)]
    if pattern.startswith("~/"):
        return [(pattern[2:], True), *((f"{home}/{pattern[2:]}", False) for home in HOMES)]
    return [(pattern, False)]


def _match_at_home(place: Place, glob: str) -> Match:
    """A place below a home that may be anywhere homes usually are, against an absolute glob."""
    below = place.tokens or (() if place.path == "." else tuple(place.path))
    for home in HOMES:
        tokens = (*rule_tokens(home), "/", *below) if below else rule_tokens(home)
        if _match_place(Place(tokens=tokens), glob) is not Match.NO:
            return Match.COULD
    return Match.NO


def _match_place(place: Place, glob: str) -> Match:
    if place.tokens:
        if place.parent and matches_path(place.parent, glob):
            return Match.YES if place.sure else Match.COULD
        globs = (glob, glob[:-3]) if glob.endswith("/**") else (glob,)
        could = any(overlaps(place.tokens, rule_tokens(one)) for one in globs)
        return Match.COULD if could else Match.NO
    if not matches_path(place.path, glob):
        return Match.NO
    return Match.YES if place.sure else Match.COULD
