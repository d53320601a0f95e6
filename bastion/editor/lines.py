"""Commands on the stdin of a shell without a terminal (`ssh -T`): bytes in, whole commands out.

Pure, and the same for any cut of the stream. A command is one line, or as many as a shell would
read before it ran anything: an open quote, a loop, a here-document.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from bastion.editor.tokens import Reader
from bastion.editor.values import MAX_LINE
from bastion.errors import ClientFault
from bastion.policy.shell.reading import MAX_TEXT

MAX_CHECKED: Final = 256 * 1024
"""Characters read again and again to find where one command ends: each line of an open loop reads
the loop from its start. Thousands of short ones would hold up everybody for seconds."""


class CommandReader:
    """`feed` what the client sends, `end` when it sends no more. A ClientFault is the end of it."""

    def __init__(self, is_complete: Callable[[str], bool]) -> None:
        self._is_complete = is_complete
        self._rest = bytearray()
        """The beginning of a line."""
        self._scanned = 0
        self._text = ""
        """Whole lines of a command that is not complete."""
        self._checked = 0
        self._delimiter: tuple[str, bool] | None = None
        """What ends the here-document that is open, and whether tabs before it are dropped."""
        self._fault = ""

    def feed(self, data: bytes) -> list[str]:
        """Give the commands that these bytes complete, without the newline at the end of each.

        Bytes that are no UTF-8 are kept by surrogateescape. What came before a fault is given
        first; the fault is raised by the next call.
        """
        commands: list[str] = []
        self._rest += data
        while not self._fault and (end := self._rest.find(b"\n", self._scanned)) >= 0:
            line = bytes(self._rest[:end])
            del self._rest[: end + 1]
            self._scanned = 0
            self._take(line, commands)
        self._scanned = len(self._rest)
        if self._scanned > MAX_LINE:
            self._fault = self._fault or f"A line on stdin is longer than {MAX_LINE} bytes."
        return self._given(commands)

    def end(self) -> list[str]:
        """Give the command that ends without a newline, if there is one."""
        commands: list[str] = []
        if self._rest and not self._fault:
            self._take(bytes(self._rest), commands)
        self._rest.clear()
        if self._text and not self._fault:
            self._fault = "The input ended in the middle of a command, which was not run."
        return self._given(commands)

    def _given(self, commands: list[str]) -> list[str]:
        if self._fault and not commands:
            self._rest.clear()
            raise ClientFault(self._fault)
        return commands

    def _take(self, line: bytes, commands: list[str]) -> None:
        if b"\0" in line:
            # A shell would drop it, and run what nobody read.
            self._fault = "A command on stdin holds a NUL byte."
            return
        text = line.decode("utf-8", "surrogateescape")
        self._text += text
        if self._completes(text):
            if self._text.strip():
                commands.append(self._text)
            self._text, self._checked = "", 0
        else:
            self._text += "\n"

    def _completes(self, line: str) -> bool:
        if len(self._text) > MAX_LINE:
            self._fault = f"A command on stdin is longer than {MAX_LINE} characters."
            return False
        if self._delimiter:
            delimiter, strips = self._delimiter
            if (line.lstrip("\t") if strips else line) != delimiter:
                return False
            self._delimiter = None
        self._checked += len(self._text)
        if self._is_complete(self._text):
            return True
        self._delimiter = Reader(self._text + "\n").open_heredoc
        too_long = len(self._text) > MAX_TEXT and not self._delimiter
        if too_long or self._checked > MAX_CHECKED:
            self._fault = "A command on stdin has too many lines to be read as one."
        return False
