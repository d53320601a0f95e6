import hashlib
import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bastion.events import Stream
from bastion.tap.cast import CastTap


def events(lines: bytes) -> list[list[Any]]:
    return [json.loads(line) for line in lines.splitlines()]


def shown(lines: bytes) -> str:
    return "".join(data for _, code, data in events(lines) if code == "o")


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    marks = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(marks)]


@given(st.text(st.characters(exclude_categories=["Cs"])), st.lists(st.integers(0, 10_000)))
def test_text_survives_any_split_over_packets(text: str, cuts: list[int]) -> None:
    tap = CastTap(100.0)
    data = text.encode()
    lines = b"".join(tap.output(100.0, piece) for piece in pieces(data, cuts)) + tap.close(100.0)
    assert shown(lines) == text
    totals = tap.totals().stdout
    assert (totals.size, totals.replaced) == (len(data), 0)
    assert totals.sha256 == hashlib.sha256(data).hexdigest()


@given(st.binary(), st.lists(st.integers(0, 10_000)))
def test_bytes_that_are_no_text_are_replaced_and_counted_however_split(
    data: bytes, cuts: list[int]
) -> None:
    tap = CastTap(0.0)
    lines = b"".join(tap.output(0.0, piece) for piece in pieces(data, cuts)) + tap.close(0.0)
    whole = data.decode("utf-8", "replace")
    assert shown(lines) == whole
    assert tap.totals().stdout.replaced == whole.count("\ufffd") - data.count(b"\xef\xbf\xbd")


@given(st.lists(st.tuples(st.sampled_from([Stream.STDOUT, Stream.STDERR]), st.binary(max_size=4))))
def test_streams_never_lend_each_other_bytes(parts: list[tuple[Stream, bytes]]) -> None:
    tap = CastTap(0.0)
    for stream, data in parts:
        tap.output(0.0, data, stream)
    tap.close(0.0)
    for stream, totals in (
        (Stream.STDOUT, tap.totals().stdout),
        (Stream.STDERR, tap.totals().stderr),
    ):
        alone = b"".join(data for which, data in parts if which is stream)
        assert totals.sha256 == hashlib.sha256(alone).hexdigest()
        wrong = alone.decode("utf-8", "replace").count("\ufffd") - alone.count(b"\xef\xbf\xbd")
        assert totals.replaced == wrong


def test_a_character_cut_by_the_other_stream_stays_one_character() -> None:
    tap = CastTap(0.0)
    euro = "€".encode()
    lines = tap.output(1.0, euro[:1])
    lines += tap.output(2.0, b"oops", Stream.STDERR)
    lines += tap.output(3.0, euro[1:])
    assert events(lines) == [[2.0, "o", "oops"], [3.0, "o", "€"]]


def test_half_a_character_writes_nothing_and_close_owns_up_to_it() -> None:
    tap = CastTap(0.0)
    assert tap.output(1.0, b"\xe2\x82") == b""
    assert events(tap.close(2.0)) == [[2.0, "o", "\ufffd"]]
    assert tap.totals().stdout.replaced == 1


def test_time_never_runs_backwards_though_the_clock_does() -> None:
    tap = CastTap(1000.0)
    times = [events(tap.output(at, b"x"))[0][0] for at in (999.0, 1002.5, 1001.0, 1003.0)]
    assert times == [0.0, 2.5, 2.5, 3.0]


def test_resizes_and_markers_are_lines_of_their_own() -> None:
    tap = CastTap(0.0)
    assert events(tap.resize(1.0, 132, 50)) == [[1.0, "r", "132x50"]]
    assert events(tap.marker(2.0, "rm\x1b[2J\n")) == [[2.0, "m", "rm␛[2J␊"]]
    assert len(events(tap.marker(3.0, "x" * 300_000))[0][2]) < 600
    assert tap.totals().events == 3


def test_the_header_shows_what_came_from_outside() -> None:
    tap = CastTap(7.9)
    line = tap.header(
        columns=0, rows=24, title="a\x1b]0;b", env={"TERM": "x\u202e"}, facts={"request": "\udc80"}
    )
    header = json.loads(line)
    assert header["version"] == 2
    assert (header["width"], header["height"], header["timestamp"]) == (2, 24, 7)
    assert header["title"] == "a␛]0;b"
    assert header["env"] == {"TERM": "x\\u{202e}"}
    assert header["bastion"] == {"request": "\\u{dc80}"}


def test_input_is_never_recorded() -> None:
    with pytest.raises(ValueError, match="input"):
        CastTap(0.0).output(0.0, b"password", Stream.STDIN)
