"""Texts that differ in their numbers alone, where no number can matter to what they do.

A client of the simple protocol writes its values into the text, so no text comes twice. What such a
text does is read once for all that differ from it in plain integers only. That is sound because

- the texts fall into the same tokens: outside of strings and comments, of which there are none
  here, up to nine digits between characters that are no part of a word or number are one integer;
- PostgreSQL's grammar looks at tokens, not at what an integer is, but for the precision of a type
  (`float(25)`), and there the number stands in parentheses of another word than `values` and `in`;
- of an integer, what reads a query looks at nothing but whether a condition that computes with it,
  or weighs it by `<`, `>`, `<>`, `!=`, OR, NOT, IS, CASE or SYMMETRIC, holds of every row
  (`policy/sql/restrict.py`); `=`, IN, BETWEEN and AND of columns and integers never do.

Whatever has a string, a comment, one of these, or is no plain query, has no template.
"""

from __future__ import annotations

import re
from typing import Final

MOST: Final = 4096
"""Characters: a longer text is seldom sent twice, and costs more to look through."""

_ALPHABET: Final = re.compile(r"[A-Za-z0-9_ \t\r\n.,;()=+*-]*")
_NUMBER: Final = re.compile(r"(?<![A-Za-z0-9_.])[0-9]{1,9}(?![A-Za-z0-9_.])")
_WORDS: Final = re.compile(r"[a-z_][a-z0-9_]*")
_BY: Final = re.compile(r"\bby\b", re.IGNORECASE)
_PLACE: Final = re.compile(rf"((?:\bby|,)\s*[0-9]+)|{_NUMBER.pattern}", re.IGNORECASE)
_PARTS: Final = re.compile(r"[a-z0-9_.]+|[()]")
_QUERIES: Final = frozenset({"select", "insert", "update", "delete"})
_WEIGHING: Final = frozenset({"or", "not", "is", "case", "symmetric"})
_COMPUTING: Final = re.compile(r"[+*-]|(?<!\bin)\(")
_BEFORE_PARENTHESIS: Final = re.compile(r"\s+\(")
_LISTS: Final = frozenset({"values", "in"})


def template(text: str) -> str:
    """The text with a 0 for each number; "" where it is none that numbers are taken out of.

    After ORDER BY and GROUP BY a number may be the place of an output, and stays.
    """
    if len(text) > MOST or "--" in text or not _ALPHABET.fullmatch(text):
        return ""
    arranged = _BY.search(text)
    if arranged is None:
        return _NUMBER.sub("0", text)
    at = arranged.start()
    return _NUMBER.sub("0", text[:at]) + _PLACE.sub(lambda one: one[1] or "0", text[at:])


def is_general(shape: str) -> bool:
    """Whether all texts of a template do the same. It need be asked only once for each."""
    lower = shape.lower()
    words = _WORDS.findall(lower)
    if not words or words[0] not in _QUERIES or not _WEIGHING.isdisjoint(words):
        return False
    condition = _BEFORE_PARENTHESIS.sub("(", lower.partition("where")[2])
    if words[0] in {"update", "delete"} and _COMPUTING.search(condition):
        return False
    return ";" not in shape.rstrip("; \t\r\n") and _in_lists_alone(lower)


def _in_lists_alone(lower: str) -> bool:
    """Whether no number stands in parentheses but those of `values (…)` and `in (…)`."""
    before, opened = "", [""]
    for part in _PARTS.findall(lower):
        if part == "(":
            opened.append(before)
        elif part == ")":
            opened = opened[:-1] or [""]
        elif part[0].isdigit() and len(opened) > 1 and opened[-1] not in _LISTS:
            return False
        before = "" if part in {"(", ")"} else part
    return True
