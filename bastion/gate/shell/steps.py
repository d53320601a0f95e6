"""The steps of a watched line: each simple command, as the shell is about to run it.

The shell waits for every answer. A step that is refused ends its whole line, for a shell counts a
skipped command as done, and `cd x && rm *` would go on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from bastion.events import Ask, Decided, Effect, Outcome, Resolved, Tell, ToShell, Withdraw
from bastion.gate.gate import Decide
from bastion.gate.shell.values import NAMES_LIMIT, question, read_values
from bastion.gate.shell.zsh import is_compound, keeps
from bastion.gate.words import refusal, unresolved
from bastion.model import LineRequest, StepRequest
from bastion.policy.lines import covers
from bastion.policy.rules import Action, Verdict
from bastion.wire.shellcontrol import Answer, Report, answer, ask_values

WAITING_LIMIT: Final = 16
"""Steps that wait for people or values at once: every subshell may have one, and a line that forks
without end would ask without end."""
DEFINED_LIMIT: Final = 64
"""Names that are kept of what was defined; beyond it every word may mean something else."""
MORE: Final = "what else was defined"

Step = LineRequest | StepRequest


class Steps:
    """Decides the steps of one line after the other; `refused` once any of this line was."""

    def __init__(self, decide: Decide, ask_number: Callable[[], int]) -> None:
        self._decide = decide
        self._ask_number = ask_number
        self._line = ""
        self._approved = False
        self.defined: tuple[str, ...] = ()
        """What lines and steps have defined so far: it may change what later words mean."""
        self.refused = False
        self._held: dict[int, tuple[Report, Step, Verdict]] = {}
        self._asked_values: dict[int, tuple[StepRequest, tuple[str, ...]]] = {}

    def begin(self, line: str, *, approved: bool) -> None:
        """A new line runs. `approved`: a person has granted it."""
        self._line = line
        self._approved = approved
        self.refused = False

    def define(self, verdict: Verdict) -> None:
        """Something is about to run that changes what words mean from then on."""
        defined = tuple(dict.fromkeys((*self.defined, *verdict.definitions)))
        if len(defined) > DEFINED_LIMIT:
            defined = (*defined[: DEFINED_LIMIT - 1], MORE)
        self.defined = defined

    @property
    def held(self) -> bool:
        """Whether people are asked about a step."""
        return bool(self._held)

    def take(self, report: Report, shell: int, *, compounds: bool) -> list[Effect]:
        """A step is about to run. `compounds`: this shell reports what holds others, too (zsh)."""
        gone = self.forget(report.pid)
        return [*gone, *self._take(report, shell, compounds=compounds)]

    def _take(self, report: Report, shell: int, *, compounds: bool) -> list[Effect]:
        directory, _, text = report.data.partition("\t")
        text = text.strip()
        if self.refused or len(self._held) + len(self._asked_values) >= WAITING_LIMIT:
            self.refused = True
            return [ToShell(answer(report, shell, Answer.ABORT))]
        if compounds and is_compound(text):
            whole = LineRequest(text, directory, watched=True, defined=self.defined)
            return self._judge(report, shell, whole)
        step = StepRequest(text, directory, line=self._line, defined=self.defined)
        return self._judge(report, shell, step, ask=not compounds or keeps(text, self.defined))

    def values(self, report: Report, shell: int) -> list[Effect]:
        """The shell says what variables hold that a step was asked about."""
        asked = self._asked_values.pop(report.pid, None)
        if asked is None:
            return [ToShell(answer(report, shell, Answer.ABORT))]
        step, unknown = asked
        values = read_values(report.data, unknown)
        known = {name for name, _ in values}
        told = replace(
            step,
            values=(*step.values, *values),
            untold=(*step.untold, *(name for name in unknown if name not in known)),
        )
        return self._judge(report, shell, told)

    def _judge(self, report: Report, shell: int, step: Step, *, ask: bool = True) -> list[Effect]:
        verdict = self._decide(step)
        unknown = _still_unknown(step, verdict) if ask else ()
        if verdict.action is not Action.ALLOW and unknown:
            assert isinstance(step, StepRequest)
            self._asked_values[report.pid] = (step, unknown)
            return [ToShell(answer(report, shell, ask_values(question(unknown))))]
        return self._settle(report, shell, step, verdict)

    def _settle(self, report: Report, shell: int, step: Step, verdict: Verdict) -> list[Effect]:
        decided = Decided(step, verdict)
        if verdict.action is Action.DENY:
            self.refused = True
            abort = ToShell(answer(report, shell, Answer.ABORT))
            return [decided, Tell(_stopped(refusal(verdict), step)), abort]
        self.define(verdict)
        if verdict.action is Action.ALLOW or self._was_approved(step):
            return [decided, ToShell(answer(report, shell, Answer.RUN))]
        number = self._ask_number()
        self._held[number] = (report, step, verdict)
        return [decided, Ask(number, step, verdict)]

    def _was_approved(self, step: Step) -> bool:
        return self._approved and covers(self._line, step.text)

    def resolved(self, resolved: Resolved, shell: int) -> list[Effect] | None:
        """People have answered; None where the question was about none of these steps."""
        held = self._held.pop(resolved.ask, None)
        if held is None:
            return None
        report, step, verdict = held
        if resolved.outcome is Outcome.GRANTED:
            return [ToShell(answer(report, shell, Answer.RUN))]
        self.refused = True
        told = Tell(_stopped(unresolved(resolved, verdict), step))
        return [told, ToShell(answer(report, shell, Answer.ABORT))]

    def withdraw(self, shell: int) -> list[Effect]:
        """The person gives up: every step that waits is refused, and the line with it."""
        effects: list[Effect] = []
        for number, (report, _, _) in self._held.items():
            effects += [Withdraw(number), ToShell(answer(report, shell, Answer.ABORT))]
        self.refused = self.refused or bool(self._held)
        self._held.clear()
        return effects

    def forget(self, pid: int) -> list[Effect]:
        """This process waits for nothing any more: its line is over, or it asks about something
        else, or it was killed and another has its number."""
        gone = [number for number, (report, _, _) in self._held.items() if report.pid == pid]
        for number in gone:
            del self._held[number]
        self._asked_values.pop(pid, None)
        return [Withdraw(number) for number in gone]


def _still_unknown(step: Step, verdict: Verdict) -> tuple[str, ...]:
    """Names worth asking for; each is asked for once, so that this comes to an end."""
    if not isinstance(step, StepRequest):
        return ()
    asked = {*(name for name, _ in step.values), *step.untold}
    names = [name for name in verdict.unknown if name not in asked]
    return tuple(name for name in names[:NAMES_LIMIT] if question([name]))


def _stopped(sentence: str, step: Step) -> str:
    """Say which step it was, for the line may hold many."""
    return f"stopped before {step.text!r}: {sentence}"
