"""What the editor is told and asks for, as frozen values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from bastion.policy.actions import Action

MAX_LINE: Final = 64 * 1024
"""Characters of one command, and bytes that may wait to be read: a client that sends without end
fills no memory. More is refused with a bell."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """What Enter would do with the text as it stands."""

    action: Action
    text: str = ""
    """One line for a person: `denied by no-reboot: production does not reboot`, what stands before
    the colon in colour; empty for a plain allow."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What stands before the command line. Directory and status come from the target."""

    login: str
    target: str
    directory: str = ""
    """Absolute; empty where it is not known."""
    home: str = ""
    """What `~` stands for."""
    status: int = 0
    """Exit status of the command before; shown when it is not 0."""
    ungated: bool = False
    """Nothing is decided in this shell; the prompt says so."""
    watched: bool = False
    """Every simple command is decided again as it is about to run; a `+` after the target."""


class CompletionKind(StrEnum):
    """What a word could become."""

    COMMAND = "command"
    PATH = "path"
    DIRECTORY = "directory"
    VARIABLE = "variable"
    USER = "user"


@dataclass(frozen=True, slots=True)
class Completing:
    """A question for the target: which words of this kind begin so?

    The answer is a list of whole words as bash's `compgen` prints them, unquoted, one a line:
    names that begin with `word`; directories may end in `/`; a user without its `~`.
    """

    kind: CompletionKind
    word: str
    """What stands before the cursor, unquoted: `/etc/pa`, `PA` for `$PA`, `an` for `~an`."""
    line: str
    """The whole text before the cursor, for whoever knows more."""


class History(Protocol):
    """Commands entered before."""

    def entries(self) -> Sequence[str]:
        """Give them, oldest first."""

    def add(self, command: str) -> None:
        """Keep one more; whether it may be kept is decided inside."""
