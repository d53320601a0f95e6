"""The editor for terminals that can be drawn on: prompt_toolkit's parts, driven by bytes.

prompt_toolkit's own loop (`Application.run_async`) is not used: it installs signal handlers, sets
the loop's options and keeps what was typed ahead in a table of the process, none of which several
editors in one loop can share; and it reads keys ahead of Enter. Its buffer, bindings, layout and
renderer know nothing of that, and are called here directly.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from prompt_toolkit.application.current import create_app_session, set_app
from prompt_toolkit.clipboard import InMemoryClipboard
from prompt_toolkit.data_structures import Point
from prompt_toolkit.document import Document
from prompt_toolkit.enums import EditingMode
from prompt_toolkit.filters import vi_navigation_mode
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.input import DummyInput

from bastion.editor.bindings import EditorApplication, is_bound
from bastion.editor.caches import trim_caches
from bastion.editor.colour import STYLE
from bastion.editor.completion import Ask, Completer
from bastion.editor.keys import KeyDecoder, Pressed
from bastion.editor.line import Line
from bastion.editor.prompting import CONTINUATION, prompt_fragments
from bastion.editor.recall import expanded
from bastion.editor.screen import make_layout
from bastion.editor.terminal import ClientTerminal
from bastion.editor.values import MAX_LINE, History, Outlook, Prompt
from bastion.editor.verdict import LiveVerdict

ESCAPE_TIME: Final = 0.1
"""Seconds after which an ESC is the Escape key: what a terminal sends for one key comes at once."""
PASTE_TIME: Final = 3.0
"""Seconds without a byte after which a paste ends that the terminal never ended."""
PIECE: Final = 16 * 1024
"""Bytes that are decoded at once, so that a paste is dropped as it comes, not piled up."""
MAX_WAITING: Final = 2 * MAX_LINE
"""Bytes that wait for their slice, or after Enter for whoever takes them."""
SLICE: Final = 0.004
"""Seconds of keys handled at a stretch: a flood of them holds up no other session."""
DEAR: Final = 0.003
"""Seconds. A drawing that takes longer (of a line of kilobytes) is not done for every key …"""
REST: Final = 3
"""… but rests so many times as long as it took: a key held down there slows nobody else."""
ECHO_PAUSE: Final = 0.1
"""Seconds without a key after which what was only echoed at the end of such a line is drawn."""
MAX_COUNT: Final = 999
"""Of a repeat count (Alt-9 9 9): prompt_toolkit's million would repeat a key for minutes."""
MAX_LISTED: Final = 12
"""Rows of the list of completions."""
_KEY_FAULTS: Final = (LookupError, ValueError, TypeError, AttributeError, AssertionError)
"""Rare orders of vi's keys fail inside prompt_toolkit, which then forgets what was pressed."""
_INPUT: Final = DummyInput()


