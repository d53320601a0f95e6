"""Which of zsh's reports stand for more than one command, and what follows from that."""

from __future__ import annotations

import pytest

from bastion.gate.shell.zsh import is_compound, keeps


@pytest.mark.parametrize(
    "text",
    [
        "(\n\t$v\n)",
        "{\n\t$v\n}",
        "for x in $v\ndo\n\t$x\ndone",
        "while $v\ndo\n\tbreak\ndone",
        "if a\nthen\n\tb\nelif $v\nthen\n\tc\nelse\n\td\nfi",
        "case a in\n\t(a) $v ;;\nesac",
        'f () {\n\t"$@"\n}',
    ],
)
def test_a_compound_alone_is_left_to_its_parts(text):
    assert is_compound(text)


@pytest.mark.parametrize(
    "text",
    [
        "${v}",
        "{$v,x}",
        "(r|s)eboot",
        "(\n\t:\n) | $v",
        "(\n\t:\n) > f | $v",
        "{\n\t:\n} && $v",
        "for i in a\ndo\n\t:\ndone | $v",
        "if true\nthen\n\t:\nfi && $v",
        "(\n\t:\n) | $v | (\n\t:\n)",
        "(\n\t:\n) | $v ${x:-\n}",
        "$v | (\n\t:\n)",
        "$v '\n\t'\n}",
    ],
)
def test_what_stands_beside_a_compound_in_zsh_is_decided(text):
    """zsh reports `( … ) | $x` once, then the parts of the subshell, and `$x` never again."""
    assert not is_compound(text)


@pytest.mark.parametrize(
    "text",
    ["read v <<< reboot && $v", "g && $v", "for v in reboot\ndo\n\t:\ndone && $v",
     "v=reboot && $v", "cd /srv && $v", "cat $((v=1)) && ls $v", "ls ${v::=x} || rm $v"],
)  # fmt: skip
def test_values_from_before_a_list_of_zsh_are_not_trusted_in_it(text):
    assert not keeps(text, ())


def test_lists_of_plain_commands_keep_what_variables_hold():
    assert keeps("cd $d && ls --color=auto $x", ())
    assert not keeps("cd $d && ls $x", ("function ls",))
    assert keeps("cat $f | grep $x", ("function g",))
