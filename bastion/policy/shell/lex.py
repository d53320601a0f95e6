"""Words of a command line: quotes, escapes and expansions, with bash(1) as the grammar.

The lexer is strict: what it does not know it refuses (`UnreadableError`), and what it reads but
would not swear to it notes. Both end in an opaque reading, never in a guess.
"""

from __future__ import annotations

import abc
import re
from typing import Final

from bastion.policy.facts import Opaque, OpaqueKind
from bastion.policy.shell.ansi import ansi_c
from bastion.policy.shell.tree import (
    Arithmetic,
    IncompleteError,
    Literal,
    Parameter,
    Part,
    RawWord,
    Sequence,
    Substitution,
    UnreadableError,
)

MAX_DEPTH: Final = 45
"""Levels of nesting. Each costs up to ten Python frames: `((((…` must not exhaust the stack."""

NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PARAMETER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9]|[@*#?$!_-]")
_BRACED: Final = re.compile(r"([!#]?)([A-Za-z_][A-Za-z0-9_]*|[0-9]+|[@*#?$!_-])")
_PLAIN: Final = re.compile(r"[^ \t\n|&;()<>'\"\\$`]+")
_QUOTED_PLAIN: Final = re.compile(r"[^\"\\$`]+")


class Lexer(abc.ABC):
    """Reads words at `pos`. The grammar of commands is added by `parse.Parser`."""

    def __init__(self, text: str, depth: int = 0) -> None:
        self.text = text
        self.pos = 0
        self.depth = depth
        self.notes: list[Opaque] = []

    # Filled in by the parser: a `$(…)` holds whole commands.
    @abc.abstractmethod
    def substitution_body(self) -> Sequence:
        """Parse commands up to and including `)`."""

    @abc.abstractmethod
    def parse_inner(self, text: str) -> Sequence:
        """Parse a text of its own, as backquotes hold."""

    def note(self, kind: OpaqueKind, reason: str, raw: str = "") -> None:
        """Go on reading, but say that this cannot be told."""
        self.notes.append(Opaque(kind, reason, raw))

    def peek(self, ahead: int = 0) -> str:
        """Give the character at `pos + ahead`, or an empty string at the end."""
        index = self.pos + ahead
        return self.text[index] if index < len(self.text) else ""

    def deeper(self) -> None:
        """Count a level of nesting."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise UnreadableError("the command is nested too deeply", OpaqueKind.LIMIT)

    # --- words ----------------------------------------------------------------------------

    def word(self, *, test: bool = False) -> RawWord | None:
        """Read one word at `pos`, or give None at an operator, blank or the end."""
        start = self.pos
        parts: list[Part] = []
        while self.pos < len(self.text):
            plain = _PLAIN.match(self.text, self.pos)
            if plain:
                parts.append(Literal(plain.group(), quoted=False))
                self.pos = plain.end()
                continue
            character = self.text[self.pos]
            if character in "<>" and self.peek(1) == "(":
                parts.append(self._process_substitution(character))
            elif character == "(" and self.pos > start:
                self._parenthesis(parts, test)
            elif character in "'\"\\$`":
                self._quoted_or_expanded(character, parts)
            else:
                break
        if self.pos == start:
            return None
        return RawWord(parts, self.text[start : self.pos])

    def _parenthesis(self, parts: list[Part], test: bool) -> None:
        before = self.text[self.pos - 1]
        if not test:
            if before in "?*+@!":
                raise UnreadableError(
                    "an extended glob depends on shell options", OpaqueKind.DIALECT
                )
            raise UnreadableError("a parenthesis inside a word", OpaqueKind.DIALECT)
        parts.append(Literal("(", quoted=False))
        self.pos += 1
        self.deeper()
        while self.peek() != ")":
            inner = self.word(test=True)
            if inner is not None:
                parts.extend(inner.parts)
            elif self.peek() == "|":
                parts.append(Literal("|", quoted=False))
                self.pos += 1
            else:
                raise UnreadableError("a pattern is not closed")
        parts.append(Literal(")", quoted=False))
        self.pos += 1
        self.depth -= 1

    def _quoted_or_expanded(self, character: str, parts: list[Part]) -> None:
        if character == "'":
            parts.append(Literal(self._single(), quoted=True))
        elif character == '"':
            self.pos += 1
            parts.append(Literal("", quoted=True))
            parts.extend(self._double())
        elif character == "\\":
            self._escape(parts)
        elif character == "`":
            parts.append(self._backquotes(quoted=False))
        else:
            self.dollar(parts, quoted=False)

    def _escape(self, parts: list[Part]) -> None:
        following = self.peek(1)
        if following == "":
            raise IncompleteError("a backslash ends the text")
        self.pos += 2
        if following != "\n":
            parts.append(Literal(following, quoted=True))

    def _single(self) -> str:
        end = self.text.find("'", self.pos + 1)
        if end < 0:
            raise IncompleteError("a single quote is not closed")
        body = self.text[self.pos + 1 : end]
        self.pos = end + 1
        return body

    def _double(self, closer: str = '"') -> list[Part]:
        """Read up to the closing double quote; with an empty closer, up to the end."""
        parts: list[Part] = []
        while True:
            if self.pos >= len(self.text):
                if closer:
                    raise IncompleteError("a double quote is not closed")
                return parts
            plain = _QUOTED_PLAIN.match(self.text, self.pos)
            if plain:
                parts.append(Literal(plain.group(), quoted=True))
                self.pos = plain.end()
                continue
            character = self.text[self.pos]
            if character == '"':
                self.pos += 1
                if closer:
                    return parts
                parts.append(Literal('"', quoted=True))
            else:
                self._double_special(character, parts, '$`"\\\n' if closer else "$`\\\n")

    def _double_special(self, character: str, parts: list[Part], escapable: str) -> None:
        if character == "`":
            parts.append(self._backquotes(quoted=True))
        elif character == "$":
            self.dollar(parts, quoted=True)
        elif character == "\\":
            following = self.peek(1)
            if following and following in escapable:
                self.pos += 2
                if following != "\n":
                    parts.append(Literal(following, quoted=True))
            else:
                parts.append(Literal("\\", quoted=True))
                self.pos += 1

    def here_document(self) -> list[Part]:
        """Read the whole text as the body of an unquoted here-document."""
        return self._double(closer="")

    # --- expansions -----------------------------------------------------------------------

    def dollar(self, parts: list[Part], *, quoted: bool) -> None:
        """Read what a `$` begins, or the `$` itself."""
        following = self.peek(1)
        if following == "(":
            parts.append(self._dollar_parenthesis(quoted))
        elif following == "{":
            parts.append(self._braced(quoted))
        elif following == "[":
            parts.append(self._old_arithmetic())
        elif following == "'" and not quoted:
            parts.append(Literal(self._ansi(), quoted=True))
        elif following == '"' and not quoted:
            self.pos += 2
            parts.append(Literal("", quoted=True))
            parts.extend(self._double())
        elif following == "\\" and self.peek(2) == "\n":
            raise UnreadableError("a line continues in the middle of an expansion")
        else:
            self._parameter(parts, quoted)

    def _parameter(self, parts: list[Part], quoted: bool) -> None:
        name = _PARAMETER.match(self.text, self.pos + 1)
        if name is None:
            parts.append(Literal("$", quoted=True))
            self.pos += 1
            return
        if self.text.startswith("\\\n", name.end()):
            raise UnreadableError("a line continues in the middle of an expansion")
        if name.group() == "$" and self.text.startswith(("(", "{", "["), name.end()):
            raise UnreadableError("bash itself reads `$$(` in two ways")
        parts.append(Parameter(name.group(), "", [], quoted))
        self.pos = name.end()

    def _ansi(self) -> str:
        end = self.pos + 2
        while end < len(self.text) and self.text[end] != "'":
            end += 2 if self.text[end] == "\\" else 1
        if end >= len(self.text):
            raise IncompleteError("a single quote is not closed")
        body = self.text[self.pos + 2 : end]
        self.pos = end + 1
        if re.search(r"\\x\{|\\c|\\x[89a-fA-F][0-9a-fA-F]|\\[2367][0-7][0-7]", body):
            raise UnreadableError("an escape that versions of bash read in different ways")
        return ansi_c(body)

    def _backquotes(self, *, quoted: bool) -> Substitution:
        end = self.pos + 1
        while end < len(self.text) and self.text[end] != "`":
            end += 2 if self.text[end] == "\\" else 1
        if end >= len(self.text):
            raise IncompleteError("a backquote is not closed")
        inner = self.text[self.pos + 1 : end]
        self.pos = end + 1
        escapable = r'\\([$`\\"])' if quoted else r"\\([$`\\])"
        if quoted and '"' in inner:
            self.note(OpaqueKind.SYNTAX, "quotes inside quoted backquotes", inner)
        return Substitution("`", self.parse_inner(re.sub(escapable, r"\1", inner)), quoted)

    def _process_substitution(self, direction: str) -> Substitution:
        self.pos += 2
        return Substitution(direction + "(", self.substitution_body(), quoted=False)

    def _dollar_parenthesis(self, quoted: bool) -> Part:
        if self.peek(2) == "(":
            end = self._arithmetic_end(self.pos + 3, "))")
            if end is not None:
                return self._arithmetic(self.pos + 3, end, 2)
        start = self.pos
        self.pos += 2
        body = self.substitution_body()
        if self.text.startswith("((", start + 1):
            self.doubt_parentheses(self.text[start : self.pos])
        return Substitution("$(", body, quoted)

    def doubt_parentheses(self, text: str) -> None:
        """`((` that is read as two groups: with quotes inside, bash may count otherwise."""
        if any(mark in text for mark in "'\"\\"):
            self.note(OpaqueKind.SYNTAX, "quoting inside what may be arithmetic", text)

    def _old_arithmetic(self) -> Arithmetic:
        end = self._matching(self.pos + 2, "[", "]")
        return self._arithmetic(self.pos + 2, end, 1)

    def _arithmetic_end(self, start: int, closer: str) -> int | None:
        """Find where `((` ends, as bash does: the first unmatched `)` must be doubled."""
        end = self._matching(start, "(", ")")
        return end if self.text.startswith(closer, end) else None

    def _matching(self, start: int, opener: str, closer: str) -> int:
        """Find the closer that matches an opener just before `start`, by counting alone.

        Quotes in between are counted like other text, and make the reading opaque.
        """
        level = 1
        for index in range(start, len(self.text)):
            character = self.text[index]
            if character == opener:
                level += 1
            elif character == closer:
                level -= 1
                if level == 0:
                    return index
        raise IncompleteError(f"a {opener} is not closed")

    def _arithmetic(self, start: int, end: int, closer_length: int) -> Arithmetic:
        parts = self.inner_parts(self.text[start:end], "arithmetic")
        self.pos = end + closer_length
        return Arithmetic(parts)

    def inner_parts(self, text: str, where: str) -> list[Part]:
        """Read the expansions in a text in which quotes have a meaning of their own."""
        if any(mark in text for mark in "'\"\\") or "#" in text.replace("$#", "").replace("{#", ""):
            self.note(OpaqueKind.SYNTAX, f"quoting inside {where}", text)
        inner = self._child(text)
        parts = inner.here_document()
        self.notes.extend(inner.notes)
        return parts

    def _child(self, text: str) -> Lexer:
        child = type(self)(text, self.depth)
        child.deeper()
        return child

    def _braced(self, quoted: bool) -> Parameter:
        start = self.pos
        self.pos += 2
        self.deeper()
        match = self._braced_name()
        name = match.group(2)
        parts: list[Part] = []
        if self.peek() == "[":
            self.pos += 1
            parts.append(Arithmetic(self._until("]", quoted)))
        operator_at = self.pos
        parts.extend(self._until("}", quoted))
        operator = self.text[operator_at : self.pos - 1]
        self.depth -= 1
        operator = match.group(1) + operator
        if operator.lstrip("!").startswith("@P"):
            self.note(
                OpaqueKind.CODE,
                "a value is expanded as a prompt, which runs what it holds",
                self.text[start : self.pos],
            )
        return Parameter(name, operator, parts, quoted)

    def _braced_name(self) -> re.Match[str]:
        match = _BRACED.match(self.text, self.pos)
        if match is None:
            if self.pos >= len(self.text):
                raise IncompleteError("a ${ is not closed")
            raise UnreadableError("an expansion of another shell", OpaqueKind.DIALECT)
        if match.group(1) and match.end() < len(self.text):
            following = self.text[match.end()]
            if match.group(1) == "#" and following not in "}[":
                # `${#-x}` is `$#` with an operator, not a length.
                match = re.compile(r"()(#)").match(self.text, self.pos) or match
        self.pos = match.end()
        return match

    def _until(self, closer: str, quoted: bool) -> list[Part]:
        """Read the inside of `${…}` or of its subscript up to `closer`."""
        parts: list[Part] = []
        while True:
            character = self.peek()
            if character == "":
                raise IncompleteError("a ${ is not closed")
            if character == closer:
                self.pos += 1
                return parts
            if character == "}":
                raise UnreadableError("a brace inside a subscript")
            if character == "\\" and self.peek(1) == "\n":
                raise UnreadableError("a line continues in the middle of an expansion")
            if character in "'\"" and (quoted or closer == "]"):
                self._quote_in_braces(character, parts)
            elif character in "'\"\\$`":
                self._braces_special(character, parts, quoted)
            elif character in "<>" and self.peek(1) == "(":
                parts.append(self._process_substitution(character))
            else:
                parts.append(Literal(character, quoted))
                self.pos += 1

    def _braces_special(self, character: str, parts: list[Part], quoted: bool) -> None:
        if quoted and character == "\\":
            parts.append(Literal(self.peek(1), quoted=True))
            self.pos += 2
        elif quoted and character == "$":
            self.dollar(parts, quoted=True)
        else:
            self._quoted_or_expanded(character, parts)

    def _quote_in_braces(self, character: str, parts: list[Part]) -> None:
        # What a quote means here depends on the operator and on what stands around.
        self.note(OpaqueKind.SYNTAX, "quotes inside a quoted expansion")
        parts.append(Literal(character, quoted=True))
        self.pos += 1
