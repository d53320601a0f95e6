"""A reading of a plain command line, without the shell reader."""

from __future__ import annotations

import shlex

from bastion.policy.facts import Reading, SimpleCommand, Word


def plain_reading(line: str) -> Reading:
    """Words split at blanks; `~/` and `*` are dynamic as a shell would make them."""
    words = []
    for raw in line.split():
        dynamic = "tilde" if raw.startswith("~") else "glob" if "*" in raw or "?" in raw else ""
        words.append(Word(None if dynamic else shlex.split(raw)[0], raw, dynamic))
    program = (words[0].text or "").rpartition("/")[2]
    return Reading(line, (SimpleCommand(program, tuple(words)),))
