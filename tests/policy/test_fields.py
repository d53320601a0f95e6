"""Durations and sizes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bastion.policy.fields import describe_duration, parse_duration, parse_size


@given(st.integers(1, 10**8))
def test_a_duration_is_described_as_it_is_read(seconds):
    assert parse_duration(describe_duration(seconds)) == seconds


@pytest.mark.parametrize("text", ["", "m", "10", "10 m", "-1s", "1.5h", "1s1m", "٣s", 10, None])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


@pytest.mark.parametrize(("text", "size"), [("1B", 1), ("2kB", 2000), ("1MiB", 1 << 20)])
def test_sizes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["1", "1 kB", "1KB", "-1B", 5])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ValueError, match="size"):
        parse_size(text)
