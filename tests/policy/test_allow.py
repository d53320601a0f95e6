"""What an allow rule covers."""

from __future__ import annotations

import pytest

from bastion.policy.allow import allows_command, allows_file, allows_line, starts
from bastion.policy.facts import Reading
from bastion.policy.schema import FilePattern, compile_text
from tests.policy.test_match import command, commands, file, rule

LS = commands(program="ls")


@pytest.mark.parametrize(
    ("line", "via", "allowed"),
    [
        ("ls -l", (), True),
        ("/bin/ls", (), True),
        ("/usr/bin/../bin/ls", (), True),
        ("./ls", (), False),
        ("/tmp/ls", (), False),
        ("/bin/../tmp/ls", (), False),
        ("ls", ("timeout", "nice"), True),
        ("ls", ("sudo",), False),
        ("ls", ("nice", "sudo"), False),
        ("ls", ("ssh host",), False),
    ],
)
def test_an_allow_rule_covers_only_what_it_names(line, via, allowed):
    assert allows_command(LS, command(line, via=via)) is allowed


def test_an_allow_rule_may_name_the_path_or_the_wrapper():
    own = commands(program=["/srv/bin/tool"], via=["sudo"])
    assert allows_command(own, command("/srv/bin/tool", via=("sudo", "nice")))
    assert not allows_command(own, command("/srv/bin/tool"))
    assert not allows_command(own, command("/srv/bin/tool", via=("sudo", "ssh h")))


def test_an_allow_rule_is_never_a_guess():
    allow_rm = commands(program="rm", operands=["/tmp/*"])
    assert not allows_command(allow_rm, command("rm $x"))


def test_an_expression_covers_a_line_only_if_it_is_all_of_it():
    text = rule(text=compile_text("ls( -l)?"))
    assert allows_line(text, Reading("ls -l"))
    assert not allows_line(text, Reading("ls -l; rm x"))


def test_an_allow_rule_must_cover_both_paths():
    inside = rule(file=(FilePattern(path=("/srv/**",)),))
    assert allows_file(inside, file("rename", "/srv/a", "/srv/b"))
    assert not allows_file(inside, file("rename", "/srv/a", "/etc/b"))
    assert not allows_file(inside, file("read", "a"))


@pytest.mark.parametrize(
    ("line", "allowed"),
    [
        ("cat /srv/x", True),
        ("cat /srv/x /srv/y/z", True),
        ("cat -n /srv/x", True),
        ("cat /srv/x /etc/shadow", False),
        ("cat /srv/../etc/shadow /srv/x", False),
        ("cat /srv/x $y", False),
        ("cat --from=/etc/shadow /srv/x", False),
        ("cat -f/etc/shadow /srv/x", False),
        ("cat $x /srv/y", False),
        ("cat", False),
    ],
)
def test_all_operands_have_to_fit(line, allowed):
    below = commands(program="cat", operands=["/srv/**"])
    assert allows_command(below, command(line)) is allowed


def test_operands_fit_behind_a_subcommand():
    get = commands(program="kubectl", subcommand="get", operands=["pods", "pod/*"])
    assert allows_command(get, command("kubectl get pods"))
    assert not allows_command(get, command("kubectl get pods secrets"))
    assert not allows_command(get, command("kubectl delete pods"))
    assert not allows_command(get, command("kubectl get pods", more=True))


def test_a_script_is_named_by_its_path():
    run = commands(program=["./go.sh"])
    assert allows_command(run, command("./go.sh now"))
    assert allows_command(run, command("././go.sh"))
    assert not allows_command(run, command("go.sh"))
    assert not allows_command(run, command("/tmp/go.sh"))


def test_a_wrapper_is_covered_by_what_it_starts():
    inner = command("ls -l", via=("sudo", "env"))
    middle = command("env A=1 ls -l", via=("sudo",))
    outer = command("sudo env A=1 ls -l")
    assert starts(middle, inner)
    assert starts(outer, middle)
    assert not starts(outer, inner)
    assert not starts(command("sudo -e /etc/x"), inner)
    assert not starts(inner, inner)
