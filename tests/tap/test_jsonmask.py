"""Values that paths name are masked in JSON, wherever the stream is cut; a fault is told."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bastion.policy.jsonpath import Paths, parse_path
from bastion.tap.jsonmask import DEEPEST, LONGEST_ATOM, JsonMask
from tests.tap.masking import MARKS

NAMES = ["a", "b", "password", "pä", 'q"', ""]


def mark(value: bytes) -> str:
    return MARKS.mark("json", value)


def masked(data: bytes, *paths: str, size: int = 1 << 20) -> tuple[bytes, str]:
    """What comes out, and why no more of it."""
    mask = JsonMask(Paths(paths), mark)
    shown = b"".join(mask.feed(data[at : at + size]) for at in range(0, len(data), size))
    return shown + mask.finish(), mask.fault


# --- by the reference -----------------------------------------------------------------------------


def steps_match(path: tuple, keys: tuple) -> bool:
    """Whether a path names exactly this place; straight from RFC 9535's words."""
    if not path:
        return not keys
    if not keys:
        return False
    first, rest = path[0], path[1:]
    here = first.key is None or (first.key == keys[0] and type(first.key) is type(keys[0]))
    return (here and steps_match(rest, keys[1:])) or (first.deep and steps_match(path, keys[1:]))


def reference(value: object, paths: list[tuple], keys: tuple = ()) -> object:
    if any(steps_match(path, keys) for path in paths):
        return f"{mark(value.encode())}" if isinstance(value, str) else None
    if isinstance(value, dict):
        return {name: reference(one, paths, (*keys, name)) for name, one in value.items()}
    if isinstance(value, list):
        return [reference(one, paths, (*keys, index)) for index, one in enumerate(value)]
    return value


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4)
    ),
    max_leaves=12,
)
STEPS = st.sampled_from(
    [".a", "..a", "['password']", "..password", "[*]", "..*", "[0]", "[1]", ".pä"]
)
PATHS = st.lists(st.lists(STEPS, max_size=4).map(lambda steps: "$" + "".join(steps)), max_size=3)


@given(VALUES, PATHS, st.booleans(), st.sampled_from([None, 1]), st.integers(1, 9))
@example({"a": "\\"}, ["$.a"], False, None, 1)  # ends in an escaped backslash
@settings(max_examples=300)
def test_what_paths_name_is_masked_as_the_specification_says(value, paths, ascii_, indent, size):
    data = json.dumps(value, ensure_ascii=ascii_, indent=indent).encode("utf-8", "replace")
    shown, fault = masked(data, *paths, size=size)
    assert fault == ""
    expected = reference(json.loads(data), [parse_path(path) for path in paths])
    assert json.loads(shown) == expected
    assert masked(data, *paths) == (shown, "")


def texts(data: str) -> Iterator[object]:
    """The values of texts that follow each other; ValueError where one is none."""
    decoder, at = json.JSONDecoder(), 0
    while True:
        while data[at : at + 1] and data[at] in " \t\r\n":
            at += 1
        if at == len(data):
            return
        value, at = decoder.raw_decode(data, at)
        yield value


@given(VALUES, st.text('{}[]",:\\u0a1-e. nutrls\n\x01é', max_size=4), st.integers(0, 60), PATHS)
@settings(max_examples=500)
def test_what_is_no_json_is_told_and_cuts_make_no_difference(value, noise, at, paths):
    text = json.dumps(value)
    text = text[:at] + noise + text[at:]
    data = text.encode()
    shown, fault = masked(data, *paths)
    assert masked(data, *paths, size=1) == (shown, fault)
    assert masked(data, *paths, size=3) == (shown, fault)
    try:
        count = len(list(texts(text)))
    except ValueError:
        assert fault != ""
    else:
        assert fault == "" or count > 1  # numbers that touch each other are none here


