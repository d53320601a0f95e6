"""Commands on the stdin of a shell without a terminal (`ssh -T`): bytes in, whole commands out.

The same for any cut of the stream. A command is one line, or as many as a shell would read before
it ran anything: an open quote, a loop, a here-document.
"""

from __future__ import annotations

from typing import Final

from bastion.errors import ClientFault
from bastion.policy.shell.reading import MAX_TEXT, is_complete
from bastion.wire.shell_tokens import Reader

MAX_COMMAND: Final = 64 * 1024
"""Bytes of one command: a quote that is never closed would make one command of everything."""
MAX_CHECKED: Final = 256 * 1024
"""Characters read again and again to find where one command ends: each line of an open loop reads
the loop from its start. Thousands of short ones would hold up everybody for seconds."""


class CommandReader:
    """`feed` bytes as they come, `take` commands until there is none.

    A ClientFault is the end of it: what follows cannot be told from what went before.
    """

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._scanned = 0
        """How many of them are known to hold no newline."""
        self._text = ""
        """Whole lines of a command that is not complete."""
        self._checked = 0
        self._delimiter: tuple[str, bool] | None = None
        """What ends the here-document that is open, and whether tabs before it are dropped."""
        self._fault = ""

    @property
    def size(self) -> int:
        """Bytes that wait."""
        return len(self._bytes) + len(self._text)

    def feed(self, data: bytes) -> None:
        """Take bytes as they come."""
        self._bytes += data

    def take(self, *, ended: bool) -> str | None:
        """Give the next command that is not blank; None where more must come.

        `ended`: nothing will. The newline at the end is left out; bytes that are no UTF-8 are kept
        by surrogateescape. ClientFault: this is no text that a shell could be given.
        """
        while (line := self._next_line(ended)) is not None:
            command = self._joined(line)
            if command is not None and command.strip():
                return command
        if len(self._bytes) > MAX_COMMAND:
            self._refuse(f"A line on stdin is longer than {MAX_COMMAND} bytes.")
        if ended and self._text:
            self._refuse("The input ended in the middle of a command, which was not run.")
        return None

    def _next_line(self, ended: bool) -> bytes | None:
        if self._fault:
            self._refuse(self._fault)
        end = self._bytes.find(b"\n", self._scanned)
        if end < 0:
            self._scanned = len(self._bytes)
            if not ended or not self._bytes:
                return None
            end = len(self._bytes)
        line = bytes(self._bytes[:end])
        del self._bytes[: end + 1]
        self._scanned = 0
        return line

    def _joined(self, line: bytes) -> str | None:
        if b"\0" in line:
            # A shell would drop it, and run what nobody read.
            self._refuse("A command on stdin holds a NUL byte.")
        if len(self._text) + len(line) > MAX_COMMAND:
            self._refuse(f"A command on stdin is longer than {MAX_COMMAND} bytes.")
        text = line.decode("utf-8", "surrogateescape")
        self._text += text
        if not self._completes(text):
            self._text += "\n"
            return None
        command, self._text, self._checked = self._text, "", 0
        return command

    def _completes(self, line: str) -> bool:
        if self._delimiter:
            # Only this line can end a here-document, so that a long one is read twice, not at
            # each of its lines; and one too long to be read at all is still one command.
            delimiter, strips = self._delimiter
            if (line.lstrip("\t") if strips else line) != delimiter:
                return False
            self._delimiter = None
        self._checked += len(self._text)
        if is_complete(self._text):
            return True
        self._delimiter = Reader(self._text + "\n").open_heredoc
        too_long = len(self._text) > MAX_TEXT and not self._delimiter
        if too_long or self._checked > MAX_CHECKED:
            self._refuse("A command on stdin has too many lines to be read as one.")
        return False

    def _refuse(self, reason: str) -> None:
        self._fault = reason
        self._bytes.clear()
        raise ClientFault(reason)
