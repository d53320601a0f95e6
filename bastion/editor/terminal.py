"""The client's terminal, as prompt_toolkit sees it: a size, a name, and a place to write to."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Final

from prompt_toolkit.data_structures import Size
from prompt_toolkit.output import ColorDepth
from prompt_toolkit.output.vt100 import Vt100_Output

SMALLEST: Final = (2, 1)
LARGEST: Final = (1000, 500)
"""Columns and rows. A client may claim any size; a screen of 2**32 columns would be drawn."""

_DRAWS: Final = frozenset(
    (
        *("xterm", "screen", "tmux", "rxvt", "linux", "vte", "st", "stterm", "putty", "ansi"),
        *("vt100", "vt102", "vt220", "vt320", "vt420", "vt520", "dtterm", "eterm", "nsterm"),
        *("alacritty", "foot", "kitty", "wezterm", "ghostty", "contour", "rio", "warp", "zellij"),
        *("konsole", "gnome", "iterm", "iterm2", "mintty", "cygwin", "ms-terminal", "hterm"),
        *("mlterm", "mrxvt", "teraterm"),
    )
)
_MONOCHROME: Final = ("vt100", "vt102", "vt220", "vt320", "vt420", "vt520")


def can_draw(term: str) -> bool:
    """Tell whether a terminal of this name (TERM) moves its cursor as an xterm does."""
    return _family(term) in _DRAWS


def _family(term: str) -> str:
    name = term.lower()
    return name if name in _DRAWS else name.partition("-")[0].partition(".")[0]


def has_colours(term: str) -> bool:
    """Tell whether it has sixteen colours."""
    return _family(term) not in _MONOCHROME and not term.lower().endswith(("-m", "-mono"))


class ClientTerminal(Vt100_Output):
    """Escape sequences out to `write`, in one piece for each drawing."""

    def __init__(self, write: Callable[[bytes], None], term: str, columns: int, rows: int) -> None:
        self._sink = write
        self._columns, self._rows = columns, rows
        self.all_rows = False
        """The accepted line is drawn whole, however high: it stays in the scrollback."""
        depth = ColorDepth.DEPTH_4_BIT if has_colours(term) else ColorDepth.DEPTH_1_BIT
        super().__init__(
            io.StringIO(), self._size, term=term, default_color_depth=depth, enable_cpr=False
        )
        self.resize(columns, rows)

    def resize(self, columns: int, rows: int) -> None:
        """Take the client's word for its size, within bounds."""
        self._columns = min(max(columns or 80, SMALLEST[0]), LARGEST[0])
        self._rows = min(max(rows or 24, SMALLEST[1]), LARGEST[1])

    def _size(self) -> Size:
        return Size(rows=1 << 20 if self.all_rows else self._rows, columns=self._columns)

    def flush(self) -> None:
        """Send what was drawn."""
        if self._buffer:
            data = "".join(self._buffer)
            self._buffer = []
            self._sink(data.encode("utf-8", "replace"))

    def erase_down(self) -> None:
        """Erase below the cursor, this row first.

        tmux takes an erasure that begins at the top left for a cleared screen, and keeps what was
        there in its scrollback: a half-typed line for each drawing.
        """
        self.write_raw("\x1b[K\x1b[J")

    def to_line_start(self) -> None:
        """Begin at the left: after output without a newline, a mark and a new line.

        The mark and as many blanks as the row is wide wrap into the next row only if the cursor
        was not at its beginning, so nobody has to be asked where it is.
        """
        reset = "\x0f\x1b(B\x1b[?7h"  # letters are letters, whatever a program has left behind
        mark = "\x1b[0;7m%\x1b[0m" + " " * (self._columns - 1)
        self.write_raw(f"{reset}{mark}\r\x1b[K")

    def fitting(self, text: str, column: int) -> str:
        """The text, if its letters are one cell each and fit between `column` and the edge."""
        plain = text.isascii() and text.isprintable()
        return text if plain and column + len(text) < self._columns else ""

    @property
    def responds_to_cpr(self) -> bool:
        """The cursor's position is never asked for: a client need not answer."""
        return False
