"""The second opinion: tree-sitter-bash reads the same text, in linear time, whatever its nesting.

What it sees and the strict parser does not is listed all the same, so that a deny can match it,
and the disagreement makes the reading opaque. Where the strict parser gives up, this is all.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Final

import tree_sitter
import tree_sitter_bash

from bastion.policy.facts import OpaqueKind, Word
from bastion.policy.shell.lex import Lexer
from bastion.policy.shell.parse import Parser
from bastion.policy.shell.state import Place, Reader
from bastion.policy.shell.tree import (
    ExhaustedError,
    RawWord,
    Sequence,
    Simple,
    UnreadableError,
    children,
)
from bastion.policy.shell.words import expand, expand_one

_LANGUAGE: Final = tree_sitter.Language(tree_sitter_bash.language())
_PARSER: Final = tree_sitter.Parser(_LANGUAGE)

MAX_LISTED: Final = 5000
"""Commands listed from a text that the strict parser refused; the reading is opaque anyway."""

MAX_MARKS: Final = 600
"""Brackets in one text: with those that fit nothing, this parser's time grows by their square."""
_BEYOND_ASCII: Final = re.compile(r"[^\x00-\x7f]")
"""Each becomes a letter, which it is to a shell too: the grammar's scanner looks every character up
in a table of 256 entries (isalnum(3)), and far beyond it the process dies. A byte of what it reads
is so a character of the text."""
_MARKS: Final = re.compile(r"[()\[\]{}<`]")

_OVERLOOKED: Final = re.compile(
    r"`|<<|\$\{|\(\(|\$\[|\\\n|\{[^}]*,|<>|/dev/(?:tcp|udp)|coproc|time|!|\]=|=\(|\[\["
)
"""Constructs in which tree-sitter-bash is known to overlook commands (or give up) that the strict
parser finds; there alone may the strict parser see more."""

_PREFIXES: Final = frozenset({"time", "coproc", "!"})


def compare(
    reader: Reader, tree: Sequence, text: str, place: Place, spans: list[tuple[int, int]]
) -> None:
    """Hold the strict parser's commands against the second parser's.

    `spans` are the here-documents: where the second parser fails, what it sees in them is no
    command, for the strict parser has found their ends and read every expansion in them.
    """
    root = _root(text)
    spans = spans if root.has_error else []
    theirs = Counter(
        _normal(_name(text, node))
        for node in _commands(root)
        if not any(start <= node.start_byte < end for start, end in spans)
    )
    ours = Counter(_normal(name) for name in heads(tree))
    extra = theirs - ours
    missing = ours - theirs
    for name in _PREFIXES & set(extra):
        del extra[name]
    for name in list(missing):
        if name == "[":
            del missing[name]
    overlooks = _OVERLOOKED.search(text) is not None
    if extra:
        reader.cannot_tell(
            OpaqueKind.DISAGREEMENT, "two parsers see different commands", " ".join(sorted(extra))
        )
        list_commands(reader, text, place, only=set(extra))
    elif (missing or root.has_error) and not overlooks:
        reader.cannot_tell(OpaqueKind.DISAGREEMENT, "two parsers see different commands", text)


def list_commands(reader: Reader, text: str, place: Place, only: set[str] | None = None) -> None:
    """List what the second parser sees, without any claim that it is all."""
    root = _root(text)
    count = 0
    for node in _nodes(root):
        if node.type not in ("command", "declaration_command", "unset_command"):
            continue
        source = _source(text, node)
        if only is not None and _normal(_name(text, node)) not in only:
            continue
        count += 1
        if count > MAX_LISTED:
            return
        argv = _argv(source)
        if argv:
            reader.run(argv, place)


def _root(text: str) -> tree_sitter.Node:
    if len(_MARKS.findall(text)) > MAX_MARKS:
        raise ExhaustedError
    return _PARSER.parse(_BEYOND_ASCII.sub("x", text.replace("\0", " ")).encode()).root_node


def _argv(source: str) -> list[Word]:
    """Read the words of one command as far as they can be read."""
    words: list[Word] = []
    lexer: Lexer = Parser(source)
    while lexer.pos < len(source):
        blank = re.compile(r"(?:[ \t\n]|\\\n)+").match(source, lexer.pos)
        if blank:
            lexer.pos = blank.end()
            continue
        try:
            word = lexer.word()
            if word is None:
                break
            words.extend(expand(word, {}))
        except UnreadableError:
            break
    while words and words[0].text and re.match(r"[A-Za-z_]\w*\+?=", words[0].text):
        del words[0]
    return words


# --- what each parser sees --------------------------------------------------------------------


def _nodes(root: tree_sitter.Node) -> Iterator[tree_sitter.Node]:
    """Walk without recursion: depth is the attacker's choice."""
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if _escaped(node):
            continue
        yield node
        waiting.extend(reversed(node.children))


def _escaped(node: tree_sitter.Node) -> bool:
    """Tell whether this is `\\$(…)` in a here-document, which the second parser misreads."""
    if node.type not in ("command_substitution", "simple_expansion"):
        return False
    parent, text = node.parent, node.text or b""
    if parent is None or parent.type != "heredoc_body" or not text.startswith((b"$", b"`")):
        return False
    before = (parent.text or b"")[: node.start_byte - parent.start_byte]
    return (len(before) - len(before.rstrip(b"\\"))) % 2 == 1


def _source(text: str, node: tree_sitter.Node) -> str:
    return text[node.start_byte : node.end_byte]


def _commands(root: tree_sitter.Node) -> Iterator[tree_sitter.Node]:
    for node in _nodes(root):
        if node.type in ("command", "declaration_command", "unset_command"):
            yield node


def _name(text: str, node: tree_sitter.Node) -> str:
    if node.type != "command":
        return _source(text, node.children[0])
    named = node.child_by_field_name("name")
    return _source(text, named) if named is not None else ""


def heads(tree: object) -> Iterator[str]:
    """Yield the first word of every simple command, as it is written."""
    waiting: list[object] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Simple) and node.words and isinstance(node.words[0], RawWord):
            yield node.words[0].raw
        waiting.extend(children(node))


def _normal(name: str) -> str:
    """Unquote a command word, so that both parsers name it alike."""
    lexer = Parser(name)
    try:
        word = lexer.word()
        if word is None or lexer.pos < len(name):
            return name
        known = expand_one(word)
    except UnreadableError:
        return name
    return known.text if known.text is not None else name
