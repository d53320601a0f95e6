"""The end of one line of a gated shell: the canary, the shell's reports, and the last output.

A prompt comes when all three have come. The shell runs the last lines itself, after the line; the
mark in them is new every time, so that nothing older can pass for them.
"""

from __future__ import annotations

from typing import Final

from bastion.gate.shell.output import MarkFilter
from bastion.wire.shellcontrol import Answer, read_lines

TYPED_LIMIT: Final = 4096
"""Characters of type-ahead that come back into the editor."""

TELLINGS_LIMIT: Final = 64
"""Times that one line's end is told: while a program runs nobody reads them, and a FIFO that ctrl-C
after ctrl-C had filled (64 KiB) would stop the relay, and the answers to subshells with it."""
REPEATED_LIMIT: Final = 8
"""Lines whose end was told twice: the shell may come to the second telling during a later line."""


class LineEnd:
    """Follows the end of one line after the other. `watches`: this shell has a hook to prove."""

    def __init__(self, *, watches: bool, pty: bool) -> None:
        self._watches = watches
        self._pty = pty
        self._output = MarkFilter()
        self._mark = ""
        self._canary = False
        self._all_said = False
        self._mark_seen = not pty
        self._tellings = 0
        self._repeated: dict[str, int] = {}
        self.status = 0
        self.directory = ""
        self.home = ""
        """Where the shell began."""
        self.typed = ""
        """What was typed while the line ran, and no program read."""

    def begin(self, mark: str) -> bytes:
        """A line runs: give what the shell shall run after it."""
        self._mark = mark
        self._canary = self._all_said = False
        self._mark_seen = not self._pty
        self.typed = ""
        self._tellings = 1
        if self._pty:
            self._output.expect(mark)
        return self._last_lines()

    def again(self) -> bytes:
        """The same once more: after ctrl-C the shell may have dropped what it had read."""
        if self._tellings == TELLINGS_LIMIT:
            return b""
        self._tellings += 1
        self._repeated[self._mark] = self._repeated.get(self._mark, 0) + 1
        while len(self._repeated) > REPEATED_LIMIT:
            del self._repeated[next(iter(self._repeated))]
        return self._last_lines()

    def _last_lines(self) -> bytes:
        names = ["done", "canary", "prompt"] if self._watches else ["done", "prompt"]
        return read_lines("\n".join(f"__bastion_{name} {self._mark}" for name in names))

    def answer(self, step: str) -> Answer | None:
        """The answer to a step that belongs to the end of a line; None where it does not."""
        name, _, mark = step.partition(" ")
        if name == "__bastion_done" and (mark == self._mark or self._repeated.get(mark)):
            return Answer.RUN
        if name == "__bastion_prompt" and (mark == self._mark or mark in self._repeated):
            return Answer.CANARY  # without its canary, which ctrl-C has taken, it proves nothing
        return Answer.CANARY if name == "__bastion_canary" and self._is_canary(mark) else None

    def lacks_canary(self, step: str) -> bool:
        """Whether this step shows that the end of the line has to be told again."""
        return step == f"__bastion_prompt {self._mark}" and not self._all_said

    def _is_canary(self, mark: str) -> bool:
        if mark == self._mark and not self._canary:
            self._canary = True
            return True
        repeated = self._repeated.get(mark, 0)
        if repeated:
            self._repeated[mark] = repeated - 1
        return repeated > 0

    def take(self, report: str) -> bool:
        """How the line went. False where the shell did not refuse the canary: it is not ours."""
        mark, status, ran, refused, directory = (report.split(" ", 4) + [""] * 4)[:5]
        if mark != self._mark:
            return True  # the end of a line that was told twice
        self.status = int(status) if status.isdigit() else 0
        self.directory = directory
        self.home = self.home or directory
        return not self._watches or (self._canary and refused == mark and ran == "0")

    def take_typed(self, data: str) -> str:
        """What was typed ahead, as text: no key of it acts."""
        text = data[:TYPED_LIMIT].replace("\r", "\n")
        text = "".join(one for one in text if one.isprintable() or one in "\n\t")
        self.typed = (self.typed + text)[:TYPED_LIMIT]
        return text

    def finish(self, mark: str) -> bool:
        """Everything was said; False where that was about another line, or is not news."""
        if mark != self._mark or self._all_said:
            return False
        self._all_said = True
        return True

    def output(self, data: bytes) -> tuple[bytes, bool]:
        """What of the terminal's output is to be shown, and whether the line's last was in it."""
        shown, seen = self._output.feed(data)
        self._mark_seen = self._mark_seen or seen
        return shown, seen

    def wait_no_longer(self) -> bytes:
        """The mark does not come: give what was held back for it."""
        self._mark_seen = True
        return self._output.flush()

    @property
    def all_said(self) -> bool:
        """Whether the shell has nothing more to say about the line."""
        return self._all_said

    @property
    def due(self) -> bool:
        """Whether a prompt may come."""
        return self._all_said and self._mark_seen
