"""What a client is told where something of it does not run."""

from __future__ import annotations

from dataclasses import replace

from bastion.gate.postgres.server import Refusal
from bastion.gate.words import refusal
from bastion.model import visible
from bastion.policy.rules import Verdict
from bastion.policy.sql import encodings


def cancelled(detail: str) -> Refusal:
    return Refusal("57014", "canceling statement due to user request", detail)


def unsure_of_masks(fault: str) -> Refusal:
    return Refusal(
        "42501",
        "bastion: this names what was not there when the session began, and whether it is masked"
        f" could not be looked up: {visible(fault, limit=300)}",
        "Rule masked-column.",
        "Try again, or connect again.",
    )


def not_text(encoding: str) -> Refusal:
    only_ascii = encodings.CODECS[encoding] == encodings.ASCII
    said = f"of {encoding} the gate reads no more than ASCII" if only_ascii else ""
    return Refusal(
        "22021", f"bastion: {said or f'this SQL is not {encoding}'}, so nothing was run."
    )


def denied(verdict: Verdict, position: int = 0) -> Refusal:
    """What a client is told; `position`: of a syntax error, which shows it at its place."""
    syntax = verdict.rule == "syntax"
    bare = replace(verdict, hint="")  # which has a field of its own
    return Refusal(
        "42601" if syntax else "42501",
        f"bastion: {visible(verdict.reason)}" if syntax else f"bastion: {refusal(bare)}",
        f"Rule {verdict.rule}.",
        visible(verdict.hint),
        position if syntax else 0,
    )
