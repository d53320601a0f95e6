"""Paths as RFC 9535 writes them, and which of them a stream can follow."""

from __future__ import annotations

import pytest

from bastion.policy.jsonpath import Paths, Step, parse_path


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("$", []),
        ("$.card.number", [("card", False), ("number", False)]),
        ("""$['card']["number"]""", [("card", False), ("number", False)]),
        ("card.number", [("card", False), ("number", False)]),
        ("users[*].ssn", [("users", False), (None, False), ("ssn", False)]),
        ("$.rows[0].*", [("rows", False), (0, False), (None, False)]),
        ("$..password", [("password", True)]),
        ("..password", [("password", True)]),
        ("$..['api key'].x", [("api key", True), ("x", False)]),
        (r"""$['it\'s "so"']""", [('it\'s "so"', False)]),
        (r"$['p\u0061ss']", [("pass", False)]),
        ("$.größe", [("größe", False)]),
        ("$[ 'x' ]", [("x", False)]),
    ],
)
def test_a_path_is_read(text, steps):
    assert parse_path(text) == tuple(Step(*step) for step in steps)


@pytest.mark.parametrize(
    "text",
    [
        *("", "$.", "a b", "$.a-b", "$x", "x$", "$.a.", "$...a", "$.[0]", "$..", "$['a"),
        *("$[-1]", "$[1:2]", "$[?(@.x)]", "$['a','b']", "$[01]", "$['\\x']", "$.1"),
        *("$" + ".a" * 33, f"$.{'a' * 201}"),
    ],
)
def test_what_a_stream_cannot_follow_is_refused(text):
    with pytest.raises(ValueError, match=r"path|name"):
        parse_path(text)


def test_a_target_cannot_fill_what_is_remembered_of_paths():
    paths = Paths(["$..a.b", "$..*.c"])
    for index in range(100_000):
        paths.element(frozenset({(0, index % 2), (1, index)} & paths.root), index)
    assert len(paths._known) < 10


def test_nothing_is_named_where_there_are_no_paths():
    assert not Paths()
    assert Paths().member(Paths().root, "a") == (frozenset(), False)
