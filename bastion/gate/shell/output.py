"""The mark that follows a line's last output on the terminal: prompts wait for it, nobody sees it.

Terminal and reports travel in two channels, so a report that the line is over may overtake the
line's output. The mark is not trusted with more than that: without it the prompt comes a little
later.
"""

from __future__ import annotations


class MarkFilter:
    """Takes the expected mark out of a byte stream, however the stream is cut."""

    def __init__(self) -> None:
        self._mark = b""
        self._held = b""

    def expect(self, name: str) -> None:
        """Look for the mark of this line from now on."""
        self._mark = b"\x1b]7757;%s\x07" % name.encode()

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """What is to be shown, and whether the mark came by. Holds back what may be its start."""
        if not self._mark:
            return data, False
        data = self._held + data
        shown = data.replace(self._mark, b"")
        keep = _overlap(shown, self._mark)
        self._held = shown[len(shown) - keep :]
        return shown[: len(shown) - keep], self._mark in data

    def flush(self) -> bytes:
        """What was held back, when it is waited for no longer."""
        held, self._held = self._held, b""
        return held


def _overlap(data: bytes, mark: bytes) -> int:
    """How many of the last bytes could begin the mark."""
    for size in range(min(len(data), len(mark) - 1), 0, -1):
        if mark.startswith(data[-size:]):
            return size
    return 0
