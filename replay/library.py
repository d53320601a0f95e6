"""The list of recordings: type to search, Enter plays."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import ClassVar, Final

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widgets import DataTable, Input, Static

from bastion.errors import BastionError
from bastion.model import visible
from replay.catalogue import Catalogue, Entry
from replay.player import Player
from replay.tape import Tape

COLUMNS: Final = ("began (UTC)", "who", "target", "what")


class Library(Screen[None]):
    """What a catalogue holds; leaving it ends the app."""

    CSS = """
    Library Input { border: none; height: 1; padding: 0; }
    Library DataTable { height: 1fr; }
    Library Static { height: 1; color: $text-muted; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "search"),
        Binding("escape", "back"),
        Binding("q", "leave"),
        Binding("r", "again"),
    ]

    def __init__(
        self, catalogue: Catalogue, *, speed: float, idle_limit: float, saves: bool
    ) -> None:
        super().__init__()
        self._catalogue = catalogue
        self._speed, self._idle_limit, self._saves = speed, idle_limit, saves
        self._entries: Sequence[Entry] = ()

    def compose(self) -> ComposeResult:
        """A search line, the table, a line of state."""
        yield Input(placeholder="search: names, commands, text on the screen")
        yield DataTable(cursor_type="row", zebra_stripes=True)
        yield Static("", markup=False)

    def on_mount(self) -> None:
        """List all there is."""
        self.query_one(DataTable).add_columns(*COLUMNS)
        self.set_focus(self.query_one(DataTable))
        self._find("")

    def action_search(self) -> None:
        """Go to the search line."""
        self.set_focus(self.query_one(Input))

    def action_back(self) -> None:
        """From the search line to the table, from the table out."""
        if isinstance(self.focused, Input):
            self.set_focus(self.query_one(DataTable))
        else:
            self.app.exit()

    def action_leave(self) -> None:
        """Out."""
        self.app.exit()

    def action_again(self) -> None:
        """Look again for what there is now."""
        self._find(self.query_one(Input).value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Search."""
        self._find(event.value)
        self.set_focus(self.query_one(DataTable))

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        """Play it."""
        if event.cursor_row < len(self._entries):
            self._say("opening…")
            self._open(self._entries[event.cursor_row])

    @work(thread=True, exclusive=True)
    def _find(self, text: str) -> None:
        try:
            entries = self._catalogue.find(text.strip())
        except BastionError as error:
            self.app.call_from_thread(self._say, str(error))
            return
        self.app.call_from_thread(self._show, entries)

    def _show(self, entries: Sequence[Entry]) -> None:
        self._entries = entries
        table = self.query_one(DataTable)
        table.clear()
        for entry in entries:
            began = _when(entry.began)
            title = Text(visible(entry.title), no_wrap=True, overflow="ellipsis")
            if entry.live:
                title = Text.assemble(("● live ", "bold red"), title)
            cells = (began, visible(entry.who), visible(entry.target))
            table.add_row(*(Text(cell, no_wrap=True) for cell in cells), title)
        count = len(entries)
        self._say(
            f"{count} {'session' if count == 1 else 'sessions'}   / search   enter plays   "
            "r looks again   q leaves"
        )

    @work(thread=True, exclusive=True)
    def _open(self, entry: Entry) -> None:
        try:
            tape = self._catalogue.open(entry)
        except BastionError as error:
            self.app.call_from_thread(self._say, str(error))
            return
        self.app.call_from_thread(self._play, tape)

    def _play(self, tape: Tape) -> None:
        self._say("")
        self.app.push_screen(
            Player(tape, speed=self._speed, idle_limit=self._idle_limit, saves=self._saves),
            lambda _: self.action_again(),
        )

    def _say(self, text: str) -> None:
        self.query_one(Static).update(visible(text))


def _when(seconds: float) -> str:
    """As UTC; a header may hold what no calendar can show."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
    except (OverflowError, ValueError, OSError):
        return "-"
