"""A terminal in memory. Recorded bytes are played into it and never reach the viewer's terminal."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

import avt
from avt.util import TextCollector, TextUnwrapper
from rich.cells import get_character_cell_size

from bastion.errors import CastFault
from bastion.wire.asciicast import clamp_size

PIECE: Final = 512
"""Characters that are fed at once: eight of them (`CSI 65535 b`) can cost ten milliseconds, and
keys are to be heard in between."""

MAX_COLUMNS: Final = 500
MAX_ROWS: Final = 200
"""The emulator moves every cell at a scroll or a resize: at four times this it takes seconds."""

_NEW_LINE_MODE: Final = "\x1b[20h"

_TURNING: Final = re.compile(
    r"\x1bc|\x1b\[2J|\x1b\[H\x1b\[0?J|\x1b\[\?(?:1049|1047|47)(?P<other>[hl])"
)
"""Where a screen is cleared, or another is taken: reset, ED 2, ED 0 from the top left, DECSET."""

_UNFINISHED: Final = re.compile(r"\x1b(?:\[(?:H(?:\x1b(?:\[0?)?)?|[?0-9]{0,5})?)?$")
"""What could become one of those with the characters that follow."""

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

    def feed(self, text: str) -> Sequence[int]:
        """Show text with all its escape sequences, and give the rows that changed.

        CastFault if it breaks the emulator.
        """

    def resize(self, columns: int, rows: int) -> None:
        """Change the size, clamped."""

    def row(self, number: int) -> list[Run]:
        """One row: only characters that fill the cells they claim, and no control characters."""

    def text(self) -> list[str]:
        """What is shown, a line each, wrapped lines whole again, without control characters."""

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

    def feed(self, text: str) -> Sequence[int]:
        """Show text."""
        changed = _guard(partial(self._vt.feed_str, text))
        return changed[0] if isinstance(changed, tuple) else ()

    def resize(self, columns: int, rows: int) -> None:
        """Change the size; too small a window makes avt panic, so it is clamped."""
        columns, rows = clamp(columns, rows)
        _guard(partial(self._vt.resize, columns, rows))

    def row(self, number: int) -> list[Run]:
        """One row, as runs of one look each."""
        chunks = self._vt[number].chunks(lambda one, other: one.pen != other.pen)
        return [("".join(map(_shown, cells)), _look(cells[0].pen)) for cells in chunks if cells]

    def text(self) -> list[str]:
        """What is shown."""
        unwrapper = TextUnwrapper()
        lines = [line for row in self._vt.view() if (line := unwrapper.push(row)) is not None]
        if (rest := unwrapper.flush()) is not None:
            lines.append(rest)
        return [plain(str(line)) for line in lines]

    def dump(self) -> str:
        """avt's own sequence for its state: for avt alone, never for a terminal."""
        return self._vt.dump()

    def restore(self, size: tuple[int, int], dump: str) -> None:
        """Begin again from a dump."""
        self._vt = avt.Vt(*size, scrollback_limit=0)
        self.feed(dump)


class Transcript:
    """The text of a recording: wrapped lines are whole again, what was cleared away is kept.

    Screens of full-screen programs are left out, for they are no lines one after another;
    `on_other_screen` says that one is shown, and `screen` gives what is shown then.
    """

    def __init__(self, columns: int, rows: int, *, raw_newlines: bool = False) -> None:
        columns, rows = clamp(columns, rows)
        self._vt = avt.Vt(columns, rows, scrollback_limit=0)
        self._collector = TextCollector(self._vt)
        self._held = ""
        self.on_other_screen = False
        self.left: list[str] = []
        """What the last full-screen program showed when it ended."""
        if raw_newlines:
            self._collector.feed_str(_NEW_LINE_MODE)

    def feed(self, text: str) -> Iterable[str]:
        """Give the lines that are finished by it."""
        text = self._held + text
        unfinished = _UNFINISHED.search(text)
        self._held = unfinished[0] if unfinished else ""
        text = text[: len(text) - len(self._held)]
        at = 0
        for found in _TURNING.finditer(text):
            yield from self._feed(text[at : found.start()])
            at = found.start()
            if found["other"]:
                if self.on_other_screen and found["other"] == "l":
                    self.left = self.screen()
                self.on_other_screen = found["other"] == "h"
            elif not self.on_other_screen:
                yield from self._cleared()
        yield from self._feed(text[at:])

    def resize(self, columns: int, rows: int) -> Iterable[str]:
        """Give the lines that are pushed out by it."""
        return _strings(_guard(partial(self._collector.resize, *clamp(columns, rows))))

    def flush(self) -> Iterable[str]:
        """Give the lines that are left."""
        yield from self._feed(self._held)
        self._held = ""
        yield from _strings(_guard(self._collector.flush))

    def screen(self) -> list[str]:
        """What is shown now, a line each."""
        return [str(row.text).rstrip() for row in self._vt.view()]

    def _feed(self, text: str) -> list[str]:
        return _strings(_guard(partial(self._collector.feed_str, text))) if text else []

    def _cleared(self) -> list[str]:
        """The lines that are about to be cleared away; below the last one there is nothing."""
        lines = [str(line) for line in self._vt.text()]
        while lines and not lines[-1]:
            lines.pop()
        return lines


def clamp(columns: int, rows: int) -> tuple[int, int]:
    """Bring a size into what is emulated."""
    columns, rows = clamp_size(columns, rows)
    return min(columns, MAX_COLUMNS), min(rows, MAX_ROWS)


def plain(text: str) -> str:
    """Text without what would hide or act: U+FFFD stands for each such character."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else "\ufffd" for one in text)


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
