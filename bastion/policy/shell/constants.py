"""Variables that a line sets once and only reads from there on: `d=/srv/app; ls "$d"/logs`."""

from __future__ import annotations

import re
from typing import Final

from bastion.policy.facts import Word
from bastion.policy.shell.tree import Literal, Node, RawWord, Simple, Substitution
from bastion.policy.shell.words import expand_one, literal_of

_SETS_OTHERWISE: Final = re.compile(
    r"\b(?:eval|declare|typeset|local|export|readonly|read|mapfile|readarray|printf|getopts|source"
    r"|unset|let|trap|alias|select|coproc|wait|set|shift|for|while|until|function)\b"
    r"|(?:^|[\s;&|({])\.\s|\(\)|\(\(|\$\[|\$\{[!#]?\w+:?=|\{\w+\}[<>]|<\(|>\("
)
"""What may set a variable without its name before a `=`, or leave the order of the text."""
_TEMPORARY: Final = re.compile(r"mktemp(?: -[dqu]+)*(?: --directory)?")
_NEW_FILE: Final = Word(None, "/tmp/tmp.*", "name", "/tmp/tmp.")  # noqa: S108 (what mktemp makes)
MAX_KNOWN: Final = 20


def set_by(
    node: Simple, text: str, values: dict[str, tuple[Word, ...]]
) -> dict[str, tuple[Word, ...]]:
    """Give the values that are known once this command has run."""
    if node.words or node.redirects or not node.assignments or len(values) > MAX_KNOWN:
        return values
    if _SETS_OTHERWISE.search(text):
        return values
    known = dict(values)
    for each in node.assignments:
        named = re.findall(rf"(?<![\w$]){each.name}\b", re.sub(r"\$\{", "$", text))
        if len(named) != 1 or each.value is None or each.subscript or each.name in _SPECIAL:
            continue
        value = expand_one(each.value, assignment=True)
        temporary = _temporary(each.value)
        if value.text is not None and re.fullmatch(r"[\w./@%+=:,-]+", value.text):
            known[each.name] = (value,)
        elif temporary:
            known[each.name] = (_NEW_FILE,)
    return known


def succeeds(node: Node) -> bool:
    """Tell whether a command surely has status 0: it only assigns what is written out."""
    return (
        isinstance(node, Simple)
        and not (node.words or node.redirects)
        and all(
            each.value is not None and literal_of(each.value.parts) is not None
            for each in node.assignments
        )
    )


_SPECIAL: Final = frozenset({"PATH", "HOME", "PWD", "OLDPWD", "IFS", "CDPATH", "_", "TMPDIR"})


def _temporary(word: RawWord) -> bool:
    """Tell whether it is `$(mktemp)`, quoted or not."""
    parts = [part for part in word.parts if part != Literal("", quoted=True)]
    only = parts[0] if len(parts) == 1 else None
    if not isinstance(only, Substitution) or len(only.body.items) != 1:
        return False
    command = only.body.items[0]
    if not isinstance(command, Simple) or command.redirects or command.assignments:
        return False
    words = [word.raw for word in command.words if isinstance(word, RawWord)]
    return _TEMPORARY.fullmatch(" ".join(words)) is not None
