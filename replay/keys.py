"""The player's keys, and a screen that shows them."""

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


SKIP: Final = 5.0
"""Seconds that an arrow key moves."""

PLAYER_KEYS: Final[list[BindingType]] = [
    Binding("space", "play"),
    Binding("left", f"skip(-{SKIP})"),
    Binding("right", f"skip({SKIP})"),
    Binding("comma", "step(-1)"),
    Binding("full_stop", "step(1)"),
    *(Binding(str(tenth), f"tenth({tenth})") for tenth in range(10)),
    Binding("home", "tenth(0)"),
    Binding("end", "tenth(10)"),
    Binding("plus,equals_sign", "faster(1)"),
    Binding("minus", "faster(-1)"),
    Binding("i", "idle"),
    Binding("slash", "ask('find')"),
    Binding("colon,g", "ask('go')"),
    Binding("s", "ask('save')"),
    Binding("n", "hit(1)"),
    Binding("N", "hit(-1)"),
    Binding("right_square_bracket,m", "next('', 1)"),
    Binding("left_square_bracket,M", "next('', -1)"),
    Binding("d", "next('denial', 1)"),
    Binding("D", "next('denial', -1)"),
    Binding("a", "next('approval', 1)"),
    Binding("A", "next('approval', -1)"),
    Binding("x", "next('mask', 1)"),
    Binding("X", "next('mask', -1)"),
    Binding("e", "next('error', 1)"),
    Binding("E", "next('error', -1)"),
    Binding("c", "list"),
    Binding("t", "channel(1)"),
    Binding("T", "channel(-1)"),
    Binding("y", "copy"),
    Binding("f", "follow"),
    Binding("question_mark,h", "help"),
    Binding("q", "leave"),
    Binding("escape", "back"),
]

PROMPTS: Final = {
    "find": "text on the screen",
    "go": "time or percent: 1:02:03, 90, 45%",
    "save": "file: .txt, .cast, .html or .svg (this screen)",
}


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
