"""What a terminal would make of a piece of stream: text without escapes, and where each byte was.

A secret may have colours in it, be corrected with backspaces, be written in two strokes over one
line, or be wrapped at the window's edge. Here a line is composed as a terminal composes it; before
a stroke goes back over a line, the line is given as it stood. Whoever moves the cursor to another
line ends the text: what is put together there is the screen's to see (`tap/screen.py`).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

_PLAIN: Final = bytes({*range(0x20, 0x7F), 0x09, 0x0A, *range(0x80, 0x100)} - {0xC2})
_C1: Final = re.compile(rb"\xc2[\x80-\x9f]")

_INVISIBLE: Final = (
    rb"\xe2\x80[\x8b-\x8f\xaa-\xae]|\xe2\x81[\xa0-\xaf]|\xef\xbb\xbf|\xef\xb8[\x80-\x8f]|\xc2\xad"
    rb"|\xcc[\x80-\xbf]|\xcd[\x80-\xaf]"
)
"""Characters that take no room: joiners, marks of direction, variants, accents. Whoever copies what
is shown may not even notice them."""
_BEGUN: Final = rb"\xe2[\x80\x81]?\Z|\xef[\xbb\xb8]?\Z|\xcc\Z|\xcd\Z|\xc2\Z"
_HAS_INVISIBLE: Final = re.compile(_INVISIBLE + rb"|" + _BEGUN)

TOKEN: Final = re.compile(
    rb"(?P<still>" + _INVISIBLE + rb"|" + _BEGUN + rb")"
    rb"|(?P<text>[\x20-\x7e\t]+|(?:[\xc3-\xff]|\xc2(?![\x80-\x9f]))[\x80-\xbf]*|[\x80-\xbf])"
    rb"|(?P<newline>\r*\n)"
    rb"|(?P<csi>(?:\x1b\[|\xc2\x9b)(?P<count>[0-?]*)[ -/]*(?P<final>[@-~]))"
    rb"|(?P<string>(?:\x1b[\]PX^_]|\xc2[\x90\x98\x9d-\x9f])(?P<inside>[^\x07\x1b\n]*)"
    rb"(?P<closed>\x07|\x1b\\)?)"
    rb"|(?P<escape>\x1b(?:[ -/]+[0-~]|[0-OQ-WYZ\\`-~]))"
    rb"|(?P<partial>\r+\Z|\x1b(?:\[[0-?]*[ -/]*|[ -/]*)?|\xc2\x9b[0-?]*[ -/]*)"
    rb"|(?P<control>\xc2[\x80-\x9f]|[\x00-\x1f\x7f]|\xc2)",
    re.DOTALL,
)
"""ECMA-48 §5.4 and §5.6, in seven bits and in UTF-8."""

STILL: Final = frozenset(b"mhlqtncpx")
"""Finals of control sequences that neither print nor move."""
STILL_ESCAPES: Final = re.compile(rb"\x1b(?:[()*+\-./#% ].|[=>\\NO])", re.DOTALL)
FULL_SCREEN: Final = re.compile(rb"(?:\x1b\[|\xc2\x9b)\?(?:1049|1047|47)([hl])")
NEIGHBOURS: Final = 512
"""Bytes of a line, to either side of a new stroke, that are looked at with it: a target that goes
to and fro on a line of kilobytes must not cost the square of it."""
MOST_LOOKED: Final = 32 * 1024
MOST_BLOWN_UP: Final = 16
"""Bytes, and for each of a piece's so many, of lines that stood there before they were written over
or left: `ab`, a backspace and so on would give a thousand lines, `CSI 999 C` a thousand blanks.
Each stroke by itself, and what is left at the end, are looked at all the same."""

_COLOURS: Final = re.compile(
    rb"\x1b\[[0-9;:]*m|\x1b\[\?[0-9;]*[hl]|\x1b\([0AB]|\x00|\x07|" + _INVISIBLE
)
"""What most programs write beside text: taken out at once, where nothing else is there. Each branch
begins with one byte, so that the search leaps to it."""
_CUT: Final = re.compile(rb"\x1b(?:\[[0-?]*)?\Z|\r+\Z|" + _BEGUN)
"""A sequence, a line end or a character without width that a chunk cuts: no text, until the rest of
it is there."""
LONGEST_CUT: Final = 64

LONGEST_BLANK: Final = 4096
"""Bytes of a line that may be blank only because the cursor went there: a target that moves it to
and fro would make a line of megabytes out of a few kilobytes."""


@dataclass(slots=True)
class Text:
    """A text, and for each byte of it where it stood in the stream; None: at the same place."""

    data: bytes
    places: Sequence[int] | Coloured | None = None
    cursor: int = -1
    """How much of it stands before the cursor, where more may come; -1: nothing comes there."""

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Where `data[start:end]` (not empty) stood, from its first byte to behind its last."""
        if self.places is None:
            return start, end
        if isinstance(self.places, Coloured):
            return self.places.place(start), self.places.place(end - 1) + 1
        there = [place for place in self.places[start:end] if place >= 0]
        return (min(there), max(there) + 1) if there else (0, 0)


