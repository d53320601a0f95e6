"""What a request would do, a line a thing, for people: nothing in it can act on a terminal."""

from __future__ import annotations

from typing import Final

from bastion.model import (
    Direction,
    FileRequest,
    ForwardRequest,
    ShellRequest,
    SubsystemRequest,
    visible,
)
from bastion.policy.facts import Access, PathUse, Reading, SimpleCommand, Word

MAX_PARSE_LINES: Final = 200
"""Lines of a verdict's parse: an approver's screen is not flooded, and told how much is missing."""


def show_command(command: SimpleCommand) -> str:
    """One command on one line: its words, and what starts it."""
    words = " ".join(_shown(word) for word in command.argv) or command.program or "(unknown)"
    more = " …" if command.extra_operands else ""
    via = f"   (started by {visible(', '.join(command.via))})" if command.via else ""
    return f"{words}{more}{via}"


def _shown(word: Word) -> str:
    if word.text is None:
        return visible(word.raw)
    plain = word.text and all(letter.isalnum() or letter in "-_./:=,+@%^" for letter in word.text)
    return word.text if plain else "'" + visible(word.text) + "'"


def show_use(use: PathUse) -> str:
    """One opening of a path on one line."""
    verb = {Access.READ: "reads", Access.WRITE: "writes", Access.METADATA: "looks at"}[use.access]
    path = visible(use.path)
    if use.dynamic in ("glob", "name"):
        path += " (pattern)"
    elif use.dynamic == "directory":
        path = f"…/{path} (directory unknown)"
    elif use.dynamic:
        path += "… (not wholly known)"
    return f"{visible(use.program)} {verb} {path}"


def show_file(request: FileRequest) -> str:
    """One file operation on one line."""
    other = f" {visible(request.other_path)}" if request.other_path else ""
    way = f" ({request.direction})" if request.direction is not Direction.NONE else ""
    return f"{request.protocol}: {request.operation} {visible(request.path)}{other}{way}"


def show_session(request: ShellRequest | SubsystemRequest) -> str:
    """A shell or a subsystem on one line."""
    if isinstance(request, SubsystemRequest):
        return f"subsystem {visible(request.name)}"
    return "interactive shell" + " on a terminal" * request.pty


def show_forward(request: ForwardRequest) -> str:
    """One forward on one line."""
    where = visible(request.host) + (f":{request.port}" if request.port else "")
    return f"{request.kind} {where}".rstrip()


def parse_lines(reading: Reading) -> tuple[str, ...]:
    """All that would run and be opened, a line each, for people."""
    lines = [show_command(command) for command in reading.commands]
    lines += [show_use(use) for use in reading.paths if use.access is not Access.METADATA]
    lines += [f"runs what it downloads: {visible(what)}" for what in reading.downloads_run]
    lines = list(dict.fromkeys(lines))
    if len(lines) > MAX_PARSE_LINES:
        more = len(lines) - MAX_PARSE_LINES
        lines = [*lines[:MAX_PARSE_LINES], f"… and {more} more lines that are not shown"]
    return tuple(lines)
