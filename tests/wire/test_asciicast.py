import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bastion.errors import CastFault
from bastion.wire import asciicast

texts = st.text(st.characters(exclude_categories=["Cs"]))


@given(texts, st.floats(0, 1e9))
def test_an_event_is_one_line_by_every_reading_and_comes_back_whole(text: str, time: float) -> None:
    line = asciicast.encode_event(time, "o", text)
    assert line.endswith(b"\n")
    assert len(line.decode().splitlines()) == 1
    assert json.loads(line) == [pytest.approx(time, abs=1e-6), "o", text]
    assert asciicast.decode_event(line).data == text


@given(texts, texts)
def test_a_header_comes_back(title: str, value: str) -> None:
    header = asciicast.Header(width=80, height=24, timestamp=5, title=title, bastion={"x": value})
    line = asciicast.encode_header(header)
    assert len(line.decode().splitlines()) == 1
    assert asciicast.decode_header(line) == header


@given(st.binary(max_size=80))
def test_garbage_is_a_cast_fault_and_nothing_else(data: bytes) -> None:
    for decode in (asciicast.decode_header, asciicast.decode_event):
        try:
            decode(data)
        except CastFault:
            continue


@pytest.mark.parametrize(
    "line",
    [
        b'{"version":3,"width":80,"height":24}',
        b'{"version":2,"width":80}',
        b'{"version":2,"width":"80","height":24}',
        b"[]",
        b"",
        b'{"version":2,"width":80,"height":24',
        b"\xff",
        b"[" * 100_000,
    ],
)
def test_headers_that_are_none(line: bytes) -> None:
    with pytest.raises(CastFault):
        asciicast.decode_header(line)


@pytest.mark.parametrize(
    "line",
    [b'[-1,"o","x"]', b'[1e999,"o","x"]', b'["1","o","x"]', b'[1,"o"]', b'[1,"o","\xff"]', b"{}"],
)
def test_events_that_are_none(line: bytes) -> None:
    with pytest.raises(CastFault):
        asciicast.decode_event(line)


def test_a_header_of_other_programs_may_hold_nulls_and_unknown_keys() -> None:
    line = (
        b'{"version":2,"width":9,"height":9,"env":{"SHELL":null},"title":null,"theme":{"fg":"#1"}}'
    )
    assert asciicast.decode_header(line) == asciicast.Header(width=9, height=9)


@pytest.mark.parametrize("text", ["80", "x", "-1x2", "8x²", "8x", "1" * 5000 + "x1", "8 x 2"])
def test_a_size_that_is_none(text: str) -> None:
    with pytest.raises(CastFault):
        asciicast.parse_resize(text)


def test_a_size_is_clamped_to_what_can_be_emulated() -> None:
    assert asciicast.parse_resize("4294967295x4294967295") == (1000, 500)
    assert asciicast.resize_text(0, 0) == "2x1"
    assert asciicast.parse_resize("80x24") == (80, 24)
