"""Secrets in cells: the quick look misses nothing, the quick way masks as the slow one does."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bastion.tap.cells import Cells, unanchored
from bastion.tap.detect import Detector, Detectors
from bastion.tap.known import Known
from bastion.tap.mask import mask_bytes
from tests.tap.masking import DEFAULT, EVERY, SECRETS

CELLS = Cells(DEFAULT)


@pytest.mark.parametrize("kind", SECRETS)
@pytest.mark.parametrize("beside", [b"", b"\0\0\0A", b"7", b"_"])
def test_a_length_before_a_cell_hides_no_secret(kind, beside):
    secret = SECRETS[kind].encode()
    assert CELLS.may(b"\0\0\0\x04name" + beside + secret + beside)
    shown, found = CELLS.mask(secret)
    assert kind in found
    assert shown != secret


@pytest.mark.parametrize(
    ("expression", "bare"),
    [
        (r"\bAKIA", "AKIA"),
        (r"(?i)\b(?:a|b)\B", "(?i)(?:a|b)"),
        (r"(?:^|[^0-9])x$", "(?:|[^0-9])x"),
        (r"\\b[\]^$]\z", r"\\b[\]^$]"),
        (r"[]^]\^[^]$]", r"[]^]\^[^]$]"),
    ],
)
def test_anchors_go_and_nothing_else(expression, bare):
    assert unanchored(expression) == bare


def test_a_detector_whose_sign_does_not_compile_bare_always_looks():
    one = Detector("x", r"\b+", "y")
    assert Cells(replace(DEFAULT, detectors=Detectors([one]))).may(b"nothing")


def test_every_session_of_a_place_shares_what_is_compiled():
    assert Cells(replace(DEFAULT, clear=True))._signs is CELLS._signs


_WORDS = st.sampled_from(
    [one.encode() for one in SECRETS.values() if len(one) < 200]
    + [
        b"password",
        b"=",
        b'": "',
        b" ",
        b"\n",
        b"://",
        b"eyJ",
        b"41",
        b"key",
        b"\xc3\xa9",
        b"\x1b[1m",
    ]
)


@given(st.lists(_WORDS, max_size=6), st.booleans(), st.booleans())
def test_the_quick_way_gives_what_the_masker_gives(words, every, keep_width):
    cell = b"".join(words)
    masking = replace(EVERY if every else DEFAULT, keep_width=keep_width)
    cells = Cells(masking, Known([b"41 4"]))
    shown, masked = mask_bytes(cell, masking, Known([b"41 4"]))
    assert cells.mask(cell) == (shown, tuple(one.detector for one in masked))
    assert shown == cell or cells.may(cell)
