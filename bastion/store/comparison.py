"""Pure: what happened to a file's lines between what was sealed and what is there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from bastion.store.seal import TAG


def describe_change(sealed: bytes, found: bytes, *, torn: bool = False) -> str:
    """Name the change from the tags of the sealed lines to those found; "" where there is none.

    `torn`: something without a newline stands after the last whole line.
    """
    start = _common(sealed, found)
    end = _common_end(sealed[start:], found[start:])
    before, after = (
        _split(sealed[start : len(sealed) - end]),
        _split(found[start : len(found) - end]),
    )
    first = start // TAG + 1
    if not before and not after:
        return "bytes were added after the last line" if torn else ""
    if not after:
        return _removed(first, len(before), at_end=not end, torn=torn)
    if not before:
        return f"{_lines(len(after))} inserted at line {first}"
    return _replaced(first, before, after)


def _removed(first: int, count: int, *, at_end: bool, torn: bool) -> str:
    if not at_end:
        return f"{_lines(count)} removed at line {first}"
    inside = ", in the middle of a line" if torn else ""
    return f"the tail is cut: {count} lines from line {first} on are missing{inside}"


def _replaced(first: int, before: Sequence[bytes], after: Sequence[bytes]) -> str:
    if Counter(before) == Counter(after):
        return f"{_lines(len(before))} in another order from line {first} on"
    if len(before) == len(after):
        changed = sum(one != other for one, other in zip(before, after, strict=True))
        return f"{_lines(changed)} changed from line {first} on"
    if _is_part(after, before):
        return f"{_lines(len(before) - len(after))} removed from line {first} on"
    if _is_part(before, after):
        return f"{_lines(len(after) - len(before))} inserted from line {first} on"
    return f"{len(before)} lines were replaced by {len(after)} from line {first} on"


def _lines(count: int) -> str:
    return "1 line was" if count == 1 else f"{count} lines were"


def _is_part(some: Sequence[bytes], whole: Sequence[bytes]) -> bool:
    """Whether `some` is what is left of `whole` after removals."""
    rest = iter(whole)
    return all(item in rest for item in some)


def _split(tags: bytes) -> list[bytes]:
    return [tags[at : at + TAG] for at in range(0, len(tags), TAG)]


def _common(one: bytes, other: bytes) -> int:
    """Length of the common beginning, in whole tags: halving, for a million lines are usual."""
    low, high = 0, min(len(one), len(other)) // TAG
    while low < high:
        middle = (low + high + 1) // 2
        if one[: middle * TAG] == other[: middle * TAG]:
            low = middle
        else:
            high = middle - 1
    return low * TAG


def _common_end(one: bytes, other: bytes) -> int:
    low, high = 0, min(len(one), len(other)) // TAG
    while low < high:
        middle = (low + high + 1) // 2
        if one[len(one) - middle * TAG :] == other[len(other) - middle * TAG :]:
            low = middle
        else:
            high = middle - 1
    return low * TAG
