"""The grammar of commands: a strict recursive descent over bash(1)'s SHELL GRAMMAR.

What it does not know raises `UnreadableError`; what the shell would ask more of, `IncompleteError`.
"""

from __future__ import annotations

import re
from typing import Final

from bastion.policy.facts import OpaqueKind
from bastion.policy.shell_lex import NAME, Lexer
from bastion.policy.shell_tree import (
    Assignment,
    Calculation,
    Compound,
    Function,
    Heredoc,
    IncompleteError,
    Literal,
    Loop,
    Node,
    Part,
    Pipeline,
    RawWord,
    Redirect,
    Sequence,
    Simple,
    Test,
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
_SPLIT_OPTION: Final = re.compile(r"-[-p]?\\\n")
_OPENERS: Final = frozenset(
    {"if", "while", "until", "case", "for", "select", "{", "[[", "function"}
)
_CLOSERS: Final = frozenset({"then", "elif", "else", "fi", "do", "done", "esac", "}"})
_RESERVED: Final = _OPENERS | _CLOSERS | {"time", "coproc", "!", "in"}
_DECLARATIONS: Final = frozenset(
    {"declare", "typeset", "local", "export", "readonly", "alias", "eval", "let"}
)


class Parser(Lexer):
    """One text; `program()` reads all of it."""

    def __init__(self, text: str, depth: int = 0) -> None:
        super().__init__(text, depth)
        self._pending: list[Heredoc] = []
        self._nested = 0
        self.heredoc_spans: list[tuple[int, int]] = []
        """Where here-documents stand, delimiters too: the second parser misreads some."""

    def program(self) -> Sequence:
        """Parse the whole text."""
        tree = self.sequence(frozenset())
        if self.pos < len(self.text):
            raise UnreadableError(f"unexpected {self.text[self.pos]!r}")
        if self._pending:
            raise IncompleteError("a here-document is not closed")
        return tree

    def parse_inner(self, text: str) -> Sequence:
        """Parse a text of its own, as backquotes hold."""
        inner = Parser(text, self.depth)
        inner.deeper()
        inner._nested = 1
        tree = inner.program()
        self.notes.extend(inner.notes)
        return tree

    def substitution_body(self) -> Sequence:
        """Parse commands up to and including `)`."""
        self.deeper()
        outer, self._pending = self._pending, []
        start = self.pos
        self._nested += 1
        tree = self.sequence(frozenset())
        self._expect(")")
        self._nested -= 1
        if self._pending:
            raise UnreadableError("a here-document reaches out of its substitution")
        if outer and "\n" in self.text[start : self.pos]:
            raise UnreadableError("a here-document and a substitution of several lines overlap")
        self._pending = outer
        self.depth -= 1
        return tree

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
        inner = Parser(text, self.depth)
        inner.deeper()
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

    # --- lists and pipelines --------------------------------------------------------------

    def sequence(self, stop: frozenset[str], *, may_be_empty: bool = True) -> Sequence:
        """Parse commands up to a reserved word of `stop`, a `)`, a `;;` or the end."""
        tree = Sequence([], [])
        self._linebreak()
        while not self._at_end(stop):
            tree.items.append(self._pipeline())
            joint = self._joint()
            tree.joints.append(joint)
            if not joint:
                break
            self._linebreak()
            if joint in ("&&", "||") and self.pos >= len(self.text):
                raise IncompleteError(f"nothing follows {joint}")
            if joint in ("&&", "||") and self._at_end(stop):
                raise UnreadableError(f"nothing follows {joint}")
        if not tree.items and not may_be_empty:
            if self.pos >= len(self.text):
                raise IncompleteError("a command is missing")
            raise UnreadableError("a command is missing")
        return tree

    def _at_end(self, stop: frozenset[str]) -> bool:
        if self.pos >= len(self.text) or self.peek() == ")" or self._case_separator():
            return True
        reserved = self._reserved()
        if reserved in stop:
            return True
        if reserved in _CLOSERS:
            raise UnreadableError(f"unexpected {reserved}")
        return False

    def _case_separator(self) -> str:
        for token in (";;&", ";;", ";&"):
            if self.text.startswith(token, self.pos):
                return token
        return ""

    def _joint(self) -> str:
        self._blank()
        for token in ("&&", "||"):
            if self.text.startswith(token, self.pos):
                self.pos += 2
                self._whole_operator()
                return token
        if self._case_separator():
            return ""
        if self.peek() and self.peek() in ";&\n":
            joint = self.peek()
            if joint == "\n":
                return ";"
            self.pos += 1
            self._whole_operator()
            return joint
        return ""

    def _whole_operator(self) -> None:
        if _SPLIT_OPERATOR.match(self.text, self.pos):
            raise UnreadableError("a line continues in the middle of an operator")

    def _pipeline(self) -> Node:
        while self._reserved() in ("!", "time"):
            if self._reserved() == "time":
                self.pos += 4
                self._blank()
                if _SPLIT_OPTION.match(self.text, self.pos):
                    raise UnreadableError("a line continues in the middle of an option")
                for option in ("-p", "--"):
                    if re.compile(option + r"(?=[\s<>|&;()]|$)").match(self.text, self.pos):
                        self.pos += 2
                        self._blank()
                if self._ends_command():
                    return Sequence([], [])
            else:
                self.pos += 1
                self._blank()
        stages = [self._command()]
        while True:
            self._blank()
            if self.peek() != "|" or self.peek(1) == "|":
                break
            self.pos += 2 if self.peek(1) == "&" else 1
            self._whole_operator()
            self._linebreak()
            if self.pos >= len(self.text):
                raise IncompleteError("nothing follows |")
            stages.append(self._command())
        return stages[0] if len(stages) == 1 else Pipeline(stages)

    def _ends_command(self) -> bool:
        return self.peek() in ("", "\n", ";", "&", "|", ")")

    # --- commands -------------------------------------------------------------------------

    def _command(self) -> Node:
        self._blank()
        if self.peek() == "(":
            return self._parenthesised()
        reserved = self._reserved()
        if reserved in ("time", "!"):
            raise UnreadableError(f"unexpected {reserved}")
        if reserved == "coproc":
            return self._coproc()
        if reserved in _OPENERS:
            return self._compound(reserved)
        if reserved in _CLOSERS:
            raise UnreadableError(f"unexpected {reserved}")
        return self._function() or self._simple()

    def _compound(self, reserved: str) -> Node:
        self.deeper()
        self.pos += len(reserved)
        node: Compound | Loop | Test
        if reserved == "{":
            node = Compound("{", [], [self.sequence(frozenset("}"), may_be_empty=False)], [])
            self._expect_reserved("}")
        elif reserved == "if":
            node = self._if()
        elif reserved in ("while", "until"):
            condition = self.sequence(frozenset({"do"}), may_be_empty=False)
            node = Compound("while", [], [condition, self._loop_body()], [])
        elif reserved in ("for", "select"):
            node = self._for()
        elif reserved == "case":
            node = self._case()
        elif reserved == "[[":
            node = self._test()
        else:
            self.depth -= 1
            return self._function_keyword()
        node.redirects.extend(self._redirects())
        self.depth -= 1
        return node

    def _parenthesised(self) -> Node:
        self.deeper()
        if self.peek(1) == "(":
            end = self._arithmetic_end(self.pos + 2, "))")
            if end is not None:
                parts = self._arithmetic(self.pos + 2, end, 2).parts
                self.depth -= 1
                return Calculation(parts, self._redirects())
        self.pos += 1
        self._whole_operator()
        node = Compound("(", [], [self.sequence(frozenset(), may_be_empty=False)], [])
        self._expect(")")
        node.redirects.extend(self._redirects())
        self.depth -= 1
        return node

    def _if(self) -> Compound:
        node = Compound("if", [], [], [])
        while True:
            node.bodies.append(self.sequence(frozenset({"then"}), may_be_empty=False))
            self._expect_reserved("then")
            node.bodies.append(self.sequence(frozenset({"elif", "else", "fi"}), may_be_empty=False))
            if self._reserved() != "elif":
                break
            self.pos += 4
        if self._reserved() == "else":
            self.pos += 4
            node.bodies.append(self.sequence(frozenset({"fi"}), may_be_empty=False))
        self._expect_reserved("fi")
        return node

    def _loop_body(self) -> Sequence:
        self._linebreak()
        if self._reserved() == "{":
            raise UnreadableError("a loop with braces", OpaqueKind.DIALECT)
        self._expect_reserved("do")
        body = self.sequence(frozenset({"done"}), may_be_empty=False)
        self._expect_reserved("done")
        return body

    def _for(self) -> Compound | Loop:
        self._blank()
        if self.text.startswith("((", self.pos):
            return self._arithmetic_for()
        name = self.word()
        if name is None:
            raise IncompleteError("for needs a name")
        if NAME.fullmatch(name.raw) is None:
            raise UnreadableError("for needs a name")
        self._blank()
        if self.peek() == ";":
            self.pos += 1
        self._linebreak()
        words: list[RawWord] | None = None
        if self._reserved() == "in":
            self.pos += 2
            words = self._words()
            self._blank()
            if self.peek() and self.peek() not in ";\n":
                raise UnreadableError("for … in ends in the middle of a line")
            if self.peek() == ";":
                self.pos += 1
        return Loop(name.raw, words, self._loop_body(), [])

    def _arithmetic_for(self) -> Compound:
        end = self._arithmetic_end(self.pos + 2, "))")
        if end is None:
            raise UnreadableError("for (( is not closed")
        parts = self._arithmetic(self.pos + 2, end, 2).parts
        self._blank()
        if self.peek() == ";":
            self.pos += 1
        return Compound("for((", [RawWord(parts, "((")], [self._loop_body()], [])

    def _words(self) -> list[RawWord]:
        words: list[RawWord] = []
        while True:
            self._blank()
            word = self.word()
            if word is None:
                return words
            words.append(word)

    def _case(self) -> Compound:
        node = Compound("case", [], [], [])
        self._blank()
        subject = self.word()
        if subject is None:
            raise IncompleteError("case needs a word")
        node.words.append(subject)
        self._linebreak()
        self._expect_reserved("in")
        self._linebreak()
        while self._reserved() != "esac":
            self._case_arm(node)
            self._linebreak()
            if self.pos >= len(self.text):
                raise IncompleteError("esac is missing")
        self.pos += 4
        return node

    def _case_arm(self, node: Compound) -> None:
        if self.pos >= len(self.text):
            raise IncompleteError("esac is missing")
        if self.peek() == "(":
            self.pos += 1
        while True:
            self._blank()
            pattern = self.word(test=True)
            if pattern is None:
                raise UnreadableError("case needs a pattern")
            node.words.append(pattern)
            self._blank()
            if self.peek() != "|":
                break
            self.pos += 1
        self._expect(")")
        node.bodies.append(self.sequence(frozenset({"esac"})))
        separator = self._case_separator()
        self.pos += len(separator)
        if not separator and self._reserved() != "esac":
            raise (
                IncompleteError("esac is missing")
                if self.pos >= len(self.text)
                else UnreadableError("a case pattern ends without ;;")
            )

    def _test(self) -> Test:
        words: list[RawWord] = []
        while True:
            self._linebreak()
            if self._reserved_test_end():
                self.pos += 2
                return Test(words, [])
            if self.pos >= len(self.text):
                raise IncompleteError("]] is missing")
            start = self.pos
            word = self.word(test=True)
            if word is not None:
                words.append(word)
            elif self.peek() in "()<>|&":
                self.pos += 1
            else:
                raise UnreadableError("a test that this reader does not know")
            if self.text[start : self.pos] == ";":
                raise UnreadableError("]] is missing")

    def _reserved_test_end(self) -> bool:
        return re.compile(r"\]\](?=[\s;&|()<>]|$)").match(self.text, self.pos) is not None

    def _coproc(self) -> Node:
        self.pos += 6
        self._blank()
        named = re.compile(
            r"[A-Za-z_]\w*[ \t]+(?=[({]|(?:if|while|until|for|case|select)\s)"
        ).match(self.text, self.pos)
        if named and self._reserved() == "":
            self.pos = named.end()
        self.deeper()
        node = Compound("coproc", [], [self._command()], [])
        self.depth -= 1
        return node

    def _function(self) -> Function | None:
        match = re.compile(r"([^\s|&;()<>'\"\\$`=#{}!]+)(?:[ \t]|\\\n)*\((?:[ \t]|\\\n)*\)").match(
            self.text, self.pos
        )
        if match is None:
            return None
        self.pos = match.end()
        return self._function_body(match.group(1))

    def _function_keyword(self) -> Function:
        self._blank()
        name = self.word()
        if name is None:
            raise IncompleteError("function needs a name")
        self._blank()
        match = re.compile(r"\([ \t]*\)").match(self.text, self.pos)
        if match:
            self.pos = match.end()
        return self._function_body(name.raw)

    def _function_body(self, name: str) -> Function:
        self.deeper()
        self._linebreak()
        if self.pos >= len(self.text):
            raise IncompleteError("a function needs a body")
        if self.peek() != "(" and self._reserved() not in _OPENERS - {"function"}:
            raise UnreadableError(
                "a function body that is not a compound command", OpaqueKind.DIALECT
            )
        body = self._command()
        self.depth -= 1
        return Function(name, body)

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
