"""The gate of an interactive shell, fed event by event; no shell, no terminal, no clock."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bastion.events import (
    Ask,
    ClientEof,
    Completing,
    Decided,
    Dial,
    Edit,
    EditorEof,
    EndReason,
    Entered,
    Exit,
    FromClient,
    FromShell,
    FromTarget,
    Opened,
    Outcome,
    Resolved,
    Suggest,
    TargetExit,
    Tell,
    ToClient,
    ToEditor,
    ToShell,
    ToTarget,
    Withdraw,
    Woken,
)
from bastion.gate.shell.gate import ShellGate
from bastion.gate.shell.output import MarkFilter
from bastion.gate.shell.terms import ShellTerms
from bastion.model import Dialect, LineRequest, ShellRequest, StepRequest
from bastion.policy.rules import Action, Verdict

SHELL = 100


def decide(request):
    """`deny…` is denied, `ask…` needs a person, `$…` is decided step by step; the rest runs."""
    if isinstance(request, ShellRequest):
        return Verdict(Action.ALLOW, "shell-gated", "every line is decided")
    text = request.text
    if isinstance(request, StepRequest) and text.startswith("rm $"):
        values = dict(request.values)
        if "x" not in values:
            return Verdict(Action.APPROVE, "opaque", "which file?", unknown=("x",))
        text = "deny" if values["x"] == ("/etc",) else "ls"
    for word, action in (("deny", Action.DENY), ("ask", Action.APPROVE)):
        if text.startswith(word):
            return Verdict(action, f"{word}-rule", f"because of {word}")
    watch = ("cannot be told",) if isinstance(request, LineRequest) and "$" in text else ()
    definitions = ("ll",) if "()" in text else ()
    return Verdict(Action.ALLOW, "default", "", watch=watch, definitions=definitions)


class Shell:
    """What the target would say, and what the gate did about it."""

    def __init__(self, dialect=Dialect.BASH, pty=True, **terms):
        marks = (f"m{n}" for n in itertools.count(1))
        self.gate = ShellGate(decide, ShellTerms(dialect, pty, **terms), lambda: next(marks))
        self.dialect = dialect
        self.pty = pty
        self.sequence = 0

    def feed(self, event):
        return self.gate.feed(event)

    def says(self, kind, data, pid=SHELL):
        self.sequence += 1
        record = f"{kind} {pid} {self.sequence} {data}\0"
        return self.feed(FromShell(0.0, record.encode("utf-8", "surrogateescape")))

    def over(self, mark, status=0, directory="/home/ann", typed="", canary="refused"):
        """The end of a line: the canary, the reports, the mark on the terminal."""
        effects = []
        if self.dialect is not Dialect.SH:
            told = self.says("S", f"/\t__bastion_canary {mark}")
            assert told == [ToShell(b"v%d c\n" % self.sequence)]
        refused, ran = (mark, "0") if canary == "refused" else ("0", mark)
        effects += self.says("P", f"{mark} {status} {ran} {refused} {directory}")
        if typed:
            effects += self.says("T", typed)
        effects += self.says("Q", mark)
        if self.pty:
            effects += self.feed(FromTarget(0.0, b"\x1b]7757;%s\x07" % mark.encode()))
        return effects

    def start(self):
        effects = self.feed(Opened(0.0, ShellRequest(self.pty)))
        assert kinds(effects)[:2] == ["Decided", "Dial"]
        version = {"bash": "bash 5.2.15", "zsh": "zsh 5.9", "sh": "sh 0.0"}[self.dialect.value]
        ready = self.says("R", version)
        assert b"__bastion_done m1" in told(ready)
        return self.over("m1")

    def enter(self, text, leftover=b""):
        return self.feed(Entered(0.0, text, leftover))

    def run(self, text):
        effects = self.enter(text)
        return effects + self.says("B", "")


def kinds(effects):
    return [type(effect).__name__ for effect in effects]


def told(effects):
    """All that goes to the shell."""
    return b"".join(effect.data for effect in effects if isinstance(effect, ToShell))


def only(effects, kind):
    return [effect for effect in effects if isinstance(effect, kind)]


def started(**terms):
    shell = Shell(**terms)
    shell.start()
    return shell


def test_the_editor_opens_when_the_canary_was_refused():
    assert only(Shell().start(), Edit) == [Edit("/home/ann", 0, home="/home/ann")]


@pytest.mark.parametrize("canary", ["ran"])
def test_a_canary_that_runs_ends_the_channel(canary):
    shell = started()
    shell.enter("ls")
    effects = shell.over("m2", canary=canary)
    assert effects[-1] == Exit(EndReason.PROTOCOL_FAULT, 254)


def test_a_prompt_without_a_canary_ends_the_channel():
    """A target that only says that its hook works is not believed."""
    shell = started()
    shell.enter("ls")
    effects = shell.says("P", "m2 0 0 m2 /home/ann")
    assert kinds(effects) == ["Tell", "Exit"]


def test_an_allowed_line_runs_as_it_was_typed():
    shell = started()
    effects = shell.enter("echo 'it''s' \\\nok")
    assert b"eval 'echo '\\''it'\\'''\\''s'\\'' \\\nlok' < /dev/tty\n" in told(effects)
    assert b"__bastion_cook 0" in told(effects)


def test_a_denied_line_reaches_nobody_and_can_be_mended():
    shell = started()
    effects = shell.enter("deny this")
    assert kinds(effects) == ["Decided", "Tell", "Edit"]
    assert only(effects, Edit)[0].text == "deny this"
    assert "deny-rule" in only(effects, Tell)[0].text


def test_keys_have_one_owner():
    """At the prompt the editor, in a program the program, while people are asked nobody."""
    shell = started()
    assert shell.feed(FromClient(0.0, b"ls")) == [ToEditor(b"ls")]
    shell.run("sleep 1")
    assert shell.feed(FromClient(0.0, b"reboot\r")) == [ToTarget(b"reboot\r")]
    shell.over("m2")
    shell.enter("ask first")
    assert shell.feed(FromClient(0.0, b"reboot\r")) == []


def test_keys_behind_enter_are_the_programs():
    """They wait until the terminal is ready for the program."""
    shell = started()
    assert not only(shell.enter("cat", leftover=b"hel"), ToTarget)
    assert shell.feed(FromClient(0.0, b"lo\r")) == []
    assert only(shell.says("B", ""), ToTarget) == [ToTarget(b"hello\r")]


def test_type_ahead_comes_back_into_the_line_and_does_not_run():
    shell = started()
    shell.enter("sleep 1")
    assert only(shell.over("m2", typed="re\x03bo\x1bot\n"), Edit)[0].text == "reboot"
    assert shell.says("T", "late\r\x03") == [ToEditor(b"late")], "no key of it acts"


def test_keys_before_the_first_prompt_wait_for_it():
    shell = Shell()
    shell.feed(Opened(0.0, ShellRequest()))
    assert shell.feed(FromClient(0.0, b"ls\r")) == []
    shell.says("R", "bash 5.2.15")
    assert shell.over("m1")[-1] == ToEditor(b"ls\r")


# --- approvals --------------------------------------------------------------------------------


def test_a_granted_line_runs_exactly_as_it_was():
    shell = started()
    (ask,) = only(shell.enter("ask first"), Ask)
    assert ask.request == LineRequest("ask first", "/home/ann", watched=True)
    effects = shell.feed(Resolved(0.0, ask.ask, Outcome.GRANTED, ("bob",)))
    assert b"eval 'ask first' < /dev/tty" in told(effects)


@pytest.mark.parametrize("outcome", [Outcome.REFUSED, Outcome.EXPIRED, Outcome.WITHDRAWN])
def test_a_line_that_nobody_granted_stays_in_the_editor(outcome):
    shell = started()
    (ask,) = only(shell.enter("ask first"), Ask)
    effects = shell.feed(Resolved(0.0, ask.ask, outcome))
    assert kinds(effects) == ["Tell", "Edit"]
    assert only(effects, Edit)[0].text == "ask first"


def test_ctrl_c_withdraws_a_held_line():
    shell = started()
    (ask,) = only(shell.enter("ask first"), Ask)
    effects = shell.feed(FromClient(0.0, b"\x03"))
    assert effects[0] == Withdraw(ask.ask)
    late = shell.feed(Resolved(0.0, ask.ask, Outcome.GRANTED, ("bob",)))
    assert told(late) == b"", "an answer to a question that was withdrawn runs nothing"


# --- steps ------------------------------------------------------------------------------------


def watched():
    shell = started()
    effects = shell.run("run $x")
    assert b"__bastion_cook 1" in told(effects)
    assert told(shell.says("S", "/home/ann\teval 'run $x' < /dev/tty")).endswith(b" a\n")
    return shell


def test_a_step_waits_for_its_verdict():
    shell = watched()
    assert told(shell.says("S", "/srv\tls")) == b"v%d a\n" % shell.sequence


def test_a_denied_step_ends_its_line():
    shell = watched()
    effects = shell.says("S", "/srv\tdeny it")
    assert told(effects) == b"v%d x\n" % shell.sequence
    assert "stopped before 'deny it'" in only(effects, Tell)[0].text
    assert told(shell.says("S", "/srv\tls")).endswith(b" x\n"), "nothing of the line follows"
    assert told(shell.says("S", "/srv\tls", pid=101)).endswith(b" x\n"), "nor in a subshell of it"
    assert only(shell.over("m2", status=130), Edit)[0].text == "run $x"
    shell.enter("run $x")
    assert told(shell.says("S", "/srv\tls")).endswith(b" a\n"), "the next line begins anew"


def test_a_step_is_decided_with_what_its_variables_hold():
    shell = watched()
    assert told(shell.says("S", "/srv\trm $x")) == b"v%d v x\n" % shell.sequence
    assert told(shell.says("V", "x 1\n4 /etc\n")) == b"v%d x\n" % shell.sequence
    shell = watched()
    shell.says("S", "/srv\trm $x")
    assert told(shell.says("V", "x 1\n4 /tmp\n")) == b"v%d a\n" % shell.sequence


def test_a_variable_that_stays_unknown_needs_a_person():
    shell = watched()
    shell.says("S", "/srv\trm $x")
    effects = shell.says("V", "")
    while not only(effects, Ask):
        assert told(effects).endswith(b" v x\n")
        effects = shell.says("V", "")


def test_a_held_step_runs_when_it_is_granted_and_ends_the_line_otherwise():
    shell = watched()
    (ask,) = only(shell.says("S", "/srv\task for it", pid=101), Ask)
    sequence = shell.sequence
    granted = shell.feed(Resolved(0.0, ask.ask, Outcome.GRANTED, ("bob",)))
    assert told(granted) == b"s101.%d a\n" % sequence
    (ask,) = only(shell.says("S", "/srv\task again"), Ask)
    sequence = shell.sequence
    assert told(shell.feed(Resolved(0.0, ask.ask, Outcome.REFUSED))) == b"v%d x\n" % sequence


def test_a_process_that_asks_anew_waits_for_the_former_answer_no_more():
    """It was killed, and its number given to another, for which the grant was not."""
    shell = started()
    shell.run("$x & $y &")
    (ask,) = only(shell.says("S", "/\task a", pid=7), Ask)
    assert only(shell.says("S", "/\tdeny", pid=7), Withdraw) == [Withdraw(ask.ask)]
    assert shell.feed(Resolved(0.0, ask.ask, Outcome.GRANTED, ("bob",), "")) == []


def test_ctrl_c_at_a_held_step_ends_the_line():
    shell = watched()
    (ask,) = only(shell.says("S", "/srv\task for it"), Ask)
    effects = shell.feed(FromClient(0.0, b"\x03"))
    assert Withdraw(ask.ask) in effects
    assert told(effects) == b"v%d x\n" % shell.sequence


def test_a_fork_bomb_of_steps_is_cut_off():
    shell = watched()
    asked = [only(shell.says("S", f"/\task {n}", pid=200 + n), Ask) for n in range(40)]
    assert sum(map(len, asked)) == 16


def test_steps_of_the_hook_itself_are_for_nobody_else():
    """Only the mark of this line ends it, and only once it was sent."""
    shell = watched()
    effects = shell.says("S", "/\t__bastion_canary guessed")
    assert told(effects).endswith(b" a\n"), "decided like any other command (the policy denies it)"
    assert told(shell.says("S", "/\t__bastion_done m2")).endswith(b" a\n")


def test_once_something_was_defined_every_line_is_watched():
    shell = started()
    shell.enter("ll() { ls -l; }")
    shell.over("m2")
    assert b"__bastion_cook 1" in told(shell.enter("ls"))


def test_a_shell_that_read_start_up_files_is_watched_from_the_beginning():
    assert b"__bastion_cook 1" in told(started(drifted=True).enter("ls"))


def test_zsh_tells_compound_commands_and_then_what_is_inside():
    shell = started(dialect=Dialect.ZSH)
    shell.enter("for x in a b; do rm $x; done")
    assert told(shell.says("S", "/\tfor x in a b\ndo\n\trm $x\ndone")).endswith(b" a\n")
    assert told(shell.says("S", "/\trm $x ")).endswith(b" v x\n")


# --- ends -------------------------------------------------------------------------------------


def test_ctrl_d_is_exit_and_decided_like_it():
    effects = started().feed(EditorEof(0.0))
    assert b"eval 'exit'" in told(effects)


def test_a_client_that_goes_hangs_up_and_does_not_exit():
    """A shell that is told `exit` lets its jobs live on; one that is hung up on tells them."""
    assert started().feed(ClientEof(0.0)) == []


def test_the_shells_own_end_is_the_channels():
    shell = started()
    shell.enter("exit 3")
    assert shell.feed(TargetExit(0.0, status=3)) == [Exit(EndReason.FINISHED, 3)]
    assert shell.enter("ls") == []


def test_a_target_without_a_word_ends_in_time():
    shell = Shell()
    assert any(isinstance(e, Dial) for e in shell.feed(Opened(0.0, ShellRequest())))
    assert shell.feed(Woken(0.0, "start"))[-1] == Exit(EndReason.DIAL_FAILED, 254)


@pytest.mark.parametrize("said", ["bash 4.3.30", "zsh 5.9", "ksh 93", "", "bash x"])
def test_a_shell_that_was_not_measured_is_refused(said):
    shell = Shell()
    shell.feed(Opened(0.0, ShellRequest()))
    assert shell.says("R", said)[-1] == Exit(EndReason.PROTOCOL_FAULT, 254)


def test_an_idle_prompt_ends_the_shell():
    shell = started(idle_seconds=60.0)
    assert shell.feed(Woken(0.0, "idle"))[-1] == Exit(EndReason.DEADLINE, 254)
    busy = started(idle_seconds=60.0)
    busy.enter("sleep 1000")
    assert busy.feed(Woken(0.0, "idle")) == []


def test_a_lost_end_of_a_line_is_asked_for_again():
    """ctrl-C makes some shells drop what they had read of their commands."""
    shell = started()
    shell.run("sleep 1000")
    shell.feed(FromClient(0.0, b"\x03"))
    assert b"__bastion_prompt m2" in told(shell.feed(Woken(0.0, "again")))
    assert only(shell.over("m2", status=130), Edit)
    again = shell.over("m2", status=130)
    assert not again, "the second end of the same line is none"
    assert b"eval" not in told(shell.says("S", "/\t__bastion_canary m2")), "and there is no third"


def test_ctrl_c_behind_a_line_takes_its_canary_and_refuses_nothing():
    """The prompt without its canary proves nothing: the end is told again, and no line is lost."""
    shell = started()
    shell.run("sleep 1000")
    shell.feed(FromClient(0.0, b"\x03"))
    effects = shell.says("S", "/\t__bastion_prompt m2")
    assert not only(effects, Tell)
    assert told(effects).endswith(b"l__bastion_prompt m2\n"), "told again"
    assert b" c\n" in told(effects), "and skipped this once"
    (edit,) = only(shell.over("m2", status=130), Edit)
    assert edit.text == ""


def test_a_line_that_ctrl_c_took_before_it_ran_is_not_due_for_ever():
    """A later line that was let run could have held its text, and ran it unasked."""
    shell = started(drifted=True)
    (ask,) = only(shell.enter("ask for $x"), Ask)
    shell.feed(Resolved(0.0, ask.ask, Outcome.GRANTED, ("bob",), ""))
    shell.says("B", "")
    shell.feed(FromClient(0.0, b"\x03"))
    shell.over("m2", status=130)
    shell.run("run $y")
    assert only(shell.says("S", "/\teval 'ask for $x' < /dev/tty"), Decided)


def test_the_terminal_that_an_interrupted_line_left_is_not_kept():
    shell = started()
    assert b"__bastion_cook 0 0" in told(shell.run("stty raw; dd; stty sane"))
    shell.feed(FromClient(0.0, b"\x03"))
    shell.over("m2")
    assert b"__bastion_cook 0 1" in told(shell.run("cat"))
    shell.over("m3")
    assert b"__bastion_cook 0 0" in told(shell.run("cat"))


def test_ctrl_c_without_end_does_not_fill_the_fifo():
    """A program that keeps ctrl-C to itself, like vim, leaves all of them for later."""
    shell = started()
    shell.run("vim")
    sent = 0
    for _ in range(2000):
        shell.feed(FromClient(0.0, b"\x03"))
        sent += len(told(shell.feed(Woken(0.0, "again"))))
    assert 0 < sent < 32768
    assert only(shell.over("m2"), Edit)


def test_the_prompt_comes_without_the_mark_too():
    shell = started()
    shell.enter("stty -opost")
    shell.says("S", "/\t__bastion_canary m2")
    shell.says("P", "m2 0 0 m2 /")
    assert not only(shell.says("Q", "m2"), Edit)
    assert only(shell.feed(Woken(0.0, "mark")), Edit)


# --- without a terminal -----------------------------------------------------------------------


def test_commands_on_standard_input_are_decided_one_by_one():
    shell = Shell(pty=False)
    shell.feed(Opened(0.0, ShellRequest(pty=False)))
    assert shell.feed(FromClient(0.0, b"ls\ncat <<X\nreb")) == []
    shell.says("R", "bash 5.2.15")
    assert b"eval 'ls' < /dev/null" in told(shell.over("m1"))
    assert b"eval" not in told(shell.over("m2")), "a here-document is not whole yet"
    assert b"eval 'cat <<X\nlreboot\nlX'" in told(shell.feed(FromClient(0.0, b"oot\nX\n")))
    assert shell.feed(ClientEof(0.0)) == []
    assert b"eval 'exit'" in told(shell.over("m3"))


def test_a_script_does_not_go_on_without_a_command_it_lost():
    shell = Shell(pty=False)
    shell.start()
    effects = shell.feed(FromClient(0.0, b"deny it\nrm -rf .\n"))
    assert told(effects) == b"lexit\n"
    assert shell.feed(FromClient(0.0, b"ls\n")) == []
    assert shell.feed(FromTarget(0.0, b"late\n")) == [ToClient(b"late\n")]
    last = shell.feed(TargetExit(0.0, status=0))
    assert kinds(last) == ["Tell", "Exit"]
    assert last[-1] == Exit(EndReason.DENIED, 254)


def test_a_shell_that_does_not_leave_is_left():
    shell = Shell(pty=False)
    shell.start()
    shell.feed(FromClient(0.0, b"deny it\n"))
    assert shell.feed(Woken(0.0, "leave"))[-1] == Exit(EndReason.DENIED, 254)


# --- pieces -----------------------------------------------------------------------------------


@given(st.binary(max_size=40), st.binary(max_size=40), st.data())
def test_the_mark_is_seen_and_not_shown_however_the_stream_is_cut(before, after, data):
    marks = MarkFilter()
    marks.expect("m1")
    stream, shown, times = before + b"\x1b]7757;m1\x07" + after, b"", 0
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        out, seen = marks.feed(stream[:size])
        stream, shown, times = stream[size:], shown + out, times + seen
    assert times == 1
    assert shown + marks.flush() == before + after


def test_completion_words_are_data():
    effects = started().feed(Completing(0.0, 7, "path", "a'; reboot; '"))
    assert told(effects) == b"l__bastion_complete path 7 'a'\\''; reboot; '\\'''\n"
    shell = started()
    assert shell.says("C", "7 one\ntwo") == [Suggest(7, ("one", "two"))]
    assert shell.feed(Completing(0.0, 8, "path", "a\nb")) == [Suggest(8, ())]


def test_output_is_shown_as_it_comes():
    shell = started()
    shell.enter("ls")
    assert shell.feed(FromTarget(0.0, b"a\r\n")) == [ToClient(b"a\r\n")]


def test_what_comes_through_the_fifo_is_the_bastions_or_is_refused():
    """Whoever reaches the FIFO of a shell's commands could write any command into it."""
    shell = started()
    effects = shell.says("S", "/\tshutdown -h now")
    assert kinds(effects) == ["Tell", "ToShell"]
    assert told(effects) == b"v%d x\n" % shell.sequence


