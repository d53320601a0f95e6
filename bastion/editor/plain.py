"""A line editor for terminals that cannot be drawn on (TERM=dumb): echo, and a few keys."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from prompt_toolkit.key_binding.key_processor import KeyPress
from prompt_toolkit.keys import Keys
from prompt_toolkit.utils import get_cwidth

from bastion.editor.keys import KeyDecoder
from bastion.editor.prompting import CONTINUATION, plain_prompt
from bastion.editor.values import MAX_LINE, History, Prompt
from bastion.model import visible

_ENTER: Final = (Keys.ControlM, Keys.ControlJ)
_TEXT: Final = (Keys.BracketedPaste, Keys.ControlI)
_BACKSPACE: Final = (Keys.ControlH, Keys.Delete)


class PlainEditor:
    """Reads a line with Backspace, ctrl-U, ctrl-W, ctrl-C, ctrl-D and Enter."""

    def __init__(
        self,
        *,
        write: Callable[[bytes], None],
        columns: int,
        history: History,
        is_complete: Callable[[str], bool],
    ) -> None:
        self._write = write
        self._columns = columns
        self._history = history
        self._is_complete = is_complete
        self._decoder = KeyDecoder()
        self._done: asyncio.Future[str] | None = None
        self._prompt = Prompt("", "")
        self._before = ""
        """Lines of this command that were entered already, each with its newline."""
        self._line = ""

    async def read_line(self, prompt: Prompt, initial: str) -> str:
        """Read one complete command; EOFError on ctrl-D at an empty line."""
        self._prompt, self._before = prompt, ""
        *lines, self._line = initial.split("\n")
        self._done = asyncio.get_running_loop().create_future()
        self._say(plain_prompt(prompt, self._columns))
        for line in lines:
            self._before += line + "\n"
            self._say(visible(line) + "\r\n" + CONTINUATION)
        self._say(visible(self._line))
        try:
            return await self._done
        finally:
            self._done = None

    def feed(self, data: bytes) -> None:
        """Take keys of the client."""
        self._decoder.feed(data)
        while self._done and not self._done.done():
            pressed = self._decoder.next()
            if pressed is None:
                return
            for each in pressed:
                self._press(each)

    def take(self) -> bytes:
        """Give the bytes after Enter."""
        return self._decoder.take()

    def interject(self, show: Callable[[], None]) -> None:
        """Begin a new line for `show`, and say prompt and line again below it."""
        self._say("\r\n")
        show()
        self._say("\r\n" + plain_prompt(self._prompt, self._columns) + visible(self._line))

    def resize(self, columns: int, rows: int) -> None:
        """Nothing is drawn again."""
        self._columns = columns

    def close(self) -> None:
        """Nothing is held."""

    def _say(self, text: str) -> None:
        if text:
            self._write(text.encode("utf-8", "replace"))

    def _press(self, press: KeyPress) -> None:
        if press.key in _ENTER:
            self._enter()
        elif press.key in _BACKSPACE:
            self._erase(1)
        elif press.key is Keys.ControlU:
            self._erase(len(self._line))
        elif press.key is Keys.ControlW:
            kept = self._line.rstrip().rpartition(" ")
            self._erase(len(self._line) - len(kept[0] + kept[1]))
        elif press.key is Keys.ControlC:
            self._before, self._line = "", ""
            self._say("^C\r\n" + plain_prompt(self._prompt, self._columns))
        elif press.key is Keys.ControlD:
            self._end()
        elif press.key in _TEXT or not isinstance(press.key, Keys):
            self._insert(press.data)

    def _insert(self, text: str) -> None:
        if len(self._before) + len(self._line) + len(text) > MAX_LINE:
            self._say("\a")
            return
        first, *rest = text.split("\n")
        self._line += first
        self._say(visible(first))
        for line in rest:
            self._before += self._line + "\n"
            self._line = line
            self._say("\r\n" + CONTINUATION + visible(line))

    def _erase(self, count: int) -> None:
        if count <= 0:
            return
        gone = self._line[-count:]
        self._line = self._line[:-count]
        width = get_cwidth(visible(gone))
        self._say("\b \b" * width)

    def _enter(self) -> None:
        text = self._before + self._line
        self._say("\r\n")
        if not self._is_complete(text):
            self._before, self._line = text + "\n", ""
            self._say(CONTINUATION)
            return
        self._history.add(text)
        if self._done:
            self._done.set_result(text)

    def _end(self) -> None:
        if self._before or self._line or not self._done:
            self._say("\a")
            return
        self._say("\r\n")
        self._done.set_exception(EOFError())
