"""A slice of the masking corpus holds, and a leak would be seen."""

from __future__ import annotations

from tests import corpora_masking
from tests.corpora_masking import Case, case, leaks


def test_no_generated_secret_leaks(capsys):
    assert corpora_masking.run_generated(250) == 0
    assert "250 cases of 20 kinds" in capsys.readouterr().out


def test_a_leak_is_seen():
    assert leaks(Case(0, "x", "plain", b"not-a-secret", [b"this is not-a", b"-secret\n"]))


def test_a_case_is_the_same_every_time():
    assert case(4711) == case(4711)
