"""Every line of `tests/vectors/secrets.txt`: what is a secret is taken out, what is none passes."""

from __future__ import annotations

import pytest

from bastion.tap.mask import Masker, mask_text
from tests.tap.masking import DEFAULT
from tests.tap.secretvectors import Vector, vectors

VECTORS = vectors()


def by_byte(text: str) -> str:
    """As it is shown when it comes byte by byte; a long one in pieces of seven."""
    masker, data = Masker(DEFAULT), text.encode()
    size = 1 if len(data) < 250 else 7
    pieces = [masker.feed(data[at : at + size]) for at in range(0, len(data), size)]
    return b"".join([*pieces, masker.finish()]).decode()


@pytest.mark.parametrize("section", dict.fromkeys(one.section for one in VECTORS))
def test_secrets_are_taken_out_and_nothing_else(section: str) -> None:
    wrong = []
    for one in VECTORS:
        if one.section != section:
            continue
        shown, _ = mask_text(one.text, DEFAULT)
        if one.leaked(shown) or (not one.secrets and shown != one.text):
            wrong.append((one.line, shown))
        elif by_byte(one.text) != shown:
            wrong.append((one.line, by_byte(one.text)))
    assert not wrong


def test_a_leak_would_be_seen() -> None:
    [leaking] = [one for one in VECTORS if one.text.startswith("password=hunter2")][:1]
    assert leaking.leaked(leaking.text) == "hunter2"
    assert Vector(1, "x", "a", ("abcdefghij",)).leaked("..bcdefghi..") == "bcdefghi"


def test_there_are_hundreds_of_each() -> None:
    assert sum(bool(one.secrets) for one in VECTORS) > 450
    assert sum(not one.secrets for one in VECTORS) > 180