def test_a_line_is_cooked_only_once():
    """A second `__bastion_cook 0` would leave the rest of a watched line unwatched."""
    shell = started()
    shell.enter("echo $x")
    run = [ToShell(b"v%d a\n" % (shell.sequence + 1))]
    assert shell.says("S", "/\t__bastion_cook 1 0") == run
    again = shell.says("S", "/\t__bastion_cook 1 0")
    assert [one.request.text for one in only(again, Decided)] == ["__bastion_cook 1 0"]


def test_a_line_without_a_terminal_is_always_watched():
    """Nothing but the prompt's own hook arms the shell again there."""
    shell = Shell(pty=False)
    shell.start()
    effects = shell.feed(FromClient(0.0, b"ls\n"))
    assert b"__bastion_cook 1 0; eval 'ls' < /dev/null" in told(effects)


def test_an_end_that_was_told_twice_does_not_stop_the_next_line():
    """ctrl-C, the end told again, and the shell has read both: the second comes with a new line."""
    shell = started()
    shell.enter("sleep 9")
    shell.feed(FromClient(0.0, b"\x03"))
    again = shell.feed(Woken(0.0, "again"))
    assert told(again).count(b"__bastion_done m2") == 1
    shell.over("m2", status=130)
    shell.enter("echo $x")
    assert shell.says("S", "/\t__bastion_done m2") == [ToShell(b"v%d a\n" % shell.sequence)]
    assert shell.says("S", "/\t__bastion_canary m2") == [ToShell(b"v%d c\n" % shell.sequence)]
    assert shell.says("P", "m2 0 0 m2 /home/ann") == []
    assert shell.says("S", "/\t__bastion_cook 1 0") == [ToShell(b"v%d a\n" % shell.sequence)]
