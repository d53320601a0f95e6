"""What a shell says that its variables hold: the output of bash's `declare -p`, for the fuzz."""

from __future__ import annotations

import re
from typing import Final

from bastion.policy.shell.parse import Parser
from bastion.policy.shell.tree import Assignment, RawWord, Simple, UnreadableError
from bastion.policy.shell.values import MAX_NAMES, MAX_VALUE, MAX_VALUES
from bastion.policy.shell.words import literal_of

MAX_TEXT: Final = MAX_NAMES * (MAX_VALUE + 16 * MAX_VALUES)
"""Characters: every name with a value as long as one may be, and the subscripts of its elements."""
_ATTRIBUTES: Final = re.compile(r"-(?:-|[aAilnrtuxcg]+)")
_NAMED: Final = re.compile(r"declare -\S+ ([A-Za-z_]\w*)")

Held = tuple[tuple[str, tuple[str, ...]], ...]


def values_of(text: str, names: tuple[str, ...]) -> tuple[Held, tuple[str, ...]]:
    """Read the answer of `declare -p NAMES` → (values, names that it does not tell).

    A name that is not in the answer at all is unset, and holds nothing. References, associative and
    sparse arrays are not told, nor is anything where the answer is not what bash prints.
    """
    found: dict[str, tuple[str, ...] | None] = {}
    if len(text) > MAX_TEXT:
        return (), names
    for line in text.rstrip("\n").split("\n") if text else ():
        name, values = _declaration(line)
        if not name:
            return (), names
        found[name] = None if name in found else values
    told = {name: found.get(name, ()) for name in names}
    held = tuple((name, values) for name, values in told.items() if values is not None)
    return held, tuple(name for name, values in told.items() if values is None)


def _declaration(line: str) -> tuple[str, tuple[str, ...] | None]:
    """Read one line: a name, empty where it is no declaration, and what it holds, if that is told.

    Bash writes a newline inside a value as `\\n`, so that a value never ends its line.
    """
    named = _NAMED.match(line)
    node = _simple(line)
    if named is None or node is None:
        return named.group(1) if named else "", None
    attributes = _text(node.words[1])
    if attributes is None or _ATTRIBUTES.fullmatch(attributes) is None or len(node.words) != 3:
        return "", None
    if set(attributes) & set("An"):
        return named.group(1), None
    last = node.words[2]
    if isinstance(last, Assignment):
        values = _elements(last) if last.value is None and "a" in attributes else None
        return last.name, values
    name, equals, value = (_text(last) or "").partition("=")
    return (name, (value,) if equals else ()) if "a" not in attributes or not equals else ("", None)


def _simple(line: str) -> Simple | None:
    try:
        items = Parser(line).program().items
    except (UnreadableError, RecursionError):
        return None
    node = items[0] if len(items) == 1 else None
    plain = isinstance(node, Simple) and not node.redirects and not node.assignments
    return node if isinstance(node, Simple) and plain and len(node.words) > 1 else None


def _elements(array: Assignment) -> tuple[str, ...] | None:
    """Give the elements of `([0]="a" [1]="b")`, if none is missing between them."""
    values: list[str] = []
    for word in array.array:
        match = re.match(r"\[(\d+)\]=", word.raw)
        if match is None or int(match.group(1)) != len(values):
            return None
        text = _text(Parser(word.raw[match.end() :]).word() or RawWord([], ""))
        if text is None:
            return None
        values.append(text)
    return tuple(values)


def _text(word: RawWord | Assignment) -> str | None:
    return literal_of(word.parts) if isinstance(word, RawWord) else None
