"""The sieve for card numbers finds what the expression and its check find, only sooner."""

from __future__ import annotations

import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bastion.tap.sieve import ISSUED, card_starts
from tests.tap.masking import ALL

[CARD] = [one for one in ALL.each if one.name == "card"]
DIGITS = st.text("0123456789", min_size=12, max_size=18)
KNOWN = st.sampled_from(
    ["4111111111111111", "378282246310005", "30569309025904", "5500005555555559", "0" * 16]
)
BETWEEN = st.sampled_from(["", " ", "-", "\n", ".", ",", "x", "_", "/", "+", "é", "  ", ". ", "\t"])


def both(text: bytes) -> tuple[list[object], list[object]]:
    """What is found with the sieve and without it."""
    return list(CARD.find(text)), list(CARD._find_all(text))


@given(st.lists(st.tuples(KNOWN | DIGITS, BETWEEN), max_size=8), BETWEEN)
@example([("4111111111111111", "."), ("4111111111111111", "")], "")
@example([("41111111111111114111111111111111", "\n"), ("4111111111111111", " ")], " ")
@settings(max_examples=300)
def test_the_sieve_finds_what_the_expression_finds(numbers, before):
    text = (before + "".join(map("".join, numbers))).encode()
    found, expected = both(text)
    assert found == expected


def test_columns_of_digits_are_found_alike():
    rng = random.Random(7)
    columns = [
        b"\n".join(b"%d" % rng.randrange(10 ** (size - 1), 10**size) for _ in range(1500))
        for size in (14, 15, 16, 17)
    ]
    for text in (*columns, b",".join(columns), b"\n".join(columns) + b" 4111 1111 1111 1111\n"):
        found, expected = both(text)
        assert found == expected
    assert len(both(columns[2])[0]) > 20


@pytest.mark.parametrize("size", ISSUED)
def test_every_issuer_of_the_expression_is_known_to_the_sieve(size):
    for prefix in range(1000, 10000):
        for check in range(10):
            text = str(prefix).ljust(size - 1, "7") + str(check)
            found, expected = both(text.encode())
            assert found == expected, text


def test_numbers_in_groups_are_left_to_the_expression():
    assert card_starts(b"4111 1111 1111 1111") is None
    assert card_starts(b"3782-822463-10005") is None
    assert card_starts(b"2026-11-24 12:00:01 4111111111111111") is not None
