"""JSON among other text is found and masked, wherever it is cut; other text passes as it is."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bastion.policy.jsonpath import Paths
from bastion.tap.jsonstream import JsonStream
from bastion.tap.mask import Masking
from bastion.tap.stream import StreamMasker
from tests.tap.masking import DEFAULT, MARKS


def mark(value: bytes) -> str:
    return MARKS.mark("json", value)


def masked(data: bytes, *paths: str, size: int = 1 << 20, flushed: bool = False) -> bytes:
    stream = JsonStream(Paths(paths), mark)
    shown = b""
    for at in range(0, len(data), size):
        shown += stream.feed(data[at : at + size])
        shown += stream.flush() if flushed else b""
    return shown + stream.finish()


LINES = [
    ('{"a": "x"}', '{"a": "M"}'),
    ('web-1 | 12:00 {"a": "x", "n": [1]} done', 'web-1 | 12:00 {"a": "M", "n": [1]} done'),
    ('[INFO] [12] {"a":"x"}{"a":"x"}', '[INFO] [12] {"a":"M"}{"a":"M"}'),
    ('{"no json" {"a": "x"}', '{"no json" {"a": "M"}'),
    ('[{"a": "x"}, {"a": 7}]', '[{"a": "M"}, {"a": null}]'),
    ('\x1b[1;39m{\x1b[0m\x1b[34;1m"a"\x1b[0m: \x1b[0;32m"x"\x1b[0m}', None),
    ('\x1b[31mred\x1b[0m {"a": "x"}', '\x1b[31mred\x1b[0m {"a": "M"}'),
    ('{"b": {"c": 1}, "a": {"z": "x"}}\r\n', '{"b": {"c": 1}, "a": null}\r\n'),
    ('{\r\n    "a": "x",\r\n    "b": "é\ud83d"\r\n}', None),
    ("if (x) { y[0] = '{'; }", "if (x) { y[0] = '{'; }"),
    ("[y/N] ", "[y/N] "),
    ("", ""),
]


@pytest.mark.parametrize(("line", "shown"), LINES)
@pytest.mark.parametrize("flushed", [False, True])
@pytest.mark.parametrize("size", [1, 2, 3, 5, 1 << 20])
def test_a_line(line, shown, size, flushed):
    expected = (line.replace('"x"', '"M"') if shown is None else shown).replace("M", mark(b"x"))
    data = line.encode("utf-8", "surrogatepass")
    got = masked(data, "$..a", size=size, flushed=flushed)
    assert got == expected.encode("utf-8", "surrogatepass")


@given(
    st.lists(
        st.sampled_from([line for line, _ in LINES[:8]])
        | st.text('{}[]",:\\a1-e. \n\x1béx', max_size=12),
        max_size=6,
    ),
    st.integers(1, 9),
    st.booleans(),
)
@example(["[", '{"a": "x"}'], 1, True)
@settings(max_examples=300)
def test_where_it_is_cut_and_when_it_is_flushed_makes_no_difference(lines, size, flushed):
    data = " ".join(lines).encode()
    assert masked(data, "$..a", size=size, flushed=flushed) == masked(data, "$..a")
    assert masked(data, "$..none", size=size, flushed=flushed) == data


@given(st.binary(max_size=40), st.integers(1, 5))
def test_bytes_that_are_no_text_pass(data, size):
    assert masked(data + b'{"b": "' + data, "$..none", size=size) == data + b'{"b": "' + data


def test_a_name_that_waits_is_shown_when_the_time_is_over():
    stream = JsonStream(Paths(["$.password"]), mark)
    assert stream.feed(b'{"passw') == b"{"
    assert stream.held == 6
    assert stream.flush() == b'"passw'
    assert stream.feed(b'ord": "x"}') == b'ord": "' + mark(b"x").encode() + b'"}'


def test_a_masked_number_waits_for_its_end():
    stream = JsonStream(Paths(["$.pin"]), mark)
    assert stream.feed(b'{"pin": 12') == b'{"pin": '
    assert stream.flush() == b""
    assert stream.feed(b"34}") == b"null}"


def test_both_look_at_a_stream():
    masker = StreamMasker(Masking(DEFAULT.detectors, MARKS, json=Paths(["$.ssn", "$.password"])))
    line = b'{"ssn": "12", "password": "x y", "key": "AKIAIOSFODNN7EXAMPLE"}\n'
    shown = masker.feed(line) + masker.finish()
    values = json.loads(shown)
    assert values["ssn"] == mark(b"12")
    assert values["password"] == mark(b"x y")
    assert values["key"].startswith("AKIA[masked:aws-key:")
