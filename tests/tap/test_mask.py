"""The masker: the same text however the stream is cut, and nothing of a secret in it."""

from __future__ import annotations

import itertools
import re

from hypothesis import given
from hypothesis import strategies as st

from bastion.model import Secret
from bastion.tap.mask import MASKED, Masker

SECRETS = [b"hunter2!", b"hunter2!and more", b"aaab", b"\xff\x00\n\r", b"ter2"]
PIECES = st.sampled_from([*SECRETS, b"hunter2!an", b"hun", b"aaa", b"aaaaab", b"x", b"", b"\xff"])
TEXT = st.lists(PIECES, max_size=12).map(b"".join)


def _masker(*values: bytes) -> Masker:
    return Masker([Secret(value) for value in values])


def _expected(text: bytes) -> bytes:
    longest_first = sorted(SECRETS, key=len, reverse=True)
    return re.sub(b"|".join(map(re.escape, longest_first)), lambda _: MASKED, text)


@given(TEXT, st.lists(st.integers(0, 100), max_size=12))
def test_any_cut_gives_the_same_text(text: bytes, cuts: list[int]) -> None:
    masker = _masker(*SECRETS)
    marks = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    pieces = [text[a:b] for a, b in itertools.pairwise(marks)]
    assert b"".join([*map(masker.feed, pieces), masker.flush()]) == _expected(text)


@given(TEXT, st.sets(st.integers(0, 100)))
def test_a_flush_in_the_middle_never_shows_a_whole_secret(text: bytes, flushes: set[int]) -> None:
    masker = _masker(*SECRETS)
    shown = b""
    for at in range(len(text)):
        shown += masker.feed(text[at : at + 1])
        if at in flushes:
            shown += masker.flush()
    shown += masker.flush()
    assert not any(secret in shown for secret in SECRETS)


def test_the_rest_of_a_secret_is_masked_after_its_beginning_was_shown() -> None:
    masker = _masker(b"hunter2!")
    assert masker.feed(b"x hunt") + masker.flush() == b"x hunt"
    assert masker.flush() == b""
    assert masker.feed(b"er2! y") == MASKED + b" y"


def test_only_what_could_be_a_secret_is_held_back() -> None:
    masker = _masker(b"hunter2!")
    assert masker.feed(b"what a hunt") == b"what a "
    assert masker.feed(b"sman") == b"huntsman"
    assert masker.flush() == b""


def test_without_secrets_the_very_same_bytes_pass() -> None:
    data = b"x" * 1000
    assert Masker([]).feed(data) is data
    assert _masker(b"", b"abc").feed(data) is data
    assert Masker([]).flush() == b""
