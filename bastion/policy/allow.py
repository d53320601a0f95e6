"""What an allow rule covers: less than a deny rule matches, for here a doubt means no."""

from __future__ import annotations

from typing import Final

from bastion.model import FileRequest
from bastion.policy.facts import PathUse, Reading, SimpleCommand
from bastion.policy.globs import Match, matches_name, normalise
from bastion.policy.match import (
    covers_path,
    is_at,
    match_operand,
    match_pattern,
    match_use,
    spans,
)
from bastion.policy.options import match_subcommand, scan
from bastion.policy.rules import Rule
from bastion.policy.schema import CommandPattern

PLAIN_WRAPPERS: Final = frozenset(
    ["command", "builtin", "env", "nice", "nohup", "setsid", "stdbuf", "time", "timeout"]
)
"""What may start an allowed program without being allowed itself: it changes nobody's rights."""

PROGRAM_DIRECTORIES: Final = frozenset(
    f"{root}/{name}" for root in ("", "/usr", "/usr/local") for name in ("bin", "sbin")
)


def allows_line(rule: Rule, reading: Reading) -> bool:
    """Whether the rule's expression is the whole line: then it speaks for all that runs."""
    return rule.text is not None and spans(rule.text, reading.raw)


def allows_command(rule: Rule, command: SimpleCommand) -> bool:
    """Whether a rule surely covers all of a command, and how it is started.

    `./ls` is not ls, and `sudo ls` is more than ls: the rule must name the path, or the wrapper.
    One operand that fits makes a denial; for leave, all of them have to.
    """
    return any(
        match_pattern(pattern, command) is Match.YES
        and _fits_whole(pattern, command)
        and _is_genuine(pattern, command)
        and all(_is_harmless(pattern, wrapper) for wrapper in command.via)
        for pattern in rule.command
    )


def _fits_whole(pattern: CommandPattern, command: SimpleCommand) -> bool:
    """Whether every operand is among those the pattern names, if it names any."""
    if not pattern.operands:
        return True
    for subcommand in pattern.subcommand or ("",):
        named = subcommand.split()
        found = scan(command.argv[1:], pattern.options, len(named))
        sure, used = match_subcommand(found.operands, named) if named else (Match.YES, 0)
        operands = found.operands[used + bool(pattern.first_operand) :]
        if (
            sure is Match.YES
            and all(match_operand(pattern, command, one.word) is Match.YES for one in operands)
            and not any("/" in (word.text or "/") for word, _ in found.flags)
        ):
            return not command.extra_operands
    return False


def _is_genuine(pattern: CommandPattern, command: SimpleCommand) -> bool:
    written = command.argv[0].text if command.argv else None
    if written is None:
        return False
    if "/" not in written:
        return True
    named = any(is_at(command, name) for name in pattern.program)
    return named or normalise(written).rpartition("/")[0] in PROGRAM_DIRECTORIES


def _is_harmless(pattern: CommandPattern, wrapper: str) -> bool:
    name = wrapper.partition(" ")[0]
    return name in PLAIN_WRAPPERS or any(
        matches_name(wrapper, via) or matches_name(name, via) for via in pattern.via
    )


def starts(wrapper: SimpleCommand, command: SimpleCommand) -> bool:
    """Whether `wrapper` does nothing but start `command`, which a rule is asked about itself."""
    count = len(command.argv)
    return (
        0 < count < len(wrapper.argv)
        and command.via == (*wrapper.via, wrapper.program)
        and wrapper.argv[-count:] == command.argv
    )


def allows_use(rule: Rule, use: PathUse) -> bool:
    """Whether the rule surely covers this opening."""
    return match_use(rule, use) is Match.YES


def allows_file(rule: Rule, request: FileRequest) -> bool:
    """Whether the rule surely covers the operation, with all of its paths."""
    paths = [path for path in (request.path, request.other_path) if path] or [""]
    return all(covers_path(rule, request, path) for path in paths)
