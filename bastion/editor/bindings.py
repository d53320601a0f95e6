"""The keys: prompt_toolkit's emacs and vi bindings, with ours over them.

One set is made for the whole process: bindings hold no state, and find their editor by the
application that a key came to.
"""

from __future__ import annotations

from functools import cache
from typing import Protocol

from prompt_toolkit.application import Application
from prompt_toolkit.application.current import get_app
from prompt_toolkit.filters import (
    Condition,
    emacs_insert_mode,
    emacs_mode,
    is_searching,
    vi_insert_mode,
    vi_navigation_mode,
)
from prompt_toolkit.key_binding.bindings.basic import load_basic_bindings
from prompt_toolkit.key_binding.bindings.emacs import (
    load_emacs_bindings,
    load_emacs_search_bindings,
    load_emacs_shift_selection_bindings,
)
from prompt_toolkit.key_binding.bindings.named_commands import get_by_name
from prompt_toolkit.key_binding.bindings.vi import load_vi_bindings, load_vi_search_bindings
from prompt_toolkit.key_binding.key_bindings import (
    KeyBindings,
    KeyBindingsBase,
    merge_key_bindings,
)
from prompt_toolkit.key_binding.key_processor import KeyPressEvent, KeyProcessor
from prompt_toolkit.key_binding.vi_state import InputMode
from prompt_toolkit.keys import Keys
from prompt_toolkit.search import accept_search, stop_search


class Desk(Protocol):
    """What the keys can do to an editor, beside editing the text."""

    def accept(self) -> None:
        """Enter."""

    def abandon(self) -> None:
        """Ctrl-C: leave this line on the screen and begin a fresh one."""

    def end(self) -> None:
        """Ctrl-D at an empty line."""

    def bell(self) -> None:
        """What was pressed does nothing here."""

    def complete(self, step: int, *, by_row: bool = False) -> None:
        """Tab: complete, list, or go to the next (-1: the one before) of what is listed."""

    def close_list(self, *, undo: bool) -> None:
        """Close the list of completions; `undo`: put back what was typed."""

    @property
    def choosing(self) -> bool:
        """A completion in the list is chosen."""


class EditorApplication(Application[str]):
    """An application that is never run: it only holds what the bindings and the screen look up."""

    desk: Desk

    def share_bindings(self) -> None:
        """Drop the bindings that prompt_toolkit makes for each application, for those of all."""
        shared = editor_bindings()
        self.key_processor = KeyProcessor(shared)
        self._default_bindings = self._page_navigation_bindings = shared


def _desk(event: KeyPressEvent) -> Desk:
    assert isinstance(event.app, EditorApplication)
    return event.app.desk


@Condition
def _line_is_empty() -> bool:
    app = _current()
    return app is not None and not app.current_buffer.text and not app.layout.is_searching


@Condition
def _choosing() -> bool:
    app = _current()
    return app is not None and app.desk.choosing


def _current() -> EditorApplication | None:
    app = get_app()
    return app if isinstance(app, EditorApplication) else None


@cache
def editor_bindings() -> KeyBindingsBase:
    """Give all bindings; where several match, the last one is called.

    prompt_toolkit's bindings for cursor reports, the mouse, an outside editor and system commands
    are left out: the first two a client could forge, the last two would run on the bastion.
    """
    return merge_key_bindings(
        [
            load_basic_bindings(),
            load_emacs_bindings(),
            load_emacs_search_bindings(),
            load_emacs_shift_selection_bindings(),
            load_vi_bindings(),
            load_vi_search_bindings(),
            _lines(),
            _searching(),
            _vi(),
            _ended(),
            _completion(),
            _refused(),
        ]
    )


@cache
def is_bound(key: Keys | str) -> bool:
    """Tell whether a key does anything; one that does not would be inserted as it was sent."""
    if not isinstance(key, Keys):
        return True
    bindings = editor_bindings()
    alone = any(binding.keys == (key,) for binding in bindings.get_bindings_for_keys((key,)))
    return alone or bool(bindings.get_bindings_starting_with_keys((key,)))


