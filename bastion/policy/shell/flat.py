"""What a line that is too much to parse would run, told by its letters alone, in one pass.

Quotes are dropped and every separator begins a command, so that words of data are taken for
commands, too. That is on the safe side: the reading is opaque already, and this is for deny rules.
"""

from __future__ import annotations

import re
from typing import Final

from bastion.policy.facts import Access, PathUse, SimpleCommand
from bastion.policy.globs import normalise
from bastion.policy.shell.launchers import LAUNCHERS
from bastion.policy.shell.opening import CLOSED
from bastion.policy.shell.state import Reader, literal

MAX_FLAT: Final = 64 * 1024
"""Characters that are looked at: a client may send a command line of megabytes."""
MAX_SEGMENTS: Final = 200
"""Different commands listed: each is matched against every rule."""
MAX_WORDS: Final = 40
"""Words of one command; a flag behind so many is not seen, and the line is opaque all the same."""

_SEPARATORS: Final = re.compile(r"[;&|\n(){}`<>!]+")
_QUOTING: Final = re.compile(r"[\\'\"$]")
_PASSED: Final = re.compile(
    r"[A-Za-z_]\w*=.*|-.*|\d+[smhd]?|if|then|elif|else|while|until|do|time|eval|sh|bash|dash|ssh"
)


def list_flat(reader: Reader, text: str) -> None:
    """List all that might be a command of `text`, and the absolute paths among its words."""
    segments = dict.fromkeys(_SEPARATORS.split(_QUOTING.sub("", text[:MAX_FLAT])))
    listed = 0
    for segment in segments:
        words = segment.split(None, 2 * MAX_WORDS)
        while words and (words[0] in LAUNCHERS or _PASSED.fullmatch(words[0])):
            del words[0]
        if words and listed < MAX_SEGMENTS:
            listed += 1
            _list(reader, words[:MAX_WORDS])


def _list(reader: Reader, words: list[str]) -> None:
    program = words[0].rpartition("/")[2]
    argv = tuple(literal(word) for word in words)
    reader.commands[SimpleCommand(program, argv, directories=reader.state.directories)] = None
    if program not in CLOSED:
        for word in words[1:]:
            if word.startswith("/"):
                reader.paths[PathUse(normalise(word), Access.READ, program)] = None
