"""Secrets that are put together on the screen: written in strokes, by cursor moves, over old text.

A terminal in memory shows what the client's would. Where a piece of the stream completes a secret
on it, or writes it again, the letters of that piece that belong to it become stars before they are
sent. What stood there before, innocent until now, may have been seen; stars are drawn over it.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple, TypeVar

import avt

from bastion.errors import TargetFault
from bastion.tap.budget import Budget, TooDear
from bastion.tap.detect import Detector, Late
from bastion.tap.known import Known
from bastion.tap.marks import Masked
from bastion.tap.mask import Masking

MOST_COLUMNS: Final = 500
MOST_ROWS: Final = 200
"""The emulator moves every cell at a scroll: a window of thousands of rows would take seconds."""

STEP: Final = 128
"""Characters fed between two looks at the clock: of a hostile target's they can cost 100 ms."""

SLACK: Final = 0.25
"""Seconds of work that a channel may owe at once."""

EARNED: Final = 3e-6
EARNED_BY_CELL: Final = 0.15e-9
"""Seconds of work that a character may cost, and more for each cell of the window: some times what
the dearest of ordinary output does, a screen that is cleared again and again."""

RESIZE_EARNED: Final = 5e-3
"""Seconds of work that a resize may cost."""

MOST_BEHIND: Final = 64 * 1024
"""Characters that the second terminal may lag behind the first."""

SHORTEST_BEGINNING: Final = 8
"""Characters of an unfinished value at the cursor that are masked: shorter ones begin words."""

_ADDRESS: Final = re.compile(r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[ABEFHLMPSTXZ@Jdfgrsu]|\x1b[78DEMc]")
"""What takes the cursor, or what stands on the screen, to other lines."""

_TOKEN: Final = re.compile(
    r"(?P<text>[^\x00-\x1f\x7f-\x9f]+)|\x1b\[[0-?]*[ -/]*[@-~]"
    r"|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-~]|[\x00-\x1f\x7f-\x9f]",
    re.DOTALL,
)


_BEGUN: Final = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*)?\Z")
"""A control sequence that a chunk cuts."""
LONGEST_BEGUN: Final = 64
"""Bytes of one that wait for its end: longer ones are no honest program's."""

T = TypeVar("T")


class _Sight(NamedTuple):
    """A secret on the screen: which cells, `row * columns + column`, hold it."""

    detector: str
    value: bytes
    cells: range


