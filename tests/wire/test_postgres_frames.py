"""However a stream arrives, it is cut into the same messages, and nothing of it is lost."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bastion.errors import ProtocolFault
from bastion.wire.postgres_frames import PIECE, Frames, encode

KINDS = st.sampled_from([b"D", b"D", b"D", b"d", b"C", b"T"])
MESSAGES = st.lists(st.builds(encode, KINDS, st.binary(max_size=12)), max_size=12)
LONG = encode(b"D", b"x" * PIECE)


def cut_and_fed(messages, places, together):
    """All that Frames gives, and what of it are rows that go on as they came."""
    stream = b"".join(messages)
    places = sorted(place for place in places if place < len(stream))
    frames = Frames(b"D")
    pieces = itertools.pairwise([0, *places, len(stream)])
    found = [
        one for start, end in pieces for one in frames.feed(stream[start:end], together=together)
    ]
    assert frames.waiting == 0
    return found


@given(messages=MESSAGES, places=st.lists(st.integers(0, 250), max_size=6), together=st.booleans())
@example(messages=[LONG, LONG, encode(b"C", b"1")], places=[3, 9, PIECE // 2], together=True)
@example(messages=[encode(b"D", b"1"), LONG, encode(b"D", b"2")], places=[12, 20], together=True)
def test_any_cut_gives_the_same_messages(messages, places, together):
    found = cut_and_fed(messages, places, together)
    assert b"".join(one.raw for one in found) == b"".join(messages)
    others = [one for one in messages if one[:1] != b"D"]
    assert [one.raw for one in found if one.kind != ord("D")] == others
    assert all(one.first == one.last == 1 for one in found if one.kind != ord("D"))
    assert sum(one.first for one in found) == len(messages)


def test_rows_that_arrive_together_stay_together():
    rows = encode(b"D", b"1") * 500
    (found,) = Frames(b"D").feed(rows, together=True)
    assert (found.raw, found.first, found.last) == (rows, 500, True)
    assert len(Frames(b"").feed(rows, together=True)) == 500
    assert len(Frames(b"D").feed(rows)) == 500


def test_a_message_that_had_begun_before_is_given_alone():
    """Whoever looks at what arrives as a whole has not seen where it began."""
    rows = encode(b"D", b"1") * 5
    frames = Frames(b"D")
    assert frames.feed(rows[:3], together=True) == []
    assert [one.first for one in frames.feed(rows[3:], together=True)] == [1, 4]


@pytest.mark.parametrize("length", [0, 3, 2**31 - 1])
def test_a_length_that_makes_no_sense_is_a_fault_also_behind_rows(length):
    rows = encode(b"D", b"1") * 3
    bad = b"C" + length.to_bytes(4, "big")
    with pytest.raises(ProtocolFault):
        Frames(b"D").feed(rows + bad, together=True)
    if length < 4:
        with pytest.raises(ProtocolFault):
            Frames(b"D").feed(rows + b"D" + bad[1:], together=True)
