"""How the words of `ssh bastion COMMAND …` are read: argparse, whose faults are sentences."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NoReturn

from bastion.errors import BastionError
from bastion.model import visible
from bastion.policy.fields import parse_duration

COMMAND_LIMIT: Final = 8192
"""Characters of a command line: a reason fits, and nobody fills memory with words."""


class Usage(BastionError):
    """The words cannot be read; the message is the whole help that is shown."""


class Help(BastionError):
    """`--help` was asked for; the message is the help."""


EXIT_USAGE: Final = 2


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command prints, and its exit status."""

    stdout: str = ""
    stderr: str = ""
    status: int = 0


@dataclass(frozen=True, slots=True)
class Shown:
    """Where a command is shown: its width, whether it is a terminal, and a way to say something
    on stderr while it still runs."""

    columns: int
    terminal: bool
    say: Callable[[str], None]


class Parser(argparse.ArgumentParser):
    """Raises Usage where argparse would print and leave the program."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and how it is written."""
        raise Usage(f"bastion: {visible(message, limit=300)}\n{self.format_usage()}")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """`--help` prints by itself; here it is an answer."""
        raise Help(self.format_help())

    def print_help(self, file: object = None) -> None:
        """Nothing is printed from here."""


def duration(text: str) -> float:
    """`30m` → seconds, for argparse."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def split(command: str) -> list[str]:
    """A command line's words; Usage where it is too long."""
    if len(command) > COMMAND_LIMIT:
        raise Usage("bastion: this command is too long.\n")
    try:
        return shlex.split(command)
    except ValueError:
        return command.split()  # an apostrophe in a reason, and ssh took the quotes around it


def add_reason(parser: Parser, text: str, *, required: bool = False) -> None:
    """`--reason several words`: ssh joins the words that it is given by blanks."""
    parser.add_argument("--reason", nargs="+", default=[], required=required, help=text)


def text_of(words: Sequence[str]) -> str:
    """The words as one text."""
    return " ".join(words)
