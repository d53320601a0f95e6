"""What a running shell's variables hold, put in place of their expansions: exactly or not at all.

bash(1), EXPANSION: an unquoted value is split at blanks, and `*`, `?` and `[` in it make a pattern;
nothing else in it means anything. A form that is not known here exactly is left as it is.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Final

from bastion.policy.shell.tree import Arithmetic, Literal, Parameter, Part, RawWord
from bastion.policy.shell.words import literal_of

NEUTRAL: Final = "later"
"""Stands for a value that is asked for later: no program and no option."""
NEUTRAL_PATH: Final = "/.later"
"""The same where a path may stand: no rule is about it."""
MAX_NAMES: Final = 16
"""Variables asked for, for one step: each is an answer of the target to wait for and to hold."""
MAX_VALUES: Final = 256
"""Elements of one array, or positional parameters."""
MAX_VALUE: Final = 4096
"""Characters of all elements of one variable: no longer than a line may be."""

_NAME: Final = re.compile(r"[A-Za-z_]\w*|[1-9]\d*|[@*]")
_CHANGING: Final = re.compile(
    r"_|S?RANDOM|SECONDS|LINENO|HISTCMD|EPOCH\w+|BASH\w*|FUNCNAME|PIPESTATUS|DIRSTACK|HOME"
)
"""Not the same when they are asked for as when the command runs; `$HOME` is read as a tilde."""
_DEFAULT_BLANKS: Final = " \t\n"
_GLOB: Final = re.compile(r"([*?\[\]])")


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is known of the shell at whose prompt a line is read.

    `directory` is absolute, or empty where it is not known. `values` are those of variables.
    `neutral`: take a plain word for every variable whose value may be asked for later.
    """

    directory: str = ""
    values: tuple[tuple[str, tuple[str, ...]], ...] = ()
    untold: tuple[str, ...] = ()
    neutral: bool = False
    step: bool = False
    """One simple command is read, and `values` are from before it."""
    splits: bool = True
    """Whether unquoted values are split and taken for patterns: not in zsh."""
    hardened: bool = False
    """Pagers were told to run nothing (`LESSSECURE=1`, `PAGER=cat`)."""
    defined: tuple[str, ...] = ()


