"""Values of variables as a shell says them: exact, whatever is in them, or unknown."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bastion.gate.shell.values import question, read_values


def say(values):
    """As `__bastion_values` prints them."""
    lines = []
    for name, held in values.items():
        lines.append(f"{name} {len(held)}\n")
        lines += [f"{len(value.encode())} {value}\n" for value in held]
    return "".join(lines)


@given(
    st.dictionaries(
        st.sampled_from("abcd"),
        st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), max_size=4),
    )
)
def test_values_come_back_whatever_is_in_them(values):
    assert dict(read_values(say(values), "abcd")) == {k: tuple(v) for k, v in values.items()}


def test_positional_parameters_are_asked_for_once():
    assert question(["1", "x", "2", "@", "*", "a-b", "x"]) == ("@", "x")
    said = say({"@": ["/etc", "b c"]})
    known = read_values(said, ("1", "2", "3", "@"))
    assert known == (("1", ("/etc",)), ("2", ("b c",)), ("3", ()), ("@", ("/etc", "b c")))


def test_what_is_not_said_stays_unknown():
    assert read_values("", ("x", "1")) == ()
    assert read_values("x 1\n9 abc\n", ("x",)) == ()
    assert read_values("x many\n", ("x",)) == ()
