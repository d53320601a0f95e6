"""The word before the cursor: what it could become, and how what it becomes is written."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from bastion.editor.program_options import DIRECTORIES_ONLY, NAMES, OPTIONS, SUBCOMMANDS, WRAPPERS
from bastion.editor.values import CompletionKind
from bastion.wire.shell_tokens import Frame, Reader

_VARIABLE: Final = re.compile(r"\$(\{?)([A-Za-z_]\w*|)\Z")
_BEFORE_VALUE: Final = re.compile(r"-{0,2}[A-Za-z_][\w.-]*\+?=")
_SPECIAL: Final = re.compile(r"([^\w./+,@%:=-])", re.ASCII)
_SPECIAL_IN_DOUBLE: Final = re.compile(r'(["\\$`])')


@dataclass(frozen=True, slots=True)
class Place:
    """A word that can be completed."""

    kind: CompletionKind
    word: str
    """What is there of it, unquoted."""
    start: int
    """Where the text that is replaced begins."""
    quote: str = ""
    """The quote that is open: `'` or `"`."""
    closer: str = ""
    """What ends the word besides: the `}` of `${`, the `/` after a user."""
    known: tuple[str, ...] | None = None
    """All that it can become, where that need not be asked."""


def place_of(text: str) -> Place | None:
    """Find what stands at the end of `text`; None where nothing can be completed."""
    reader = Reader(text)
    frame = reader.frame
    if reader.in_comment or reader.open_heredoc or frame.opened == "$'":
        return None
    variable = _VARIABLE.search(text)
    if variable and frame.opened != "'" and not _escaped(text, variable.start()):
        name = variable.group(2)
        closer = "}" if variable.group(1) else ""
        return Place(CompletionKind.VARIABLE, name, len(text) - len(name), closer=closer)
    start = frame.word_start if frame.word_start >= 0 else len(text)
    word = frame.literal if frame.word_start >= 0 else ""
    if frame.dynamic and frame.word_start >= 0:
        return None  # what the expansion gives is known to the shell alone
    raw = text[start:]
    if raw.startswith("~") and "/" not in raw and not frame.opened:
        return Place(CompletionKind.USER, raw[1:], start + 1, closer="/")
    value = _BEFORE_VALUE.match(raw)
    if value:
        word = word[value.end() :]
        return Place(CompletionKind.PATH, word, start + value.end(), _open_quote(frame))
    kind, known = _kind_of(frame, word)
    if kind is CompletionKind.COMMAND and not word:
        return None  # every command there is
    return Place(kind, word, start, _open_quote(frame), known=known)


def _escaped(text: str, at: int) -> bool:
    before = text[:at]
    return (len(before) - len(before.rstrip("\\"))) % 2 == 1


def _open_quote(frame: Frame) -> str:
    return frame.opened if frame.word_start >= 0 else ""


def _kind_of(frame: Frame, word: str) -> tuple[CompletionKind, tuple[str, ...] | None]:
    if frame.redirect:
        return CompletionKind.PATH, None
    words = _without_wrappers(frame.words)
    if frame.at_command or not words:
        return (CompletionKind.PATH if "/" in word else CompletionKind.COMMAND), None
    program = words[0].rpartition("/")[2]
    beginnings = [f"{program} {words[1]}", program] if len(words) > 1 else [program]
    if word.startswith("-"):
        found = next((OPTIONS[each] for each in beginnings if each in OPTIONS), None)
        return CompletionKind.PATH, found
    if len(words) == 1 and program in SUBCOMMANDS:
        matching = tuple(each for each in SUBCOMMANDS[program] if each.startswith(word))
        return CompletionKind.PATH, matching or None
    if program in DIRECTORIES_ONLY:
        return CompletionKind.DIRECTORY, None
    return (CompletionKind.VARIABLE if program in NAMES else CompletionKind.PATH), None


def _without_wrappers(words: list[str]) -> list[str]:
    """Leave out `sudo -u root` and its like: what follows is a command again."""
    rest = words
    while rest and rest[0] in WRAPPERS:
        valued = WRAPPERS[rest[0]].split()
        rest = rest[1:]
        while rest and (rest[0].startswith("-") or "=" in rest[0] or rest[0][0].isdigit()):
            rest = rest[2 if rest[0] in valued else 1 :]
    return rest


def written(value: str, place: Place, *, whole: bool) -> str:
    """Write `value` as a shell reads it back literally, in the quotes that are already open.

    `whole`: the word ends here, so its quote is closed, unless it is a directory to go on with.
    """
    goes_on = not whole or value.endswith(("/", "="))
    ending = "" if goes_on else place.quote + place.closer
    if place.quote == "'":
        return "'" + value.replace("'", "'\\''") + ending
    if place.quote == '"':
        return '"' + _SPECIAL_IN_DOUBLE.sub(r"\\\1", value) + ending
    home = ""
    if place.word.startswith("~") and value.startswith("~"):
        home, slash, value = value.partition("/")
        home += slash
    plain = _SPECIAL.sub(lambda found: _escape(found.group()), value)
    if plain[:1] in ("=", "%") and not home:
        plain = "\\" + plain
    return home + plain + ending


def _escape(character: str) -> str:
    return character if character.isalnum() else "\\" + character
