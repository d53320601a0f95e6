"""What a command line really does: what `shell` reads out of it, and what rules are matched on.

A Reading says everything that would run, and honestly where it cannot tell: a Reading with any
`opaque` entry is never silently allowed. Whatever was understood is listed all the same, for a
denied command beside an opaque one is still denied.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Word:
    """One word after quoting and brace expansion.

    `text` is the exact value the program would get, or None where it is not literal; then
    `dynamic` says why (`variable`, `substitution`, `glob`, `tilde`, `arithmetic`, …) and `prefix`
    is the literal text that surely stands at its beginning. A `glob` keeps its pattern in `raw`;
    so does a `name`, one word of which the pattern covers all that it may become.
    """

    text: str | None
    raw: str
    dynamic: str = ""
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class SimpleCommand:
    """One program (or builtin) that would be started.

    `argv[0]` is the program as written; `program` its basename after wrappers were peeled, empty
    where unknown. `via` names what would start it, outermost first: `("sudo", "env")`,
    `("bash -c",)`, `("find -exec",)`, `("ssh host",)`.
    `extra_operands`: more operands arrive at run time (xargs, find -exec's `{}`).
    """

    program: str
    argv: tuple[Word, ...]
    via: tuple[str, ...] = ()
    assignments: tuple[tuple[str, Word], ...] = ()
    extra_operands: bool = False
    directories: tuple[str | None, ...] = ("",)
    """Every working directory it may run in, so that relative operands can be resolved: `""` is
    where the session began, an absolute path is where a literal `cd` led, None is unknown
    (`cd "$x"`)."""


class Access(StrEnum):
    """What is done to a path that a command names."""

    READ = "read"
    WRITE = "write"
    METADATA = "metadata"


@dataclass(frozen=True, slots=True)
class PathUse:
    """A path that a command or redirection would open. `path` is lexically normalised.

    Absolute where the text is absolute, or where a literal `cd` came before; otherwise relative,
    as written, after normalisation (`~/x` stays so). A relative path that climbs (`../../etc/x`)
    is listed a second time as `/etc/x`, for nobody knows how deep the session stands.

    `dynamic` is empty where exactly this path is meant. `glob`, `name`: `path` is a pattern.
    `directory`: `path` is exact, but relative to an unknown directory. Anything else: `path` is
    only what the path surely begins with, and may be empty.
    """

    path: str
    access: Access
    program: str
    dynamic: str = ""
    """Rules answer "could be" where they would match some completion of the path."""
    redirection: bool = False
    """A redirection opens it, not the program: a rule that allows the program says nothing."""


@dataclass(frozen=True, slots=True)
class Opaque:
    """Something that cannot be resolved from the text: `kind` for policies, `reason` for people.

    Kinds are a closed list: see `OpaqueKind`.
    """

    kind: OpaqueKind
    reason: str
    raw: str = ""
    later: bool = False
    """Only what a variable of the running shell holds is missing: its steps will tell."""
    program: str = field(default="", compare=False)
    """Whose words are not told; empty where it is the line itself."""


class OpaqueKind(StrEnum):
    """Why text cannot be told."""

    SYNTAX = "syntax"
    """Not a program, or grammar this reader does not know."""
    LIMIT = "limit"
    """Too long, too deep, too many commands."""
    CHARACTERS = "characters"
    """Control, invisible or look-alike characters."""
    DISAGREEMENT = "disagreement"
    """The two parsers see different programs."""
    COMMAND = "command"
    """The program's name is not literal."""
    OPERAND = "operand"
    """An operand that matters is not literal."""
    CODE = "code"
    """An interpreter or shell is given code that is not in the text."""
    SCRIPT = "script"
    """A script file is run."""
    INTERACTIVE = "interactive"
    """A program that reads commands of its own: an interpreter, editor, pager, nested shell."""
    ENVIRONMENT = "environment"
    """A variable, alias, hook or start-up file that changes what later commands mean."""
    DIALECT = "dialect"
    """The target's shell may read it differently."""


@dataclass(frozen=True, slots=True)
class Reading:
    """All that would run, all paths that would be opened, and all that cannot be told."""

    raw: str
    commands: tuple[SimpleCommand, ...] = ()
    paths: tuple[PathUse, ...] = ()
    opaque: tuple[Opaque, ...] = ()
    downloads_run: tuple[str, ...] = ()
    """One entry for each download that is fed to a shell or interpreter, as text for people."""
    definitions: tuple[str, ...] = ()
    """What later lines of the same shell may mean otherwise for: `function ll`, `alias ll`, …"""
    tampering: tuple[str, ...] = ()
    """What would touch the gate's own hold on an interactive shell, as text for people."""
    variables: tuple[str, ...] = ()
    """Variables of the shell that reads this, in words it expands itself, with values unknown."""
