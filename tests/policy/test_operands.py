"""What a word or path could mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bastion.policy.facts import Access, PathUse, Word
from bastion.policy.globs import Match, normalise
from bastion.policy.operands import match_places, match_word, use_places

NO, COULD, YES = Match.NO, Match.COULD, Match.YES


def plain(text: str) -> Word:
    return Word(text, text)


def glob(pattern: str) -> Word:
    return Word(None, pattern, "glob")


def tilde(raw: str) -> Word:
    return Word(None, raw, "tilde")


def variable(raw: str, prefix: str = "") -> Word:
    return Word(None, raw, "variable", prefix)


@pytest.mark.parametrize(
    ("word", "pattern", "expected"),
    [
        (plain("/etc/"), "/etc", YES),
        (plain("/usr/../etc/."), "/etc", YES),
        (plain("/etcetera"), "/etc", NO),
        (plain("etc"), "/etc", NO),
        (plain("../../etc"), "/etc", COULD),
        (plain("../.."), "/", COULD),
        (plain("../x"), "/etc", NO),
        (plain("../ann/.ssh/id"), "/home/ann/.ssh/*", COULD),
        (glob("/etc/*"), "/etc", YES),
        (glob("//etc/*.conf"), "/etc", YES),
        (glob("/*"), "/", YES),
        (glob("/???"), "/etc", COULD),
        (glob("/e[t]c"), "/etc", COULD),
        (glob("/*/shadow"), "/etc/shadow", COULD),
        (glob("/*/x"), "/etc/shadow", NO),
        (glob("/???/*"), "/etc", COULD),
        (glob("*.txt"), "/etc", NO),
        (glob("../*"), "/", COULD),
        (glob("/tmp/*"), "/etc", NO),
        (glob("+(etc)"), "etc", COULD),
        (tilde("~"), "/etc", NO),
        (tilde("~/build"), "/etc", NO),
        (tilde("~/../../etc"), "/etc", COULD),
        (tilde("~sys/sda"), "/dev/sda", COULD),
        (tilde("~bob/x"), "/etc/shadow", NO),
        (tilde("~bob"), "/var", COULD),
        (tilde("~/.ssh/id"), "~/.ssh/*", YES),
        (plain(".ssh/id"), "~/.ssh/*", YES),
        (plain("/home/ann/.ssh/id"), "~/.ssh/*", YES),
        (plain("/root/.ssh/id"), "~/.ssh/*", YES),
        (plain("/srv/.ssh/id"), "~/.ssh/*", NO),
        (variable("$x"), "/etc", COULD),
        (variable('"/tmp/$x"', "/tmp/"), "/etc", COULD),
        (plain("of=/dev/../dev/sda"), "of=/dev/*", YES),
        (plain("of=dev/sda"), "of=/dev/*", NO),
        (plain("if=/dev/sda"), "of=/dev/*", NO),
        (glob("of=/dev/sd?"), "of=/dev/*", COULD),
        (variable("of=$d", "of="), "of=/dev/*", COULD),
        (variable('"if=$d"', "if="), "of=/dev/*", NO),
        (variable("if=$d", "if="), "of=/dev/*", COULD),
        (plain("root"), "root", YES),
        (plain("./root/"), "root", YES),
        (plain("rooted"), "root", NO),
        (plain(""), "root", NO),
        (plain(""), "/", NO),
        (variable('"ro$x"', "ro"), "root", COULD),
        (variable('"us$x"', "us"), "root", NO),
        (variable("us$x", "us"), "root", COULD),
        (variable('"$@"', ""), "root", COULD),
        (plain("anything at all"), "**", YES),
        (plain("x"), "/**", YES),
        (plain("x"), "/home/ann/x", COULD),
        (plain("x"), "/home/**", COULD),
        (plain("."), "/root", COULD),
        (plain("x"), "/home/ann/y", NO),
        (plain("x"), "/srv/**", NO),
        (glob("*"), "/home/ann/x", COULD),
    ],
)
def test_words(word, pattern, expected):
    assert match_word(word, [pattern]) is expected


@pytest.mark.parametrize(
    ("word", "directories", "expected"),
    [
        (plain("etc"), ("/",), YES),
        (plain("."), ("/etc",), YES),
        (plain("etc"), ("", "/"), YES),
        (plain("etc"), (None,), COULD),
        (plain("build"), (None,), NO),
        (plain("../etc"), (None,), COULD),
        (glob("*"), ("/etc",), YES),
        (glob("*"), (None,), COULD),
        (plain("/tmp"), (None,), NO),
    ],
)
def test_words_are_seen_from_every_directory(word, directories, expected):
    assert match_word(word, ["/etc"], directories) is expected


@pytest.mark.parametrize(
    ("path", "dynamic", "expected"),
    [
        ("/etc/shadow", "", YES),
        ("etc/shadow", "", NO),
        ("~/shadow", "", NO),
        ("/etc/*", "glob", COULD),
        ("/etc/*.d", "glob", NO),
        ("shadow", "directory", COULD),
        ("notes", "directory", NO),
        ("/tmp/", "variable", COULD),
        ("", "substitution", COULD),
    ],
)
def test_paths(path, dynamic, expected):
    use = PathUse(path, Access.READ, "cat", dynamic)
    assert match_places(use_places(use), "/etc/shadow") is expected


@given(
    st.text("ec./t", max_size=8),
    st.sampled_from(["/etc", "/e/**", "/*", "~/e", "~/**", "etc", "e*", "**"]),
)
def test_what_a_variable_may_hold_is_never_said_not_to_match(value, pattern):
    if match_word(plain(value), [pattern]) is not NO:
        assert match_word(variable("$x"), [pattern]) is COULD


@given(st.text("etc/.", min_size=1, max_size=8), st.sampled_from(["/etc", "/e*/**", "/"]))
def test_spelling_a_path_differently_changes_nothing(path, pattern):
    absolute = "/" + path
    assert match_word(plain(absolute), [pattern]) is match_word(
        plain(normalise(absolute) + "/."), [pattern]
    )


@pytest.mark.parametrize(
    ("root", "directories", "pattern", "expected"),
    [
        ("/etc/", ("",), "/etc/shadow", COULD),
        ("/", ("",), "/etc/shadow", COULD),
        ("/etc/", ("",), "/etc", COULD),
        ("/tmp/", ("",), "/etc/shadow", NO),
        ("./", ("",), "/etc/shadow", NO),
        ("./", ("/etc",), "/etc/shadow", COULD),
        ("./", (None,), "/etc/shadow", COULD),
        ("../../etc/", ("",), "/etc/shadow", COULD),
        ("/tmp/../etc", ("",), "/etc/shadow", COULD),
        ("", ("",), "/etc/shadow", COULD),
    ],
)
def test_what_find_finds_is_below_where_it_begins(root, directories, pattern, expected):
    found = Word(None, "{}", "found", root)
    assert match_word(found, [pattern], directories) is expected


def test_a_found_path_behind_other_text_may_climb_out_of_it():
    assert match_word(Word(None, "/tmp/{}", "found", "/tmp/"), ["/etc/shadow"]) is COULD
