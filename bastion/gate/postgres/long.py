"""Secrets in rows that are too long to be kept whole: stars, one a byte, so that no length changes.

A row says its length, and each cell its own, before anything of it is known. So what is longer
than PIECE goes on while it comes, a window at a time; where a window may end within a secret, that
waits for the next one. Windows lie at fixed places of a cell: however the row is cut, the same is
shown.
"""

from __future__ import annotations

from typing import Final

from bastion.gate.postgres.cells import Plan, Shape, stars
from bastion.gate.postgres.mask import CellMasker, GoesOn

WINDOW: Final = 64 * 1024
OVERLAP: Final = 5 * 1024
"""Bytes of a window that stay for the next: a trigger and a value that is not whole yet."""


LINE: Final = 200
"""Bytes of a line that a value goes on in, which are remembered beyond a cut."""


class LongCell:
    """Stars in a stream of bytes, of the same length."""

    def __init__(self, masker: CellMasker, found: dict[str, int]) -> None:
        self._masker = masker
        self._found = found
        self._left = b""
        self._done = 0
        """How much of `_left` is surely masked already."""
        self._goes_on: GoesOn | None = None
        self._line = b""
        """What stands before the cut in its line: detectors know a value by its lines."""

    def feed(self, data: bytes) -> bytes:
        """Give what is settled."""
        settled: list[bytes] = []
        for at in range(0, len(data), WINDOW):
            self._left += data[at : at + WINDOW]
            while len(self._left) > WINDOW:
                shown, self._left = self._window(self._left, WINDOW - OVERLAP)
                settled.append(shown)
        return b"".join(settled)

    def finish(self) -> bytes:
        """The cell is over."""
        shown, self._left = self._window(self._left, len(self._left))
        self._done, self._goes_on = 0, None
        return shown

    def _window(self, left: bytes, cut: int) -> tuple[bytes, bytes]:
        """What of `left` is shown up to `cut`, and what stays."""
        seen = left[:WINDOW]
        done = self._done
        shown = bytearray(left)
        if self._goes_on is not None:
            line = self._line
            more = self._goes_on.goes_on(line + seen[done:]) - len(line)
            begin, done = done, done + max(0, more)
            shown[begin:done] = stars(seen[begin:done])
            self._line = _last_line(seen)
            if done < len(seen):
                self._goes_on = None
        for begin, stop, detector in self._masker.spans(seen):
            end = begin + (seen[begin:stop] + b"\0").index(0)  # never over what is between cells
            if end <= self._done:
                continue
            shown[begin:end] = stars(seen[begin:end])
            name = detector.name if detector is not None else "credential"
            self._found[name] = self._found.get(name, 0) + 1
            done = max(done, end)
            if end == len(seen):
                self._goes_on, self._line = detector, _last_line(seen)
        self._done = max(0, done - cut)
        settled = max(cut, done)
        return bytes(shown[:cut]), bytes(shown[cut:settled]) + left[settled:]


def _last_line(seen: bytes) -> bytes:
    return seen[seen.rfind(b"\n") + 1 :][-LINE:]


class LongRow:
    """A DataRow, or one message of a copy, that comes in pieces. The first begins with a header."""

    def __init__(self, masker: CellMasker, found: dict[str, int], plan: Plan | None) -> None:
        self._cell = LongCell(masker, found)
        self._looked = (
            None
            if plan is None
            else frozenset(index for index, shape in plan if shape is not Shape.HEX)
        )
        """Positions that are looked at; None: a copy, which is one cell."""
        self._index = -1
        self._lacking = 5 if plan is None else 7
        """Bytes that are still to come of a header, or of the cell."""
        self._head = b""
        self._in_cell = False

    def feed(self, data: bytes, *, last: bool) -> bytes:
        """Give what is settled; all of it at the end."""
        out: list[bytes] = []
        at = 0
        while at < len(data):
            step = data[at : at + self._lacking]
            at += len(step)
            self._lacking -= len(step)
            out.append(self._take(step))
        if last and self._in_cell and self._looked is None:
            out.append(self._cell.finish())
        return b"".join(out)

    def _take(self, step: bytes) -> bytes:
        if not self._in_cell:
            self._head += step
            if self._lacking:
                return step
            head, self._head = self._head, b""
            self._begin(head)
            return step
        looked = self._looked is None or self._index in self._looked
        shown = self._cell.feed(step) if looked else step
        if not self._lacking and self._looked is not None:
            shown += self._cell.finish() if looked else b""
            self._in_cell, self._lacking = False, 4
        return shown

    def _begin(self, head: bytes) -> None:
        """A header is whole: what comes next."""
        if self._looked is None:
            self._in_cell, self._lacking = True, 1 << 62
            return
        size = -1 if len(head) == 7 else int.from_bytes(head, "big", signed=True)
        if len(head) != 7:
            self._index += 1
        self._in_cell = size > 0
        self._lacking = size if size > 0 else 4
