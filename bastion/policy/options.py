"""A command's words, sorted into subcommand, flags and operands, as rules need them.

The options of most programs are not known here. So where a word could be read two ways (a value of
the option before it, or an operand) it counts as both: that may match too much, never too little.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from bastion.policy.facts import Word
from bastion.policy.globs import DEEP, Match, matches_name, name_tokens, overlaps, shell_tokens
from bastion.policy.operands import could_begin, is_single, match_word
from bastion.policy.schema import OptionFacts

FALSE: Final = frozenset({"false", "False", "FALSE", "f", "F", "0"})
"""Values with which a boolean flag is not given at all (`--privileged=false`)."""


@dataclass(slots=True)
class Operand:
    """A word that is, or may be, an operand; `sure` unless it may be an option's value."""

    word: Word
    sure: bool


@dataclass(slots=True)
class Scan:
    """One way to read a command's words. `flags` keeps each option with the word behind it."""

    flags: list[tuple[Word, Word | None]] = field(default_factory=list)
    operands: list[Operand] = field(default_factory=list)


class _Scanner:
    """One pass over the words after the program's name."""

    def __init__(self, options: OptionFacts, ends_after: int | None) -> None:
        self._values = frozenset(options.values)
        self._switches = frozenset(options.switches)
        self._ends_after = ends_after
        self._pending = ""  # `value`: surely the next word; `maybe`: the next word, perhaps
        self._ended = False
        self._perhaps_ended = False  # a `--` that may be a value: what follows counts both ways
        self._settled = 0
        self.scan = Scan()

    def feed(self, words: Sequence[Word]) -> Scan:
        """Sort all words."""
        for index, word in enumerate(words):
            after = words[index + 1] if index + 1 < len(words) else None
            if self._ended:
                self.scan.operands.append(Operand(word, sure=True))
            elif self._pending == "value" and is_single(word):
                self._pending = ""
            elif word.text is None:
                self._dynamic(word, after)
            else:
                self._literal(word, word.text, after)
        return self.scan

    def _literal(self, word: Word, text: str, after: Word | None) -> None:
        if text == "--":
            if self._perhaps_ended:
                self.scan.operands.append(Operand(word, sure=False))
            self._ended = self._pending != "maybe"
            self._perhaps_ended = True
            self._pending = ""
        elif len(text) > 1 and text[0] == "-":
            self.scan.flags.append((word, after))
            if self._perhaps_ended:
                self.scan.operands.append(Operand(word, sure=False))
            self._pending = self._takes(text)
        else:
            self._operand(word)

    def _operand(self, word: Word) -> None:
        sure = self._pending != "maybe"
        self.scan.operands.append(Operand(word, sure))
        self._pending = ""
        self._settled += sure
        if sure and self._ends_after is not None and self._settled > self._ends_after:
            self._ended = True

    def _dynamic(self, word: Word, after: Word | None) -> None:
        if word.dynamic == "tilde":
            self._operand(word)
            return
        if could_begin(word, "-"):
            self.scan.flags.append((word, after))
        self.scan.operands.append(Operand(word, sure=False))
        self._pending = "maybe"

    def _takes(self, text: str) -> str:
        if text.startswith("--"):
            if "=" in text:
                return ""
            if any(one.startswith(text) for one in self._values):
                return "value" if text in self._values else "maybe"
            return "" if text in self._switches else "maybe"
        if text in self._values:
            return "value"
        for position, letter in enumerate(text[1:], start=1):
            if f"-{letter}" in self._values:
                return "" if position + 1 < len(text) else "value"
        return "" if f"-{text[-1]}" in self._switches else "maybe"


def scan(words: Sequence[Word], options: OptionFacts, subcommand_words: int) -> Scan:
    """Sort `words` (without the program's name).

    With `end_at_operand`, what follows the first sure operand behind the subcommand is left alone.
    """
    ends_after = subcommand_words if options.end_at_operand else None
    return _Scanner(options, ends_after).feed(words)


# --- subcommands ------------------------------------------------------------------------------


