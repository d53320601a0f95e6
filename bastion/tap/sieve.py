"""Where card numbers may begin, found for thousands of numbers at once.

Text of nothing but digits (a column of order numbers) has a candidate in every third line. A match
and a check of each cost microseconds; here the numbers of one length are laid side by side, and
their columns are added as integers of many bytes, a byte a number: no sum is over 144, so none
carries into the next.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import compress
from typing import Any, Final

import re2

_DIGITS: Final = bytes(byte if 0x30 <= byte <= 0x39 else 0x20 for byte in range(256))
"""All but digits become spaces."""
_ONCE: Final = bytes(byte - 0x30 if 0x30 <= byte <= 0x39 else 0 for byte in range(256))
_TWICE: Final = bytes(2 * n - 9 * (n > 4) for n in _ONCE)
"""Twice each digit, less 9 where that has two."""
_RIGHT: Final = bytes(total % 10 == 0 for total in range(256))

ISSUED: Final = {
    14: frozenset({b"30", b"36", b"38"}),
    15: frozenset({b"34", b"37"}),
    16: frozenset(
        b"%d" % n for n in (*range(22, 28), 35, *range(40, 50), *range(51, 56), 60, 62, 64, 65)
    ),
}
"""How many digits a card has, and the first two of them, as ISO/IEC 7812's registry gives them."""

_APART: Final = (
    r"[0-9]{4}(?:[ -][0-9]{4}[ -]?[0-9]{4}[ -]?|[0-9]{4}[ -][0-9]{4}[ -]?|[0-9]{8}[ -])[0-9]{4}"
    r"|[0-9]{4}(?:[ -][0-9]{6}[ -]?|[0-9]{6}[ -])[0-9]{4}"
)
"""A number of 14 to 16 digits that is written in groups."""


def card_starts(text: bytes) -> Iterator[int] | None:
    """Where runs of digits begin that may be a card's: as long as its issuer's are, and the last
    digit is Luhn's (ISO/IEC 7812-1 annex B).

    None where `text` may have such numbers in groups: then each has to be looked at.
    """
    if _apart().search(text) is not None:
        return None
    return _starts(text)


def _starts(text: bytes) -> Iterator[int]:
    runs = text.translate(_DIGITS).split()
    there = set(map(len, runs))
    right = {run for size in ISSUED if size in there for run in _right(runs, size)}
    at = 0
    for run in filter(right.__contains__, runs):
        at = _run_at(text, run, at)
        yield at
        at += len(run)


def _run_at(text: bytes, run: bytes, at: int) -> int:
    """Where `run` is from `at` on, and no part of a longer one."""
    while True:
        at = text.index(run, at)
        end = at + len(run)
        if not text[end : end + 1].isdigit() and not text[max(0, at - 1) : at].isdigit():
            return at
        at += 1


def _right(runs: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Of the runs of `size` digits those whose check digit is right."""
    numbers = [run for run in runs if len(run) == size]
    beside = b"".join(numbers)
    total = 0
    for at in range(size):
        column = beside[at::size].translate(_ONCE if (size - at) % 2 else _TWICE)
        total += int.from_bytes(column, "little")
    sums = total.to_bytes(len(numbers), "little").translate(_RIGHT)
    issued = ISSUED[size]
    return (
        number
        for number in compress(numbers, sums)
        if number[:2] in issued and len(set(number)) > 1
    )


@lru_cache(maxsize=1)
def _apart() -> Any:
    return re2.compile(_APART.encode())
