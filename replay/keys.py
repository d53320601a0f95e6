"""The keys, on a screen of their own."""

from __future__ import annotations

from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen
from textual.widgets import Static

KEYS: Final = """\
space   play, pause             c       list of what happened
← →     5 s back, on            [ ]     command before, next
, .     event before, next      d D     denial next, before
0-9     to a tenth of it        a A     approval next, before
home    beginning               x X     mask next, before
end     end                     e E     error next, before
:       to a time, a percent    /       find text on the screen
+ -     faster, slower          n N     found next, before
i       shorten pauses          t T     other channel
f       follow what is live     y       copy the screen's text
s       save as a file          q       leave"""


class Help(ModalScreen[None]):
    """Any key closes it."""

    CSS = """
    Help { align: center middle; }
    Help Static { width: 72; height: auto; padding: 1 2; border: round $primary; }
    Help Static { background: $surface; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,question_mark,space", "close")]

    def compose(self) -> ComposeResult:
        """The table."""
        yield Static(KEYS, markup=False)

    def on_key(self) -> None:
        """Close."""
        self.dismiss()

    def action_close(self) -> None:
        """Close."""
        self.dismiss()
