"""What a secret looks like: detectors, and how several of them read a text.

A detector is three small expressions, and one more for the stream:

    trigger     what stands before the secret, or begins it, and may be shown: `AKIA`, `password=`
    value       the secret itself
    end         what must follow, and may be shown
    unfinished  what the beginning of a value looks like, for a text that goes on

For speed there may be `opens`, something cheap that every trigger has in it, and `sign`, which
every secret with its trigger has in it: one pass over a text for those of all detectors says which
of them need to look at all.

`between` may stand there for what comes before the value and is shown, but waits like the value.
Where `leads` is set, the lines of a value may each have before them what its first line has.

A trigger is shown at once, and only what may be a value waits for more, so that no key echo and no
prompt is held back for its first letters. All of it runs in re2: time is linear in the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, NamedTuple

import re2

from bastion.tap.checks import AROUND, CHECKS, Sight
from bastion.tap.leads import PART, Lead, Unled
from bastion.tap.sieve import card_starts

MAX_MEMORY: Final = 8 << 20
"""Bytes that one compiled expression may take: nested counts would compile to gigabytes."""

MOST: Final = 10_000
"""Matches looked at in one piece of text: a chunk is 32 KB, and no honest one holds more."""

MOST_WEIGHED: Final = 256 * 1024
"""Bytes of what was found and was no secret, in one piece of text: `$1$$1$$1$…` begins at every
third byte and is never one. Beyond, whatever is found is masked unseen."""

_LINES: Final = re.compile(rb"[^\r\n]+|[\r\n]")
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
    lead: Lead | None = None


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
    begin = max(0, trigger - AROUND)
    near = text[begin : end + AROUND].decode("latin-1")
    trigger, start, end = trigger - begin, start - begin, end - begin
    return Sight(near[trigger:end], near[start:end], near[:trigger], near[end:])


@dataclass(frozen=True, slots=True)
class Detector:
    """One kind of secret. Expressions are text; ValueError where re2 does not take one."""

    name: str
    trigger: str
    value: str
    end: str = ""
    unfinished: str = r"\S*"
    between: str = ""
    opens: str = ""
    sign: str = ""
    check: str = ""
    sieve: bool = False
    """Whether trigger and value are one number that `tap/sieve.py` finds, behind one character."""
    late: Late = Late.MASK
    leads: bool = False
    kind: str = ""
    """What marks and policies call it, where several detectors are for one kind; else its name."""
    always: bool = True
    """Whether it looks where a policy names no detectors."""
    about: str = ""
    _trigger: Any = field(init=False, repr=False, compare=False)
    _whole: Any = field(init=False, repr=False, compare=False)
    _open: Any = field(init=False, repr=False, compare=False)
    _more: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        trigger, value = self.trigger, f"(?:{self.between})({self.value})(?:{self.end})"
        compiled = {
            "_trigger": trigger,
            "_whole": value if self.leads else f"(?:{trigger}){value}",
            "_open": rf"(?:{'' if self.leads else trigger})((?:{self.unfinished}))\z",
            "_more": f"(?:{self.unfinished})",
        }
        for name, expression in compiled.items():
            object.__setattr__(self, name, compile_bytes(expression))
        object.__setattr__(self, "kind", self.kind or self.name)

    @property
    def opening(self) -> str:
        """What is in every trigger."""
        return self.opens or _without_lead(self.trigger)

    @property
    def many_lines(self) -> bool:
        """Whether its value may go on behind a newline."""
        return self.leads or self.goes_on(b"\n") > 0

    def find(self, text: bytes) -> Iterable[Found]:
        """Every secret of this kind, from left to right."""
        starts = None
        if self.sieve and self._whole.search(text) is not None:
            starts = card_starts(text)
        return self._find_all(text) if starts is None else self._find_at(text, starts)

    def _find_at(self, text: bytes, starts: Iterable[int]) -> Iterable[Found]:
        """The same, where it is known where they may begin; the check was made there."""
        behind = 0
        for at in starts:
            match = self._whole.match(text, max(0, at - 1)) if at >= behind else None
            if match is not None:
                start, behind = match.span(1)
                yield Found(start, behind, self.kind)

    def _find_all(self, text: bytes) -> Iterable[Found]:
        check = CHECKS[self.check] if self.check else None
        at = weighed = 0
        for _ in range(MOST):
            found = self._next_led(text, at) if self.leads else self._next(text, at)
            if found is None:
                return
            trigger, start, end = found
            right = check is None or weighed > MOST_WEIGHED
            if start < end and (right or (check and check(_sight(text, trigger, start, end)))):
                yield Found(start, end, self.kind)
                at = end
            else:  # what follows may begin inside of what was none: card numbers in a row
                at = trigger + 1
                weighed += end - trigger

    def unfinished_at(self, text: bytes) -> Unfinished | None:
        """Where the text ends in an unfinished value, if it does."""
        if self.leads:
            return self._unfinished_led(text)
        match = self._open.search(text)
        return None if match is None else Unfinished(match.start(1), match.start(), self)

    def goes_on(self, text: bytes) -> int:
        """How many bytes of `text` may still belong to a value that began before it."""
        size = 0
        for piece in _LINES.findall(text) if self.leads else (text,):
            match = self._more.match(piece)
            size += 0 if match is None else int(match.end())
            if match is None or match.end() < len(piece):
                break
        return size

    def _next(self, text: bytes, at: int) -> tuple[int, int, int] | None:
        """Where a trigger, its value and the value's end are."""
        match = self._whole.search(text, at)
        return None if match is None else (match.start(), *match.span(1))

    # --- lines with something before each -------------------------------------------------------

    def _next_led(self, text: bytes, at: int) -> tuple[int, int, int] | None:
        for trigger, _, body in self._bodies(text, at):
            match = self._whole.match(body.data)
            if match is not None:
                start, end = match.span(1)
                return trigger, body.place(start), body.place(end - 1) + 1
        return None

    def _unfinished_led(self, text: bytes) -> Unfinished | None:
        for trigger, lead, body in self._bodies(text, 0):
            whole = body.place(len(body.data)) == len(text)
            if whole and self._open.match(body.data) is not None:
                line = text.rfind(b"\n", 0, trigger) + 1
                return Unfinished(body.places[0], line, self, lead)
        return None

    def _bodies(self, text: bytes, at: int) -> Iterator[tuple[int, Lead, Unled]]:
        """Every trigger from `at` on, its lead, and the lines that may be its value."""
        for match in self._trigger.finditer(text, at):
            line = text.rfind(b"\n", 0, match.start()) + 1
            lead = Lead(text[line : match.start()])
            at = match.end()
            body = self._body(text, at, lead) if lead else Unled(text[at:], [0], [at])
            yield match.start(), lead, body

    def _body(self, text: bytes, at: int, lead: Lead) -> Unled:
        """The text from `at` on without leads, as far as its lines may belong to a value."""
        pieces: list[bytes] = []
        body = Unled(b"", [], [])
        size = 0
        while True:
            end = text.find(b"\n", at) + 1 or len(text)
            led = lead.ends(text[at:end]) if pieces else 0
            at = end if led == PART else at + (led or 0)
            body.starts.append(size)
            body.places.append(at)
            pieces.append(text[at:end])
            size += end - at
            if end == len(text) or self.goes_on(pieces[-1]) < len(pieces[-1]):
                return body._replace(data=b"".join(pieces))
            at = end