def match_subcommand(operands: Sequence[Operand], subcommand: Sequence[str]) -> tuple[Match, int]:
    """Match `("container", "run")` at the front of the operands; also how many those took up.

    Words that may be an option's value may be passed over.
    """
    best, used = Match.NO, 0
    states = {0: Match.YES}  # words of the subcommand found so far → how surely
    for position, operand in enumerate(operands):
        ahead: dict[int, Match] = {}
        for wanted, sure in states.items():
            found = min(sure, match_word(operand.word, (subcommand[wanted],)))
            if found is not Match.NO and wanted + 1 == len(subcommand):
                if found > best:
                    best, used = found, position + 1
            elif found is not Match.NO:
                ahead[wanted + 1] = max(found, ahead.get(wanted + 1, Match.NO))
            if not operand.sure:
                ahead[wanted] = max(sure, ahead.get(wanted, Match.NO))
        if best is Match.NO and not is_single(operand.word) and operand.word.dynamic != "tilde":
            best, used = Match.COULD, position  # it may be several words
        states = ahead
        if best is Match.YES or not states:
            break
    return best, used


# --- flags ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FlagSpec:
    """One flag of a rule: its spellings, and the glob its value must match (None: any)."""

    short: tuple[str, ...]
    """Letters."""
    long: tuple[str, ...]
    """Names without dashes."""
    value: str | None


@lru_cache(maxsize=4096)
def flag_spec(text: str) -> FlagSpec:
    """Read `-r, -R, --recursive` or `-v, --volume=/etc*` as the schema has checked it."""
    spellings, equals, value = text.partition("=")
    short, long = [], []
    for spelling in (part.strip() for part in spellings.split(",")):
        if len(spelling) == 2:
            short.append(spelling[1])
        else:
            long.append(spelling.lstrip("-"))
    return FlagSpec(tuple(short), tuple(long), value if equals else None)


def match_flag(
    flags: Sequence[tuple[Word, Word | None]], spec: FlagSpec, values: Sequence[str]
) -> Match:
    """Whether the flag is among the options, in any spelling: bundled, abbreviated, with a value.

    `values` are the options known to take one: in `-ofr`, f and r are no flags if -o takes one.
    """
    best = Match.NO
    for word, after in flags:
        if word.text is not None:
            best = max(best, _match_literal(word.text, after, spec, values))
        elif is_single(word) and word.prefix:
            best = max(best, _match_prefix(word.prefix, spec))
        else:
            best = max(best, Match.COULD)
    return best


def _match_prefix(prefix: str, spec: FlagSpec) -> Match:
    """A quoted word of which only the beginning is known: `"--priv$x"`, `"-$x"`."""
    name, _, _ = prefix.lstrip("-").partition("=")
    if not prefix.startswith("--"):
        return Match.COULD if prefix.startswith("-") else Match.NO
    return Match.COULD if any(one.startswith(name) for one in spec.long) else Match.NO


def _match_literal(text: str, after: Word | None, spec: FlagSpec, values: Sequence[str]) -> Match:
    name, equals, value = text.lstrip("-").partition("=")
    whole = not text.startswith("--") and len(name) > 1
    for long in spec.long:
        # `-privileged` is a long option to Go's own flag package, a bundle to everyone else.
        if name and (long == name if whole else long.startswith(name) and len(text) > 2):
            return _match_value(value if equals else None, after, spec)
    if text.startswith("--"):
        return Match.NO
    return _match_bundle(text[1:], after, spec, values)


def _match_bundle(letters: str, after: Word | None, spec: FlagSpec, values: Sequence[str]) -> Match:
    for position, letter in enumerate(letters):
        if letter in spec.short:
            rest = letters[position + 1 :]
            if spec.value is None and not rest.startswith("="):
                return Match.YES
            return _match_value(rest.removeprefix("=") or None, after, spec)
        if letter == "=" or f"-{letter}" in values:
            return Match.NO
    return Match.NO


def _match_value(value: str | None, after: Word | None, spec: FlagSpec) -> Match:
    if spec.value is None:
        return Match.NO if value in FALSE else Match.YES
    if value is not None:
        return Match.YES if matches_name(value, spec.value) else Match.NO
    if after is None:
        return Match.NO
    if after.text is not None:
        return Match.YES if matches_name(after.text, spec.value) else Match.NO
    covered = shell_tokens(after.raw) if after.dynamic in ("glob", "name") else (DEEP,)
    return Match.COULD if overlaps(covered, name_tokens(spec.value)) else Match.NO
