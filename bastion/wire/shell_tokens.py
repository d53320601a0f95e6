"""A light reader of a command line that is still being typed: for colours and completion.

It decides nothing: what a line does is read by `policy.shell`, strictly. This one never fails,
takes unfinished text as it is, and is linear and quick, for it runs between two keys.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

KEYWORDS: Final = frozenset(
    (
        *("if", "then", "elif", "else", "fi", "for", "in", "do", "done", "while", "until"),
        *("case", "esac", "select", "function", "time", "{", "}", "!", "[[", "]]"),
    )
)
AFTER_KEYWORD_A_COMMAND: Final = KEYWORDS - {"for", "in", "case", "select", "function", "[[", "]]"}
MAX_DEPTH: Final = 50
"""Substitutions in one another; deeper ones are read as text, so that no recursion is deep."""


class Kind(StrEnum):
    """What a piece of the text is."""

    COMMAND = "command"
    KEYWORD = "keyword"
    ARGUMENT = "argument"
    OPTION = "option"
    ASSIGNMENT = "assignment"
    STRING = "string"
    VARIABLE = "variable"
    OPERATOR = "operator"
    COMMENT = "comment"
    HEREDOC = "heredoc"


Piece = tuple[int, int, Kind]
"""Start, end (in characters), kind. Pieces do not overlap and stand in order; blanks have none."""


@dataclass(slots=True)
class Frame:
    """Where the reader stands: one level of the line, or of a substitution in it."""

    closer: str = ""
    at_command: bool = True
    quoted: bool = False
    """Inside double quotes."""
    word_start: int = -1
    literal: str = ""
    """The word so far without its quotes."""
    dynamic: bool = False
    """The word holds an expansion, so `literal` is not what it will be."""
    opened: str = ""
    """The quote that is open at the end of the text: `'`, `"`, `$'`."""
    redirect: str = ""
    """The operator before this word."""
    words: list[str] = field(default_factory=list)
    """The words of this simple command before this one."""
    heredocs: list[tuple[str, bool]] = field(default_factory=list)
    """Delimiters whose bodies come after this line, and whether tabs before them are dropped."""


_NORMAL: Final = re.compile(
    r"""
    (?P<blank>[ \t]+|\\\n)
  | (?P<calculation>\(\((?:[^()\n]|\([^()\n]*\))*\)\))
  | (?P<newline>\n)
  | (?P<operator><<<|<<-?|&>>?|>>|>\||>&|<&|<>|[<>](?!\()|&&|\|\|?&?|;;&?|;&?|&|\(|\))
  | (?P<single>'[^']*'?)
  | (?P<ansi>\$'(?:\\.|[^'\\])*'?)
  | (?P<double>\$?")
  | (?P<substitution>\$\((?!\()|[<>]\()
  | (?P<arithmetic>\$\(\([^()]*(?:\)\))?)
  | (?P<backquote>`)
  | (?P<variable>\$(?:\{[^}\n]*\}?|[A-Za-z_]\w*|[0-9@*\#?$!-]))
  | (?P<escaped>\\.?)
  | (?P<text>[^\s\\'"`$;&|<>()]+|.)
    """,
    re.VERBOSE | re.DOTALL,
)
_DOUBLE: Final = re.compile(
    r"""
    (?P<close>")
  | (?P<substitution>\$\((?!\())
  | (?P<arithmetic>\$\(\([^()]*(?:\)\))?)
  | (?P<backquote>`)
  | (?P<variable>\$(?:\{[^}"\n]*\}?|[A-Za-z_]\w*|[0-9@*\#?$!-]))
  | (?P<escaped>\\.?)
  | (?P<text>[^"\\$`]+|.)
    """,
    re.VERBOSE | re.DOTALL,
)
_ASSIGNMENT: Final = re.compile(r"[A-Za-z_]\w*(?:\[[^\]]*\])?\+?=")


class Reader:
    """Reads one text; afterwards `pieces` are its pieces and `frame` is where it ends."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.pieces: list[Piece] = []
        self.stack = [Frame()]
        self.in_comment = False
        self.open_heredoc: tuple[str, bool] | None = None
        """The delimiter of a here-document without its end; whether tabs before it are dropped."""
        self.frame = self.stack[0]
        """The innermost level: in the end, where the next character would stand."""
        at, length = 0, len(text)
        while at < length:
            frame = self.frame
            match = _DOUBLE.match(text, at) if frame.quoted else _NORMAL.match(text, at)
            assert match is not None  # both end in `.`
            group = match.lastgroup
            if frame.quoted:
                at = self._in_quotes(group or "text", match)
            elif group == "blank":
                if frame.word_start >= 0:
                    self._end_word()
                at = match.end()
            else:
                at = self._outside(group or "text", match)

    # --- outside quotes ---------------------------------------------------------------------------

    def _outside(self, group: str, match: re.Match[str]) -> int:
        start, end = match.span()
        if group == "newline":
            self._end_command()
            return self._heredoc_bodies(end)
        if group == "calculation":
            self._end_word()
            self._piece(start, end, Kind.VARIABLE)
        elif group == "operator":
            self._operator(match.group(), start, end)
        elif group == "text" and match.group()[0] == "#" and self.frame.word_start < 0:
            return self._comment(start)
        else:
            self._part(group, match.group(), start, end)
        return end

    def _part(self, group: str, text: str, start: int, end: int) -> None:
        frame = self.frame
        if frame.word_start < 0:
            frame.word_start, frame.literal, frame.dynamic, frame.opened = start, "", False, ""
        if group == "text":
            self._text(text, start, end)
        elif group == "escaped":
            frame.literal += text[1:]
            self._piece(start, end, self._word_kind())
        elif group in ("single", "ansi"):
            self._string(group, text, start, end)
        elif group == "double":
            frame.quoted, frame.opened = True, '"'
            self._piece(start, end, Kind.STRING)
        else:
            self._expansion(group, start, end)

    def _text(self, text: str, start: int, end: int) -> None:
        frame = self.frame
        kind = self._word_kind()
        if frame.word_start == start:
            match = _ASSIGNMENT.match(text) if frame.at_command else None
            if match:
                self._piece(start, match.end() + start, Kind.ASSIGNMENT)
                frame.literal = text
                if match.end() < len(text):
                    self._piece(start + match.end(), end, Kind.ARGUMENT)
                return
            if frame.at_command and text in KEYWORDS and self._word_ends(end):
                kind = Kind.KEYWORD
        frame.literal += text
        self._piece(start, end, kind)

    def _word_ends(self, at: int) -> bool:
        return at >= len(self.text) or self.text[at] in " \t\n;&|<>()"

    def _word_kind(self) -> Kind:
        frame = self.frame
        if frame.at_command and not frame.redirect:
            return Kind.COMMAND
        first = self.text[frame.word_start : frame.word_start + 1]
        return Kind.OPTION if first == "-" and not frame.redirect else Kind.ARGUMENT

    def _string(self, group: str, text: str, start: int, end: int) -> None:
        frame = self.frame
        opening = 1 if group == "single" else 2
        closed = len(text) > opening and text.endswith("'")
        if group == "ansi" and closed:
            closed = (len(text) - len(text[:-1].rstrip("\\"))) % 2 == 1
            frame.dynamic = frame.dynamic or "\\" in text
        frame.opened = "" if closed else text[:opening]
        frame.literal += text[opening:-1] if closed else text[opening:]
        self._piece(start, end, Kind.STRING)

    def _expansion(self, group: str, start: int, end: int) -> None:
        frame = self.frame
        frame.dynamic = True
        if group in ("variable", "arithmetic"):
            self._piece(start, end, Kind.VARIABLE)
            return
        self._piece(start, end, Kind.OPERATOR)
        if group == "backquote" and frame.closer == "`" and not frame.quoted:
            self._leave()
        elif len(self.stack) < MAX_DEPTH:
            self.frame = Frame(closer="`" if group == "backquote" else ")")
            self.stack.append(self.frame)

    def _operator(self, text: str, start: int, end: int) -> None:
        if text == ")" and self.frame.closer == ")":
            self._end_word()
            self._leave()
            self._piece(start, end, Kind.OPERATOR)
            return
        frame = self.frame
        redirects = text[0] in "<>" or text.startswith("&>")
        if redirects and frame.literal.isdigit() and frame.word_start >= 0:
            frame.word_start = -1  # a file descriptor: `2>`
        self._end_word()
        if redirects:
            frame.redirect = text
        else:
            self._end_command()
        self._piece(start, end, Kind.OPERATOR)

    def _leave(self) -> None:
        if len(self.stack) > 1:
            self.stack.pop()
            self.frame = self.stack[-1]

    def _comment(self, start: int) -> int:
        end = self.text.find("\n", start)
        self.in_comment = end < 0
        end = len(self.text) if end < 0 else end
        self._piece(start, end, Kind.COMMENT)
        return end

    # --- inside double quotes ---------------------------------------------------------------------

    def _in_quotes(self, group: str, match: re.Match[str]) -> int:
        frame = self.frame
        start, end = match.span()
        if group == "close":
            frame.quoted, frame.opened = False, ""
            self._piece(start, end, Kind.STRING)
        elif group in ("text", "escaped"):
            text = match.group()
            keeps = group == "text" or text[1:] not in ('"', "\\", "$", "`")
            frame.literal += text if keeps else text[1:]
            self._piece(start, end, Kind.STRING)
        else:
            self._expansion(group, start, end)
        return end

    # --- ends -------------------------------------------------------------------------------------

    def _end_word(self) -> None:
        frame = self.frame
        if frame.word_start < 0:
            return
        word, frame.word_start = frame.literal, -1
        if frame.redirect:
            if frame.redirect in ("<<", "<<-") and not frame.dynamic:
                frame.heredocs.append((word, frame.redirect == "<<-"))
            frame.redirect = ""
        elif not frame.at_command:
            frame.words.append(word)
        elif word in KEYWORDS:
            frame.at_command = word in AFTER_KEYWORD_A_COMMAND
        elif not _ASSIGNMENT.match(word):
            frame.words.append(word)
            frame.at_command = False

    def _end_command(self) -> None:
        self._end_word()
        frame = self.frame
        frame.at_command, frame.redirect = True, ""
        frame.words = []

    def _heredoc_bodies(self, at: int) -> int:
        frame = self.frame
        waiting, frame.heredocs = frame.heredocs, []
        for delimiter, strips in waiting:
            start = at
            while at < len(self.text):
                end = self.text.find("\n", at)
                end = len(self.text) if end < 0 else end
                line = self.text[at:end]
                at = min(end + 1, len(self.text))
                if (line.lstrip("\t") if strips else line) == delimiter and end < len(self.text):
                    break
            else:
                self.open_heredoc = self.open_heredoc or (delimiter, strips)
            self._piece(start, at, Kind.HEREDOC)
        return at

    def _piece(self, start: int, end: int, kind: Kind) -> None:
        if self.pieces:
            before, upto, same = self.pieces[-1]
            if upto == start and same is kind and kind is not Kind.OPERATOR:
                self.pieces[-1] = (before, end, kind)
                return
        self.pieces.append((start, end, kind))
