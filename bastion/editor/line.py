"""The text that is being edited: prompt_toolkit's buffer, with bounds on all that it keeps."""

from __future__ import annotations

import unicodedata
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from typing import Final

from prompt_toolkit.buffer import Buffer
from prompt_toolkit.clipboard import ClipboardData
from prompt_toolkit.document import Document
from prompt_toolkit.history import History
from prompt_toolkit.selection import PasteMode

from bastion.editor.keys import REPLACEMENT
from bastion.editor.values import MAX_LINE

MAX_RECALLED: Final = 1000
"""Older commands that can be recalled."""
MAX_EDITED: Final = 2 * 1024 * 1024
"""Characters, the recalled commands together: each of them can be edited, and kept so, too."""
MAX_UNDO: Final = 1024 * 1024
"""Characters that undo may hold: each step keeps the whole text."""
_UNCHECKED: Final = 1024
"""Texts up to this length are not summed up: MAX_RECALLED of them are small."""


class _Recalled(History):
    """Commands entered before, for prompt_toolkit's `yank-last-arg`; it stores nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.commands: list[str] = []

    def get_strings(self) -> list[str]:
        """Oldest first."""
        return self.commands

    def load_history_strings(self) -> Iterable[str]:
        """Nothing is loaded in the background."""
        return ()

    def store_string(self, string: str) -> None:
        """Nothing is stored here."""

    async def load(self) -> AsyncGenerator[str, None]:
        """Nothing is loaded in the background."""
        nothing: tuple[str, ...] = ()
        for command in nothing:
            yield command


class Line(Buffer):
    """A bounded buffer; `on_refused` is called where an edit would make it too long."""

    def __init__(self, on_refused: Callable[[], None], accept: Callable[[], None]) -> None:
        self._on_refused = on_refused
        self._accept = accept
        self._recalled = _Recalled()
        self._seen = ("", 0)
        """Text and cursor when they were last offered to undo."""
        super().__init__(
            history=self._recalled,
            enable_history_search=True,
            accept_handler=self._handle,
        )

    def _handle(self, _: Buffer) -> bool:
        self._accept()
        return True

    def begin(self, text: str, commands: Sequence[str]) -> None:
        """Start a new line that holds `text`, after these earlier ones (oldest first)."""
        self._seen = ("", 0)
        self._recalled.commands = list(commands[-MAX_RECALLED:])
        self.reset()
        self._working_lines.extendleft(reversed(self._recalled.commands))
        self.working_index = len(self._working_lines) - 1
        self.text = text[:MAX_LINE]
        self.cursor_position = len(self.text)
        self.save_to_undo_stack()

    def load_history_if_not_yet_loaded(self) -> None:
        """`begin` did it: no background task for it."""

    def append_to_history(self) -> None:
        """Whoever accepts the line keeps it."""

    def _set_text(self, value: str) -> bool:
        value = _shellable(value)
        if not self._fits(value):
            self._on_refused()
            return False
        return super()._set_text(value)

    def set_document(self, value: Document, bypass_readonly: bool = False) -> None:
        """Change text and cursor at once, or refuse both."""
        if self._fits(value.text):
            super().set_document(value, bypass_readonly)
        else:
            self._on_refused()

    def paste_clipboard_data(
        self, data: ClipboardData, paste_mode: PasteMode = PasteMode.EMACS, count: int = 1
    ) -> None:
        """Insert what was killed. A count of 99999 is refused before the text is made."""
        if len(self.text) + len(data.text) * count > MAX_LINE:
            self._on_refused()
        else:
            super().paste_clipboard_data(data, paste_mode, count)

    def save_to_undo_stack(self, clear_redo_stack: bool = True) -> None:
        """Keep this state for undo, and as many older ones as there is room for.

        Characters typed one after the other are one step, up to a blank: a word.
        """
        before, self._seen = self._seen, (self.text, self.cursor_position)
        if clear_redo_stack and _typed(before, self._seen):
            self._redo_stack = []
            return
        super().save_to_undo_stack(clear_redo_stack)
        steps = max(4, min(500, MAX_UNDO // (len(self.text) + 1)))
        del self._undo_stack[:-steps]
        del self._redo_stack[:-steps]

    def cursor_left(self, count: int = 1) -> None:
        """Move over whole characters, with the marks that combine with them."""
        super().cursor_left(count)
        while self.cursor_position and self._at_mark():
            self.cursor_position -= 1

    def cursor_right(self, count: int = 1) -> None:
        """Move over whole characters."""
        super().cursor_right(count)
        while self._at_mark():
            self.cursor_position += 1

    def delete_before_cursor(self, count: int = 1) -> str:
        """Delete whole characters, as Backspace does."""
        start = max(0, self.cursor_position - count)
        while start and start < len(self.text) and unicodedata.combining(self.text[start]):
            start -= 1
        return super().delete_before_cursor(self.cursor_position - start)

    def _at_mark(self) -> bool:
        after = self.text[self.cursor_position : self.cursor_position + 1]
        return bool(after and unicodedata.combining(after))

    def _fits(self, value: str) -> bool:
        if len(value) > MAX_LINE:
            return False
        if len(value) <= _UNCHECKED or len(value) <= len(self.text):
            return True
        return sum(map(len, self._working_lines)) - len(self.text) + len(value) <= MAX_EDITED


def _typed(before: tuple[str, int], after: tuple[str, int]) -> bool:
    """Tell whether `after` is `before` and one more character of a word."""
    text, cursor = before
    if after[1] != cursor + 1 or len(after[0]) != len(text) + 1:
        return False
    character = after[0][cursor]
    return not character.isspace() and after[0] == text[:cursor] + character + text[cursor:]


def _shellable(value: str) -> str:
    """What no shell can be given, as a character that everybody can see."""
    if "\0" in value:
        value = value.replace("\0", REPLACEMENT)
    if value.isascii() or not any("\ud800" <= character <= "\udfff" for character in value):
        return value
    return "".join(REPLACEMENT if "\ud800" <= each <= "\udfff" else each for each in value)
