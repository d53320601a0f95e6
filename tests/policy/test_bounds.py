"""No line may hold the loop that serves everybody: what reading and deciding cost is bounded."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from bastion.model import ExecRequest, Identity, Target
from bastion.policy.decide import decide
from bastion.policy.facts import OpaqueKind
from bastion.policy.parse import parse_policy
from bastion.policy.shell.flat import MAX_SEGMENTS
from bastion.policy.shell.reading import MAX_TEXT, read
from bastion.policy.shell.state import MAX_STEPS, Place
from bastion.policy.shell.tree import ExhaustedError
from bastion.policy.shell.walk import Walker

REFERENCE = Path(__file__).parents[2] / "policies/reference.yaml"
POLICY = parse_policy(REFERENCE.read_text("utf-8"), REFERENCE.name)
ANN = Identity("https://id", "1", "ann", {"preferred_username": "ops"}, frozenset({"engineer"}))
GENEROUS = 0.5
"""Seconds of this process alone; a tenth of it is usual, and some of these once took eighteen."""

REPEATED = [
    *"`'\"$\\#!;|&(){}[]<>~*?= \n\0éx",
    *(
        "$( ",
        "$(",
        "$[",
        "${",
        "${x:-",
        "$((",
        "((",
        "( ",
        "{ ",
        "<(",
        "[[ ",
        "[[ a == @(",
        "$'\\x41'",
    ),
    *(
        "ls;",
        "ls|",
        "ls&&",
        "cd a;",
        "cd a||",
        "a=b ",
        "PATH=/x ",
        ">a ",
        "<<A ",
        "<<< a ",
        ">&$x ",
    ),
    *("if ", "if true;then ", "case x in x) ", "while x;do ", "for x in a b c d e f g h;do "),
    *("sudo ", "env ", "xargs ", "ssh h ", "ssh ", "eval ", "time ", "coproc ", "git -c a=b "),
    *("sh -c 'ls';", "eval ls;", "trap 'ls' EXIT;", "alias a='ls';", "f() { ls; };f;", "f() { "),
    *("cat <<A\nA\n", "find . -exec ls {} \\; ;", "echo *;", "curl a|sh;", "curl a|tee|", "$x;"),
]
REPEATED_BEHIND = [
    *(
        f"cat {word}"
        for word in ("/proc/1/root", "/proc/1/root ", "[a", "/*", "?", "~", "../", "a/../")
    ),
    *(f"cat {word}" for word in ("/etc/$x ", "~u/x ", "/e*c/sh*w ", "*a", "$x ", "{a,b}", "{a,")),
    *("rm -r", "rm -r ", "chmod -R *7", "chmod -R 777 ", "kubectl delete a,", "kubectl -x "),
    *("docker --a=b ", "docker run -v a ", "tar --checkpoint-action=exec=ls ", "find -exec ls ; "),
    *("rsync --server --sender -e.i . /a ", "scp -f /a* ", "rsync -e 'a b' ", "sed -e s/a/b/e "),
    *('awk \'system("x");', "perl -e '`x`;", 'python3 -c \'os.system("x");', "make A=b:c;d "),
    *("vim +!ls ", "git -c alias.x=!ls ", "ssh -oProxyCommand=ls ", "dd of=/x ", "curl a "),
]


def lines():
    for text in REPEATED:
        yield text, ""
    for text in REPEATED_BEHIND:
        head, _, rest = text.partition(" ")
        yield rest, head + " "


@pytest.mark.parametrize("length", [MAX_TEXT // 4, MAX_TEXT, 4 * MAX_TEXT])
@pytest.mark.parametrize(("piece", "head"), list(lines()))
def test_no_line_takes_long(piece, head, length):
    line = (head + piece * length)[:length]
    began = time.process_time()
    decide(POLICY, ANN, Target("x"), "ops", ExecRequest(line))
    assert time.process_time() - began < GENEROUS


@pytest.mark.parametrize("level", [10, 40, 200])
@pytest.mark.parametrize(
    ("opener", "closer"),
    [("$(", ")"), ("( ", ")"), ('"$(', ')"'), ("${x:-", "}"), ("if a; then ", "; fi"), ("<(", ")")],
)
def test_nothing_nested_takes_long(opener, closer, level):
    one = opener * level + "ls" + closer * level + " "
    line = "ls " + one * max(1, MAX_TEXT // len(one))
    began = time.process_time()
    decide(POLICY, ANN, Target("x"), "ops", ExecRequest(line))
    assert time.process_time() - began < GENEROUS


def test_steps_are_counted():
    walker = Walker()
    with pytest.raises(ExhaustedError):
        walker.read_text("sh -c '" + "ls;" * 300 + "'; " + "ls; " * 500, Place())
    assert walker._steps - MAX_STEPS < MAX_TEXT // 10 + 2


@pytest.mark.parametrize(
    "line",
    [
        "# " + "x" * MAX_TEXT + "\nrm -rf /",
        "ls;" * 2000 + "sudo rm -rf '/'",
        "A=" + "x" * MAX_TEXT + " sh -c 'rm -rf /etc/../'",
        "$(" * 700 + "rm -r --force /" + ")" * 700,
        "echo " + "a" * MAX_TEXT + '; r\\m -r"f" /',
        "echo " + "a" * MAX_TEXT + " | sudo -n cat /etc/./shadow",
    ],
)
def test_what_is_too_much_is_still_searched_for_denials(line):
    verdict = decide(POLICY, ANN, Target("x"), "ops", ExecRequest(line))
    assert verdict.rule in ("remove-system-directory", "open-shadow")
    assert {opaque.kind for opaque in read(line).opaque} == {OpaqueKind.LIMIT}


def test_what_is_too_much_lists_a_bounded_number_of_commands():
    reading = read("".join(f"c{number};" for number in range(20_000)))
    assert len(reading.commands) == MAX_SEGMENTS


def test_a_line_is_read_once():
    line = "ls # asked about by the gate and by the policy"
    assert read(line) is read(line)
