"""Masks the values in a JSON text that paths name, while it streams (RFC 8259).

What goes out is JSON wherever what comes in is, of the same shape but for what is masked:

    a string                      becomes a mark, as a string
    a number, true, false         becomes null
    an object or an array         becomes null, with all that is in it
    null                          stays

A name that stands twice is masked twice, for readers differ in which they take; names are compared
after their escapes (`"p\\u0061ss"`). Several texts may follow each other, with or without lines
between (NDJSON). UTF-8, with or without its mark, and UTF-16 are read. Whatever is no JSON ends it:
`fault` says why, `rest` holds what was not looked at, and whoever called decides (there is nothing
to do with it but not to show it). Where what comes in is cut makes no difference to what goes out.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable
from typing import Final

from bastion.policy.jsonpath import Paths, Place
from bastion.tap.letters import Letters
from bastion.tap.marks import MOST_HASHED, Masked

NAME: Final = "json"
"""What marks and events call what a path named."""

DEEPEST: Final = 512
"""Levels: each is kept while it is open, and a target could open them without end."""
LONGEST_ATOM: Final = 1024
"""Characters of a number, which waits until it is whole."""
KEPT_OF_VALUE: Final = 4 * MOST_HASHED
"""Characters of a masked value that are kept for its mark."""

IN_STRING: Final = -1

_SPACE: Final = re.compile(r"[ \t\r\n]*")
_SPACE_OR_COLOUR: Final = re.compile(r"(?:[ \t\r\n]|\x1b\[[0-9;]*m)*")
_COLOUR_BEGUN: Final = re.compile(r"\x1b(?:\[[0-9;]{0,30})?\Z")
_ATOM: Final = re.compile(r"[-+.0-9A-Za-z]*")
_WHOLE_ATOM: Final = re.compile(
    r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null|NaN|-?Infinity"
)
"""The last two are no JSON, but some write them, and nobody reads them as anything else."""
_INSIDE: Final = re.compile(
    r'[^"\\\x00-\x1f]*(?:\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4})[^"\\\x00-\x1f]*)*'
)
"""Of a string, between its quotes."""
_ESCAPE_BEGUN: Final = re.compile(r"\\(?:u[0-9A-Fa-f]{0,3})?\Z")

_CLOSES: Final = {"{": "}", "[": "]"}


class _Fault(Exception):
    """What comes is no JSON."""


class _More(Exception):
    """The text ends in the middle of something that is needed whole."""


class _Level:
    """An open object or array, and where the paths are in it."""

    __slots__ = ("bracket", "index", "place")

    def __init__(self, bracket: str, place: Place) -> None:
        self.bracket = bracket
        self.place = place
        self.index = 0


class JsonMask:
    """One stream of JSON texts: `feed` pieces, `finish` at its end.

    `mark` makes a mark of a value's bytes. `within`: one JSON text that stands in another text, in
    UTF-8, maybe with colours between its tokens, which is taken alone; `rest` is what follows.
    """

    def __init__(self, paths: Paths, mark: Callable[[bytes], str], *, within: bool = False) -> None:
        self._paths = paths
        self._mark = mark
        self._within = within
        self._spaces = _SPACE_OR_COLOUR if within else _SPACE
        self._longest_name = 12 * max(map(len, paths.names), default=0) + 2
        """Characters of a name that may be one of ours: each of its letters may be two escapes."""
        self._letters = Letters(within=within)
        self._text = ""
        """What waits: the beginning of a name, a number, an escape."""
        self._released = 0
        """How many letters of that were shown before they were understood."""
        self.taken = 0
        """Bytes of the stream before that."""
        self._levels: list[_Level] = []
        self._step: Callable[[int], int] = self._value
        self._place, self._named = paths.root, paths.whole
        """Of the value that comes."""
        self._gone: list[str] | None = None
        """What is being masked; None while nothing is."""
        self._gone_size = self._gone_at = 0
        self._gone_below = IN_STRING
        """How many levels are open where it ends."""
        self._out: list[str] = []
        self._over = False
        self.done = False
        """The one text that is taken has ended."""
        self.fault = ""
        self.rest = b""
        self.masked: list[Masked] = []

    @property
    def held(self) -> int:
        """Bytes that wait for what comes; those of a value that is masked do not."""
        return len(self._letters.waiting) + self._size(self._text)

    def feed(self, data: bytes) -> bytes:
        """Give what may be shown now. After a fault, or when it is done: nothing; see `rest`."""
        self.masked = []
        if self._stopped():
            self.rest += data
            return b""
        text, broken = self._letters.decode(data, last=self._over)
        self._text += text
        at = self._steps()
        if broken and not self._stopped():
            self._end(f"it is no {self._letters.encoding.upper()}", at)
        if self._stopped():
            left = self._letters.encode(self._text[at + self._released :])
            self.rest = left + (broken or self._letters.waiting)
        self.taken += self._size(self._text[:at])
        self._text = "" if self._stopped() else self._text[at:]
        return self._flushed()

    def release(self) -> bytes:
        """Give a name or number that waits and is not masked; what it is, is told all the same."""
        if self._gone is not None or (self._named and self._step == self._value):
            return b""
        shown = self._text[self._released :]
        self._released = len(self._text)
        return self._letters.encode(shown)

    def _stopped(self) -> bool:
        return self.done or self.fault != ""

    def finish(self) -> bytes:
        """Nothing more comes: a text that has not ended is a fault."""
        self._over = True
        shown = self.feed(b"")
        if not self._stopped():
            if self._levels or self._gone is not None or self._step != self._value:
                self._end("the text ends in its middle", len(self._text))
            shown += self._flushed()
        return shown

    # --- taking ---------------------------------------------------------------------------------

    def _flushed(self) -> bytes:
        shown, self._out = "".join(self._out), []
        return self._letters.encode(shown)

    def _size(self, text: str) -> int:
        return len(self._letters.encode(text))

    def _steps(self) -> int:
        """Take what can be; gives how far."""
        at = 0
        try:
            while at < len(self._text) and not self.done:
                at = self._step(at)
        except _More:
            if self._over:
                self._end("the text ends in its middle", at)
        except _Fault as fault:
            self._end(str(fault), at)
        return at

    def _end(self, fault: str, at: int) -> None:
        self.fault = fault
        if self._gone is not None:
            self._gone_over(at)

    def _pass(self, text: str) -> None:
        """Show it, or leave it out where it is part of what is masked."""
        if self._gone is None:
            self._out.append(text[self._released :])
            self._released = max(0, self._released - len(text))
            return
        kept = sum(map(len, self._gone))
        self._gone.append(text[: max(0, KEPT_OF_VALUE - kept)])
        self._gone = self._gone if len(self._gone) < 64 else ["".join(self._gone)]
        self._gone_size += self._size(text)

    # --- masking --------------------------------------------------------------------------------

    def _gone_from(self, at: int, below: int) -> None:
        self._gone, self._gone_size, self._gone_below = [], 0, below
        self._gone_at = self.taken + self._size(self._text[:at])

    def _gone_over(self, at: int) -> None:
        """A masked value has ended, or is broken off."""
        gone, below = "".join(self._gone or ()), self._gone_below
        value = _unescaped(gone) if below == IN_STRING else gone
        mark = self._mark(value.encode("utf-8", "surrogatepass"))
        self.masked.append(Masked(NAME, self._gone_size, mark, self._gone_at))
        self._gone, self._gone_size = None, 0
        self._out.append(f'"{mark}"' if below == IN_STRING else "null")

    # --- steps: each takes the text from a place on, and says how far it went -------------------

    def _value(self, at: int) -> int:
        """A value, or the end of an array that has none; between texts, nothing as well."""
        if at == 0 and self.taken == 0 and self._text.startswith("\ufeff"):
            self._pass("\ufeff")
            return 1
        if (end := self._space(at)) > at:
            return end
        first = self._text[at]
        level = self._levels[-1] if self._levels else None
        if first == "]" and level is not None and level.bracket == "[" and not level.index:
            return self._close(at)
        if level is not None and level.bracket == "[":
            self._place, self._named = self._paths.element(level.place, level.index)
        if first == '"':
            return self._string_begins(at)
        if first in "{[":
            return self._open(at)
        return self._atom(at)

    def _open(self, at: int) -> int:
        if len(self._levels) >= DEEPEST:
            raise _Fault(f"it is more than {DEEPEST} levels deep")
        if self._named and self._gone is None:
            self._gone_from(at, len(self._levels))
        bracket = self._text[at]
        self._levels.append(_Level(bracket, self._place))
        self._pass(bracket)
        self._step = self._name if bracket == "{" else self._value
        return at + 1

    def _close(self, at: int) -> int:
        level = self._levels[-1]
        if self._text[at] != _CLOSES[level.bracket]:
            raise _Fault("its brackets do not match")
        self._levels.pop()
        self._pass(self._text[at])
        if self._gone is not None and self._gone_below == len(self._levels):
            self._gone_over(at)
        self._ended()
        return at + 1

    def _ended(self) -> None:
        """A value has ended."""
        if self._levels:
            self._step = self._after
            return
        self._step = self._value
        self._place, self._named = self._paths.root, self._paths.whole
        self.done = self._within

    def _after(self, at: int) -> int:
        """Behind a value in an object or array: a comma, or the end of it."""
        if (end := self._space(at)) > at:
            return end
        if self._text[at] in "}]":
            return self._close(at)
        if self._text[at] != ",":
            raise _Fault("a comma is missing")
        level = self._levels[-1]
        level.index += 1
        self._pass(",")
        self._step = self._name if level.bracket == "{" else self._value
        return at + 1

    def _name(self, at: int) -> int:
        """A member's name, whole; or the end of an object that has none."""
        if (end := self._space(at)) > at:
            return end
        level = self._levels[-1]
        if self._text[at] == "}" and not level.index:
            return self._close(at)
        if self._text[at] != '"':
            raise _Fault("a name is missing")
        end = self._inside(at + 1)
        if end - at > self._longest_name:
            # None of ours is that long: it need not be known, and must not be kept.
            self._pass(self._text[at:end])
            self._place, self._named = self._paths.member(level.place, None)
            self._step = self._long_name
            return end
        if not self._ends_string(end):
            raise _More
        inside = self._text[at + 1 : end]
        name = _unescaped(inside) if "\\" in inside else inside
        self._place, self._named = self._paths.member(level.place, name)
        self._pass(self._text[at : end + 1])
        self._step = self._colon
        return end + 1

    def _long_name(self, at: int) -> int:
        return self._goes_on(at, self._colon)

    def _colon(self, at: int) -> int:
        if (end := self._space(at)) > at:
            return end
        if self._text[at] != ":":
            raise _Fault("a colon is missing")
        self._pass(":")
        self._step = self._value
        return at + 1

    def _atom(self, at: int) -> int:
        """A number or a word, whole."""
        found = _ATOM.match(self._text, at)
        end = at if found is None else found.end()
        if end == len(self._text) and end - at <= LONGEST_ATOM and not self._over:
            raise _More
        word = self._text[at:end]
        if end - at > LONGEST_ATOM or _WHOLE_ATOM.fullmatch(word) is None:
            raise _Fault("a value is missing, or is none that JSON knows")
        if self._named and self._gone is None and word != "null":
            self._gone_from(at, 0)
            self._pass(word)
            self._gone_over(end)
        else:
            self._pass(word)
        self._ended()
        return end

    def _string_begins(self, at: int) -> int:
        if self._named and self._gone is None:
            self._gone_from(at, IN_STRING)
        else:
            self._pass('"')
        self._step = self._string
        return at + 1

    def _string(self, at: int) -> int:
        return self._goes_on(at, None)

    def _goes_on(self, at: int, then: Callable[[int], int] | None) -> int:
        """Inside of a string; behind it comes `then`, or what comes behind a value."""
        end = self._inside(at)
        if end > at:
            self._pass(self._text[at:end])
            return end
        if not self._ends_string(at):
            raise _More
        if self._gone is not None and self._gone_below == IN_STRING:
            self._gone_over(at)
        else:
            self._pass('"')
        if then is None:
            self._ended()
        else:
            self._step = then
        return at + 1

    def _inside(self, at: int) -> int:
        """How far a string goes that has begun before `at`."""
        found = _INSIDE.match(self._text, at)
        return at if found is None else found.end()

    def _ends_string(self, at: int) -> bool:
        """Whether its quote is there; False where the text ends before that can be told."""
        if at == len(self._text) or _ESCAPE_BEGUN.match(self._text, at):
            return False
        if self._text[at] != '"':
            raise _Fault("a string has a character that JSON does not allow there")
        return True

    def _space(self, at: int) -> int:
        found = self._spaces.match(self._text, at)
        end = at if found is None else found.end()
        if end > at:
            self._pass(self._text[at:end])
        elif self._within and _COLOUR_BEGUN.match(self._text, at):
            raise _More
        return end


def _unescaped(inside: str) -> str:
    """What a string means; of one that was cut, without the escape at its end."""
    for whole in (inside, _ESCAPE_BEGUN.sub("", inside)):
        with contextlib.suppress(ValueError):
            text: str = json.loads(f'"{whole}"', strict=False)
            return text
    return inside
