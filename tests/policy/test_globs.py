"""Globs, and what could still match."""

from __future__ import annotations

import re
import time
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bastion.policy.globs import (
    ANY,
    DEEP,
    STAR,
    matches_name,
    matches_path,
    normalise,
    overlaps,
    rule_tokens,
    shell_tokens,
)

TEXTS = ["".join(letters) for size in range(5) for letters in product("ab/", repeat=size)]
TOKENS = st.lists(st.sampled_from(["a", "b", "/", ANY, STAR, DEEP]), max_size=4).map(tuple)


@pytest.mark.parametrize(
    ("path", "glob", "expected"),
    [
        ("/etc/x", "/etc/*", True),
        ("/etc/x/y", "/etc/*", False),
        ("/etc/x/y", "/etc/**", True),
        ("/etc", "/etc/**", True),
        ("/", "/**", True),
        ("/etcetera", "/etc/**", False),
        ("/etc/a\nb", "/etc/*", True),
        ("/etc/ab", "/etc/a?", True),
        ("/etc/a/", "/etc/a?", False),
        ("/a.c", "/a?c", True),
        ("/a+c", "/a.c", False),
        ("/etc/\udcff", "/etc/*", True),
    ],
)
def test_path_globs(path, glob, expected):
    assert matches_path(path, glob) is expected


def test_a_name_glob_crosses_everything():
    assert matches_name("cn=a/b,ou=x\n", "cn=*")
    assert not matches_name("xcn=a", "cn=*")


def test_matching_is_linear():
    start = time.process_time()
    assert not matches_path("/" + "a" * 20_000, "/" + "*a" * 12 + "b")
    assert time.process_time() - start < 1


@given(TOKENS, TOKENS)
def test_two_globs_overlap_exactly_where_a_text_is_in_both(one, other):
    def regex(tokens):
        wild = {ANY: "[^/]", STAR: "[^/]*", DEEP: ".*"}
        return re.compile("".join(wild.get(token) or re.escape(token) for token in tokens))

    mine, theirs = regex(one), regex(other)
    shared = any(mine.fullmatch(text) and theirs.fullmatch(text) for text in TEXTS)
    assert overlaps(one, other) or not shared
    if len(one) + len(other) <= 4:  # then a shared text is among the short ones
        assert overlaps(one, other) is shared


@given(st.text("ab*?[]/\\", max_size=6), st.sampled_from(TEXTS))
def test_a_shell_glob_covers_at_least_what_the_shell_would_expand(pattern, text):
    import fnmatch

    literal = "\\" not in pattern and not re.search(r"\[[!\]]", pattern)
    if literal and fnmatch.fnmatchcase(text, pattern) and text.count("/") == pattern.count("/"):
        parts = zip(text.split("/"), pattern.split("/"), strict=True)
        if all(fnmatch.fnmatchcase(one, glob) for one, glob in parts):
            assert overlaps(shell_tokens(pattern), rule_tokens(text))


def test_long_globs_are_given_up_on_the_safe_side():
    assert overlaps(shell_tokens("*a" * 1000), shell_tokens("*b" * 1000))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("//", "/"),
        ("/usr/../", "/"),
        ("/etc/.", "/etc"),
        ("/../../etc//x/", "/etc/x"),
        ("a/./b/..", "a"),
        ("../a/../..", "../.."),
        (".", "."),
        ("", "."),
        ("/proc/self/root/etc/shadow", "/etc/shadow"),
        ("/proc/12/task/13/root/proc/1/root", "/"),
        ("/proc/rooted", "/proc/rooted"),
    ],
)
def test_normalise(path, expected):
    assert normalise(path) == expected


@given(st.text("a./", max_size=12))
def test_normalising_twice_changes_nothing(path):
    assert normalise(normalise(path)) == normalise(path)
