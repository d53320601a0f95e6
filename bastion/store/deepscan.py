"""A second look at finished recordings, by a scanner that shares nothing with the masker.

What it finds, the stream missed: a reason for a detector of one's own. Findings name a rule, a time
and a mark; never the value.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

from bastion.errors import StoreError
from bastion.tap.marks import Marks
from bastion.wire import asciicast

PIECE: Final = 4 * 1024 * 1024
"""Characters that are looked at together: a recording may be larger than the memory."""

OVERLAP: Final = 16 * 1024
"""Characters that two pieces share, so that a key on their border is whole in one."""

_ESCAPES: Final = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[ -/]*[0-~]"
    r"|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
)

Scan = Callable[[str], Iterable[tuple[str, str]]]
"""Gives the rule and the value of each secret in a text."""


@dataclass(frozen=True, slots=True)
class Missed:
    """A secret in a recording. `time` is in seconds from its beginning."""

    rule: str
    time: float
    length: int
    mark: str


def second_scanner() -> Scan:
    """The scanner of the extra `scan`; its rules take some seconds to load."""
    try:
        from kingfisher_sdk import Rules, Scanner
    except ImportError:
        raise StoreError(
            "The second scanner is not installed; run: pip install 'bastion[scan]'."
        ) from None
    scanner = Scanner(Rules(cache=False))

    def scan(text: str) -> Iterator[tuple[str, str]]:
        for finding in scanner.scan(text):
            yield finding.rule_id, finding.secret
        scanner.reset_dedup()

    return scan


def look_again(cast: BinaryIO, scan: Scan, marks: Marks) -> Iterator[Missed]:
    """Every secret that a cast shows, each value once; CastFault where it is none."""
    told: set[str] = set()
    for text, starts, times in _pieces(cast):
        for rule, value in scan(text):
            if value in told or "[masked:" in value:
                continue
            told.add(value)
            at = max(0, bisect_right(starts, max(0, text.find(value))) - 1)
            time = times[at] if times else 0.0
            yield Missed(rule, time, len(value), marks.mark("missed", value.encode()))


def _pieces(cast: BinaryIO) -> Iterator[tuple[str, list[int], list[float]]]:
    """Pieces of what was shown, without escapes; where in it each event began, and when."""
    asciicast.decode_header(cast.readline(asciicast.MAX_LINE))
    text, size = [""], 0
    starts: list[int] = []
    times: list[float] = []
    while line := cast.readline(asciicast.MAX_LINE):
        event = asciicast.decode_event(line)
        if event.code != asciicast.OUTPUT:
            continue
        shown = _ESCAPES.sub("", event.data)
        starts.append(size)
        times.append(event.time)
        text.append(shown)
        size += len(shown)
        if size >= PIECE:
            whole = "".join(text)
            yield whole, starts, times
            text, size = [whole[-OVERLAP:]], len(whole[-OVERLAP:])
            starts, times = [0], [event.time]
    yield "".join(text), starts, times