class ScreenGuard:
    """A client's terminal: `show` takes what is about to be sent, masked as a stream already."""

    def __init__(
        self,
        masking: Masking,
        known: Known,
        columns: int,
        rows: int,
        work: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """`work` is a clock of this thread's work, in seconds."""
        self._budget = Budget(work, SLACK)
        self._masking = masking
        self.known = known
        self._size = _clamped(columns, rows)
        self._ahead = self._terminal()
        """What the client's terminal would show now, but for the stars."""
        self._behind = self._terminal()
        self._lag: list[str] = []
        """What `_behind` has not been shown yet."""
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._begun = b""
        """A sequence that is not whole yet: what it does to the screen is known at its end."""
        self._addressed = False
        self._passed = 0
        self.masked: list[Masked] = []

    def resize(self, columns: int, rows: int) -> None:
        """The client's window has a new size."""
        self._size = _clamped(columns, rows)
        self._catch_up()
        self._spend(lambda: self._ahead.resize(*self._size), RESIZE_EARNED)
        self._spend(lambda: self._behind.resize(*self._size), RESIZE_EARNED)

    def show(self, data: bytes) -> bytes:
        """Give what may be sent; TargetFault where the emulator cannot follow."""
        self.masked = []
        data = self._whole_sequences(data)
        begun, _ = self._decoder.getstate()
        text = self._decoder.decode(data)
        self._passed += len(data)
        if _ADDRESS.search(text) is not None:
            self._addressed = True
        elif "\n" in text:
            self._addressed = False
        changed = self._feed(self._ahead, text)
        if not self._addressed:
            self._fall_behind(text)
            return data
        seen = self._secrets(self._ahead, changed)
        if not seen:
            self._fall_behind(text)
            return data
        self._catch_up()
        known = {one[:2] for one in self._secrets(self._behind, range(self._size[1]))}
        cells = frozenset(cell for one in seen for cell in one.cells)
        shown, hit = self._starred(text, cells)
        new = [one for one in seen if one[:2] not in known]
        if not hit and not new:
            return data
        self._note([one for one in seen if one in new or hit & set(one.cells)])
        unfinished, _ = self._decoder.getstate()
        stood = {cell for one in new for cell in one.cells} - hit
        sent = (shown + self._painted_over(stood)).encode("utf-8", "surrogateescape")
        return sent[len(begun) :] + unfinished

    def _whole_sequences(self, data: bytes) -> bytes:
        """The bytes, and those that waited, but for a sequence that is cut at their end."""
        data, self._begun = self._begun + data, b""
        cut = _BEGUN.search(data, max(0, len(data) - LONGEST_BEGUN))
        if cut is not None:
            data, self._begun = data[: cut.start()], cut[0]
        return data

    # --- looking --------------------------------------------------------------------------------

    def _secrets(self, terminal: avt.Vt, changed: Sequence[int]) -> list[_Sight]:
        """The secrets on the rows that changed, and the rows beside them."""
        columns, rows = self._size
        found: list[_Sight] = []
        wanted = sorted({near for row in changed for near in (row - 1, row, row + 1)})
        wanted = [row for row in wanted if 0 <= row < rows]
        for first, last in _runs(wanted):
            cells = "".join(self._row(terminal, row) for row in range(first, last + 1))
            data = "".join(c if c.isascii() else "\x7f" for c in cells).encode()
            base = first * columns
            for detector in self._masking.detectors.looking(data):
                found += [self._sight(data, base, *one) for one in detector.find(data)]
            found += [self._sight(data, base, *one) for one in self.known.find(data)]
            found += self._beginnings(terminal, data, base)
        return found

    def _row(self, terminal: avt.Vt, row: int) -> str:
        """A row as wide as the screen; the second cell of a wide character is a space.

        A row that does not reach the edge ends its line there; one blank may be a wrapped one.
        """
        columns, line = self._size[0], terminal[row]
        text: str = line.text
        if not text.isascii():
            text = "".join(cell.char for cell in line.cells)
        text = text.ljust(columns)[:columns]
        return text[:-1] + "\n" if text.endswith("  ") else text

    def _sight(self, data: bytes, base: int, start: int, end: int, detector: str) -> _Sight:
        return _Sight(detector, data[start:end], range(base + start, base + end))

    def _beginnings(self, terminal: avt.Vt, data: bytes, base: int) -> list[_Sight]:
        """A value that is written letter by letter, of a kind that a beginning tells."""
        cursor = terminal.cursor
        at = cursor.row * self._size[0] + cursor.col - base
        if not 0 < at <= len(data):
            return []
        line = data[max(0, at - 4096) : at]
        found = []
        for detector in self._masking.detectors.opening(line):
            opened = detector.unfinished_at(line) if _is_sure(detector) else None
            if opened is not None and len(line) - opened.start >= SHORTEST_BEGINNING:
                start = at - (len(line) - opened.start)
                found.append(self._sight(data, base, start, at, detector.kind))
        return found

    # --- masking --------------------------------------------------------------------------------

    def _starred(self, text: str, cells: frozenset[int]) -> tuple[str, set[int]]:
        """`text` with stars where it writes one of `cells`, and which of them it does write.

        Both terminals keep the text itself, so that what is written later is seen beside it.
        """
        pieces: list[str] = []
        hit: set[int] = set()
        for token in _TOKEN.finditer(text):
            piece = token[0]
            if token["text"] is not None:
                cursor = self._behind.cursor
                at = cursor.row * self._size[0] + cursor.col
                written = cells & set(range(at, at + len(piece)))
                hit |= written
                self._feed(self._behind, piece)
                piece = "".join("*" if at + n in written else c for n, c in enumerate(piece))
            else:
                self._feed(self._behind, piece)
            pieces.append(piece)
        return "".join(pieces), hit

    def _painted_over(self, cells: Iterable[int]) -> str:
        """Stars over what is a secret only now: letters that stood there, or that were moved
        together by deleting or scrolling."""
        places = [divmod(cell, self._size[0]) for cell in sorted(cells)]
        if not places:
            return ""
        stars = "".join(f"\x1b[{row + 1};{column + 1}H*" for row, column in places)
        return f"\x1b7{stars}\x1b8"

    def _note(self, seen: Sequence[_Sight]) -> None:
        """One fact a secret; its beginning beside the whole of it is none of its own."""
        longest: dict[tuple[str, int], _Sight] = {}
        for one in sorted(seen, key=lambda one: len(one.value)):
            longest[one.detector, one.cells.start] = one
        for one in longest.values():
            mark = self._masking.marks.mark(one.detector, one.value)
            self.masked.append(Masked(one.detector, len(one.value), mark, self._passed))

    # --- two terminals --------------------------------------------------------------------------

    def _terminal(self) -> avt.Vt:
        return avt.Vt(*self._size, scrollback_limit=0)

    def _feed(self, terminal: avt.Vt, text: str) -> Sequence[int]:
        """Show it to one of them; gives the rows that changed."""
        plain = text.encode("utf-8", "replace").decode()
        earned = EARNED + EARNED_BY_CELL * self._size[0] * self._size[1]
        changed: set[int] = set()
        for start in range(0, len(plain), STEP):
            piece = plain[start : start + STEP]
            rows = self._spend(lambda: terminal.feed_str(piece), len(piece) * earned)  # noqa: B023
            changed.update(rows[0])
        return tuple(changed)

    def _spend(self, step: Callable[[], T], earned: float) -> T:
        try:
            return self._budget.spend(step, earned)
        except TooDear:
            raise TargetFault(
                "the target's output breaks, or costs too much for, the terminal that it is "
                "masked by"
            ) from None

    def _fall_behind(self, text: str) -> None:
        self._lag.append(text)
        if sum(map(len, self._lag)) > MOST_BEHIND:
            self._catch_up()

    def _catch_up(self) -> None:
        lag, self._lag = self._lag, []
        for text in lag:
            self._feed(self._behind, text)


def _is_sure(detector: Detector) -> bool:
    return detector.check in {"", "mixed"} and detector.late is Late.MASK


def _runs(rows: Sequence[int]) -> list[tuple[int, int]]:
    """Rows that follow each other, as first and last."""
    runs: list[tuple[int, int]] = []
    for row in rows:
        if runs and row == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], row)
        else:
            runs.append((row, row))
    return runs


def _clamped(columns: int, rows: int) -> tuple[int, int]:
    """The emulator breaks on a window one column wide."""
    return max(2, min(columns, MOST_COLUMNS)), max(1, min(rows, MOST_ROWS))
