"""Walks a syntax tree and lists what would run, be opened, or cannot be told."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from bastion.model import Dialect
from bastion.policy.facts import OpaqueKind, SimpleCommand, Word
from bastion.policy.shell import (
    constants,
    dialects,
    environment,
    feeds,
    integrity,
    programs,
    redirections,
    second,
    shapes,
    steps,
)
from bastion.policy.shell.parse import Parser
from bastion.policy.shell.state import (
    ANY_NAME,
    DOWNLOAD,
    UNKNOWN,
    Call,
    Feed,
    Place,
    Reader,
    literal,
)
from bastion.policy.shell.tree import (
    Arithmetic,
    Assignment,
    Calculation,
    Compound,
    Function,
    Heredoc,
    Loop,
    Node,
    Parameter,
    Part,
    Pipeline,
    RawWord,
    Redirect,
    Sequence,
    Simple,
    Substitution,
    Test,
    UnreadableError,
)
from bastion.policy.shell.values import Prompt
from bastion.policy.shell.words import expand, expand_one, literal_of

MAX_TEXTS: Final = 200
"""Texts within texts (`sh -c`, `eval`, …) that are read for one line."""
MAX_NESTED_TEXTS: Final = 8
"""Texts inside texts inside texts."""
MAX_DIRECTORIES: Final = 8
MAX_TURNS: Final = 8
MAX_PLACES: Final = 8
"""Places of one simple command that are kept: each is read when it is about to run."""
MAX_LOOPS: Final = 2
"""Loops are read turn by turn, but loops within loops multiply."""
DECLARATIONS: Final = frozenset({"declare", "typeset", "local", "export", "readonly"})
"""Builtins that take an indexed assignment as it stands, and read it once."""


class Walker(Reader):
    """Reads one command line and all texts it would run."""

    def __init__(self, prompt: Prompt | None = None, dialect: Dialect = Dialect.BASH) -> None:
        super().__init__(prompt)
        self._dialect = dialect
        self.places: dict[object, list[Place]] = {}
        """Where each simple command of the shell's own text stands."""
        self._texts = 0
        self._level = 0
        self._text = ""
        self._fetching = False

    def read_text(self, text: str, place: Place) -> None:
        """Read a text that a shell would run: both parsers see it."""
        self._texts += 1
        self.spend(2 + len(text) // 10)
        if self._texts > MAX_TEXTS or self._level >= MAX_NESTED_TEXTS:
            self.cannot_tell(OpaqueKind.LIMIT, "too many texts are run within one another", text)
            second.list_commands(self, text, place)
            return
        outer, self._text = self._text, text
        own, self.own = self.own, self.own if self._is_own(place) else None
        values = self.state.values
        if not self._is_own(place):
            self.state.values = {}
        self.line = self.line or text
        if integrity.in_shell(place):
            for reason in dialects.differences(self._dialect, text):
                self.cannot_tell(OpaqueKind.DIALECT, reason)
        self._level += 1
        parser = Parser(text, depth=4 * (self._level - 1))
        try:
            tree = parser.program()
        except UnreadableError as error:
            self.cannot_tell(error.kind, error.reason, text)
            second.list_commands(self, text, place)
        else:
            for note in parser.notes:
                self.opaque[note] = None
            self._guarded_walk(tree, place, text)
            second.compare(self, tree, text, place, parser.heredoc_spans)
        self._level -= 1
        self._text, self.own = outer, own
        self.state.values = values

    def _is_own(self, place: Place) -> bool:
        """Tell whether the running shell reads a text itself: another reads what `sh -c` runs."""
        return self._level == 0 or all(re.fullmatch(r"eval|alias .*", name) for name in place.via)

    def _guarded_walk(self, tree: Sequence, place: Place, text: str) -> None:
        try:
            self._walk(tree, place)
        except UnreadableError as error:
            self.cannot_tell(error.kind, error.reason, text)

    # --- nodes ----------------------------------------------------------------------------

    def _walk(self, node: Node, place: Place) -> None:
        self.spend(1)
        match node:
            case Simple():
                self._simple(node, place)
            case Sequence():
                self._sequence(node, place)
            case Pipeline():
                self._pipeline(node, place)
            case Compound():
                self._compound(node, place)
            case Loop():
                self._loop(node, place)
            case Function():
                integrity.defines(self, "function", node.name, place)
                before = self.state.directories
                self._walk(node.body, place)
                self._directories((*before, *self.state.directories))
            case Test():
                environment.test_words(self, node.words)
                for word in node.words:
                    self._expansions(self._valued(word), place)
                self._redirects(node.redirects, place)
            case Calculation():
                environment.arithmetic(self, node.parts)
                self.read_parts(node.parts, place)
                self._redirects(node.redirects, place)

    def _sequence(self, node: Sequence, place: Place) -> None:
        chain_began = self.state.directories
        values, sure = self.state.values, True
        for item, joint in zip(node.items, node.joints, strict=True):
            before = self.state.directories
            self._walk(item, place)
            if sure and joint != "&" and isinstance(item, Simple) and self.prompt is None:
                self.state.values = constants.set_by(item, self._text, self.state.values)
            sure = joint == ";" or (sure and joint == "&&" and constants.succeeds(item))
            if joint == "&":
                self.state.directories = before
            elif joint != "&&":
                self._directories((*chain_began, *self.state.directories))
                chain_began = self.state.directories
        self.state.values = values

    def _directories(self, possible: tuple[str | None, ...]) -> None:
        distinct = tuple(dict.fromkeys(possible))
        self.state.directories = distinct if len(distinct) <= MAX_DIRECTORIES else (None,)

    def _pipeline(self, node: Pipeline, place: Place) -> None:
        feed = place.feed
        before = self.state.directories
        for index, stage in enumerate(node.stages):
            last = index == len(node.stages) - 1
            self._walk(stage, replace(place, feed=feed, shown=place.shown and last))
            self.state.directories = before
            feed = feeds.output_of(stage, feed, self.state.tainted)
            # A function or alias may have taken the place of what prints.
            if not self.redefined.isdisjoint([ANY_NAME, *second.heads(stage)]):
                feed = DOWNLOAD if feed.kind == "download" else UNKNOWN

    def _compound(self, node: Compound, place: Place) -> None:
        before = self.state.directories
        for word in node.words:
            self.read_parts(word.parts, place)
            if node.keyword == "for((":
                environment.arithmetic(self, word.parts)
            if node.keyword == "coproc":
                environment.assigned(self, word.raw, None, place)
        place = self._redirects(node.redirects, place)
        for body in node.bodies:
            self._walk(body, place)
        if node.keyword in ("(", "coproc"):
            self.state.directories = before
        elif node.keyword != "{":
            self._directories((*before, *self.state.directories))

    def _loop(self, node: Loop, place: Place) -> None:
        before = self.state.directories
        values: list[Word] = []
        for word in node.words or []:
            self._expansions(word, place)
            for each in self._split(word):
                values.extend(expand(each, self.state.values))
            environment.trust(self, node.name, word.parts)
        place = self._redirects(node.redirects, place)
        environment.assigned(self, node.name, None, place)
        if any(re.search(r"\s|^-", value.text or "") for value in values):
            self.state.loose.add(node.name)
        outer = self.state.values
        known = node.words and len(outer) < MAX_LOOPS and len(values) <= MAX_TURNS
        for value in values if known and self._changes_only_here(node.name) else [None]:
            if value is not None:
                self.state.values = {**outer, node.name: (value,)}
            self._walk(node.body, place)
        self.state.values = outer
        self._directories((*before, *self.state.directories))

    def _changes_only_here(self, name: str) -> bool:
        """Tell whether a loop variable is named but once without a `$` before it."""
        text = re.sub(rf"\$\{{{name}(?=[%#}}])", "", self._text)
        named = re.findall(rf"(?<![\w$]){name}\b", text)
        return len(named) == 1 and f"${{{name}[" not in self._text

    # --- expansions -----------------------------------------------------------------------

    def read_parts(self, parts: list[Part], place: Place) -> None:
        """Read the commands that stand inside words."""
        for part in parts:
            if isinstance(part, Substitution):
                self._substitution(part, place)
            elif isinstance(part, Parameter):
                environment.parameter(self, part, place)
                self.read_parts(part.parts, place)
            elif isinstance(part, Arithmetic):
                environment.arithmetic(self, part.parts)
                self.read_parts(part.parts, place)

    def _substitution(self, part: Substitution, place: Place) -> None:
        before = self.state.directories
        feed = place.feed
        if part.opener == ">(":
            fetched = self._fetching or feed.kind == "download"
            feed = Feed("download") if fetched else Feed("unknown")
        self._walk(part.body, replace(place, feed=feed, shown=part.opener == ">("))
        self.state.directories = before

    def _heredoc(self, heredoc: Heredoc, place: Place) -> Feed:
        self.read_parts(heredoc.body, place)
        text = literal_of(heredoc.body)
        if text is not None:
            return Feed("text", text)
        return feeds.of_parts(heredoc.body, self.state.tainted)

    def _valued(self, word: RawWord) -> RawWord:
        return self.own.one(word) if self.own is not None else word

    def _split(self, word: RawWord, *, first: bool = False) -> list[RawWord]:
        if self.own is None:
            return [word]
        return self.own.words(word, self.state.values, first=first)

    def _redirects(
        self, redirects: list[Redirect], place: Place, *, reported: bool = False
    ) -> Place:
        """List what redirections open; give the place with its new standard input.

        `reported`: the running shell shows them before they are opened, as only those of simple
        commands are.
        """
        for redirect in redirects:
            if redirect.heredoc is not None:
                feed = self._heredoc(redirect.heredoc, place)
                if redirect.fd in ("", "0"):
                    place = replace(place, feed=feed)
                continue
            assert redirect.target is not None
            self.read_parts(redirect.target.parts, place)
            target = redirect.target
            if reported and self.own is not None:
                target = self.own.target(target)
            place = redirections.redirected(
                self, redirect, self._shaped(target, target=True), place
            )
        return place

    def _shaped(self, word: RawWord, *, target: bool = False) -> RawWord:
        return shapes.shaped(
            word, self.state.values, self.redefined, any_name=ANY_NAME, target=target
        )

    # --- simple commands ------------------------------------------------------------------

    def _simple(self, node: Simple, place: Place) -> None:
        outer, self._fetching = self._fetching, feeds.fetches(node, self.state.tainted)
        inner = self._redirects(node.redirects, place, reported=True)
        self._fetching = outer
        if self.own is not None:
            self._place_of(node, place)
        words: list[Word] = []
        sources: list[tuple[str, list[Part]]] = []
        for source in node.words:
            if isinstance(source, Assignment):
                self._assignment(source, place)
                if not words or words[0].text not in DECLARATIONS:
                    # `eval rm a[0 /etc ]=1` is read a second time, and then it is three words.
                    self.cannot_tell(
                        OpaqueKind.CODE, "an indexed assignment is read twice", source.name
                    )
                words.append(literal(source.name + "="))
                continue
            for each in self._split(source, first=not words):
                self._expansions(each, inner)
                words.extend(expand(self._shaped(each), self.state.values))
                sources.append((each.raw, each.parts))
        assignments = [(each.name, self._assignment(each, place)) for each in node.assignments]
        for name, value in assignments:
            environment.assigned(self, name, value, place, lasting=not words)
        if not words:
            return
        integrity.standing(self, words, node.redirects, place)
        inner = replace(inner, assignments=tuple(assignments), sources=tuple(sources))
        self.run(words, inner)
        plain = [expand_one(word) for word in node.words if isinstance(word, RawWord)]
        if place.posix and len(plain) != len(words):
            self.run(plain, inner)

    def _place_of(self, node: Simple, place: Place) -> None:
        places = self.places.setdefault(steps.canonical(node), [])
        if place not in places and len(places) < MAX_PLACES:
            places.append(place)

    def _expansions(self, source: RawWord, place: Place) -> None:
        environment.suspicious(self, source, place)
        self.read_parts(source.parts, place)

    def _assignment(self, node: Assignment, place: Place) -> Word:
        self.read_parts(node.subscript, place)
        for word in node.array:
            self._expansions(word, place)
            environment.subscripted(self, word.raw)
        environment.arithmetic(self, node.subscript)
        if node.value is None:
            return Word(None, "(…)", "array")
        value = self._valued(node.value)
        self._expansions(value, place)
        if self.own is not None:
            self.own.forget(node.name)
        environment.trust(self, node.name, node.value.parts)
        if feeds.of_parts(node.value.parts, self.state.tainted).kind == "download":
            self.state.tainted.add(node.name)
        return expand_one(value, assignment=True)

    def run(self, argv: list[Word], place: Place) -> None:
        """List one command, then read what its program does with its words."""
        self.spend(1 + len(argv) // 4)
        head = argv[0]
        if head.dynamic in ("tilde", "glob") and head.raw.startswith("~"):
            program = head.raw.rpartition("/")[2]
        else:
            program = (head.text or "").rpartition("/")[2]
        self.add_command(
            SimpleCommand(
                program,
                tuple(argv),
                place.via,
                place.assignments,
                place.extra_operands,
                self.state.directories,
            )
        )
        bare = replace(place, assignments=(), extra_operands=False)
        programs.read(self, Call(program, argv, bare, place.extra_operands))