@dataclass(slots=True)
class Values:
    """The values that are known, and which more would help."""

    known: dict[str, tuple[str, ...]] = field(default_factory=dict)
    untold: set[str] = field(default_factory=set)
    neutral: bool = False
    splits: bool = True
    step: bool = False
    asked: dict[str, None] = field(default_factory=dict)

    @classmethod
    def of(cls, prompt: Prompt) -> Values:
        """Take what a prompt knows; a value beyond the bounds is not taken."""
        known = {
            name: values
            for name, values in prompt.values
            if len(values) <= MAX_VALUES and sum(map(len, values)) <= MAX_VALUE
        }
        untold = set(prompt.untold) | {name for name, _ in prompt.values if name not in known}
        return cls(known, untold, prompt.neutral, prompt.splits, prompt.step)

    def forget(self, name: str) -> None:
        """A step sets a variable: the value it was asked for is not what it holds from here on."""
        if self.step:
            self.known.pop(name, None)
            self.untold.add(name)

    def held(self, name: str) -> tuple[str, ...] | None:
        """What a variable holds, if that is known."""
        return self._lookup(name)

    def ask(self, name: str) -> bool:
        """Ask for a value; tell whether it may come."""
        if _key(name) not in self.untold and len(self.asked) < MAX_NAMES:
            self.asked[_key(name)] = None
        return _key(name) in self.asked

    # --- words ----------------------------------------------------------------------------

    def words(
        self, word: RawWord, but: Collection[str] = (), *, first: bool = False
    ) -> list[RawWord]:
        """Give the words that `word` becomes, before braces and patterns are expanded.

        `but`: variables that are known otherwise, and left alone.
        """
        if not any(isinstance(part, Parameter) for part in word.parts) or _has_brace(word):
            return [word]
        several = self._several(word)
        if several is not None:
            return several
        fields: list[list[Part]] = [[]]
        for part in word.parts:
            if not isinstance(part, Parameter) or part.name in but:
                fields[-1].append(part)
                continue
            found = self._value(part)
            if isinstance(found, list):
                fields[-1].extend(found)
            elif found is not None and part.quoted:
                fields[-1].append(Literal(found, quoted=True))
            elif found is not None and not self.splits:
                fields[-1].extend([Literal(found, quoted=True)] * bool(found))
            elif found is not None and "\\" not in found and self._splits_by_blanks():
                # What a backslash means among pattern characters is not known here.
                _split_into(fields, found)
            else:
                fields[-1].extend(self._standing_for(part, fields[-1], first=first))
        return [RawWord(parts, word.raw) for parts in fields if parts]

    def one(self, word: RawWord) -> RawWord:
        """Give `word` where the shell does not split: a value, a here-document, `[[ … ]]`."""
        parts: list[Part] = []
        for part in word.parts:
            found = self._value(part) if isinstance(part, Parameter) else None
            if isinstance(found, str):
                parts.append(Literal(found, quoted=True))
            elif isinstance(found, list):
                parts.extend(found)
            elif isinstance(part, Parameter):
                parts.extend(self._standing_for(part, parts, first=False))
            else:
                parts.append(part)
        return RawWord(parts, word.raw)

    def target(self, word: RawWord) -> RawWord:
        """Give a redirection's target: a value that would be split is an error to the shell."""
        words = self.words(word)
        return words[0] if len(words) == 1 else word

    def _standing_for(self, part: Parameter, before: list[Part], *, first: bool) -> list[Part]:
        """Give what takes the place of a value that is not known, and ask for it."""
        wanted = [_key(part.name)] + ["IFS"] * (self.splits and not part.quoted)
        if not _is_told(part) or any(name in self.untold for name in wanted):
            return [part]
        missing = [name for name in wanted if self._lookup(name) is None]
        for name in missing[: MAX_NAMES - len(self.asked)]:
            self.asked[name] = None
        if not self.neutral or not missing:
            return [part]
        begins = literal_of(before) == ""
        return [Literal(NEUTRAL_PATH if begins and not first else NEUTRAL, quoted=True)]

    def _lookup(self, name: str) -> tuple[str, ...] | None:
        if name in self.known:
            return self.known[name]
        if name.isdecimal():
            positional = self.known.get("@")
            at = int(name)
            return None if positional is None else positional[at - 1 : at]
        return self.known.get(_key(name))

    def _splits_by_blanks(self) -> bool:
        return self.known.get("IFS", ("?",)) in ((), (_DEFAULT_BLANKS,))

    def _several(self, word: RawWord) -> list[RawWord] | None:
        """`"$@"`, `$*` and `"${a[@]}"` standing alone: a word for each element."""
        parts = [part for part in word.parts if part != Literal("", quoted=True)]
        part = parts[0] if len(parts) == 1 else None
        if not isinstance(part, Parameter) or _element(part) not in ("@", "*"):
            return None
        values = self._lookup(part.name)
        if values is None or part.operator or (part.quoted and _element(part) == "*"):
            return None
        if part.quoted or not self.splits:
            kept = [value for value in values if value or part.quoted]
            return [RawWord([Literal(value, quoted=True)], word.raw) for value in kept]
        if not self._splits_by_blanks() or any("\\" in value for value in values):
            return None
        fields: list[list[Part]] = []
        for value in values:
            pieces: list[list[Part]] = [[]]
            _split_into(pieces, value)
            fields += [piece for piece in pieces if piece]
        return [RawWord(one, word.raw) for one in fields]

    # --- values ---------------------------------------------------------------------------

    def _value(self, part: Parameter) -> str | list[Part] | None:
        """Give what one expansion becomes; parts where an operator's own words take its place."""
        values = self._lookup(part.name)
        if values is None or not _is_told(part):
            return None
        element = _element(part)
        if element == "*" and part.quoted and not part.operator:
            return " ".join(values) if self._splits_by_blanks() else None
        if element in ("@", "*"):
            value = values[0] if len(values) == 1 else None
            return value if not part.operator else None
        if not self.splits and not part.parts and len(values) > 1:
            return None  # zsh gives all elements
        if not self.splits and any(isinstance(one, Arithmetic) for one in part.parts):
            return None  # zsh counts from 1, and a string's subscripts are its characters
        index = int(element)
        if index >= len(values) and index > 0:
            return "" if not part.operator else None
        return _operated(part, values[index] if values else None)