class Rest:
    """What still belongs to a value of many bytes that was masked before it ended."""

    def __init__(self, detector: Detector, lead: Lead | None, line: bytes) -> None:
        self._detector = detector
        self._lead = lead
        self._line = line if lead and lead.ends(line) == PART else None
        """The line so far, while it may become a lead; None: what comes is no lead."""

    def goes_on(self, text: bytes) -> int:
        """How many bytes of `text`, which is a part of a line or its end, belong to it."""
        if not self._lead:
            return self._detector.goes_on(text)
        if text.endswith(b"\n"):
            self._line = b""
            return len(text)
        if self._line is None:
            return self._detector.goes_on(text)
        before, self._line = self._line, self._line + text
        led = self._lead.ends(self._line)
        if led == PART:
            return len(text)
        line, self._line = self._line, None
        return max(0, (led or 0) + self._detector.goes_on(line[led or 0 :]) - len(before))


class Detectors:
    """Several detectors as one."""

    def __init__(self, detectors: Iterable[Detector]) -> None:
        self.each: Final[Sequence[Detector]] = tuple(detectors)
        lines = [one for one in self.each if not one.many_lines]
        self._signs = _Set((one, one.sign or one.opening) for one in self.each)
        self._triggers = _Set((one, one.opening) for one in lines)

    def __bool__(self) -> bool:
        return bool(self.each)

    def names(self) -> tuple[str, ...]:
        """What policies may call them, each once."""
        both = (name for detector in self.each for name in (detector.kind, detector.name))
        return tuple(dict.fromkeys(both))

    def looking(self, text: bytes) -> Sequence[Detector]:
        """Those that may find something in `text`."""
        return self._signs.match(text)

    def opening(self, line: bytes) -> Sequence[Detector]:
        """Those whose trigger is in `line`, but for those whose values have many lines."""
        return self._triggers.match(line)

    def only(self, names: Iterable[str]) -> Detectors:
        """Those of these names, and those of these kinds."""
        wanted = set(names)
        return Detectors(one for one in self.each if wanted & {one.name, one.kind})


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
