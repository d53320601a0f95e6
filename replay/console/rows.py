"""A list that changes under its reader, and whose cursor does not.

The cursor is on a thing, not on a line: what was under it when a key was pressed is what is meant.
A thing that ends while the cursor is on it stays there, marked, until the cursor leaves it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip


@dataclass(frozen=True, slots=True)
class Row:
    """One line: `key` is what it is about; `ended` says how, once it is over."""

    key: str
    text: str
    style: str = ""
    ended: str = ""


class Rows(ScrollView, can_focus=True):
    """A list. `show` gives it new rows; it posts Moved when another one is under the cursor."""

    DEFAULT_CSS = """
    Rows { height: 1fr; scrollbar-size-vertical: 1; scrollbar-size-horizontal: 0; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)", show=False),
        Binding("up,k", "move(-1)", show=False),
        Binding("home", "move(-1000000)", show=False),
        Binding("end", "move(1000000)", show=False),
    ]

    class Moved(Message):
        """Another row is under the cursor, or none."""

        def __init__(self, rows: Rows) -> None:
            super().__init__()
            self.rows = rows

        @property
        def control(self) -> Rows:
            """The list."""
            return self.rows

    def __init__(self, empty: str, **options: str) -> None:
        super().__init__(id=options.get("id"))
        self._empty = empty
        self._rows: list[Row] = []
        self._cursor = ""

    @property
    def current(self) -> Row | None:
        """The row under the cursor; one that has ended is still there."""
        return next((row for row in self._rows if row.key == self._cursor), None)

    @property
    def lines(self) -> Sequence[Row]:
        """All rows, as they are shown."""
        return tuple(self._rows)

    def show(self, rows: Sequence[Row], ended: str = "over") -> None:
        """Take new rows. The one under the cursor stays where it is, marked `ended` if it is not
        among them any more."""
        before, at = self.current, self._index()
        shown = list(rows)
        if before is not None and all(row.key != before.key for row in shown):
            shown.insert(min(at, len(shown)), replace(before, ended=before.ended or ended))
        screen_line = at - self.scroll_offset.y
        self._rows = shown
        if before is None:
            self._cursor = shown[0].key if shown else ""
        self._lay_out()
        self.scroll_to(y=self._index() - screen_line, animate=False, force=True)
        if _what(self.current) != _what(before):
            self.post_message(self.Moved(self))

    def action_move(self, steps: int) -> None:
        """Move the cursor; a row that has ended is gone once it is left."""
        if not self._rows:
            return
        index = max(0, min(len(self._rows) - 1, self._index() + steps))
        target = self._rows[index].key
        if target == self._cursor:
            return
        self._cursor = target
        self._rows = [row for row in self._rows if not row.ended or row.key == target]
        self._lay_out()
        self._keep_in_view()
        self.post_message(self.Moved(self))

    def leave_ended(self) -> None:
        """Go to the next row where the one under the cursor has ended."""
        current = self.current
        if current is None or not current.ended:
            return
        index = self._index()
        self._rows = [row for row in self._rows if not row.ended]
        self._cursor = self._rows[min(index, len(self._rows) - 1)].key if self._rows else ""
        self._lay_out()
        self._keep_in_view()
        self.post_message(self.Moved(self))

    def on_resize(self) -> None:
        """The cursor stays in sight."""
        self._lay_out()
        self._keep_in_view()

    def render_line(self, y: int) -> Strip:
        """Draw one line of the list."""
        number = y + self.scroll_offset.y
        width = self.scrollable_content_region.width
        if not self._rows:
            text = self._empty if y == 0 else ""
            return Strip([Segment(set_cell_size(text, width), Style(dim=True))], width)
        if number >= len(self._rows):
            return Strip.blank(width)
        row = self._rows[number]
        under = row.key == self._cursor
        mark = f"{row.ended}: " if row.ended else ""
        text = f"{'›' if under else ' '} {mark}{row.text}"
        if cell_len(text) > width:
            text = set_cell_size(text, max(0, width - 1)) + "…"
        style = Style.parse(row.style or "none")
        if row.ended:
            style += Style(dim=True, strike=True)
        if under:
            style += Style(reverse=True, bold=self.has_focus)
        return Strip([Segment(set_cell_size(text, width), style)], width)

    def _index(self) -> int:
        keys = [row.key for row in self._rows]
        return keys.index(self._cursor) if self._cursor in keys else 0

    def _lay_out(self) -> None:
        self.virtual_size = Size(self.size.width, len(self._rows))
        self.refresh()

    def _keep_in_view(self) -> None:
        index, height = self._index(), max(1, self.scrollable_content_region.height)
        top = min(self.scroll_offset.y, index)
        self.scroll_to(y=max(top, index - height + 1), animate=False, force=True)


def _what(row: Row | None) -> tuple[str, str] | None:
    """What a row is about, whatever its text says at this moment."""
    return (row.key, row.ended) if row else None
