"""The bastion's own commands in a gated shell: each is asked about once, by the shell itself.

Between lines the shell watches too, so whatever comes through its FIFO is asked about. What is not
due there was written by somebody else on the target.
"""

from __future__ import annotations

from typing import Final

DUE_LIMIT: Final = 32
"""Commands that the shell may owe a question about: ctrl-C drops some."""
INTRUDED: Final = (
    "something wanted to run in this shell that is no part of a line: the handler of a trap, "
    "or what a program on the target wrote into its FIFO. It was refused."
)


class Due:
    """What was sent, in the shell's own words, and not asked about yet."""

    def __init__(self, *, watches: bool) -> None:
        self._watches = watches
        self._words: list[str] = []
        self._of_line: tuple[str, ...] = ()

    def begin(self, *words: str) -> None:
        """A line goes to the shell, once the one before is over: what ctrl-C took of that one will
        not be asked about any more, and must not run unasked when it is."""
        for word in self._of_line:
            self.take(word)
        self._of_line = words
        self.expect(*words)

    def expect(self, *words: str) -> None:
        """These are on their way to the shell."""
        if self._watches:
            self._words = [*self._words, *words][-DUE_LIMIT:]

    def take(self, words: str) -> bool:
        """Whether the shell asks about something that was due; only once each."""
        if words not in self._words:
            return False
        self._words.remove(words)
        return True
