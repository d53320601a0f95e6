"""Strict YAML: every fault at once, each with its place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from bastion.errors import ConfigError, Fault
from bastion.policy.document import MAX_DEPTH, Document, Section, load_document
from bastion.policy.fields import Duration, OneOrMany, Size


class Inner(Section):
    text: str = ""
    count: int = 0


class Outer(Section):
    names: OneOrMany[str] = ()
    inner: OneOrMany[Inner] = ()
    flag: bool = False
    count: int = 0
    share: float = 0.0
    wait: Duration = 1.0
    size: Size = 1
    labels: dict[str, str] = Field(default_factory=dict)


def load(text: str) -> Outer:
    return load_document(text, "file.yaml", Outer)


def faults(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(text)
    return str(caught.value).splitlines()


def test_values_have_the_types_that_are_declared():
    read = load("names: [a, 'b']\nflag: true\ncount: -3\nshare: 0.5\nwait: 1h30m\nsize: 64KiB\n")
    assert (read.names, read.flag, read.count) == (("a", "b"), True, -3)
    assert (read.share, read.wait, read.size) == (0.5, 5400.0, 65536)


def test_one_value_stands_for_a_list_of_one():
    assert load("names: a\ninner: {text: x}\n").inner == (Inner(text="x"),)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("flag: yes", "file.yaml:1:7: `yes` means different things"),
        ("names: [a, No]", "file.yaml:1:12: `No` means different things"),
        ("names: 0123", "file.yaml:1:8: `0123` means different things"),
        ("names: 22:22", "file.yaml:1:8: `22:22` means different things"),
        ("count: 1_000", "file.yaml:1:8: `1_000` means different things"),
        ("count: 0x1f", "file.yaml:1:8: `0x1f` means different things"),
        ("share: .inf", "file.yaml:1:8: `.inf` means different things"),
        ("names: ~", "file.yaml:1:8: `~` means different things"),
        ("flag: True", "file.yaml:1:7: `True` means different things"),
        ("count: '3'", "file.yaml:1:8: must be a whole number, without quotes"),
        ("count: 3.0", "file.yaml:1:8: must be a whole number, without quotes"),
        ("count: true", "file.yaml:1:8: must be a whole number, without quotes"),
        ("flag: 1", "file.yaml:1:7: must be true or false, without quotes"),
        ("flag: 'true'", "file.yaml:1:7: must be true or false, without quotes"),
        ("names: [a, 3]", "file.yaml:1:12: must be text: put it in quotes"),
        ("names: true", "file.yaml:1:8: must be text: put it in quotes"),
        ("wait: 10", "file.yaml:1:7: must be a duration such as 90s, 10m, 1h30m or 2d"),
        ("wait: 1m1h", "file.yaml:1:7: must be a duration such as 90s, 10m, 1h30m or 2d"),
        ("wait: 0s", "file.yaml:1:7: must be longer than zero"),
        ("size: 3 MB", "file.yaml:1:7: must be a size such as 512kB, 64MiB or 2GB"),
        ("inner: [{text: a}, 3]", "file.yaml:1:20: must be a mapping (key: value)"),
        ("labels: [a]", "file.yaml:1:9: must be a mapping (key: value)"),
        ("count: !!int 3", "file.yaml:1:8: tags are not supported"),
        ("a: &x 1\n<<: *x", "file.yaml:2:1: `<<` means different things"),
        ("3: a", "file.yaml:1:1: a key must be text: put it in quotes"),
        ("[a]: b", "file.yaml:1:1: a key must be text: put it in quotes"),
        ("flag: true\n---\nflag: true", "file.yaml:2:1: a second document begins here"),
        ("", "file.yaml:1:1: the file is empty"),
        ("names: [", "file.yaml:2:1: not YAML:"),
        ("names: \x00", "file.yaml:1:1: not YAML:"),
        ("names: *nowhere", "file.yaml:1:8: *nowhere is not defined above"),
        ("count: 1\nnames: a\udcff", "file.yaml:2:9: this byte is not UTF-8"),
        ("share: 1.5e999", "file.yaml:1:8: must be a number, without quotes"),
        ("names: ! a", "file.yaml:1:8: tags are not supported"),
        ('"a\\e[2J": 1', "file.yaml:1:1: unknown key `a␛[2J`"),
        ("names: &a [*a]", "file.yaml:1:12: *a contains itself"),
        ("- a", "file.yaml:1:1: must be a mapping (key: value)"),
    ],
)
def test_faults_have_places(text, fault):
    assert any(line.startswith(fault) for line in faults(text)), faults(text)


def test_all_faults_are_told_in_the_order_of_the_file():
    text = "zeal: 1\ncount: x\ninner:\n  - {text: a, colour: red}\n  - count: many\nflag: 3\n"
    assert faults(text) == [
        "file.yaml:1:1: unknown key `zeal`",
        "file.yaml:2:8: must be a whole number, without quotes",
        "file.yaml:4:15: unknown key `colour`",
        "file.yaml:5:12: must be a whole number, without quotes",
        "file.yaml:6:7: must be true or false, without quotes",
    ]


def test_a_key_given_twice_names_both_places():
    assert faults("count: 1\nflag: true\ncount: 2\n") == [
        "file.yaml:3:1: `count` was already given on line 1"
    ]


def test_keys_in_different_quotes_are_the_same_key():
    assert faults("count: 1\n'count': 2\n") == [
        "file.yaml:2:1: `count` was already given on line 1"
    ]


def test_aliases_stand_for_what_they_name():
    assert load("names: &n [a, b]\nlabels: {b: &t one, c: *t}").labels == {"b": "one", "c": "one"}


def test_aliases_of_aliases_do_not_explode():
    lines = ["a: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"b{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    assert "more than 200000 values" in faults("\n".join(lines))[0]


@pytest.mark.parametrize("opener", ["[", "{a: ", "- "])
def test_depth_is_bounded_before_anything_is_built(opener):
    assert f"nested deeper than {MAX_DEPTH} levels" in faults(opener * 100_000)[0]


def test_aliases_do_not_hide_depth():
    lines = ["a: &a0 x"] + [f"b{i}: &a{i} [*a{i - 1}]" for i in range(1, 60)]
    assert f"nested deeper than {MAX_DEPTH} levels" in faults("\n".join(lines))[0]


def test_size_is_bounded():
    assert "longer than" in faults("a: " + "x" * 5_000_000)[0]


def test_a_place_is_found_by_path():
    document = Document("inner:\n  - text: a\n    count: 3\n", "f")
    assert document.place("inner", 0, "count") == "f:3:12"
    assert document.place("inner", 0, "count", key=True) == "f:3:5"
    assert document.place("inner", 0, "alternative", "text") == "f:2:11"


@given(st.text(st.characters(codec=None)))
def test_any_text_is_a_document_or_a_told_fault(text):
    told: tuple[Fault, ...] | None = None
    try:
        load(text)
    except ConfigError as error:
        told = error.faults
    assert told is None or told
    assert all(fault.place.startswith("file.yaml:") for fault in told or ())


@given(
    st.dictionaries(
        st.sampled_from(["names", "flag", "count", "wait", "labels", "other"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.text(max_size=3), inner, max_size=3)
            ),
            max_leaves=6,
        ),
        min_size=1,
    )
)
def test_json_is_read_as_it_is_written(values):
    import json

    try:
        read = load(json.dumps(values))
    except ConfigError:
        return
    assert read.model_dump(include={"flag", "count"}) == {
        "flag": values.get("flag", False),
        "count": values.get("count", 0),
    }


def test_a_key_given_twice_hides_no_other_fault():
    """All faults at once: duplicate keys, unknown keys and bad values in one reading."""
    text = "name: a\nname: b\nstrange: 1\ncount: many\n"

    class Small(Section):
        name: str
        count: int

    with pytest.raises(ConfigError) as raised:
        load_document(text, "f.yaml", Small)
    assert [fault.place for fault in raised.value.faults] == [
        "f.yaml:2:1",
        "f.yaml:3:1",
        "f.yaml:4:8",
    ]
