"""A line at the prompt of a gated shell, and each of its steps → a verdict.

A line is decided like a command line, in the shell's working directory. What only a variable of
the running shell leaves open is not asked of a person where the shell is watched: it waits for the
step, which is decided with the values. Everything else that cannot be told is the grant's `opaque`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Final

from bastion.model import Dialect, LineRequest, StepRequest, Target
from bastion.policy import commands
from bastion.policy.access import Features
from bastion.policy.actions import Action
from bastion.policy.facts import Opaque, OpaqueKind, Reading
from bastion.policy.globs import Match
from bastion.policy.judgement import (
    Judgement,
    Terms,
    by_default,
    deny,
    join_terms,
    judge,
    not_granted,
)
from bastion.policy.match import match_reading
from bastion.policy.rules import Grant, Rule, Verdict
from bastion.policy.schema import ShellMode
from bastion.policy.shell import steps
from bastion.policy.shell.reading import read
from bastion.policy.shell.values import Prompt

_WAITS: Final = frozenset({OpaqueKind.COMMAND, OpaqueKind.OPERAND})
"""What a variable may leave open in a simple command, and nothing else."""
_NOT_READ: Final = frozenset(
    {
        OpaqueKind.SYNTAX,
        OpaqueKind.LIMIT,
        OpaqueKind.CHARACTERS,
        OpaqueKind.DISAGREEMENT,
        OpaqueKind.DIALECT,
    }
)
"""Text whose definitions, if it holds any, have not been seen."""


def decide_at_prompt(
    grants: Sequence[Grant],
    features: Features,
    target: Target,
    request: LineRequest | StepRequest,
) -> Verdict:
    """Decide a line, or one step of it."""
    if features.shell is not ShellMode.GATED:
        return not_granted("shell", "An interactive shell is")
    if isinstance(request, LineRequest):
        return _line(grants, features, target, request)
    return _step(grants, features, target, request)


def _line(
    grants: Sequence[Grant], features: Features, target: Target, request: LineRequest
) -> Verdict:
    """Decide one line. `watch` says why it may run watched only."""
    prompt = Prompt(
        request.directory,
        hardened=features.shell_hardened,
        defined=request.defined,
        splits=target.dialect is not Dialect.ZSH,
    )
    reading = read(request.text, target.dialect, prompt=prompt)
    neutral = None
    if request.watched:
        neutral = read(request.text, target.dialect, prompt=replace(prompt, neutral=True))
    else:
        reading = replace(reading, opaque=reading.opaque + _unwatched(reading, request))
    terms = _terms(grants)
    judgement = _judge(terms, reading, neutral)
    judgement.note_unclear(terms)
    watch = list(judgement.later)
    if request.watched and request.defined:
        watch.append(f"an earlier line set {request.defined[-1]}")
    held = reading if neutral is None or neutral.tampering else replace(reading, tampering=())
    verdict = _ended(terms, judgement, held)
    refused = verdict.action is Action.DENY
    return replace(verdict, watch=() if refused else tuple(dict.fromkeys(watch)))


def _step(
    grants: Sequence[Grant], features: Features, target: Target, request: StepRequest
) -> Verdict:
    """Decide one simple command that is about to run, with what is known of its variables.

    The verdict is safe as it stands. Where `unknown` names variables, their values may make it
    better: ask, and decide again with `values`, or with the name among `untold`.
    """
    prompt = Prompt(
        request.directory,
        request.values,
        request.untold,
        step=True,
        hardened=features.shell_hardened,
        defined=request.defined,
        splits=target.dialect is not Dialect.ZSH,
    )
    text = steps.whole(request.text)
    reading = read(text, target.dialect, prompt=prompt, line=request.line)
    neutral = None
    if reading.variables:
        asking = replace(prompt, neutral=True)
        neutral = read(text, target.dialect, prompt=asking, line=request.line)
    terms = _terms(grants)
    judgement = _judge(terms, reading, neutral)
    waiting = bool(judgement.later)
    judgement.unclear += judgement.later
    judgement.note_unclear(terms)
    verdict = _ended(terms, judgement, reading)
    return replace(verdict, unknown=reading.variables if waiting else ())


def _terms(grants: Sequence[Grant]) -> Terms:
    return join_terms(grants, lambda grant: grant.session.shell is ShellMode.GATED)


def _unwatched(reading: Reading, request: LineRequest) -> tuple[Opaque, ...]:
    """A shell that cannot be watched is believed only while words mean what they say."""
    defined = (*request.defined, *reading.definitions)
    if not defined:
        return ()
    reason = f"this shell cannot be watched, and {defined[0]} may change what words mean"
    return (Opaque(OpaqueKind.ENVIRONMENT, reason),)


def _judge(terms: Terms, reading: Reading, neutral: Reading | None) -> Judgement:
    """Ask the rules; what waits for the shell's variables is `later`, the rest `unclear`."""

    def waits(rule: Rule) -> bool:
        return neutral is not None and match_reading(rule, neutral).match is Match.NO

    judgement = judge(terms, lambda rule: match_reading(rule, reading), waits)
    for opaque in commands.uncovered_opaque(terms, reading):
        settled = neutral is not None and (
            opaque.later or (opaque.kind in _WAITS and opaque not in neutral.opaque)
        )
        (judgement.later if settled else judgement.unclear).append(commands.told(opaque))
    if reading.tampering and neutral is not None and not neutral.tampering:
        judgement.later.append(f"it may loosen the gate's hold: {reading.tampering[0]}")
    return judgement


def _ended(terms: Terms, judgement: Judgement, reading: Reading) -> Verdict:
    """Take what tampers for sure first: no rule of a policy speaks for it."""
    if terms.default is not Action.ALLOW and commands.uncovered_at_prompt(terms, reading):
        judgement.note(by_default(terms.default), terms.default_approvals)
    verdict = _tampers(reading.tampering[0]) if reading.tampering else judgement.ended()
    if verdict.action is Action.ALLOW:
        verdict = commands.allowed(terms, reading, verdict)
    return replace(commands.shown(verdict, reading), definitions=_definitions(reading))


def _tampers(what: str) -> Verdict:
    return deny(
        "shell-integrity",
        f"It would loosen the gate's hold on this shell: {what}.",
        "Do it in a script of its own (sh -c '…'), or ask for a session that is not gated.",
    )


def _definitions(reading: Reading) -> tuple[str, ...]:
    unread = ("what could not be read",)
    return reading.definitions + unread * any(one.kind in _NOT_READ for one in reading.opaque)


# --- what the gate asks -----------------------------------------------------------------------


def drifts(verdict: Verdict) -> bool:
    """Whether later lines may mean something else once this has run: they have to be watched."""
    return bool(verdict.definitions)


def covers(line: str, step: str) -> bool:
    """Whether `step` is, word for word, a simple command of `line` as a person approved it.

    Then a step's `approve` has been answered; its `deny` has not. What a step runs in turn (eval,
    a function, a file that is sourced) stands in no line, and is decided by itself.
    """
    return not _simple_commands(line).isdisjoint(steps.keys(step))


@lru_cache(maxsize=8)
def _simple_commands(line: str) -> frozenset[object]:
    return steps.simple_commands(line)
