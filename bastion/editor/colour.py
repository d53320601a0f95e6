"""Colours of a command line: sixteen colours, readable on a light and on a dark background."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.lexers import Lexer
from prompt_toolkit.styles import Style

from bastion.wire.shell_tokens import Kind, Reader

MAX_COLOURED: Final = 16 * 1024
"""Characters. Longer text stays plain: colours must not cost the key echo its 5 ms."""

STYLE: Final = Style.from_dict(
    {
        "login": "ansigreen bold",
        "root": "ansired bold",
        "directory": "ansiblue bold",
        "status": "ansired",
        "ungated": "bg:ansiyellow ansiblack",
        "normal-mode": "reverse",
        "deny": "bg:ansired ansiwhite bold",
        "approve": "bg:ansiyellow ansiblack bold",
        "quiet": "ansicyan",
        "invisible": "bg:ansired ansiwhite",
        "chosen": "reverse",
        "incsearch": "",
        "incsearch.current": "reverse",
        "selected": "reverse",
        Kind.COMMAND.value: "bold",
        Kind.KEYWORD.value: "ansimagenta bold",
        Kind.OPTION.value: "ansiblue",
        Kind.ASSIGNMENT.value: "ansimagenta",
        Kind.STRING.value: "ansigreen",
        Kind.HEREDOC.value: "ansigreen",
        Kind.VARIABLE.value: "ansimagenta",
        Kind.OPERATOR.value: "bold",
        Kind.COMMENT.value: "ansicyan",
    }
)


class ShellLexer(Lexer):
    """What prompt_toolkit asks for the colours of a document; the last text is remembered."""

    def __init__(self) -> None:
        self._text = ""
        self._lines: list[StyleAndTextTuples] = [[]]

    def lex_document(self, document: Document) -> Callable[[int], StyleAndTextTuples]:
        """Give the coloured fragments of each line."""
        if document.text != self._text:
            self._text, self._lines = document.text, paint(document.text)
        lines = self._lines
        return lambda number: lines[number] if number < len(lines) else []


def paint(text: str) -> list[StyleAndTextTuples]:
    """Split `text` into lines of styled fragments."""
    pieces = Reader(text).pieces if len(text) <= MAX_COLOURED else []
    lines: list[StyleAndTextTuples] = [[]]
    line = lines[0]
    at = 0
    for start, end, kind in (*pieces, (len(text), len(text), Kind.ARGUMENT)):
        for style, part in (("", text[at:start]), (_STYLES[kind], text[start:end])):
            if "\n" in part:
                first, *rest = part.split("\n")
                if first:
                    line.append((style, first))
                lines.extend([(style, each)] if each else [] for each in rest)
                line = lines[-1]
            elif part:
                line.append((style, part))
        at = end
    return lines


_STYLES: Final = {kind: f"class:{kind.value}" for kind in Kind}
