"""What a grant's rules say of the commands that were read in a line: sure, in doubt, by default."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from bastion.model import visible
from bastion.policy.actions import Action
from bastion.policy.allow import allows_command, allows_line, allows_use, starts
from bastion.policy.facts import Access, Opaque, OpaqueKind, PathUse, Reading, SimpleCommand
from bastion.policy.globs import Match
from bastion.policy.judgement import Terms, by_default, by_opaque, by_rule
from bastion.policy.match import covers_opaque, match_command, match_use
from bastion.policy.rules import Verdict
from bastion.policy.shell.state import names
from bastion.policy.show import parse_lines


def shown(verdict: Verdict, reading: Reading) -> Verdict:
    """The verdict, with what the line would do and all that cannot be told of it."""
    told_all = (*verdict.opaque, *(told(opaque) for opaque in reading.opaque))
    return replace(verdict, parse=parse_lines(reading), opaque=tuple(dict.fromkeys(told_all)))


def told(opaque: Opaque) -> str:
    raw = f": {visible(opaque.raw, limit=200)}" if opaque.raw else ""
    return f"{visible(opaque.reason, limit=300)}{raw} [{opaque.kind}]"


def allowed(terms: Terms, reading: Reading, verdict: Verdict) -> Verdict:
    """Say by what a line is allowed."""
    if verdict.opaque:
        return replace(by_opaque(Action.ALLOW, verdict.opaque), opaque=verdict.opaque)
    for rule in terms.allow:
        if allows_line(rule, reading) or any(
            allows_command(rule, command) for command in reading.commands
        ):
            return by_rule(Action.ALLOW, rule)
    return by_default(Action.ALLOW)


def uncovered_opaque(terms: Terms, reading: Reading) -> list[Opaque]:
    """What is opaque and no approve or allow rule names."""
    rules = terms.approve + terms.allow
    return [
        opaque
        for opaque in (*reading.opaque, *_hidden_transfers(reading))
        if not any(covers_opaque(rule, opaque, reading.raw) for rule in rules)
    ]


def uncovered(terms: Terms, reading: Reading) -> bool:
    """Whether anything that would happen is covered by neither an approve nor an allow rule."""
    if any(allows_line(rule, reading) for rule in terms.allow + terms.approve):
        return False
    if not reading.commands and not reading.paths:
        return True
    return not (
        all(_covers_command(terms, command, reading) for command in reading.commands)
        and all(_covers_use(terms, use) for use in reading.paths if use.redirection)
        and not reading.downloads_run
    )


PLAIN_LIFE: Final = names(
    """
    : true false cd pushd popd dirs pwd exit logout jobs fg bg wait disown return break continue
    shift
    """
)
"""Builtins that run nothing and open nothing: who is granted a shell may move about in it."""


def uncovered_at_prompt(terms: Terms, reading: Reading) -> bool:
    """The same at a prompt, where assignments and plain builtins are part of the shell itself."""
    rest = tuple(command for command in reading.commands if not _is_plain_life(command))
    opened = any(use.redirection for use in reading.paths)
    if not rest and not opened and not reading.opaque:
        return False
    return uncovered(terms, replace(reading, commands=rest) if rest or opened else reading)


def _is_plain_life(command: SimpleCommand) -> bool:
    written = command.argv[0].text if command.argv else None
    return written in PLAIN_LIFE and not command.via and not command.assignments


def _covers_command(terms: Terms, command: SimpleCommand, reading: Reading) -> bool:
    return (
        any(match_command(rule, command) is Match.YES for rule in terms.approve)
        or any(allows_command(rule, command) for rule in terms.allow)
        or any(starts(command, other) for other in reading.commands)
    )


def _covers_use(terms: Terms, use: PathUse) -> bool:
    if use.access is Access.METADATA or (use.path == "/dev/null" and not use.dynamic):
        return True
    return any(match_use(rule, use) is Match.YES for rule in terms.approve) or any(
        allows_use(rule, use) for rule in terms.allow
    )


_SCP_SERVER: Final = re.compile(r"-[1246ABCTdpqrv]*[tf][1246ABCTdpqrvtf]*")
_HIDDEN: Final = "a file transfer inside a longer command line is not gated file by file"


def _serves_files(command: SimpleCommand) -> bool:
    """Whether it looks like the target's end of a transfer, however it is started."""
    words = [word.text or "" for word in command.argv[1:]]
    if command.program == "scp":
        return any(_SCP_SERVER.fullmatch(word) for word in words)
    return command.program == "sftp-server" or (
        command.program == "rsync" and ("--server" in words or "--daemon" in words)
    )


def _hidden_transfers(reading: Reading) -> list[Opaque]:
    return [
        Opaque(OpaqueKind.INTERACTIVE, _HIDDEN, command.program)
        for command in reading.commands
        if _serves_files(command)
    ]