class Coloured:
    """Where the bytes of a text stood from which colours were taken out; told when it is asked."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._ends: list[int] = []
        """For each colour, how much of the text stands before it."""
        self._taken: list[int] = []
        """How many bytes were taken out up to its end."""

    def place(self, at: int) -> int:
        """Where the byte at `at` of the text stood."""
        if not self._taken:
            taken = 0
            for colour in _COLOURS.finditer(self._raw):
                self._ends.append(colour.start() - taken)
                taken += len(colour[0])
                self._taken.append(taken)
        index = bisect_right(self._ends, at)
        return at + (self._taken[index - 1] if index else 0)


def read(raw: bytes, columns: int = 0) -> list[Text]:
    """Every text in `raw`. `columns`: the window's width, 0 where there is none."""
    cut = _CUT.search(raw, max(0, len(raw) - LONGEST_CUT))
    head = raw if cut is None else raw[: cut.start()]
    texts = _read(raw, head, columns)
    if b"\0" in head:
        # In UTF-16 it is half a letter; in /proc/PID/environ it ends a text.
        apart = raw.replace(b"\0", b"\n")
        texts += _read(apart, apart[: len(head)], columns)
    return texts


def _read(raw: bytes, head: bytes, columns: int) -> list[Text]:
    if _is_plain(head) and not _may_wrap(head, columns):
        return [Text(head, None, len(head))]
    if b"\x1b[?" not in raw or FULL_SCREEN.search(raw) is None:
        plain = _COLOURS.sub(b"", head)
        if _is_plain(plain) and not _may_wrap(plain, columns):
            return [Text(plain, Coloured(raw), len(plain))]
    reader = _Reader(raw, columns)
    texts = reader.texts()
    return texts + _Reader(raw, 0).texts() if reader.joined else texts


def _is_plain(raw: bytes) -> bool:
    """Whether the bytes are simply the text that is shown."""
    rest = raw.translate(None, _PLAIN)
    if not rest:
        return _shows_all(raw)
    if rest.strip(b"\r\xc2"):
        return False
    return raw.count(b"\r") == raw.count(b"\r\n") and _C1.search(raw) is None and _shows_all(raw)


def _shows_all(raw: bytes) -> bool:
    """Whether nothing in it is a character without width."""
    return raw.isascii() or _HAS_INVISIBLE.search(raw) is None


def _may_wrap(raw: bytes, columns: int) -> bool:
    return 0 < columns <= len(raw) and any(len(line) >= columns for line in raw.split(b"\n"))


