"""Peels a program that starts another: its options, and the command inside."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from bastion.policy.facts import Word


@dataclass(frozen=True, slots=True)
class Wrapper:
    """Options of one program, as getopt(3) has them, and what stands before the command.

    `values`/`flags` are letters; `long_values`/`long_flags` are names separated by blanks.
    `bare` says what happens without a command: nothing, or a `shell`.
    """

    values: str = ""
    flags: str = ""
    long_values: str = ""
    long_flags: str = ""
    positionals: int = 0
    assignments: bool = False
    bare: str = ""
    numbers: bool = False
    """`-10` is a value of its own (nice)."""
    plus: bool = False
    """Options may begin with `+`, or the program has single-dash long options."""
    go: bool = False
    """One dash begins a long option, as in Go's own flag package: `-name=web`."""
    joined: bool = False
    """The operands are joined by blanks and given to a shell."""


@dataclass(slots=True)
class Peeled:
    """A wrapper's options, its leading operands, and the command inside."""

    options: list[tuple[str, Word | None]] = field(default_factory=list)
    positionals: list[Word] = field(default_factory=list)
    assignments: list[tuple[str, Word]] = field(default_factory=list)
    command: list[Word] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    def values(self, *names: str) -> list[Word]:
        """Give all values of an option, in their order."""
        return [value for name, value in self.options if name in names and value is not None]

    def option(self, *names: str) -> Word | None:
        """Give the last value of an option, an empty word for a flag, None where it is absent."""
        found: Word | None = None
        for name, value in self.options:
            if name in names:
                found = value or Word("", "")
        return found


def peel(wrapper: Wrapper, operands: list[Word]) -> Peeled:
    """Split a wrapper's operands into options, positionals and the command inside."""
    peeled = Peeled()
    index = 0
    positionals = wrapper.positionals
    while index < len(operands):
        word = operands[index]
        text = word.text
        if text is None:
            if peeled.command or positionals == 0:
                # It may be an option, the command, or nothing at all.
                break
            positionals -= 1
            peeled.positionals.append(word)
            index += 1
            continue
        if text == "--":
            index += 1
            index = _take_positionals(peeled, operands, index, positionals)
            positionals = 0
            break
        if text.startswith("-") and len(text) > 1 and (text[1:2] != "-" or len(text) > 2):
            index = _option(wrapper, peeled, operands, index)
        elif wrapper.plus and text.startswith("+"):
            peeled.unknown.append(text)
            index += 1
        elif text == "-" and wrapper.assignments:
            peeled.options.append(("i", None))
            index += 1
        elif wrapper.assignments and "=" in text:
            name, _, value = text.partition("=")
            peeled.assignments.append((name, Word(value, value)))
            index += 1
        elif positionals:
            positionals -= 1
            peeled.positionals.append(word)
            index += 1
        else:
            break
    index = _assignments(wrapper, peeled, operands, index)
    peeled.command = operands[index:]
    return peeled


def spread(
    wrapper: Wrapper, operands: list[Word]
) -> tuple[list[tuple[str, Word | None]], list[Word]]:
    """Split words into options and operands, which may stand between one another.

    An option that is not literal (`-d@$f`, `--data=$x`) keeps the name that is known of it.
    """
    options: list[tuple[str, Word | None]] = []
    found: list[Word] = []
    rest = operands
    while rest:
        peeled = peel(wrapper, rest)
        options += peeled.options
        at = len(rest) - len(peeled.command)
        if at and rest[at - 1].text == "--" and peeled.command:
            # Whether this ends the options or is the value of one: both are taken for granted.
            found += peeled.command
            rest = [word for word in peeled.command if word.text is None or word.text[:1] == "-"]
            options += peel(wrapper, rest).options if rest else []
            break
        if not peeled.command:
            break
        word, rest = peeled.command[0], peeled.command[1:]
        named = _named(wrapper, word)
        if named is None:
            found.append(word)
        else:
            options.append(named)
    return options, found


def _named(wrapper: Wrapper, word: Word) -> tuple[str, Word] | None:
    """Give the name and value of an option that is only known in part."""
    if word.text is not None or not word.prefix.startswith("-") or word.prefix in ("-", "--"):
        return None
    head = Word(word.prefix, word.prefix)
    name, value = peel(wrapper, [head]).options[-1]
    known = value.text if value is not None else ""
    return name, Word(None, word.raw, word.dynamic, known or "")


def _take_positionals(peeled: Peeled, operands: list[Word], index: int, count: int) -> int:
    peeled.positionals.extend(operands[index : index + count])
    return index + count


def _assignments(wrapper: Wrapper, peeled: Peeled, operands: list[Word], index: int) -> int:
    """Take `NAME=value` words, dynamic ones too, in front of the command."""
    while wrapper.assignments and index < len(operands):
        word = operands[index]
        tilde = word.dynamic == "tilde"
        known = word.raw if tilde else word.text if word.text is not None else word.prefix
        name, equals, value = known.partition("=")
        if not equals or not name or ("/" in name and not tilde):
            break
        dynamic = word.text is None
        peeled.assignments.append(
            (name, Word(None, word.raw, word.dynamic, value) if dynamic else Word(value, value))
        )
        index += 1
    return index


def _option(wrapper: Wrapper, peeled: Peeled, operands: list[Word], index: int) -> int:
    text = operands[index].text or ""
    if text.startswith("--"):
        return _long(wrapper, peeled, operands, index, text[2:])
    if wrapper.go:
        return _long(wrapper, peeled, operands, index, text[1:])
    if wrapper.numbers and re.fullmatch(r"--?\d+|-\+?-?\d+", text):
        peeled.options.append(("n", operands[index]))
        return index + 1
    for at, letter in enumerate(text[1:], 1):
        if letter in wrapper.values:
            if at + 1 < len(text):
                peeled.options.append((letter, Word(text[at + 1 :], text[at + 1 :])))
                return index + 1
            value = operands[index + 1] if index + 1 < len(operands) else None
            peeled.options.append((letter, value))
            return index + 2
        if letter not in wrapper.flags:
            peeled.unknown.append(text)
            peeled.options.append((letter, None))
            break
        peeled.options.append((letter, None))
    return index + 1


def _long(wrapper: Wrapper, peeled: Peeled, operands: list[Word], index: int, text: str) -> int:
    name, equals, value = text.partition("=")
    values = wrapper.long_values.split()
    flags = wrapper.long_flags.split()
    known = [each for each in values + flags if each.startswith(name)]
    exact = name if name in values or name in flags else known[0] if len(known) == 1 else ""
    if not exact:
        peeled.unknown.append("--" + name)
        peeled.options.append((name, Word(value, value) if equals else None))
        return index + 1
    if equals:
        peeled.options.append((exact, Word(value, value)))
        return index + 1
    if exact in values and index + 1 < len(operands):
        peeled.options.append((exact, operands[index + 1]))
        return index + 2
    peeled.options.append((exact, None))
    return index + 1
