"""The grammar of commands: a strict recursive descent over bash(1)'s SHELL GRAMMAR.

What it does not know raises `UnreadableError`; what the shell would ask more of, `IncompleteError`.
"""

from __future__ import annotations

import re
from typing import Final

from bastion.policy.facts import OpaqueKind
from bastion.policy.shell.lex import NAME
from bastion.policy.shell.simple import CLOSERS, OPENERS, SimpleParser
from bastion.policy.shell.tree import (
    Calculation,
    Compound,
    Function,
    IncompleteError,
    Loop,
    Node,
    Pipeline,
    RawWord,
    Sequence,
    Test,
    UnreadableError,
)

_TIME_PROGRAM: Final = re.compile(r"time[ \t]+-(?!(?:p|-)(?:[\s<>|&;()]|$))(?![-p]?\\\n)")
"""In POSIX mode, and in shells without the word, options make it a program (bash(1))."""
_SPLIT_OPTION: Final = re.compile(r"-[-p]?\\\n")


class Parser(SimpleParser):
    """One text; `program()` reads all of it."""

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
        start, documents = self.pos, len(self.heredoc_spans)
        self._nested += 1
        tree = self.sequence(frozenset())
        self._expect(")")
        self._nested -= 1
        if self._pending:
            raise UnreadableError("a here-document reaches out of its substitution")
        for _, end in self.heredoc_spans[documents:]:
            # bash 5.2 prints such a body and reads it again, without the `;`: `rm; ls -r /etc`.
            if re.search(r";|(?<!&)&(?!&)", self.text[end : self.pos]):
                raise UnreadableError("a list behind a here-document in a substitution")
        if outer and "\n" in self.text[start : self.pos]:
            raise UnreadableError("a here-document and a substitution of several lines overlap")
        self._pending = outer
        self.depth -= 1
        return tree

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
        if reserved in CLOSERS:
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

    def _pipeline(self) -> Node:
        while self._reserved() == "!" or self._times():
            if self._times():
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

    def _times(self) -> bool:
        """Tell whether the word `time` stands here, and not the program, which has options."""
        return self._reserved() == "time" and not _TIME_PROGRAM.match(self.text, self.pos)

    def _ends_command(self) -> bool:
        return self.peek() in ("", "\n", ";", "&", "|", ")")

    # --- commands -------------------------------------------------------------------------

    def _command(self) -> Node:
        self._blank()
        if self.peek() == "(":
            return self._parenthesised()
        reserved = self._reserved()
        if reserved == "!" or self._times():
            raise UnreadableError(f"unexpected {reserved}")
        if reserved == "coproc":
            return self._coproc()
        if reserved in OPENERS:
            return self._compound(reserved)
        if reserved in CLOSERS:
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
        start = self.pos
        self.pos += 1
        self._whole_operator()
        node = Compound("(", [], [self.sequence(frozenset(), may_be_empty=False)], [])
        self._expect(")")
        if self.text.startswith("((", start):
            self.doubt_parentheses(self.text[start : self.pos])
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
        words = [RawWord([], named.group().split()[0])] if named else []
        node = Compound("coproc", words, [self._command()], [])
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
        if self.peek() != "(" and self._reserved() not in OPENERS - {"function"}:
            raise UnreadableError(
                "a function body that is not a compound command", OpaqueKind.DIALECT
            )
        body = self._command()
        self.depth -= 1
        return Function(name, body)
