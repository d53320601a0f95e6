"""One simple command as bash reports it before it runs (BASH_COMMAND): how it is read, and found.

Bash prints it anew from its tree: blanks are single, redirections stand last, `$'…'` and `$"…"`
are plain quotes. `for`, `select` and `case` are reported by their heads alone; `time`, `!` and the
redirections of compound commands not at all; `|&` shows as `2>&1`.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from bastion.policy.shell.parse import Parser
from bastion.policy.shell.tree import (
    Calculation,
    Compound,
    Literal,
    Loop,
    Parameter,
    Redirect,
    Sequence,
    Simple,
    Test,
    UnreadableError,
    children,
)

_LOOP: Final = re.compile(r"(?:for|select) [A-Za-z_]\w* in(?: |$)")
_CASE: Final = re.compile(r"case .* in \Z", re.DOTALL)


def whole(text: str) -> str:
    """Give a text that a shell would read as a program: heads of loops get an empty body."""
    if _LOOP.match(text) and _tree(text) is None:
        return text + "; do :; done"
    return text + "esac" if _CASE.match(text) else text


def _tree(text: str) -> Sequence | None:
    try:
        return Parser(text).program()
    except (UnreadableError, RecursionError):
        return None


def canonical(item: object) -> object:
    """Give what two spellings of one command have in common: its tree without source texts."""
    match item:
        case Literal(text=text, quoted=quoted):
            return ("text", text, quoted)
        case str() | bool() | int() | None:
            return item
        case list():
            return tuple(canonical(each) for each in _merged(item))
        case Parameter(name=name, operator=operator, parts=parts, quoted=quoted):
            # Behind the operator stands what the parts hold, as it is spelled.
            shown = operator[:2] if parts else operator
            return ("Parameter", name, shown, canonical(parts), quoted)
        case Redirect(fd=fd, operator=operator, target=target, heredoc=heredoc):
            # Bash shows `>&2` as `1>&2`.
            fd = "1" if not fd and operator == ">&" else fd
            fd = "0" if not fd and operator == "<&" else fd
            return ("Redirect", fd, operator, canonical(target), canonical(heredoc))
        case _:
            names: tuple[str, ...] = getattr(type(item), "__slots__", ())
            fields = (
                (name, canonical(getattr(item, name)))
                for name in names
                if name not in ("raw", "position", "strip_tabs")
            )
            return (type(item).__name__, *fields)


def _merged(items: list[object]) -> Iterator[object]:
    """Yield items, with neighbours of literal text as one: a line continuation parts a word."""
    for quoted, group in itertools.groupby(items, _quoting):
        run = list(group)
        if quoted is None:
            yield from run
        else:
            yield Literal("".join(part.text for part in run if isinstance(part, Literal)), quoted)


def _quoting(item: object) -> bool | None:
    return item.quoted if isinstance(item, Literal) else None


def simple_commands(text: str) -> frozenset[object]:
    """Give every simple command, and every head of a loop, that stands in a text.

    Empty where the text cannot be read.
    """
    tree = _tree(text)
    return frozenset(_reported(tree)) if tree is not None else frozenset()


def keys(step: str) -> tuple[object, ...]:
    """Give what may name a step among the simple commands of its line; empty where it is none."""
    tree = _tree(whole(step))
    node = tree.items[0] if tree is not None and len(tree.items) == 1 else None
    found = next(_reported(node), None) if not isinstance(node, Sequence) else None
    if found is None:
        return ()
    if isinstance(node, Simple) and canonical(node.redirects[-1:]) == _BOTH:
        return (found, canonical(replace(node, redirects=node.redirects[:-1])))
    return (found,)


def _reported(tree: object) -> Iterator[object]:
    """Yield what bash would report of all nodes in a tree, the outermost first."""
    waiting: list[object] = [tree]
    while waiting:
        node = waiting.pop()
        match node:
            case Loop(name=name, words=words):
                yield ("head", name, canonical(_ALL if words is None else words))
            case Compound(keyword="case", words=[subject, *_]):
                yield ("case", canonical(subject))
            case Test(words=words):
                yield ("test", canonical(words))
            case Calculation(parts=parts):
                yield ("calculation", canonical(parts))
            case Simple():
                yield canonical(node)
        waiting.extend(children(node))


def _parsed(text: str) -> Simple:
    node = Parser(text).program().items[0]
    assert isinstance(node, Simple)
    return node


_BOTH: Final = canonical(_parsed(": 2>&1").redirects)
_ALL: Final = _parsed('"$@"').words
"""What `for name` without words goes over."""
