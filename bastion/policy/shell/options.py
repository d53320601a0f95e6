"""Values of options, however they are written: apart, attached, bundled, abbreviated."""

from __future__ import annotations

import re

from bastion.policy.facts import Word
from bastion.policy.shell.state import Call, literal


def option_values(call: Call, names: tuple[str, ...]) -> list[Word]:
    """Give the values of options however they are written: apart, attached, abbreviated."""
    found: list[Word] = []
    words = call.operands
    for index, word in enumerate(words):
        text = word.text if word.text is not None else word.prefix
        if text == "--":
            break
        for name in names:
            value = _value(words, index, text, name)
            if value is not None:
                found.append(value)
                break
    return found


def attached_values(call: Call, names: tuple[str, ...]) -> list[Word]:
    """Give the values of options that take one only where it is attached (`-oFILE`)."""
    found: list[Word] = []
    for word in call.operands:
        text = word.text if word.text is not None else word.prefix
        for name in names:
            mark = name + "=" if name.startswith("--") else name
            value = text.removeprefix(mark)
            if value != text and value:
                known = word.text is not None
                found.append(
                    Word(value, value) if known else Word(None, word.raw, word.dynamic, value)
                )
    return found


def _value(words: list[Word], index: int, text: str, name: str) -> Word | None:
    following = words[index + 1] if index + 1 < len(words) else literal("")
    word = words[index]
    if text == name and word.text is not None:
        return following
    given, equals, value = text.partition("=")
    if name.startswith("--"):
        if not (len(given) > 4 and name.startswith(given)):
            return None
        if equals:
            return (
                Word(value, value)
                if word.text is not None
                else Word(None, word.raw, word.dynamic, value)
            )
        return following
    letter = name[1:]
    if len(letter) == 1 and name[0] == "-" and text[:1] == "-" and text[1:2] != "-":
        bundle = re.match(rf"-[a-zA-Z0-9]*?{re.escape(letter)}(.*)", text, re.DOTALL)
        if bundle:
            return Word(bundle.group(1), bundle.group(1)) if bundle.group(1) else following
    elif equals and given == name:
        return Word(value, value)
    return None
