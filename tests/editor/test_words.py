"""The word before the cursor, and how a completion of it is written."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bastion.editor.values import CompletionKind as Kind
from bastion.editor.words import Place, place_of, written

pytestmark = pytest.mark.story


def asked(text):
    place = place_of(text)
    return place and (place.kind, place.word, place.start)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("l", (Kind.COMMAND, "l", 0)),
        ("", None),
        ("./ru", (Kind.PATH, "./ru", 0)),
        ("ls ", (Kind.PATH, "", 3)),
        ("ls /et", (Kind.PATH, "/et", 3)),
        ("ls 'a b", (Kind.PATH, "a b", 3)),
        ('ls "a b', (Kind.PATH, "a b", 3)),
        ("ls a\\ b", (Kind.PATH, "a b", 3)),
        ("cd x", (Kind.DIRECTORY, "x", 3)),
        ("cat x | gr", (Kind.COMMAND, "gr", 8)),
        ("a && b; c", (Kind.COMMAND, "c", 8)),
        ("echo $(l", (Kind.COMMAND, "l", 7)),
        ("echo `cat f", (Kind.PATH, "f", 10)),
        ('echo "$(ls "a', (Kind.PATH, "a", 11)),
        ("if tr", (Kind.COMMAND, "tr", 3)),
        ("for x in a", (Kind.PATH, "a", 9)),
        ("X=1 ls", (Kind.COMMAND, "ls", 4)),
        ("X=/et", (Kind.PATH, "/et", 2)),
        ("dd if=/de", (Kind.PATH, "/de", 6)),
        ("ls --sort=x", (Kind.PATH, "x", 10)),
        ("ls > f", (Kind.PATH, "f", 5)),
        ("ls 2>&1 > f", (Kind.PATH, "f", 10)),
        ("echo $HO", (Kind.VARIABLE, "HO", 6)),
        ("echo ${HO", (Kind.VARIABLE, "HO", 7)),
        ('echo "$HO', (Kind.VARIABLE, "HO", 7)),
        ("echo '$HO", (Kind.PATH, "$HO", 5)),
        ("echo \\$HO", (Kind.PATH, "$HO", 5)),
        ("export PA", (Kind.VARIABLE, "PA", 7)),
        ("ls $HOME/x", None),
        ("ls ~an", (Kind.USER, "an", 4)),
        ("ls ~/x", (Kind.PATH, "~/x", 3)),
        ("sudo sys", (Kind.COMMAND, "sys", 5)),
        ("sudo -u root l", (Kind.COMMAND, "l", 13)),
        ("timeout 5 l", (Kind.COMMAND, "l", 10)),
        ("sudo cat f", (Kind.PATH, "f", 9)),
        ("ls # it", None),
        ("cat <<EOF\nhel", None),
        ("cat <<EOF\nhel\nEOF\nl", (Kind.COMMAND, "l", 18)),
        ("echo $'a", None),
    ],
)
def test_what_the_word_could_become(text, expected):
    assert asked(text) == expected


@pytest.mark.parametrize(
    ("text", "contains"),
    [
        ("ls --a", "--all"),
        ("git commit --am", "--amend"),
        ("git --no", "--no-pager"),
        ("sudo systemctl res", "restart"),
        ("/usr/bin/git sta", "status"),
    ],
)
def test_options_and_subcommands_are_known(text, contains):
    place = place_of(text)
    assert place is not None
    assert contains in (place.known or ())


@given(st.text(max_size=200))
def test_no_text_breaks_the_reader(text):
    place_of(text)


NAMES = st.text(
    st.characters(codec="utf-8", exclude_categories=("C", "Z"))
    | st.sampled_from(" '\"\\$`!*?[~#&;|<>(){}^=%"),
    min_size=1,
    max_size=12,
)


@given(st.lists(st.tuples(NAMES, st.sampled_from(["", "'", '"'])), min_size=20, max_size=20))
def test_a_shell_reads_back_what_was_completed(pairs):
    """Whatever a file is called, the line names that file and does nothing else."""
    words = [
        written(name, Place(Kind.PATH, name[:1] if name[0] != "~" else "", 0, quote), whole=True)
        + (quote if name.endswith(("/", "=")) else "")
        for name, quote in pairs
    ]
    script = "".join(f"printf '%s\\0' {word}\n" for word in words)
    for shell in ("bash", "dash", "zsh"):
        run = subprocess.run(
            [shell, "-f" if shell == "zsh" else "-u"],
            input=script.encode(),
            capture_output=True,
            check=False,
        )
        assert run.stdout.decode().split("\0")[:-1] == [name for name, _ in pairs], shell


def test_a_tilde_stays_one_only_where_it_was_typed():
    assert written("~/a b", Place(Kind.PATH, "~/a", 0), whole=True) == "~/a\\ b"
    assert written("~odd", Place(Kind.PATH, "", 0), whole=True) == "\\~odd"