# --- one by one -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "path", "shown"),
    [
        ('{"a": "x"}', "$.a", '{"a": "M"}'),
        ('{"a":-1.5e3,"b":true}', "$.*", '{"a":null,"b":null}'),
        ('{"a": {"x": [1, "}"]}, "b": 1}', "$.a", '{"a": null, "b": 1}'),
        ('{"a": null}', "$.a", '{"a": null}'),
        ('{"a": "x", "a": "y"}', "$.a", '{"a": "M", "a": "M"}'),
        (r'{"p\u0061ssword": "x"}', "$.password", r'{"p\u0061ssword": "M"}'),
        (r'{"\ud83d\ude00": "x"}', "$['😀']", r'{"\ud83d\ude00": "M"}'),
        ('{"a": "x\\"y"}', "$.a", '{"a": "M"}'),
        ('{"a":"x"}\n{"a":"y"}\n', "$.a", '{"a":"M"}\n{"a":"M"}\n'),
        ('{"a":"x"}{"a":"y"}[]12 "z"', "$.a", '{"a":"M"}{"a":"M"}[]12 "z"'),
        ('"x" 1', "$", '"M" null'),
        ('{"A": "x"}', "$.a", '{"A": "x"}'),
        ("[[1, 2], [3]]", "$[*][0]", "[[null, 2], [null]]"),
        ('{"a": NaN}', "$.a", '{"a": null}'),
        ('{"long' + "x" * 9000 + '": "y", "a": "x"}', "$.a", None),
        ("", "$.a", ""),
        ("  ", "$", "  "),
    ],
)
def test_values(data, path, shown):
    if shown is None:
        shown = data.replace('"x"', '"M"')
    for size in (1, 2, 7, 1 << 20):
        got, fault = masked(data.encode(), path, size=size)
        assert fault == ""
        for value in (b"x", b"y", b'x"y'):
            got = got.replace(mark(value).encode(), b"M")
        assert got.decode() == shown


def test_equal_values_have_equal_marks_however_they_are_escaped():
    shown, _ = masked(rb'["caf\u00e9", "caf' + "é".encode() + rb'", "cafe"]', "$[*]")
    one, two, other = json.loads(shown)
    assert one == two != other


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("size", [1, 2, 3, 1 << 20])
def test_other_encodings_are_read_and_kept(encoding, size):
    data = '{"a": "geheim", "bü": 1}'.encode(encoding)
    shown, fault = masked(data, "$.a", size=size)
    assert fault == ""
    assert shown.decode(encoding) == f'{{"a": "{mark(b"geheim")}", "bü": 1}}'


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b'{"a": "x" "b": 1}', "comma"),
        (b'{"a" "x"}', "colon"),
        (b"{a: 1}", "name"),
        (b'{"a": 1,}', "name"),
        (b"[1,]", "value"),
        (b"[1}", "brackets"),
        (b"hello", "value"),
        (b"01", "value"),
        (b'{"a": "x', "middle"),
        (b'{"a": ', "middle"),
        (b'{"a": tru', "middle|value"),
        (b'"a\nb"', "character"),
        (rb'"\x41"', "character"),
        (b'"\xff"', "UTF-8"),
        (b'{"a": "\xc1\xb0"}', "UTF-8"),
        (b"[" * (DEEPEST + 1), "deep"),
        (b"1" * (LONGEST_ATOM + 1), "value"),
        ('{"a": 1}'.encode("utf-32"), "value|UTF"),
        (b'{"a": 1}x', "value"),
    ],
)
def test_what_is_no_json_is_a_fault(data, fault):
    for size in (1, 3, 1 << 20):
        _, why = masked(data, "$.a", size=size)
        assert re.search(fault, why), why


def test_a_value_that_is_broken_off_is_masked_and_the_rest_is_kept_back():
    mask = JsonMask(Paths(["$.a"]), mark)
    shown = mask.feed(b'{"b": 1, "a": "secret\x01more')
    assert shown == b'{"b": 1, "a": "' + mark(b"secret").encode() + b'"'
    assert (mask.rest, mask.feed(b"again"), mask.rest) == (b"\x01more", b"", b"\x01moreagain")


def test_masking_is_told_without_the_value():
    mask = JsonMask(Paths(["$..ssn"]), mark)
    mask.feed(b'{"x": {"ssn": "536-90-4399"}, "ssn": [1, 2]}')
    assert [(one.detector, one.length, one.where) for one in mask.masked] == [
        ("json", 11, 14),
        ("json", 6, 37),
    ]


def test_a_target_cannot_fill_the_memory():
    mask = JsonMask(Paths(["$.a"]), mark)
    mask.feed(b'{"' + b"n" * 100)
    for piece in (b"n" * 10_000, b'": "', b"v" * 10_000, b'", "a": "', b"s" * 10_000, b'", "a": ['):
        mask.feed(piece)
        assert mask.held < 100
    for _ in range(100):
        mask.feed(b'"' + b"s" * 10_000 + b'",')
        assert sum(map(len, mask._gone)) < 5000
        assert mask.held == 0
