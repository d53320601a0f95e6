"""The line editor of a gated shell, whatever the client's terminal can do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from bastion.editor.drawn import DrawnEditor
from bastion.editor.plain import PlainEditor
from bastion.editor.terminal import can_draw
from bastion.editor.values import MAX_LINE, Completing, History, Outlook, Prompt

_IDLE: Final = 2 * MAX_LINE


class LineEditor:
    """Bytes of one client in, complete commands out, all drawing through `write`.

    Many of these live in one event loop; none has a thread, a descriptor or a signal handler.
    """

    def __init__(
        self,
        *,
        write: Callable[[bytes], None],
        term: str,
        columns: int,
        rows: int,
        outlook: Callable[[str], Outlook],
        complete: Callable[[Completing], Awaitable[Sequence[str]]],
        history: History,
        is_complete: Callable[[str], bool],
        vi: bool = False,
    ) -> None:
        """`outlook` and `is_complete` are quick and do no IO; `complete` may take its time."""
        self._drawn: DrawnEditor | None = None
        self._reading = False
        self._idle = b""
        if can_draw(term):
            self._drawn = DrawnEditor(
                write=write,
                term=term,
                columns=columns,
                rows=rows,
                outlook=outlook,
                complete=complete,
                history=history,
                is_complete=is_complete,
                vi=vi,
            )
        self._editor = self._drawn or PlainEditor(
            write=write, columns=columns, history=history, is_complete=is_complete
        )

    @property
    def vi(self) -> bool:
        """Whether the keys are vi's (`set -o vi`) instead of emacs's."""
        return self._drawn is not None and self._drawn.vi

    @vi.setter
    def vi(self, chosen: bool) -> None:
        if self._drawn:
            self._drawn.vi = chosen

    async def read_line(self, prompt: Prompt, initial: str = "") -> str:
        """Read one complete command, beginning with `initial` in the line.

        Returns the text without a newline at its end. EOFError: ctrl-D at an empty line. Ctrl-C
        begins a fresh line, as in bash. Afterwards the cursor is below the line, at the left.
        """
        self._reading = True
        try:
            return await self._editor.read_line(prompt, initial)
        finally:
            self._reading = False
            self._idle = self._editor.take()

    def feed(self, data: bytes) -> None:
        """Take keys of the client. Outside `read_line` they wait for `leftover`, within bounds."""
        if self._reading:
            self._editor.feed(data)
        else:
            self._idle = (self._idle + data)[:_IDLE]

    def leftover(self) -> bytes:
        """Give what came after Enter, once. It is never taken for the next command."""
        idle, self._idle = self._idle, b""
        return idle

    def interject(self, show: Callable[[], None]) -> None:
        """Let `show` write something above the line that is being read."""
        if self._reading:
            self._editor.interject(show)
        else:
            show()

    def resize(self, columns: int, rows: int) -> None:
        """The client's terminal has another size."""
        self._editor.resize(columns, rows)

    def close(self) -> None:
        """Leave the terminal clean, also in the middle of a line."""
        self._editor.close()