def _lines() -> KeyBindings:
    """Enter, and newlines in a line."""
    keys = KeyBindings()

    @keys.add("enter")
    @keys.add("c-j")
    def _accept(event: KeyPressEvent) -> None:
        _desk(event).accept()

    @keys.add("enter", filter=is_searching)
    @keys.add("c-j", filter=is_searching)
    def _accept_found(event: KeyPressEvent) -> None:
        accept_search()
        _desk(event).accept()

    @keys.add("enter", filter=_choosing)
    @keys.add("c-j", filter=_choosing)
    def _choose(event: KeyPressEvent) -> None:
        _desk(event).close_list(undo=False)

    @keys.add("escape", "enter", filter=emacs_insert_mode)
    @keys.add("escape", "c-j", filter=emacs_insert_mode)
    def _newline(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    @keys.add(Keys.BracketedPaste)
    def _paste(event: KeyPressEvent) -> None:
        # A newline at the very end was copied with the line; it is no wish to go on.
        event.current_buffer.save_to_undo_stack()
        event.current_buffer.insert_text(event.data.removesuffix("\n"))

    @keys.add("escape", Keys.Any, filter=emacs_mode & ~is_searching)
    def _unknown(event: KeyPressEvent) -> None:
        # Alt with a key that means nothing; prompt_toolkit would insert the key.
        _desk(event).bell()

    keys.add("c-v", filter=emacs_insert_mode)(get_by_name("quoted-insert"))
    keys.add("escape", "p", filter=emacs_mode)(get_by_name("previous-history"))
    keys.add("escape", "n", filter=emacs_mode)(get_by_name("next-history"))
    return keys


def _searching() -> KeyBindings:
    """A key that moves ends the search where it found something, and moves there."""
    keys = KeyBindings()

    @keys.add("left", filter=is_searching)
    @keys.add("right", filter=is_searching)
    @keys.add("home", filter=is_searching)
    @keys.add("end", filter=is_searching)
    @keys.add("tab", filter=is_searching)
    @keys.add("c-a", filter=is_searching)
    @keys.add("c-b", filter=is_searching)
    @keys.add("c-e", filter=is_searching)
    @keys.add("c-f", filter=is_searching)
    @keys.add("c-k", filter=is_searching)
    def _go_on(event: KeyPressEvent) -> None:
        accept_search()
        event.key_processor.feed(event.key_sequence[0], first=True)

    return keys


def _vi() -> KeyBindings:
    """Where prompt_toolkit's vi differs from vi."""
    keys = KeyBindings()

    @keys.add("c", "w", filter=vi_navigation_mode)
    def _change_word(event: KeyPressEvent) -> None:
        # `cw` leaves the blanks after the word, unlike `dw`.
        line = event.current_buffer
        end = line.document.find_next_word_ending(include_current_position=True, count=event.arg)
        deleted = line.delete(count=end or len(line.text) - line.cursor_position)
        event.app.clipboard.set_text(deleted)
        event.app.vi_state.input_mode = InputMode.INSERT

    return keys


def _ended() -> KeyBindings:
    """Ctrl-C and Ctrl-D."""
    keys = KeyBindings()

    @keys.add("c-c")
    def _abandon(event: KeyPressEvent) -> None:
        if event.app.layout.is_searching:
            stop_search()
        _desk(event).abandon()

    @keys.add("c-d", filter=_line_is_empty)
    def _end(event: KeyPressEvent) -> None:
        _desk(event).end()

    return keys


def _completion() -> KeyBindings:
    """Tab, and the list of completions."""
    keys = KeyBindings()
    typing = (emacs_insert_mode | vi_insert_mode) & ~is_searching

    @keys.add("tab", filter=typing)
    @keys.add("escape", "/", filter=emacs_insert_mode & ~is_searching)
    @keys.add("escape", "?", filter=emacs_insert_mode & ~is_searching)
    @keys.add("right", filter=_choosing)
    def _complete(event: KeyPressEvent) -> None:
        _desk(event).complete(1)

    @keys.add("s-tab", filter=typing)
    @keys.add("left", filter=_choosing)
    def _complete_back(event: KeyPressEvent) -> None:
        _desk(event).complete(-1)

    @keys.add("down", filter=_choosing)
    def _down(event: KeyPressEvent) -> None:
        _desk(event).complete(1, by_row=True)

    @keys.add("up", filter=_choosing)
    def _up(event: KeyPressEvent) -> None:
        _desk(event).complete(-1, by_row=True)

    @keys.add("c-g", filter=_choosing)
    @keys.add("escape", filter=_choosing, eager=True)
    def _undo(event: KeyPressEvent) -> None:
        _desk(event).close_list(undo=True)

    return keys


def _refused() -> KeyBindings:
    """What prompt_toolkit would do and a bastion does not."""
    keys = KeyBindings()

    # A keyboard macro of vi may call itself, and would hold up the whole process for ever.
    @keys.add("c-x", "(", filter=emacs_mode)
    @keys.add("c-x", ")", filter=emacs_mode)
    @keys.add("c-x", "e", filter=emacs_mode)
    @keys.add("q", Keys.Any, filter=vi_navigation_mode)
    @keys.add("@", Keys.Any, filter=vi_navigation_mode)
    @keys.add("c-z")
    @keys.add("escape", "*", filter=emacs_mode)
    @keys.add("c-x", "c-e", filter=emacs_mode)
    def _nothing(event: KeyPressEvent) -> None:
        _desk(event).bell()

    # A stop key that the client's terminal did not keep for itself; no program runs here.
    @keys.add("c-\\")
    def _ignored(event: KeyPressEvent) -> None:
        pass

    return keys
