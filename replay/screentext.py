"""The text that was on a recording's screens, with its times: what the search index holds."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

from bastion.wire import asciicast
from replay.castfile import CastFile, has_raw_newlines
from replay.screen import PIECE, Transcript, plain

PIECE_SIZE: Final = 4000
"""Characters of one piece: a hit tells the time of its beginning."""

PIECE_SECONDS: Final = 60.0

LOOK_EVERY: Final = 1.0
"""Seconds between two looks at a full-screen program, whose screen is no text line by line."""

MAX_REMEMBERED: Final = 20_000
"""Lines of such screens that are known to be taken already: each look shows most of them again."""


def screen_text(cast: CastFile) -> Iterator[tuple[float, str]]:
    """Pieces of text, each with the time of its first line; the cast must be indexed."""
    piece: list[str] = []
    size, begun = 0, 0.0
    for moment, line in _lines(cast):
        if piece and (size >= PIECE_SIZE or moment - begun > PIECE_SECONDS):
            yield begun, "\n".join(piece)
            piece, size = [], 0
        if not piece:
            begun = moment
        piece.append(line)
        size += len(line) + 1
    if piece:
        yield begun, "\n".join(piece)


def _lines(cast: CastFile) -> Iterator[tuple[float, str]]:
    header = cast.header
    text = Transcript(header.width, header.height, raw_newlines=has_raw_newlines(cast))
    screens = _Screens(text)
    moment = 0.0
    for number in range(len(cast)):
        event = cast.event(number)
        moment = event.time
        for line in _finished(text, event):
            if line := plain(line).strip():
                yield moment, line
        for line in screens.look(moment):
            yield moment, line
    for line in text.flush():
        if line := plain(line).strip():
            yield moment, line


def _finished(text: Transcript, event: asciicast.CastEvent) -> Iterator[str]:
    if event.code == asciicast.OUTPUT:
        for start in range(0, len(event.data), PIECE):
            yield from text.feed(event.data[start : start + PIECE])
    elif event.code == asciicast.RESIZE:
        yield from text.resize(*asciicast.parse_resize(event.data))


class _Screens:
    """Takes each line of full-screen programs once."""

    def __init__(self, text: Transcript) -> None:
        self._text = text
        self._taken: OrderedDict[str, None] = OrderedDict()
        self._looked = float("-inf")

    def look(self, moment: float) -> Iterator[str]:
        """Lines that are shown now and were not taken before."""
        rows, self._text.left = self._text.left, []
        if self._text.on_other_screen and moment - self._looked >= LOOK_EVERY:
            self._looked = moment
            rows += self._text.screen()
        for row in rows:
            line = plain(row).strip()
            if line and line not in self._taken:
                self._taken[line] = None
                if len(self._taken) > MAX_REMEMBERED:
                    self._taken.popitem(last=False)
                yield line
