"""The syntax tree of a command line, as `parse` builds it: structure only, no meaning."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from bastion.policy.facts import OpaqueKind


class UnreadableError(Exception):
    """The text is not a program in the grammar this reader knows."""

    def __init__(self, reason: str, kind: OpaqueKind = OpaqueKind.SYNTAX) -> None:
        super().__init__(reason)
        self.reason = reason
        self.kind = kind


class IncompleteError(UnreadableError):
    """The text ends where the shell would ask for more."""


class ExhaustedError(Exception):
    """Reading has taken more steps than any line is worth."""


# --- words ------------------------------------------------------------------------------------


@dataclass(slots=True)
class Literal:
    """Text that stands for itself; unquoted text may still hold globs, braces and a tilde."""

    text: str
    quoted: bool


@dataclass(slots=True)
class Parameter:
    """`$name` or `${…}`. `parts` is all that stands inside the braces after the name."""

    name: str
    operator: str
    parts: list[Part]
    quoted: bool


@dataclass(slots=True)
class Substitution:
    """`$(…)`, backquotes, `<(…)` or `>(…)`."""

    opener: str
    body: Sequence
    quoted: bool


@dataclass(slots=True)
class Arithmetic:
    """`$((…))`, `$[…]`, an offset or a subscript: what its text holds."""

    parts: list[Part]


@dataclass(slots=True)
class Name:
    """An expansion that is surely a part of one word: what it may be, as a shell's pattern."""

    pattern: str


Part = Literal | Parameter | Substitution | Arithmetic | Name


@dataclass(slots=True)
class RawWord:
    """One word before expansion, with its source text."""

    parts: list[Part]
    raw: str


@dataclass(slots=True)
class Assignment:
    """`name=value`, `name+=value`, `name[subscript]=value`, or `name=(…)`."""

    name: str
    subscript: list[Part]
    value: RawWord | None
    array: list[RawWord] = field(default_factory=list)


@dataclass(slots=True)
class Heredoc:
    """A here-document: its body is filled in when the next line begins."""

    delimiter: str
    quoted: bool
    strip_tabs: bool
    body: list[Part] = field(default_factory=list)


@dataclass(slots=True)
class Redirect:
    """`fd` is digits, `{name}` or empty; exactly one of `target` and `heredoc` is set."""

    fd: str
    operator: str
    target: RawWord | None
    heredoc: Heredoc | None = None


# --- commands ---------------------------------------------------------------------------------


@dataclass(slots=True)
class Simple:
    """Assignments, words and redirections in the order of their kind."""

    assignments: list[Assignment]
    words: list[RawWord | Assignment]
    redirects: list[Redirect]
    position: int = 0


@dataclass(slots=True)
class Pipeline:
    """Commands joined by `|`."""

    stages: list[Node]


@dataclass(slots=True)
class Sequence:
    """Pipelines and what joins each to the next: `;`, `&`, `&&`, `||`."""

    items: list[Node]
    joints: list[str]


@dataclass(slots=True)
class Compound:
    """`{ }`, `( )`, `if`, `while`, `until`, `case`, `coproc`: bodies, and the words it expands."""

    keyword: str
    words: list[RawWord]
    bodies: list[Node]
    redirects: list[Redirect]


@dataclass(slots=True)
class Loop:
    """`for` and `select` over words."""

    name: str
    words: list[RawWord] | None
    body: Sequence
    redirects: list[Redirect]


@dataclass(slots=True)
class Function:
    """A definition; the body is taken to run."""

    name: str
    body: Node


@dataclass(slots=True)
class Test:
    """`[[ … ]]`: its operands, operators left in as literal words."""

    words: list[RawWord]
    redirects: list[Redirect]


@dataclass(slots=True)
class Calculation:
    """`(( … ))`, and the three parts of an arithmetic `for`."""

    parts: list[Part]
    redirects: list[Redirect]


Node = Simple | Pipeline | Sequence | Compound | Loop | Function | Test | Calculation


def children(item: object) -> Iterator[object]:
    """Yield what stands directly inside a node, word or part (nodes, words, parts, redirects)."""
    names: tuple[str, ...] = getattr(type(item), "__slots__", ())
    for name in names:
        value = getattr(item, name)
        if isinstance(value, list):
            yield from value
        elif value is not None and not isinstance(value, str | bool | int):
            yield value