class DrawnEditor:
    """Reads lines on one client's terminal."""

    def __init__(
        self,
        *,
        write: Callable[[bytes], None],
        term: str,
        columns: int,
        rows: int,
        outlook: Callable[[str], Outlook],
        complete: Ask,
        history: History,
        is_complete: Callable[[str], bool],
        vi: bool,
    ) -> None:
        self._terminal = ClientTerminal(write, term, columns, rows)
        self._history = history
        self._is_complete = is_complete
        self._decoder = KeyDecoder()
        self._prompt = Prompt("", "")
        self._prefixes: dict[bool, StyleAndTextTuples] = {}
        self._accepted = False
        self._recalled = ""
        """What history expansion made of the line; it is not expanded again."""
        self._timer: asyncio.Handle | None = None
        self._slicing = False
        """Keys wait for the next slice of time."""
        self._drawing: asyncio.TimerHandle | None = None
        self._next_draw = 0.0
        self._drawn_dearly = False
        self._shown: str | None = None
        """What of the line is on the screen, if the cursor is at its end and nothing else moves."""
        self._verdict = LiveVerdict(outlook, is_complete, self._draw)
        self._line = Line(self.bell, self.accept)
        self._completer = Completer(self._line, complete, self._draw, self.bell)
        self._app = self._make_application(vi)

    def _make_application(self, vi: bool) -> EditorApplication:
        app = EditorApplication(
            layout=make_layout(
                self._line,
                prefix=self._prefix,
                listed=self._listed,
                notice=lambda: self._completer.notice() or self._verdict.fragments(),
                done=lambda: self._accepted,
            ),
            style=STYLE,
            include_default_pygments_style=False,
            clipboard=InMemoryClipboard(max_size=10),
            color_depth=self._terminal.default_color_depth,
            editing_mode=EditingMode.VI if vi else EditingMode.EMACS,
            input=_INPUT,
            output=self._terminal,
        )
        app.desk = self
        app.share_bindings()
        # Its timer would be a task for every key.
        app.timeoutlen = None  # type: ignore[assignment]
        return app

    @property
    def vi(self) -> bool:
        """The keys are vi's, not emacs's."""
        return self._app.editing_mode is EditingMode.VI

    @vi.setter
    def vi(self, chosen: bool) -> None:
        self._app.editing_mode = EditingMode.VI if chosen else EditingMode.EMACS

    # --- one line ---------------------------------------------------------------------------------

    async def read_line(self, prompt: Prompt, initial: str) -> str:
        """Read one complete command; EOFError on ctrl-D at an empty line."""
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._prompt = prompt
        self._prefixes.clear()
        with self._active():
            self._app.future = future
            self._begin(initial)
        try:
            return await future
        finally:
            self.close()
            self._app.future = None

    def _begin(self, text: str) -> None:
        self._accepted, self._recalled = False, ""
        self._verdict.begin()
        self._completer.stop()
        self._app.reset()
        self._line.begin(text, self._history.entries())
        for run in self._app.pre_run_callables:
            run()
        self._app.pre_run_callables.clear()
        self._verdict.text_changed(self._line.text)
        self._terminal.to_line_start()
        self._render()

    def feed(self, data: bytes) -> None:
        """Take keys of the client."""
        for start in range(0, len(data), PIECE):
            piece = data[start : start + PIECE]
            if len(self._decoder) + len(piece) > MAX_WAITING:
                # A flood, for no person types so far ahead; what is lost of it is heard.
                self.bell()
                return
            self._decoder.feed(piece)
            if not self._slicing:
                self._work()

    def take(self) -> bytes:
        """Give the bytes after Enter."""
        return self._decoder.take()

    def _work(self, *, final: bool = False) -> None:
        """Handle waiting keys, for a slice of time, and draw once."""
        self._stop_timer()
        if self._finished():
            return
        loop = asyncio.get_running_loop()
        until = loop.time() + SLICE
        with self._active():
            while (pressed := self._decoder.next(final=final)) is not None:
                final = False
                self._press(pressed)
                if self._finished():
                    return
                if loop.time() > until:
                    self._slicing = True
                    self._timer = loop.call_soon(self._work)
                    break
            self._verdict.text_changed(self._line.text)
            self._render_in_time(loop)
        if self._timer is None and (len(self._decoder) or self._decoder.pasting):
            wait = PASTE_TIME if self._decoder.pasting else ESCAPE_TIME
            self._timer = loop.call_later(wait, lambda: self._work(final=True))

    def _press(self, pressed: Pressed) -> None:
        processor = self._app.key_processor
        if not all(is_bound(each.key) for each in pressed):
            return
        for each in pressed:
            processor.feed(each)
        try:
            processor.process_keys()
        except _KEY_FAULTS:
            self.bell()
        if processor.arg and len(processor.arg) > len(str(MAX_COUNT)):
            processor.arg = str(MAX_COUNT)
        self._completer.line_changed()

    def _finished(self) -> bool:
        return self._app.future is None or self._app.future.done()

    def _rest(self) -> None:
        self._stop_timer()
        if self._drawing:
            self._drawing.cancel()
            self._drawing = None
        self._verdict.stop()
        self._completer.stop()

    def _stop_timer(self) -> None:
        self._slicing = False
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def resize(self, columns: int, rows: int) -> None:
        """Draw anew for another size."""
        if self._finished():
            self._terminal.resize(columns, rows)
            return
        with self._active():
            self._app.renderer.erase()
            self._terminal.resize(columns, rows)
            self._prefixes.clear()
            self._render()

    def interject(self, show: Callable[[], None]) -> None:
        """Take the line off the screen, let `show` write, and draw the line below it again."""
        if self._finished():
            show()
            return
        with self._active():
            self._app.renderer.erase()
            show()
            self._terminal.to_line_start()
            self._render()

    def close(self) -> None:
        """Leave the terminal clean: a line that was not entered stays on it, as after ctrl-C."""
        self._rest()
        if self._app.future is not None and not self._accepted:
            with self._active():
                self._leave()

    # --- what keys do -----------------------------------------------------------------------------

    def accept(self) -> None:
        """Enter: the command, if it is complete; else one more line of it."""
        text = self._line.text
        recalled = expanded(text, self._history.entries())
        if recalled != text != self._recalled:
            # What it stands for is seen, and judged, before a second Enter.
            self._recalled = recalled
            self._line.save_to_undo_stack()
            self._line.set_document(Document(recalled, len(recalled)))
            return
        if not self._is_complete(text):
            self._line.insert_text("\n")
            return
        self._history.add(text)
        self._leave()
        self._app.exit(result=text)

    def abandon(self) -> None:
        """Ctrl-C: this line stays on the screen, and a fresh one begins."""
        self._line.cursor_position = len(self._line.text)
        self._leave(mark="^C")
        self._begin("")

    def end(self) -> None:
        """Ctrl-D at an empty line."""
        self._leave()
        self._app.exit(exception=EOFError())

    def bell(self) -> None:
        """Say that this does not go."""
        self._terminal.bell()

    def complete(self, step: int, *, by_row: bool = False) -> None:
        """Tab: complete, list, or go to the next (-1: the one before) of what is listed."""
        self._completer.complete(step, self._terminal.get_size().columns if by_row else 0)

    def close_list(self, *, undo: bool) -> None:
        """Close the list of completions; `undo`: put back what was typed."""
        if undo:
            self._completer.undo_choice()
        self._completer.stop()

    @property
    def choosing(self) -> bool:
        """A completion in the list is chosen."""
        return self._completer.choosing

    def _leave(self, mark: str = "") -> None:
        """Draw the line a last time, alone, with the cursor below it."""
        self._accepted = True
        self._terminal.all_rows = True
        if mark:
            self._line.insert_text(mark, fire_event=False)
        self._app.renderer.render(self._app, self._app.layout, is_done=True)
        self._app.renderer.reset()
        self._terminal.all_rows = False

    # --- drawing ----------------------------------------------------------------------------------

    @contextmanager
    def _active(self) -> Iterator[None]:
        """Within: prompt_toolkit takes this editor's application for the current one."""
        with create_app_session(input=_INPUT, output=self._terminal), set_app(self._app):
            yield

    def _draw(self) -> None:
        self._drawing = None
        if not self._finished():
            with self._active():
                self._render()

    def _listed(self) -> StyleAndTextTuples:
        size = self._terminal.get_size()
        return self._completer.fragments(size.columns, min(MAX_LISTED, size.rows // 2))

    def _render_in_time(self, loop: asyncio.AbstractEventLoop) -> None:
        """Draw now, unless drawing is dear: then echo what is typed at the end, and draw soon."""
        now = loop.time()
        if self._drawn_dearly and self._echo():
            self._draw_at(loop, now + ECHO_PAUSE)
        elif now < self._next_draw:
            if self._drawing is None:
                self._draw_at(loop, self._next_draw)
        else:
            self._render()

    def _draw_at(self, loop: asyncio.AbstractEventLoop, when: float) -> None:
        if self._drawing:
            self._drawing.cancel()
        self._drawing = loop.call_at(when, self._draw)

    def _echo(self) -> bool:
        """Write what was appended where the cursor is; False where that is not all there is to do.

        Colours come with the next drawing, which only has to know where the cursor is now.
        """
        if self._shown is None or self._cursor_is_elsewhere():
            return False
        text, renderer = self._line.text, self._app.renderer
        at = renderer._cursor_pos  # noqa: SLF001 - prompt_toolkit writes through no one else
        more = self._terminal.fitting(text.removeprefix(self._shown), at.x)
        if not more or text != self._shown + more:
            return False
        self._shown = text
        self._terminal.write_raw(more)
        self._terminal.flush()
        renderer._cursor_pos = Point(at.x + len(more), at.y)  # noqa: SLF001
        return True

    def _cursor_is_elsewhere(self) -> bool:
        return (
            self._line.cursor_position != len(self._line.text)
            or self._app.layout.is_searching
            or bool(self._listed())
        )

    def _render(self) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        trim_caches()
        self._app.render_counter += 1
        self._app.renderer.render(self._app, self._app.layout)
        self._shown = None if self._cursor_is_elsewhere() else self._line.text
        took = loop.time() - began
        self._drawn_dearly = took > DEAR
        self._next_draw = began + took * (1 + REST) if self._drawn_dearly else 0.0

    def _prefix(self, number: int, wrapped: int) -> StyleAndTextTuples:
        """Before each row of the line."""
        if wrapped:
            return []
        if number:
            return [("class:quiet", CONTINUATION)]
        normal = not self._accepted and self.vi and vi_navigation_mode()
        if normal not in self._prefixes:
            columns = self._terminal.get_size().columns
            self._prefixes[normal] = prompt_fragments(self._prompt, columns, normal_mode=normal)
        return self._prefixes[normal]
