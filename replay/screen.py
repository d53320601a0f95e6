"""A terminal in memory. Recorded bytes are played into it and never reach the viewer's terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

import avt
from avt.util import TextCollector
from rich.cells import get_character_cell_size

from bastion.errors import CastFault
from bastion.wire.asciicast import clamp_size

PIECE: Final = 4096
"""Characters that are fed at once: a few of them (`CSI 65535 b`) can cost half a millisecond."""

MAX_COLUMNS: Final = 500
MAX_ROWS: Final = 200
"""The emulator moves every cell at a scroll or a resize: at four times this it takes seconds."""

_NEW_LINE_MODE: Final = "\x1b[20h"

Colour = int | tuple[int, int, int] | None


@dataclass(frozen=True, slots=True)
class Look:
    """How characters look: palette index, RGB, or None for the default."""

    foreground: Colour = None
    background: Colour = None
    bold: bool = False
    faint: bool = False
    italic: bool = False
    underline: bool = False
    strike: bool = False
    reverse: bool = False


Run = tuple[str, Look]


class Screen(Protocol):
    """What the player needs of a terminal emulator."""

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows."""

    @property
    def cursor(self) -> tuple[int, int] | None:
        """Column and row of the cursor, or None while it is hidden."""

    def feed(self, text: str) -> None:
        """Show text with all its escape sequences; CastFault if it breaks the emulator."""

    def resize(self, columns: int, rows: int) -> None:
        """Change the size, clamped."""

    def row(self, number: int) -> list[Run]:
        """One row: only characters that fill the cells they claim, and no control characters."""

    def dump(self) -> str:
        """The whole state, to be given to `restore` of a screen like this one."""

    def restore(self, size: tuple[int, int], dump: str) -> None:
        """Go back to a dumped state."""


class AvtScreen:
    """The Screen of avt. Its scrollback is off: a player seeks, it does not scroll back.

    `raw_newlines`: the recording had no terminal that turns LF into CR LF, so this one must.
    """

    def __init__(self, columns: int, rows: int, *, raw_newlines: bool = False) -> None:
        columns, rows = clamp(columns, rows)
        self._vt = avt.Vt(columns, rows, scrollback_limit=0)
        if raw_newlines:
            self._vt.feed_str(_NEW_LINE_MODE)

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows."""
        return self._vt.size

    @property
    def cursor(self) -> tuple[int, int] | None:
        """Column and row of the cursor, or None while it is hidden."""
        cursor = self._vt.cursor
        return (cursor.col, cursor.row) if cursor.visible else None

    def feed(self, text: str) -> None:
        """Show text."""
        _guard(partial(self._vt.feed_str, text))

    def resize(self, columns: int, rows: int) -> None:
        """Change the size; too small a window makes avt panic, so it is clamped."""
        columns, rows = clamp(columns, rows)
        _guard(partial(self._vt.resize, columns, rows))

    def row(self, number: int) -> list[Run]:
        """One row, as runs of one look each."""
        chunks = self._vt[number].chunks(lambda one, other: one.pen != other.pen)
        return [("".join(map(_shown, cells)), _look(cells[0].pen)) for cells in chunks if cells]

    def dump(self) -> str:
        """avt's own sequence for its state: for avt alone, never for a terminal."""
        return self._vt.dump()

    def restore(self, size: tuple[int, int], dump: str) -> None:
        """Begin again from a dump."""
        self._vt = avt.Vt(*size, scrollback_limit=0)
        self.feed(dump)


class Transcript:
    """The text of a recording: wrapped lines are whole again, full-screen programs left out."""

    def __init__(self, columns: int, rows: int, *, raw_newlines: bool = False) -> None:
        columns, rows = clamp(columns, rows)
        self._collector = TextCollector(avt.Vt(columns, rows, scrollback_limit=0))
        if raw_newlines:
            self._collector.feed_str(_NEW_LINE_MODE)

    def feed(self, text: str) -> Iterable[str]:
        """Give the lines that are finished by it."""
        return _strings(_guard(partial(self._collector.feed_str, text)))

    def resize(self, columns: int, rows: int) -> Iterable[str]:
        """Give the lines that are pushed out by it."""
        return _strings(_guard(partial(self._collector.resize, *clamp(columns, rows))))

    def flush(self) -> Iterable[str]:
        """Give the lines that are left."""
        return _strings(_guard(self._collector.flush))


def clamp(columns: int, rows: int) -> tuple[int, int]:
    """Bring a size into what is emulated."""
    columns, rows = clamp_size(columns, rows)
    return min(columns, MAX_COLUMNS), min(rows, MAX_ROWS)


def _guard(call: Callable[[], object]) -> object:
    """A Rust panic is a BaseException; a recording that causes one is damaged, not the player."""
    try:
        return call()
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise CastFault("the terminal emulator cannot show what comes here") from None


def _strings(lines: object) -> list[str]:
    return [str(line) for line in lines] if isinstance(lines, list) else []


def _shown(cell: avt.Cell) -> str:
    """The character, or U+FFFD where it would hide, act, or not fit its cell."""
    character, width = cell.char, cell.width
    if width == 0:
        return ""
    if character == " " or (
        character.isprintable() and get_character_cell_size(character) == width
    ):
        return character
    return "\ufffd" + " " * (width - 1)


def _look(pen: avt.Pen) -> Look:
    return Look(
        foreground=_colour(pen.foreground),
        background=_colour(pen.background),
        bold=pen.bold,
        faint=pen.faint,
        italic=pen.italic,
        underline=pen.underline,
        strike=pen.strikethrough,
        reverse=pen.inverse,
    )


def _colour(colour: object) -> Colour:
    if isinstance(colour, avt.Color.Indexed):
        return colour[0]
    if isinstance(colour, avt.Color.RGB):
        return colour[0], colour[1], colour[2]
    return None
