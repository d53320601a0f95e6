"""A widget that shows a Screen: the recorded terminal, and nothing of it acts on the real one."""

from __future__ import annotations

from typing import Any, Final

from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from replay.screen import Colour, Look, Screen

FRAME: Final = 1 / 30
"""Seconds between two looks at the clock."""

BUDGET: Final = 0.02
"""Seconds of emulation in one frame: keys must still be heard while a long seek runs."""


class ScreenView(ScrollView):
    """Shows a Screen; where the window is smaller, it follows the cursor."""

    DEFAULT_CSS = """
    ScreenView { height: 1fr; scrollbar-size: 0 0; background: black; color: white; }
    """
    can_focus = False

    def __init__(self, screen: Screen, **options: Any) -> None:
        super().__init__(**options)
        self._shown = screen

    def update(self, screen: Screen | None = None) -> None:
        """Show the screen, or another one, as it is now."""
        self._shown = screen or self._shown
        columns, rows = self._shown.size
        self.virtual_size = Size(columns, rows)
        height = self.scrollable_content_region.height
        top = min(self.scroll_offset.y, max(0, rows - height))
        if height and (cursor := self._shown.cursor) is not None:
            top = max(min(top, cursor[1]), cursor[1] - height + 1)
        self.scroll_to(y=top, animate=False, force=True)
        self.refresh()

    def on_resize(self) -> None:
        """The window changed: the cursor may be out of sight."""
        self.update()

    def render_line(self, y: int) -> Strip:
        """Draw one line of the window."""
        left, top = self.scroll_offset
        columns, rows = self._shown.size
        row = y + top
        if row >= rows:
            return Strip.blank(self.size.width)
        segments = [Segment(text, style_of(look)) for text, look in self._shown.row(row)]
        strip = Strip(segments, columns)
        cursor = self._shown.cursor
        if cursor is not None and cursor[1] == row and cursor[0] < columns:
            strip = _with_cursor(strip, cursor[0])
        return strip.crop_extend(left, left + self.size.width, Style.null())


def style_of(look: Look) -> Style:
    """How Rich draws a look."""
    return Style(
        color=_colour(look.foreground),
        bgcolor=_colour(look.background),
        bold=look.bold,
        dim=look.faint,
        italic=look.italic,
        underline=look.underline,
        strike=look.strike,
        reverse=look.reverse,
    )


def _with_cursor(strip: Strip, column: int) -> Strip:
    before, cell, after = strip.divide([column, column + 1, strip.cell_length])
    return Strip.join([before, cell.apply_style(Style(reverse=True)), after])


def _colour(colour: Colour) -> Color | None:
    if colour is None:
        return None
    return Color.from_ansi(colour) if isinstance(colour, int) else Color.from_rgb(*colour)
