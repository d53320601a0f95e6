"""What a secret looks like: detectors, and how several of them read a text.

A detector is three small expressions, and one more for the stream:

    trigger     what stands before the secret, or begins it, and may be shown: `AKIA`, `password=`
    value       the secret itself
    end         what must follow, and may be shown
    unfinished  what the beginning of a value looks like, for a text that goes on

A fifth, `sign`, may be given for speed: something cheap that every secret with its trigger has in
it; one pass over a text for the signs of all detectors says which of them need to look at all.

A trigger is shown at once, and only what may be a value waits for more, so that no key echo and no
prompt is held back for its first letters. All of it runs in re2: time is linear in the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, NamedTuple

import re2

from bastion.tap.checks import AROUND, CHECKS, Sight

MAX_MEMORY: Final = 8 << 20
"""Bytes that one compiled expression may take: nested counts would compile to gigabytes."""

MOST: Final = 10_000
"""Matches looked at in one piece of text: a chunk is 32 KB, and no honest one holds more."""


_LEAD: Final = re.compile(r"^(\(\?i\))?\[[^\]]+\]\{0,[0-9]+\}")


class Late(StrEnum):
    """What is shown when the time is over and a value is not yet whole."""

    MASK = "mask"
    RELEASE = "release"


class Found(NamedTuple):
    """A secret: `text[start:end]`, and which detector says so."""

    start: int
    end: int
    detector: str


class Unfinished(NamedTuple):
    """The text ends in what may be the beginning of a secret, from `start` on."""

    start: int
    trigger: int
    """Where its trigger begins: this much must stay known."""
    detector: Detector


def compile_bytes(text: str) -> Any:
    """Compile for bytes, each one a character; ValueError says what is wrong."""
    try:
        return re2.compile(text.encode("latin-1"), _options())
    except re2.error as error:
        reason = error.args[0]
        shown = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        raise ValueError(f"not a regular expression that re2 takes: {shown}") from None
    except UnicodeEncodeError:
        raise ValueError("only ASCII: write other characters as bytes, \\xc3\\xa9") from None


def _options() -> Any:
    options = re2.Options()
    options.log_errors = False
    options.encoding = re2.Options.Encoding.LATIN1
    options.max_mem = MAX_MEMORY
    return options


def _sight(text: bytes, trigger: int, start: int, end: int) -> Sight:
    parts = (
        text[trigger:end],
        text[start:end],
        text[max(0, trigger - AROUND) : trigger],
        text[end : end + AROUND],
    )
    return Sight(*(part.decode("latin-1") for part in parts))


@dataclass(frozen=True, slots=True)
class Detector:
    """One kind of secret. Expressions are text; ValueError where re2 does not take one."""

    name: str
    trigger: str
    value: str
    end: str = ""
    unfinished: str = r"\S*"
    sign: str = ""
    check: str = ""
    late: Late = Late.MASK
    always: bool = True
    """Whether it looks where a policy names no detectors."""
    about: str = ""
    _whole: Any = field(init=False, repr=False, compare=False)
    _open: Any = field(init=False, repr=False, compare=False)
    _more: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        whole = compile_bytes(f"(?:{self.trigger})({self.value})(?:{self.end})")
        object.__setattr__(self, "_whole", whole)
        opened = compile_bytes(rf"(?:{self.trigger})((?:{self.unfinished}))\z")
        object.__setattr__(self, "_open", opened)
        object.__setattr__(self, "_more", compile_bytes(f"(?:{self.unfinished})"))

    @property
    def many_lines(self) -> bool:
        """Whether its value may go on behind a newline."""
        return self.goes_on(b"\n") > 0

    def find(self, text: bytes) -> Iterable[Found]:
        """Every secret of this kind, from left to right."""
        check = CHECKS[self.check] if self.check else None
        at = 0
        for _ in range(MOST):
            match = self._whole.search(text, at)
            if match is None:
                return
            start, end = match.span(1)
            if start < end and (check is None or check(_sight(text, match.start(), start, end))):
                yield Found(start, end, self.name)
                at = end
            else:  # what follows may begin inside of what was none: card numbers in a row
                at = match.start() + 1

    def unfinished_at(self, text: bytes) -> Unfinished | None:
        """Where the text ends in an unfinished value, if it does."""
        match = self._open.search(text)
        return None if match is None else Unfinished(match.start(1), match.start(), self)

    def goes_on(self, text: bytes) -> int:
        """How many bytes of `text` may still belong to a value that began before it."""
        match = self._more.match(text)
        return 0 if match is None else int(match.end())


class Detectors:
    """Several detectors as one."""

    def __init__(self, detectors: Iterable[Detector]) -> None:
        self.each: Final[Sequence[Detector]] = tuple(detectors)
        lines = [one for one in self.each if not one.many_lines]
        self._signs = _Set((one, one.sign or _without_lead(one.trigger)) for one in self.each)
        self._triggers = _Set((one, _without_lead(one.trigger)) for one in lines)

    def __bool__(self) -> bool:
        return bool(self.each)

    def names(self) -> tuple[str, ...]:
        """Their names, each once."""
        return tuple(dict.fromkeys(detector.name for detector in self.each))

    def looking(self, text: bytes) -> Sequence[Detector]:
        """Those that may find something in `text`."""
        return self._signs.match(text)

    def opening(self, line: bytes) -> Sequence[Detector]:
        """Those whose trigger is in `line`, but for those whose values have many lines."""
        return self._triggers.match(line)

    def only(self, names: Iterable[str]) -> Detectors:
        """Those of these names."""
        wanted = set(names)
        return Detectors(detector for detector in self.each if detector.name in wanted)


def _without_lead(expression: str) -> str:
    """Without an optional beginning, which makes no difference to whether it is found, but to how
    many states the search has to keep."""
    return _LEAD.sub(r"\1", expression)


class _Set:
    """Which of several detectors an expression of theirs points to, in one pass."""

    def __init__(self, expressions: Iterable[tuple[Detector, str]]) -> None:
        pairs = list(expressions)
        self._detectors = [detector for detector, _ in pairs]
        self._set: Any = None
        if pairs:
            self._set = re2.Set.SearchSet(_options())
            for _, expression in pairs:
                self._set.Add(expression.encode("latin-1"))
            self._set.Compile()

    def match(self, text: bytes) -> Sequence[Detector]:
        hits = self._set.Match(text) if self._set is not None else None
        return [self._detectors[index] for index in sorted(hits)] if hits else ()