class _Reader:
    """Composes lines from one piece of stream."""

    def __init__(self, raw: bytes, columns: int) -> None:
        self._raw = raw
        self._columns = columns
        self._others = bytearray()
        """Texts that nothing more comes to, each with a newline behind it."""
        self._other_places: list[int] = []
        self._room = MOST_LOOKED + MOST_BLOWN_UP * len(raw)
        self._done = bytearray()
        self._done_places: list[int] = []
        self._line = bytearray()
        self._places: list[int] = []
        self._at = 0
        self._fresh: tuple[int, int] | None = None
        """The part of the line that was written since it was last looked at."""
        self._strokes = bytearray()
        self._stroke_places: list[int] = []
        self._moved = False
        self.joined = False
        """Whether an end of a line at the window's edge was taken for the edge itself."""

    def texts(self) -> list[Text]:
        begun = None
        for token in TOKEN.finditer(self._raw):
            match token.lastgroup:
                case "text":
                    self._write(token.start(), token.end())
                case "newline":
                    self._newline(token.start(), token.end())
                case "csi":
                    self._sequence(token)
                case "string" | "closed":
                    begun = self._string(token)
                case "escape" if STILL_ESCAPES.fullmatch(token[0]) is None:
                    self._break()
                case "control":
                    self._control(token[0])
        return self._texts(begun)

    def _texts(self, begun: Text | None) -> list[Text]:
        whole, places = self._whole()
        texts = [Text(whole, places, len(self._done) + self._at)]
        if self._moved:
            strokes = bytes(self._strokes)
            texts.append(Text(strokes, self._stroke_places, len(strokes)))
        if self._others:
            texts.append(Text(bytes(self._others), self._other_places))
        return texts if begun is None else [*texts, begun]

    def _string(self, token: re.Match[bytes]) -> Text | None:
        """A title, a link: a text of its own, which is given where it may go on."""
        inside, places = token["inside"], range(*token.span("inside"))
        if token.end() == len(self._raw) and not token["closed"]:
            return Text(inside, places, len(inside))
        self._give(inside, places)
        return None

    def _give(self, text: bytes, places: Iterable[int]) -> None:
        self._room -= len(text)
        if self._room < 0 or text.isspace():
            return
        self._others += text + b"\n"
        self._other_places += places
        self._other_places.append(-1)

    # --- writing --------------------------------------------------------------------------------

    def _write(self, start: int, end: int) -> None:
        at, size = self._at, end - start
        self._strokes += self._raw[start:end]
        self._stroke_places += range(start, end)
        after = at + size
        if at < len(self._line) and self._raw[start] >= 0x80:
            after = self._over(at)  # one character over one, whatever their lengths
        self._line[at:after] = self._raw[start:end]
        self._places[at:after] = range(start, end)
        self._at = at + size
        low, high = self._fresh or (at, at)
        self._fresh = (min(low, at), max(high, self._at))

    def _over(self, at: int) -> int:
        """Where the character that stands at `at` ends."""
        at += 1
        while at < len(self._line) and 0x80 <= self._line[at] < 0xC0:
            at += 1
        return at

    def _newline(self, start: int, end: int) -> None:
        if self._columns and self._at == len(self._line) > 0 and self._column() == 0:
            self.joined = True
            return  # the window's edge, not the end of the text; unless it ends just there
        self._strokes += b"\n"
        self._stroke_places.append(end - 1)
        self._done += self._line
        self._done_places += self._places
        self._done += b"\n"
        self._done_places.append(end - 1)
        self._restart()

    def _restart(self) -> None:
        self._line, self._places, self._at, self._fresh = bytearray(), [], 0, None

    def _column(self) -> int:
        before = self._line[: self._at]
        characters = len(before) - sum(0x80 <= byte < 0xC0 for byte in before)
        return characters % self._columns

    # --- moving ---------------------------------------------------------------------------------

    def _control(self, control: bytes) -> None:
        if control == b"\b":
            self._look()
            self._back(1)
        elif control == b"\r":
            self._look()
            row = (self._column() or self._columns) if self._columns else 0
            self._back(row or self._at)
        elif control in (b"\x0b", b"\x0c", b"\xc2\x84", b"\xc2\x85", b"\xc2\x8d"):
            self._break()

    def _back(self, count: int) -> None:
        if self._line.isascii():
            self._at = max(0, self._at - count)
            return
        for _ in range(min(count, self._at)):
            if not self._at:
                return  # characters of several bytes: there are fewer of them
            self._at -= 1
            while self._at and 0x80 <= self._line[self._at] < 0xC0:
                self._at -= 1

    def _forward(self, count: int) -> None:
        left = min(count, 1000)
        if self._line.isascii():
            steps = min(left, len(self._line) - self._at)
            self._at += steps
            left -= steps
        while left and self._at < len(self._line):
            self._at = self._over(self._at)
            left -= 1
        self._line += b" " * left
        self._places += [-1] * left
        self._at += left

    def _sequence(self, token: re.Match[bytes]) -> None:
        final, number = token["final"], token["count"]
        if final[0] in STILL and FULL_SCREEN.match(token[0]) is None:
            return
        if final not in b"CDGKPX@`" or (number and not number.isdigit()):
            self._break()
            return
        count = int(number[:5] or b"0")
        self._look()
        if final in b"CG`@" and len(self._line) + min(count, 1000) > LONGEST_BLANK:
            self._break()
        else:
            self._edit(final, count)

    def _edit(self, final: bytes, count: int) -> None:
        match final:
            case b"C":
                self._forward(count or 1)
            case b"D":
                self._back(count or 1)
            case b"G" | b"`":
                self._to_column(max(0, (count or 1) - 1))
            case b"K":
                self._erase(count)
            case b"P":
                self._delete(count or 1)
            case b"X":
                self._blank(self._at, min(len(self._line), self._at + (count or 1)))
            case b"@":
                size = min(count or 1, 1000)
                self._line[self._at : self._at] = b" " * size
                self._places[self._at : self._at] = [-1] * size

    def _to_column(self, column: int) -> None:
        self._back(self._column() if self._columns else self._at)
        self._forward(column)

    def _erase(self, what: int) -> None:
        if what == 0:
            del self._line[self._at :], self._places[self._at :]
        elif what in (1, 2):
            self._blank(0, self._at if what == 1 else len(self._line))

    def _blank(self, start: int, end: int) -> None:
        self._line[start:end] = b" " * (end - start)
        self._places[start:end] = [-1] * (end - start)

    def _delete(self, count: int) -> None:
        end = self._at
        for _ in range(min(count, len(self._line))):
            if end < len(self._line):
                end = self._over(end)
        del self._line[self._at : end], self._places[self._at : end]
        self._fresh = (self._at, self._at)  # what now stands together did not before

    # --- giving -----------------------------------------------------------------------------------

    def _look(self) -> None:
        """Give the line as it stands, before anything of it is written over.

        A new stroke begins then; strokes are a text of their own, for what was written over may
        stand behind them.
        """
        if not self._moved or self._strokes[-1:] != b"\n":
            self._strokes += b"\n"
            self._stroke_places.append(-1)
        self._moved = True
        if self._fresh is None:
            return
        low = max(0, self._fresh[0] - NEIGHBOURS)
        high = self._fresh[1] + NEIGHBOURS
        self._fresh = None
        self._give(bytes(self._line[low:high]), self._places[low:high])

    def _whole(self) -> tuple[bytes, list[int]]:
        return bytes(self._done + self._line), self._done_places + self._places

    def _break(self) -> None:
        self._give(*self._whole())
        self._done, self._done_places = bytearray(), []
        self._restart()
