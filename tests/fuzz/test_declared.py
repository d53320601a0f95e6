"""Values as bash's `declare -p` prints them, from a target that may print anything."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.declared import MAX_TEXT, values_of


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ('declare -- x="a b"\n', ("a b",)),
        ('declare -x x=""\n', ("",)),
        ("declare -- x\n", ()),
        ("", ()),
        ('declare -a x=([0]="1" [1]="b c" [2]="d\\$e")\n', ("1", "b c", "d$e")),
        ("declare -a x=()\n", ()),
        ("declare -- x=$'a\\nb'\n", ("a\nb",)),
        ('declare -ir x="5"\n', ("5",)),
        ('declare -- x="it\'s \\$(x) \\`q\\` \\\\ \\"z\\""\n', ('it\'s $(x) `q` \\ "z"',)),
    ],
)
def test_what_bash_prints_is_told(text, values):
    assert values_of(text, ("x",)) == ((("x", values),), ())


@pytest.mark.parametrize(
    "text",
    [
        'declare -n x="y"\n',
        'declare -A x=([k]="v" )\n',
        'declare -a x=([3]="v")\n',
        'declare -- x="1"\ndeclare -- x="2"\n',
        'declare -- x="$(reboot)"\n',
        'declare -- x="$y"\n',
        'declare -- x="a\n',
        'declare -- x="a" > f\n',
        "x=1\n",
        "reboot\n",
        'declare -- y="1"\nbash: x: oh\n',
        "declare -- x=$'\\377'\n",
        "x" * (MAX_TEXT + 1),
    ],
)
def test_what_it_does_not_print_is_not(text):
    assert values_of(text, ("x",)) == ((), ("x",))


@given(st.text())
def test_any_answer_is_an_answer(text):
    held, untold = values_of(text, ("x", "y"))
    assert sorted([name for name, _ in held] + list(untold)) == ["x", "y"]


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_real_bash_is_understood():
    held = "a b\t\n\x01\x7f'\"$(x)`y`\\z{a,b}*~é"
    text = subprocess.run(
        ["bash", "-c", 'x=$1; a=("$1" "" c); declare -p x a none 2>&-', "bash", held],
        capture_output=True,
        text=True,
        check=False,
        env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"},
    ).stdout
    assert values_of(text, ("x", "a", "none")) == (
        (("x", (held,)), ("a", (held, "", "c")), ("none", ())),
        (),
    )
