"""From a raw word to the words a program gets: brace expansion, quote removal, what is dynamic."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from typing import Final

from bastion.policy.facts import OpaqueKind, Word
from bastion.policy.shell.tree import (
    Arithmetic,
    Literal,
    Name,
    Parameter,
    Part,
    RawWord,
    Substitution,
    UnreadableError,
)

MAX_WORDS: Final = 512
"""Words one word may expand to: `{1..9}{1..9}{1..9}…` grows without end."""

MAX_BRACES: Final = 40
"""Braces in one word: each is looked for its end in all of the rest."""

Atom = tuple[str, bool] | Parameter | Substitution | Arithmetic | Name
"""One character and whether it was quoted, or an expansion."""

_SEQUENCE: Final = re.compile(r"(-?\d{1,9})\.\.(-?\d{1,9})(?:\.\.(-?\d{1,9}))?")
_ODD_RANGE: Final = re.compile(r"(?:[-+]?\d+|\w)\.\.(?:[-+]?\d+|\w)(?:\.\.[-+]?\d+)?")
_LETTERS: Final = re.compile(r"([A-Za-z])\.\.([A-Za-z])(?:\.\.(-?\d{1,9}))?")


def expand(word: RawWord, known: Mapping[str, tuple[Word, ...]]) -> list[Word]:
    """Give the words a raw word becomes; `known` holds the values of loop variables."""
    if len(word.parts) == 1 and isinstance(word.parts[0], Parameter):
        values = _known(word.parts[0], known)
        if values is not None:
            return list(values)
    if len(word.parts) == 2 and isinstance(word.parts[1], Parameter) and word.parts[1].quoted:
        values = _known(word.parts[1], known)
        if values is not None and word.parts[0] == Literal("", quoted=True):
            return list(values)
    # `{a,,b}` makes two words: an unquoted nothing is no word.
    return [_word(atoms, word) for atoms in _braces(_atoms(word.parts)) if atoms]


def expand_one(word: RawWord, *, assignment: bool = False) -> Word:
    """Give the one word that stands where the shell expands no braces (values, targets)."""
    return _word(_atoms(word.parts), word, globs=not assignment)


def literal_of(parts: list[Part]) -> str | None:
    """Give the text of parts that are all literal, else None."""
    text = ""
    for part in parts:
        if not isinstance(part, Literal):
            return None
        text += part.text
    return text


def _known(part: Parameter, known: Mapping[str, tuple[Word, ...]]) -> tuple[Word, ...] | None:
    if part.operator or part.parts:
        return None
    values = known.get(part.name)
    if values is None or part.quoted:
        return values
    plain = all(value.text is None or not re.search(r"[\s*?\[]", value.text) for value in values)
    return values if plain else None


def _atoms(parts: list[Part]) -> list[Atom]:
    atoms: list[Atom] = []
    for part in parts:
        if isinstance(part, Literal):
            # An empty quoted part still makes a word, and keeps a tilde or brace from standing
            # at the beginning.
            atoms.extend((character, part.quoted) for character in part.text)
            if not part.text:
                atoms.append(("", True))
        else:
            atoms.append(part)
    return atoms


# --- braces -----------------------------------------------------------------------------------


def _braces(atoms: list[Atom]) -> list[list[Atom]]:
    openers = atoms.count(("{", False))
    if not openers:
        return [atoms]
    if openers > MAX_BRACES:
        raise UnreadableError("a word holds too many braces", OpaqueKind.LIMIT)
    start = 0
    while True:
        try:
            start = atoms.index(("{", False), start)
        except ValueError:
            return [atoms]
        found = _alternatives(atoms, start)
        if found is not None:
            break
        start += 1
    choices, end = found
    if any(part[-1:] == [("$", True)] for part in (atoms[:start], *choices)):
        raise UnreadableError("a brace expansion may complete a name behind a dollar")
    tails = _braces(atoms[end:])
    results: list[list[Atom]] = []
    for choice in choices:
        for middle in _braces(choice):
            results.extend(atoms[:start] + middle + tail for tail in tails)
            if len(results) > MAX_WORDS:
                raise UnreadableError("braces expand to too many words", OpaqueKind.LIMIT)
    return results


def _alternatives(atoms: list[Atom], start: int) -> tuple[list[list[Atom]], int] | None:
    """Split `{a,b}` or `{1..3}` at `start`; None where the brace is an ordinary character."""
    level = 0
    choices: list[list[Atom]] = [[]]
    for index in range(start + 1, len(atoms)):
        atom = atoms[index]
        if atom == ("}", False) and level == 0:
            if len(choices) > 1:
                return choices, index + 1
            steps = _steps(choices[0])
            if steps is not None:
                return steps, index + 1
            if _spans(choices[0]):
                if ("{", False) in choices[0]:
                    raise UnreadableError("braces within a brace range")
                if any(isinstance(part, tuple) and part[0] and part[1] for part in choices[0]):
                    raise UnreadableError("quotes within a brace range")
                return None
            # With neither a comma nor dots before it, this brace closes nothing.
            choices[-1].append(atom)
            continue
        if atom == (",", False) and level == 0:
            choices.append([])
            continue
        level += (atom == ("{", False)) - (atom == ("}", False))
        choices[-1].append(atom)
    return None


def _spans(atoms: list[Atom]) -> bool:
    return any(pair == ((".", False), (".", False)) for pair in itertools.pairwise(atoms))


def _steps(atoms: list[Atom]) -> list[list[Atom]] | None:
    characters = [atom[0] for atom in atoms if isinstance(atom, tuple) and not atom[1]]
    if len(characters) != len(atoms):
        return None
    text = "".join(characters)
    numbers, letters = _SEQUENCE.fullmatch(text), _LETTERS.fullmatch(text)
    match = numbers or letters
    if match is None:
        if _ODD_RANGE.fullmatch(text):
            raise UnreadableError("a brace range that shells read in different ways")
        return None
    first, last = (int(match[1]), int(match[2])) if numbers else (ord(match[1]), ord(match[2]))
    step = abs(int(match[3] or 1)) or 1
    if abs(last - first) // step >= MAX_WORDS:
        raise UnreadableError("braces expand to too many words", OpaqueKind.LIMIT)
    values = range(first, last + 1, step) if first <= last else range(first, last - 1, -step)
    padded = any(re.match(r"-?0\d", end) for end in match.group(1, 2))
    width = max(len(match[1]), len(match[2])) if padded else 0
    texts = [str(value).zfill(width) if numbers else chr(value) for value in values]
    return [[(character, False) for character in text] for text in texts]


# --- one word ---------------------------------------------------------------------------------


def _word(atoms: list[Atom], source: RawWord, *, globs: bool = True) -> Word:
    atoms = _home_as_tilde(atoms)
    text, pattern, dynamic, prefix = "", "", "", None
    glob_at = _first_glob(atoms) if globs else -1
    for index, atom in enumerate(atoms):
        if isinstance(atom, tuple):
            character, quoted = atom
            if index == glob_at and prefix is None:
                prefix = text
            text += character
            escaped = quoted and character and character in "*?[]\\"
            pattern += "\\" + character if escaped else character
            continue
        kind = _kind(atom)
        dynamic = kind if dynamic in ("", "arithmetic", "name") else dynamic
        pattern += atom.pattern if isinstance(atom, Name) else ""
        prefix = text if prefix is None else prefix
    if dynamic:
        if (
            len(atoms) == 1
            and isinstance(atoms[0], Substitution)
            and atoms[0].opener in ("<(", ">(")
        ):
            prefix = "/dev/fd/"
        if dynamic == "name":
            return Word(None, pattern, "name", prefix or "")
        return Word(None, source.raw, dynamic, prefix or "")
    if glob_at >= 0:
        return Word(None, pattern, "glob", prefix or "")
    if atoms and atoms[0] == ("~", False):
        return _tilde(text, source)
    return Word(text, source.raw)


def _home_as_tilde(atoms: list[Atom]) -> list[Atom]:
    """`$HOME/x` is `~/x`, quoted or not: a line that sets HOME is opaque."""
    start = int(atoms[:1] == [("", True)])
    head = atoms[start] if len(atoms) > start else None
    rest = [atom for atom in atoms[start + 1 :] if atom != ("", True)]
    if not isinstance(head, Parameter) or head.name != "HOME" or head.operator or head.parts:
        return atoms
    follows = not rest or (isinstance(rest[0], tuple) and rest[0][0] == "/")
    return [("~", False), *rest] if follows else atoms


def _tilde(text: str, source: RawWord) -> Word:
    user = text.partition("/")[0]
    if user != "~" and re.fullmatch(r"~[+-]?[0-9]*", user):
        return Word(None, source.raw, "variable")
    return Word(None, text, "tilde")


def _kind(part: Parameter | Substitution | Arithmetic | Name) -> str:
    if isinstance(part, Name):
        return "name"
    if isinstance(part, Parameter):
        return "variable"
    if isinstance(part, Arithmetic):
        return "arithmetic"
    return "substitution"


def _first_glob(atoms: list[Atom]) -> int:
    closers = [index for index, atom in enumerate(atoms) if atom in (("]", False), ("]", True))]
    last = closers[-1] if closers else -1
    for index, atom in enumerate(atoms):
        if atom in (("*", False), ("?", False)) or (atom == ("[", False) and index < last):
            return index
    return -1
