"""The gate of an interactive shell: no line runs undecided, and the keys have one owner at a time.

    NEW --Opened--> decide --deny----> ENDED
                       |--approve--> ASKED --granted--> STARTING, else ENDED
                       `--allow----------------------> STARTING --canary refused--> PROMPT
    PROMPT  --Entered--> decide --deny----> PROMPT, the line still there to be mended
                            |--approve--> HELD --granted--> RUNNING, else PROMPT
                            `--allow----> RUNNING --all said, mark seen--> PROMPT
    without a terminal, a refusal --> LEAVING --all output has come--> ENDED
    any --TargetExit--> ENDED

At the prompt keys go to the line editor and nowhere else; while a line runs they go to its programs
and nowhere else. The shell never reads the terminal: its commands come from a FIFO that the
bastion alone writes (target/shell_scripts). What the terminal shows decides nothing.

After the start, and before each prompt, the shell must have refused a canary through the same hook
that asks about steps; otherwise the channel ends.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from enum import Enum, auto
from typing import Final

from bastion.errors import ClientFault
from bastion.events import (
    Ask,
    ClientEof,
    Completing,
    Decided,
    Dial,
    Edit,
    EditorEof,
    Effect,
    EndReason,
    Entered,
    EofToClient,
    Event,
    Exit,
    FromClient,
    FromShell,
    FromTarget,
    HoldClient,
    Opened,
    Outcome,
    Resolved,
    Stream,
    Suggest,
    TargetEof,
    TargetExit,
    Tell,
    ToClient,
    ToEditor,
    ToShell,
    ToTarget,
    Wake,
    Withdraw,
    Woken,
)
from bastion.gate.gate import Decide, finished
from bastion.gate.shell.due import INTRUDED, Due
from bastion.gate.shell.end import LineEnd
from bastion.gate.shell.steps import Steps
from bastion.gate.shell.terms import ShellTerms, unfit
from bastion.gate.words import ENDS, refusal, unresolved
from bastion.model import EXIT_REFUSED, Dialect, LineRequest, Request
from bastion.policy.lines import drifts
from bastion.policy.rules import Action, Verdict
from bastion.wire.command_lines import CommandReader
from bastion.wire.shellcontrol import (
    FORGET_ANSWERS,
    Answer,
    Report,
    ReportDecoder,
    ReportKind,
    answer,
    go_on,
    quoted,
    read_lines,
)

START_SECONDS: Final = 20.0
"""From the dialled shell to its first prompt: a target that says nothing keeps nobody waiting."""
MARK_SECONDS: Final = 0.5
"""How long a prompt waits for the last output of the line before it."""
AGAIN_SECONDS: Final = 0.3
"""After ctrl-C the shell may have dropped what it had read, the end of the line included."""
LEAVE_SECONDS: Final = 5.0
"""How long a shell may take to leave after a command of its script was refused."""
HELD_LIMIT: Final = 65536
"""Bytes kept before the first prompt, or of commands on stdin while a line runs."""
INSTEAD: Final = "Send a command instead: ssh LOGIN@TARGET@bastion COMMAND."


class _State(Enum):
    NEW = auto()
    ASKED = auto()
    STARTING = auto()
    PROMPT = auto()
    HELD = auto()
    RUNNING = auto()
    LEAVING = auto()
    ENDED = auto()


class ShellGate:
    """Decides lines, and the steps of lines whose text does not tell everything."""

    def __init__(self, decide: Decide, terms: ShellTerms, nonce: Callable[[], str]) -> None:
        self._decide = decide
        self._terms = terms
        self._nonce = nonce
        self._watches = terms.watches
        self._state = _State.NEW
        self._numbers = itertools.count()
        self._asked: tuple[int, Request, Verdict] | None = None
        self._held = bytearray()
        self._steps = Steps(decide, lambda: next(self._numbers))
        self._reports = ReportDecoder()
        self._end_of = LineEnd(watches=terms.watches, pty=terms.pty)
        self._commands = CommandReader()
        self._shell = 0
        self._line = ""
        self._due = Due(watches=terms.watches)
        self._begun = False
        self._typed_at_program = False
        self._interrupted = False
        """ctrl-C or ctrl-\\ was typed at the line that runs, or that ran last."""
        self._last: list[Effect] = []
        """What is done instead of passing the shell's own end on."""
        if terms.drifted:
            self._steps.defined = ("the account's start-up files",)
        self._client_done = False

    def feed(self, event: Event) -> list[Effect]:
        """Give what is to be done about `event`; after an Exit, nothing."""
        if self._state is _State.ENDED:
            return []
        match event:
            case FromTarget(data=data, stream=stream):
                return self._output_of_a_program(data, stream)
            case FromClient(data=data):
                return self._keys(data)
            case FromShell(data=data):
                return [effect for one in self._reports.feed(data) for effect in self._take(one)]
            case Entered(text=text, leftover=leftover):
                return self._entered(text, leftover)
            case EditorEof():
                return self._entered("exit", b"")
            case Completing():
                return self._complete(event)
            case _:
                return self._rare(event)

    def _rare(self, event: Event) -> list[Effect]:
        match event:
            case Opened(request=request):
                return self._open(request)
            case Resolved():
                return self._resolved(event)
            case Woken(timer=timer):
                return self._woken(timer)
            case ClientEof() if not self._terms.pty:
                # On a terminal it is no key, as in OpenSSH's server: who leaves hangs up, and a
                # shell that were told `exit` instead would let its jobs live on.
                self._client_done = True
                return self._next_command() if self._state is _State.PROMPT else []
            case TargetEof() if self._state is not _State.LEAVING:
                return [EofToClient()]
            case TargetExit():
                return self._exited(event)
            case _:
                return []

    def _exited(self, ended: TargetExit) -> list[Effect]:
        shown = self._end_of.wait_no_longer()
        self._state = _State.ENDED
        last: list[Effect] = [ToClient(shown)] if shown else []
        if self._steps.refused and not self._terms.pty:
            return [*last, Exit(EndReason.DENIED, EXIT_REFUSED)]
        return [*last, *(self._last or [finished(ended)])]

    def _output_of_a_program(self, data: bytes, stream: Stream) -> list[Effect]:
        shown, seen = self._end_of.output(data)
        effects: list[Effect] = [ToClient(shown, stream)] if shown else []
        return [*effects, *(self._prompt_when_due() if seen else [])]

    # --- the opening --------------------------------------------------------------------------

    def _open(self, request: Request) -> list[Effect]:
        verdict = self._decide(request)
        decided = Decided(request, verdict)
        match verdict.action:
            case Action.ALLOW:
                return [decided, *self._dial(request)]
            case Action.APPROVE:
                self._state = _State.ASKED
                return [decided, self._ask(request, verdict)]
            case _:
                return [decided, *self._end(EndReason.DENIED, refusal(verdict))]

    def _dial(self, request: Request) -> list[Effect]:
        self._state = _State.STARTING
        return [Dial(request), Wake("start", START_SECONDS)]

    def _ask(self, request: Request, verdict: Verdict) -> Ask:
        number = next(self._numbers)
        self._asked = (number, request, verdict)
        return Ask(number, request, verdict)

    def _end(self, reason: EndReason, text: str, status: int = EXIT_REFUSED) -> list[Effect]:
        self._state = _State.ENDED
        return [Tell(text), Exit(reason, status)]

    # --- the client's bytes -------------------------------------------------------------------

    def _keys(self, data: bytes) -> list[Effect]:
        if not self._terms.pty:
            return self._command_bytes(data)
        match self._state:
            case _State.PROMPT:
                return [ToEditor(data), *self._awake()]
            case _State.RUNNING if self._begun:
                return self._keys_of_a_program(data)
            case _State.HELD | _State.ASKED if b"\x03" in data:
                return self._give_up()
            case _State.STARTING | _State.RUNNING:
                self._held += data
                return [HoldClient(True)] if len(self._held) > HELD_LIMIT else []
            case _:
                return []  # nothing that is typed while people are asked runs, now or later

    def _begin(self) -> list[Effect]:
        """Keys that came before the terminal was ready would be echoed or not, by chance."""
        self._begun = True
        held, self._held = bytes(self._held), bytearray()
        go_on: list[Effect] = [HoldClient(False)]
        return [*self._keys_of_a_program(held), *go_on] if held else go_on

    def _keys_of_a_program(self, data: bytes) -> list[Effect]:
        if self._steps.held and b"\x03" in data:
            return [*self._steps.withdraw(self._shell), Tell("withdrawn; the line ends here.")]
        self._typed_at_program = True
        if b"\x03" not in data and b"\x1c" not in data:
            return [ToTarget(data)]
        self._interrupted = True
        return [ToTarget(data), Wake("again", AGAIN_SECONDS)]

    def _give_up(self) -> list[Effect]:
        assert self._asked is not None
        number, _, _ = self._asked
        self._asked = None
        if self._state is _State.ASKED:
            withdrawn = "withdrawn; nothing was run."
            return [Withdraw(number), *self._end(EndReason.APPROVAL_WITHDRAWN, withdrawn, 130)]
        return [Withdraw(number), Tell("withdrawn; nothing was run."), *self._edit(self._line)]

    def _command_bytes(self, data: bytes) -> list[Effect]:
        """Without a terminal, the client's bytes are commands; programs read nothing of them."""
        self._commands.feed(data)
        effects = self._next_command() if self._state is _State.PROMPT else []
        if self._commands.size > HELD_LIMIT and self._state is not _State.PROMPT:
            effects.append(HoldClient(True))
        return effects

    def _next_command(self) -> list[Effect]:
        try:
            command = self._commands.take(ended=self._client_done)
        except ClientFault as fault:
            return self._end(EndReason.PROTOCOL_FAULT, str(fault))
        if command is not None:
            return self._entered(command, b"")
        return self._entered("exit", b"") if self._client_done else [HoldClient(False)]

    # --- lines --------------------------------------------------------------------------------

    def _entered(self, text: str, leftover: bytes) -> list[Effect]:
        if self._state is not _State.PROMPT:
            return []
        if not text.strip():
            again: list[Effect] = [ToEditor(leftover)] if leftover else []
            return [*self._edit(""), *again]
        self._line = text
        if "\0" in text:
            return self._refuse(Verdict(Action.DENY, "opaque", "No line holds a NUL."))
        request = LineRequest(
            text, self._end_of.directory, watched=self._watches, defined=self._steps.defined
        )
        verdict = self._decide(request)
        decided = Decided(request, verdict)
        match verdict.action:
            case Action.ALLOW:
                return [decided, *self._run(verdict, approved=False, leftover=leftover)]
            case Action.APPROVE:
                self._state = _State.HELD
                return [decided, self._ask(request, verdict)]
            case _:
                return [decided, *self._refuse(verdict)]

    def _refuse(self, verdict: Verdict) -> list[Effect]:
        return self._not_run(EndReason.DENIED, refusal(verdict))

    def _not_run(self, reason: EndReason, told: str) -> list[Effect]:
        """The line stays to be mended; a script that lost a command does not go on without it."""
        if not self._terms.pty:
            return self._leave([Tell(told), Exit(reason, EXIT_REFUSED)])
        return [Tell(told), *self._edit(self._line)]

    def _leave(self, last: list[Effect]) -> list[Effect]:
        """End the shell, but not before all that earlier commands wrote has come."""
        self._state = _State.LEAVING
        self._last = last
        return [*self._ask_shell("exit"), Wake("leave", LEAVE_SECONDS)]

    def _run(self, verdict: Verdict, *, approved: bool, leftover: bytes) -> list[Effect]:
        loose = self._steps.defined or drifts(verdict) or verdict.watch or verdict.opaque
        watched = self._watches and bool(loose or not self._terms.pty)
        self._steps.begin(self._line, approved=approved)
        self._steps.define(verdict)
        self._state = _State.RUNNING
        cook = f"__bastion_cook {int(watched)} {int(self._interrupted)}"
        self._begun = self._typed_at_program = self._interrupted = False
        self._held += leftover
        terminal = "/dev/tty" if self._terms.pty else "/dev/null"
        command = "command eval" if not self._watches else "eval"
        line = f"{command} {quoted(self._line)} < {terminal}"
        self._due.begin(cook, *([line] if watched else []))
        # In one line: before the next the shell watches again (target/shell_scripts).
        effects: list[Effect] = [ToShell(FORGET_ANSWERS + read_lines(f"{cook}; {line}"))]
        return [*effects, ToShell(self._end_of.begin(self._nonce()))]

    def _complete(self, asked: Completing) -> list[Effect]:
        """A question of the bastion's own: the word is data to it, whatever stands in it."""
        if self._state is not _State.PROMPT or "\0" in asked.word or "\n" in asked.word:
            return [Suggest(asked.question, ())]
        question = f"{asked.kind} {asked.question} {quoted(asked.word)}"
        return self._ask_shell(f"__bastion_complete {question}")

    def _ask_shell(self, words: str) -> list[Effect]:
        self._due.expect(words)
        return [ToShell(read_lines(words))]

    # --- the shell's reports ------------------------------------------------------------------

    def _take(self, report: Report) -> list[Effect]:
        match report.kind:
            case _ if self._state is _State.ENDED:
                return []
            case ReportKind.READY:
                return self._ready(report)
            case ReportKind.BEGUN if self._state is _State.RUNNING and not self._begun:
                return self._begin()
            case ReportKind.STEP:
                return self._step(report)
            case ReportKind.VALUES:
                return self._steps.values(report, self._shell)
            case ReportKind.PROMPT:
                return self._line_over(report)
            case ReportKind.TYPED:
                return self._typed_ahead(report.data)
            case ReportKind.DONE if self._end_of.finish(report.data):
                return [*self._prompt_when_due(), Wake("mark", MARK_SECONDS)]
            case ReportKind.COMPLETIONS:
                number, _, found = report.data.partition(" ")
                question = int(number) if number.isdigit() else 0
                return [Suggest(question, tuple(found.split("\n")) if found else ())]
            case _:
                return []

    def _ready(self, report: Report) -> list[Effect]:
        if self._shell or self._state is not _State.STARTING:
            return []
        self._shell = report.pid
        why = unfit(self._terms.dialect, report.data)
        if why:
            return self._end(EndReason.PROTOCOL_FAULT, f"{why} {INSTEAD}")
        watch = self._ask_shell("__bastion_watch")
        return [*watch, ToShell(self._end_of.begin(self._nonce()))]

    def _step(self, report: Report) -> list[Effect]:
        text = report.data.partition("\t")[2].strip()
        if report.pid == self._shell and self._due.take(text):
            own = Answer.ABORT if self._steps.refused else Answer.RUN
            return [ToShell(answer(report, self._shell, own))]
        of_the_end = self._end_of.answer(text)
        if of_the_end is not None:
            told = answer(report, self._shell, of_the_end)
            again = self._end_of.again() if self._end_of.lacks_canary(text) else b""
            return [ToShell(told + again)]
        if report.pid == self._shell and self._state is not _State.RUNNING:
            return [Tell(INTRUDED), ToShell(answer(report, self._shell, Answer.ABORT))]
        return self._steps.take(report, self._shell, compounds=self._terms.dialect is Dialect.ZSH)

    def _typed_ahead(self, data: str) -> list[Effect]:
        text = self._end_of.take_typed(data)
        if self._state is not _State.PROMPT or not text.strip("\n"):
            return []
        return [ToEditor(text.strip("\n").replace("\n", " ").encode())]

    def _line_over(self, report: Report) -> list[Effect]:
        if self._end_of.take(report.data):
            return self._steps.forget(self._shell)
        return self._end(
            EndReason.PROTOCOL_FAULT,
            "the shell on the target no longer lets its commands be decided, so it was closed.",
        )

    def _prompt_when_due(self) -> list[Effect]:
        if not self._end_of.due or self._state not in (_State.STARTING, _State.RUNNING):
            return []
        if self._state is _State.STARTING:
            held, self._held = bytes(self._held), bytearray()
            first = [*self._edit(""), HoldClient(False)]
            return [*first, ToEditor(held)] if held else first
        refused, self._steps.refused = self._steps.refused, False
        if refused and not self._terms.pty:
            return self._leave([Exit(EndReason.DENIED, EXIT_REFUSED)])
        edit = self._edit(self._line if refused else self._end_of.typed.strip("\n"))
        if self._typed_at_program and self._terms.pty:
            edit += self._ask_shell("__bastion_collect")
        return edit

    def _edit(self, text: str) -> list[Effect]:
        self._state = _State.PROMPT
        self._held.clear()
        if not self._terms.pty:
            return self._next_command()
        end = self._end_of
        edit = Edit(end.directory, end.status, text, home=end.home, defined=self._steps.defined)
        return [edit, *self._awake()]

    def _awake(self) -> list[Effect]:
        idle = self._terms.idle_seconds
        return [Wake("idle", idle)] if idle is not None else []

    # --- answers and time ---------------------------------------------------------------------

    def _resolved(self, resolved: Resolved) -> list[Effect]:
        if self._asked is None or resolved.ask != self._asked[0]:
            return self._steps.resolved(resolved, self._shell) or []
        _, request, verdict = self._asked
        self._asked = None
        granted = resolved.outcome is Outcome.GRANTED
        if self._state is _State.ASKED:
            if granted:
                return self._dial(request)
            return self._end(ENDS[resolved.outcome], unresolved(resolved, verdict))
        if granted:
            return self._run(verdict, approved=True, leftover=b"")
        return self._not_run(ENDS[resolved.outcome], unresolved(resolved, verdict))

    def _woken(self, timer: str) -> list[Effect]:
        match timer:
            case "start" if self._state is _State.STARTING:
                return self._end(
                    EndReason.DIAL_FAILED,
                    "the shell on the target did not start in time; it needs mkfifo, mktemp and a "
                    f"POSIX shell there. {INSTEAD}",
                )
            case "mark" if self._end_of.all_said:
                shown = self._end_of.wait_no_longer()
                return [*([ToClient(shown)] if shown else []), *self._prompt_when_due()]
            case "again" if self._state is _State.RUNNING and not self._end_of.all_said:
                # A program that has stopped the shell must not keep the line for ever.
                return [ToShell(go_on(self._shell) + self._end_of.again())]
            case "leave" if self._state is _State.LEAVING:
                self._state = _State.ENDED
                return self._last
            case "idle" if self._state is _State.PROMPT:
                return self._end(EndReason.DEADLINE, "nothing was typed for too long.")
            case _:
                return []
