"""Simple commands: their words, assignments, redirections and here-documents."""

from __future__ import annotations

import re
from typing import Final

from bastion.policy.facts import OpaqueKind
from bastion.policy.shell.lex import Lexer
from bastion.policy.shell.tree import (
    Assignment,
    Heredoc,
    IncompleteError,
    Literal,
    Part,
    RawWord,
    Redirect,
    Simple,
    UnreadableError,
)

_BLANK: Final = re.compile(r"(?:[ \t]|\\\n)*")
_COMMENT: Final = re.compile(r"#[^\n]*")
_RESERVED_AT: Final = re.compile(
    r"(?:if|then|elif|else|fi|while|until|for|select|case|esac|do|done|function|time|coproc|in"
    r"|\[\[|[{}!])(?=[\s;&|()<>]|$)"
)
_REDIRECT: Final = re.compile(
    r"([0-9]+|\{[A-Za-z_][A-Za-z0-9_]*\})?"
    r"(<<<|<<-|<<|<>|<&|>>|>\||>&|<(?!\()|>(?!\())"
)
_REDIRECT_BOTH: Final = re.compile(r"()(&>>|&>)")
_ASSIGNMENT: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(\+?=)")
_INDEXED: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)\[")
_SPLIT_OPERATOR: Final = re.compile(r"\\\n[&|;<>(=]")
OPENERS: Final = frozenset({"if", "while", "until", "case", "for", "select", "{", "[[", "function"})
CLOSERS: Final = frozenset({"then", "elif", "else", "fi", "do", "done", "esac", "}"})
_RESERVED: Final = OPENERS | CLOSERS | {"time", "coproc", "!", "in"}
_DECLARATIONS: Final = frozenset(
    {"declare", "typeset", "local", "export", "readonly", "alias", "eval", "let"}
)


class SimpleParser(Lexer):
    """Reads one simple command at `pos`, and what stands between commands."""

    def __init__(self, text: str, depth: int = 0) -> None:
        super().__init__(text, depth)
        self._pending: list[Heredoc] = []
        self._nested = 0
        self.heredoc_spans: list[tuple[int, int]] = []
        """Where here-documents stand, delimiters too: the second parser misreads some."""

    # --- blanks ---------------------------------------------------------------------------

    def _blank(self) -> None:
        match = _BLANK.match(self.text, self.pos)
        assert match is not None
        self.pos = match.end()
        comment = _COMMENT.match(self.text, self.pos)
        if comment:
            self.pos = comment.end()

    def _linebreak(self) -> None:
        self._blank()
        while self.peek() == "\n":
            self._newline()
            self._blank()

    def _newline(self) -> None:
        self.pos += 1
        pending, self._pending = self._pending, []
        for heredoc in pending:
            self._read_heredoc(heredoc)

    def _read_heredoc(self, heredoc: Heredoc) -> None:
        body: list[str] = []
        start = self.pos
        while True:
            line = self._heredoc_line(joined=not heredoc.quoted)
            stripped = line.lstrip("\t") if heredoc.strip_tabs else line
            if stripped.rstrip("\n") == heredoc.delimiter:
                self.heredoc_spans.append((start, self.pos))
                break
            if self._nested and stripped.startswith(heredoc.delimiter) and ")" in stripped:
                raise UnreadableError("a here-document may end inside its substitution")
            body.append(stripped)
        text = "".join(body)
        if heredoc.quoted:
            heredoc.body = [Literal(text, quoted=True)]
            return
        inner = self._child(text)
        heredoc.body = inner.here_document()
        self.notes.extend(inner.notes)

    def _heredoc_line(self, *, joined: bool) -> str:
        """Read one line; where the delimiter is unquoted, a backslash joins the next to it."""
        start = self.pos
        line = ""
        while True:
            if self.pos >= len(self.text):
                raise IncompleteError("a here-document is not closed")
            end = self.text.find("\n", self.pos)
            end = len(self.text) if end < 0 else end
            piece = self.text[self.pos : end]
            self.pos = min(end + 1, len(self.text))
            backslashes = len(piece) - len(piece.rstrip("\\"))
            if joined and backslashes % 2 and end < len(self.text):
                line += piece[:-1]
                continue
            closed = end < len(self.text) or self.pos == start
            return line + piece + ("\n" if closed else "")

    def _expect(self, token: str) -> None:
        if not self.text.startswith(token, self.pos):
            if self.pos >= len(self.text):
                raise IncompleteError(f"{token} is missing")
            raise UnreadableError(f"{token} is missing")
        self.pos += len(token)

    def _reserved(self) -> str:
        """Give the reserved word at `pos`, or an empty string."""
        match = _RESERVED_AT.match(self.text, self.pos)
        if match is None:
            return ""
        if self.text.startswith("\\\n", match.end()):
            raise UnreadableError("a line continues in the middle of a word")
        return match.group()

    def _expect_reserved(self, word: str) -> None:
        self._blank()
        if self._reserved() != word:
            if self.pos >= len(self.text):
                raise IncompleteError(f"{word} is missing")
            raise UnreadableError(f"{word} is missing")
        self.pos += len(word)

    def _whole_operator(self) -> None:
        if _SPLIT_OPERATOR.match(self.text, self.pos):
            raise UnreadableError("a line continues in the middle of an operator")

    def _words(self) -> list[RawWord]:
        words: list[RawWord] = []
        while True:
            self._blank()
            word = self.word()
            if word is None:
                return words
            words.append(word)

    # --- simple commands ------------------------------------------------------------------

    def _simple(self) -> Simple:
        node = Simple([], [], [], self.pos)
        while True:
            self._blank()
            redirect = self._redirect()
            if redirect:
                node.redirects.append(redirect)
                continue
            assignment = self._assignment(node)
            if assignment is not None:
                (node.words or node.assignments).append(assignment)
                continue
            word = self.word()
            if word is None:
                break
            self._refuse_hidden_reserved(node, word)
            if "\\\n" in word.raw and self.peek() in ("<", ">"):
                raise UnreadableError("a line continues in front of a redirection")
            node.words.append(word)
        if not (node.words or node.assignments or node.redirects):
            if self.pos >= len(self.text):
                raise IncompleteError("a command is missing")
            raise UnreadableError(f"unexpected {self.text[self.pos]!r}")
        if self.peek() == "(":
            raise UnreadableError("a parenthesis after a word", OpaqueKind.DIALECT)
        return node

    def _refuse_hidden_reserved(self, node: Simple, word: RawWord) -> None:
        """A reserved word stays one when a line continuation splits it."""
        if node.words or "\\\n" not in word.raw:
            return
        joined = word.raw.replace("\\\n", "")
        if joined in _RESERVED or _ASSIGNMENT.match(joined) or _INDEXED.match(joined):
            raise UnreadableError("a line continues in the middle of a word")

    def _assignment(self, node: Simple) -> Assignment | None:
        first = node.words[0] if node.words else None
        declares = isinstance(first, RawWord) and first.raw in _DECLARATIONS
        if first is not None and not declares:
            return None
        indexed = _INDEXED.match(self.text, self.pos)
        if indexed and (first is None or declares):
            return self._indexed_assignment(indexed)
        match = _ASSIGNMENT.match(self.text, self.pos)
        if match is None:
            return None
        if self.text.startswith("\\\n(", match.end()):
            raise UnreadableError("a line continues in the middle of an assignment")
        if self.text.startswith("(", match.end()):
            self.pos = match.end() + 1
            words = self._array()
            if self.peek() and self.peek() not in " \t\n|&;()<>":
                raise UnreadableError("a word after an array")
            return Assignment(match.group(1), [], None, words)
        if declares:
            return None
        self.pos = match.end()
        return Assignment(match.group(1), [], self.word() or RawWord([], ""))

    def _indexed_assignment(self, match: re.Match[str]) -> Assignment | None:
        start = self.pos
        end = self._matching(match.end(), "[", "]")
        following = re.compile(r"\+?=").match(self.text, end + 1)
        if following is None:
            if re.search(r"[\s'\"\\$`|&;()<>]", self.text[match.end() : end]):
                raise UnreadableError("a subscript without an assignment")
            return None
        subscript = self.inner_parts(self.text[match.end() : end], "a subscript")
        self.pos = following.end()
        if self.peek() == "(":
            self.pos = start
            raise UnreadableError("an array inside an array")
        return Assignment(match.group(1), subscript, self.word() or RawWord([], ""))

    def _array(self) -> list[RawWord]:
        words: list[RawWord] = []
        while True:
            self._linebreak()
            if self.peek() == ")":
                self.pos += 1
                return words
            if self.pos >= len(self.text):
                raise IncompleteError("an array is not closed")
            start = self.pos
            word = self.word()
            if word is None:
                raise UnreadableError("an array holds an operator")
            if word.raw.startswith("["):
                end = self._matching(start + 1, "[", "]")
                parts: list[Part] = self.inner_parts(self.text[start + 1 : end], "a subscript")
                word.parts.extend(parts)
            words.append(word)

    # --- redirections ---------------------------------------------------------------------

    def _redirects(self) -> list[Redirect]:
        redirects: list[Redirect] = []
        while True:
            self._blank()
            redirect = self._redirect()
            if redirect is None:
                return redirects
            redirects.append(redirect)

    def _redirect(self) -> Redirect | None:
        match = _REDIRECT_BOTH.match(self.text, self.pos) or _REDIRECT.match(self.text, self.pos)
        if match is None:
            return None
        self.pos = match.end()
        self._whole_operator()
        self._blank()
        fd, operator = match.group(1) or "", match.group(2)
        if operator in ("<&", ">&") and self.peek() == "-":
            # The shell ends the word here, whatever follows.
            self.pos += 1
            return Redirect(fd, operator, RawWord([Literal("-", quoted=False)], "-"))
        target = self.word()
        if target is None:
            if self.pos >= len(self.text):
                raise IncompleteError("a redirection needs a word")
            raise UnreadableError("a redirection needs a word")
        if operator not in ("<<", "<<-"):
            return Redirect(fd, operator, target)
        heredoc = Heredoc(*self._delimiter(target), strip_tabs=operator == "<<-")
        self._pending.append(heredoc)
        return Redirect(fd, operator, None, heredoc)

    def _delimiter(self, word: RawWord) -> tuple[str, bool]:
        text = ""
        for part in word.parts:
            if not isinstance(part, Literal):
                raise UnreadableError("a here-document ends at an expansion", OpaqueKind.DIALECT)
            text += part.text
        quoted = any(mark in word.raw.replace("\\\n", "") for mark in "'\"\\")
        if "\n" in text or "$" in word.raw:
            raise UnreadableError("a here-document's delimiter is not plain", OpaqueKind.DIALECT)
        return text, quoted
