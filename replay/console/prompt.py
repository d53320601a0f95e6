"""One line at the bottom in which a reason is typed, for exactly the thing it was opened for."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widgets import Input, Static


class Prompt(Horizontal):
    """Closed until `ask`; enter gives the text to whoever asked, escape to nobody."""

    DEFAULT_CSS = """
    Prompt { height: 1; display: none; }
    Prompt Static { width: auto; max-width: 60%; text-style: bold; }
    Prompt Input { width: 1fr; padding: 0 1; background: ansi_default; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "close", show=False)]

    def __init__(self, *, id: str) -> None:  # noqa: A002 (Textual's own name)
        super().__init__(id=id)
        self._then: Callable[[str], None] | None = None
        self._empty = False

    @property
    def open(self) -> bool:
        """Whether something is being typed."""
        return bool(self.display)

    def compose(self) -> ComposeResult:
        """What is asked, and where it is typed."""
        yield Static(id="prompt-label", markup=False)
        yield Input(id="prompt-input", max_length=2000, compact=True)

    def ask(self, label: str, then: Callable[[str], None], *, empty: bool = False) -> None:
        """Open; `then` gets the text, stripped; nothing typed is no answer unless `empty`."""
        self._then, self._empty = then, empty
        self.query_one("#prompt-label", Static).update(f"{label}:")
        typed = self.query_one(Input)
        typed.value = ""
        self.display = True
        # At once, not by a message: the next key may be waiting already, and it is a letter of the
        # reason, not a key of the console (`r` and then `gone` must not grant).
        self.screen.set_focus(typed)

    def type(self, letter: str) -> None:
        """Take a letter that was pressed after this opened and before it had the focus."""
        self.query_one(Input).insert_text_at_cursor(letter)

    @on(Input.Submitted)
    def take(self, message: Input.Submitted) -> None:
        """Enter."""
        message.stop()
        text, then = message.value.strip(), self._then
        if not text and not self._empty:
            return
        self.action_close()
        if then is not None:
            then(text)

    def action_close(self) -> None:
        """Escape."""
        self.display = False
        self._then = None
        self.screen.focus_next()