def _has_brace(word: RawWord) -> bool:
    """Braces are expanded first, and may lengthen a name: `$x{y,z}` is `$xy $xz`."""
    return any(
        isinstance(part, Literal) and not part.quoted and "{" in part.text for part in word.parts
    )


def _key(name: str) -> str:
    """Give the name that a value is asked for by: the positional parameters come together."""
    return "@" if name in ("@", "*") or name.isdecimal() else name


def _element(part: Parameter) -> str:
    """Give which element is meant: a number, `@`, `*`, or `?` where that is not plain."""
    if part.name in ("@", "*"):
        return part.name if not part.parts else "?"
    first = part.parts[0] if part.parts else None
    if not isinstance(first, Arithmetic):
        return "0"
    subscript = literal_of(first.parts) or ""
    return subscript if re.fullmatch(r"\d{1,6}|[@*]", subscript) else "?"


def _operand(part: Parameter) -> list[Part]:
    """Give the parts behind a one- or two-letter operator."""
    rest = [piece for piece in part.parts if not isinstance(piece, Arithmetic)]
    length = len(_operator(part))
    kept: list[Part] = []
    for piece in rest:
        if length and isinstance(piece, Literal) and piece.text:
            cut, length = piece.text[length:], max(0, length - len(piece.text))
            if cut:
                kept.append(replace(piece, text=cut))
        else:
            kept.append(piece)
    return kept


def _operator(part: Parameter) -> str:
    found = re.match(r":[-+]|[-+]|##?|%%?", part.operator)
    return found.group() if found else ""


def _is_told(part: Parameter) -> bool:
    """Tell whether this form is known here exactly, once its variable's value is."""
    if _NAME.fullmatch(part.name) is None or _CHANGING.fullmatch(part.name):
        return False
    if _element(part) == "?":
        return False
    if not part.operator:
        return True
    operator = _operator(part)
    text = literal_of(_operand(part))
    if not operator or text is None or "\\" in part.operator:
        return False
    if operator in ("-", "+", ":-", ":+"):
        return re.fullmatch(r"[\w./:@%,=^+-]*", text) is not None
    return _PATTERN.fullmatch(text) is not None and not re.search(r"['\"]", part.operator)


_PATTERN: Final = re.compile(r"\*?[^*?\[\]()|!@+~]+|[^*?\[\]()|!@+~]+\*")


def _operated(part: Parameter, value: str | None) -> str | list[Part] | None:
    operator = _operator(part)
    if not operator:
        return value or ""
    empty = value is None if len(operator) == 1 else not value
    if operator in ("-", ":-"):
        return _operand(part) if empty else value
    if operator in ("+", ":+"):
        return "" if empty else _operand(part)
    return _trimmed(value or "", operator, literal_of(_operand(part)) or "")


def _trimmed(value: str, operator: str, pattern: str) -> str | None:
    text = pattern.strip("*")
    if operator[0] == "#":
        if not pattern.endswith("*"):
            if not pattern.startswith("*"):
                return value.removeprefix(text)
            at = value.rfind(text) if operator == "##" else value.find(text)
            return value if at < 0 else value[at + len(text) :]
        return None
    if not pattern.startswith("*"):
        if not pattern.endswith("*"):
            return value.removesuffix(text)
        at = value.find(text) if operator == "%%" else value.rfind(text)
        return value if at < 0 else value[:at]
    return None


def _split_into(fields: list[list[Part]], value: str) -> None:
    """Split a value at blanks as bash does with its own IFS, going on in the last field."""
    pieces = re.split(rf"[{_DEFAULT_BLANKS}]+", value)
    for index, piece in enumerate(pieces):
        if index:
            fields.append([])
        fields[-1].extend(_pattern_parts(piece))


def _pattern_parts(piece: str) -> list[Part]:
    """Only pattern characters keep their meaning in what an expansion gave."""
    return [Literal(text, quoted=not _GLOB.fullmatch(text)) for text in _GLOB.split(piece) if text]
