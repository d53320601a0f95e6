"""`!!`, `!$`, `!word`, `^old^new`: history expansion as bash(1) has it, the commonest part of it.

The shell on the target does none (its commands come from no terminal). What is expanded here is put
into the line for the person to see; a second Enter runs it. What matches nothing stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

_WORD: Final = re.compile(r"""(?:[^\s'"\\;&|<>()]|\\.|'[^']*'|"(?:\\.|[^"\\])*")+|[;&|<>()]+""")
_EVENT: Final = re.compile(
    r"!(?:(?P<last>!)|-(?P<back>[1-9]\d{0,3})|\?(?P<within>[^?\n]+)\??"
    r"|(?P<begins>[A-Za-z0-9_./][^\s;&|<>()'\"`:$*^!?]*))?"
    r"(?::?(?P<ends>[\^$*])|:(?P<number>\d{1,3}))?"
)
_SKIPPED: Final = re.compile(r"'[^']*'|\\.|\$\{!|\$!|\[![^\]]*\]", re.DOTALL)
_SUBSTITUTION: Final = re.compile(r"\^([^^\n]+)\^([^^\n]*)\^?\Z")


def expanded(text: str, commands: Sequence[str]) -> str:
    """Give `text` with its references to `commands` (oldest first) replaced."""
    if not commands:
        return text
    substitution = _SUBSTITUTION.match(text)
    if substitution:
        old, new = substitution.groups()
        return commands[-1].replace(old, new, 1) if old in commands[-1] else text
    if "!" not in text:
        return text
    pieces: list[str] = []
    at, quoted = 0, False
    while at < len(text):
        skipped = None if quoted and text[at] == "'" else _SKIPPED.match(text, at)
        event = _EVENT.match(text, at)
        if skipped:
            pieces.append(skipped.group())
            at = skipped.end()
        elif event and event.end() > at + 1:
            pieces.append(_referred(event, commands))
            at = event.end()
        else:
            quoted ^= text[at] == '"'
            pieces.append(text[at])
            at += 1
    return "".join(pieces)


def _referred(event: re.Match[str], commands: Sequence[str]) -> str:
    command = _command(event, commands)
    if command is None:
        return event.group()
    words = _WORD.findall(command)
    match event["ends"], event["number"]:
        case "^", _:
            chosen = words[1:2]
        case "$", _:
            chosen = words[-1:]
        case "*", _:
            chosen = words[1:]
        case None, None:
            return command
        case _, number:
            chosen = words[int(number) : int(number) + 1]
    return " ".join(chosen) if chosen or event["ends"] == "*" else event.group()


def _command(event: re.Match[str], commands: Sequence[str]) -> str | None:
    if event["back"]:
        back = int(event["back"])
        return commands[-back] if back <= len(commands) else None
    begins, within = event["begins"], event["within"]
    for command in reversed(commands):
        if begins and not command.startswith(begins):
            continue
        if within and within not in command:
            continue
        return command
    return None
