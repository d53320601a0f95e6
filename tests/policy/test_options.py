"""Subcommands, flags and operands of a command's words."""

from __future__ import annotations

import getopt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bastion.policy.facts import Word
from bastion.policy.globs import Match
from bastion.policy.options import flag_spec, match_flag, match_subcommand, scan
from bastion.policy.schema import OptionFacts

NO, COULD, YES = Match.NO, Match.COULD, Match.YES
NOTHING_KNOWN = OptionFacts()


def words(line: str) -> list[Word]:
    """Blank-separated; `$x` and `*` are what they would be."""

    def word(text: str) -> Word:
        if "$" in text:
            return Word(None, text, "variable", text.strip('"').partition("$")[0])
        return Word(None, text, "glob") if "*" in text else Word(text, text)

    return [word(text) for text in line.split()]


def flag(line: str, spec: str, options: OptionFacts = NOTHING_KNOWN, after: int = 0) -> Match:
    return match_flag(scan(words(line), options, after).flags, flag_spec(spec), options.values)


@pytest.mark.parametrize(
    ("line", "spec", "expected"),
    [
        ("-r x", "-r, --recursive", YES),
        ("-vfr x", "-r, --recursive", YES),
        ("-rf x", "-r, --recursive", YES),
        ("x --recursive", "-r, --recursive", YES),
        ("--recur x", "-r, --recursive", YES),
        ("--r x", "-r, --recursive", YES),
        ("--recursively x", "-r, --recursive", NO),
        ("--recursive=true", "-r, --recursive", YES),
        ("--recursive=false", "-r, --recursive", NO),
        ("--recursive=0 --recursive", "-r, --recursive", YES),
        ("-r=false", "-r", NO),
        ("-f x", "-r, --recursive", NO),
        ("r x", "-r, --recursive", NO),
        ("-- -r x", "-r, --recursive", NO),
        ("- -r", "-r", YES),
        ("-R", "-r", NO),
        ("$x", "-r", COULD),
        ('"$x"', "-r", COULD),
        ('"-f$x"', "-r", COULD),
        ('"--rec$x"', "--recursive", COULD),
        ('"--quiet$x"', "--recursive", NO),
        ('"a$x"', "--recursive", NO),
        ("a$x", "--recursive", COULD),
        ("*", "-r", COULD),
        ("a*", "-r", NO),
        ("-- $x", "-r", NO),
        ("-delete", "-delete", YES),
        ("--delete", "-delete", YES),
        ("-privileged", "--privileged", YES),
        ("-v /etc:/x", "-v, --volume=/etc*", YES),
        ("-v/etc:/x", "-v, --volume=/etc*", YES),
        ("--volume=/etc", "-v, --volume=/etc*", YES),
        ("--volume /etc", "-v, --volume=/etc*", YES),
        ("-v /srv", "-v, --volume=/etc*", NO),
        ("-v $x", "-v, --volume=/etc*", COULD),
        ("-v", "-v, --volume=/etc*", NO),
    ],
)
def test_flags(line, spec, expected):
    assert flag(line, spec) is expected


def test_a_value_is_no_flag():
    known = OptionFacts(values=("-o", "--name"), switches=("-d",))
    assert flag("--name --privileged x", "--privileged", known) is NO
    assert flag("-o -r x", "-r", known) is NO
    assert flag("-or x", "-r", known) is NO
    assert flag("-do r -r", "-r", known) is YES
    assert flag("--name=x --privileged", "--privileged", known) is YES


def test_words_behind_the_first_operand_may_belong_to_something_else():
    known = OptionFacts(values=("-v",), switches=("-d",), end_at_operand=True)
    assert flag("run -d -v a image --privileged", "--privileged", known, after=1) is NO
    assert flag("run -d --privileged image", "--privileged", known, after=1) is YES
    assert flag("run -q image --privileged", "--privileged", known, after=1) is YES  # who knows -q?
    assert flag("run $x image --privileged", "--privileged", known, after=1) is YES


@pytest.mark.parametrize(
    ("line", "subcommand", "expected"),
    [
        ("delete ns prod", "delete ns", YES),
        ("--x delete ns prod", "delete ns", YES),
        ("-n y delete --wait=false ns prod", "delete ns", YES),
        ("--foo delete delete ns", "delete ns", YES),
        ("delete pod ns", "delete ns", NO),
        ("get delete ns", "delete ns", NO),
        ("delete", "delete ns", NO),
        ("delete $x prod", "delete ns", COULD),
        ('delete "$x" prod', "delete ns", COULD),
        ("get $x", "delete ns", NO),
        ("$x", "delete ns", COULD),
        ('"$x"', "delete ns", NO),
        ("$x ns", "delete ns", COULD),
        ("-- delete ns", "delete ns", YES),
    ],
)
def test_subcommands(line, subcommand, expected):
    found = scan(words(line), NOTHING_KNOWN, 2)
    assert match_subcommand(found.operands, subcommand.split())[0] is expected


def test_a_known_value_is_passed_over_surely():
    known = OptionFacts(values=("-n",))
    found = scan(words("-n delete ns get"), known, 2)
    assert match_subcommand(found.operands, ["delete", "ns"])[0] is NO


LETTERS = st.text("abfrvx", min_size=1, max_size=4)


@given(st.lists(LETTERS.map("-{}".format) | LETTERS | LETTERS.map("--{}".format), max_size=5))
def test_a_flag_is_found_wherever_it_stands(line):
    for position in range(len(line) + 1):
        with_flag = [*line[:position], "-r", *line[position:]]
        assert flag(" ".join(with_flag), "-r, --recursive") is YES


@given(st.lists(st.sampled_from(["-a", "--bb", "c", "--", "$x", "-r", "delete", "ns"]), max_size=6))
def test_what_is_known_of_options_only_makes_fewer_matches(line):
    known = OptionFacts(values=("-a",), switches=("--bb", "-r"))
    text = " ".join(line)
    assert flag(text, "-r", known) <= flag(text, "-r")


RM_LONG = ["recursive", "force", "verbose", "interactive=", "dir", "one-file-system"]
RM_SHORT_WORDS = ["-r", "-R", "-f", "-rf", "-vR", "-Ifr", "-d", "-fd", "--", "-", "a", "/etc"]
RM_LONG_WORDS = ["--r", "--rec", "--recursive", "--force", "--interactive=r", "--inter", "--one"]


@given(st.lists(st.sampled_from(RM_SHORT_WORDS + RM_LONG_WORDS), max_size=6))
def test_what_getopt_reads_is_never_overlooked(line):
    try:
        options, operands = getopt.gnu_getopt(line, "rRfvIid", RM_LONG)
    except getopt.GetoptError:
        return  # rm would refuse it, too
    names = {name for name, _ in options}
    if names & {"-r", "-R", "--recursive"}:
        assert flag(" ".join(line), "-r, -R, --recursive") is YES
    found = {one.word.text for one in scan(words(" ".join(line)), NOTHING_KNOWN, 0).operands}
    assert set(operands) <= found
