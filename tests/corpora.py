"""Run the corpora through the real gate: `python -m tests.corpora [DIR]`.

A corpus is a file of cases that must hold (tests/vectors). Each is judged by the reference policy;
what goes wrong is listed, then one line a file. Any bypass ends with exit status 1.

    bypass           should be denied, or cannot be told, and was allowed
    weak             should be denied, and was only called opaque
    false positive   should be allowed, and was not
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bastion.model import (
    ExecRequest,
    Identity,
    QueryRequest,
    Target,
    TargetKind,
    visible,
)
from bastion.policy.decide import decide
from bastion.policy.parse import parse_policy
from bastion.policy.rules import Action, Policy, Verdict
from bastion.policy.sql.reading import read_sql
from tests import shellcorpus

ROOT: Final = Path(__file__).parent
REFERENCE: Final = ROOT.parent / "policies" / "reference.yaml"

# Control characters as a corpus shows them.
SYMBOLS: Final = {"␤": "\n", "␉": "\t", "␍": "\r", "␀": "\0", "␋": "\v", "␛": "\x1b"}

EXPECTED: Final = ("deny", "opaque", "allow")

# Rows that name an equivalent of a denied command, or only ask one for its help: whether a policy
# by name should answer them is a matter of taste, so they are in no figure.
LEFT_OUT: Final = ("ext/equivalent-command", "help-or-query")


@dataclass(frozen=True)
class Case:
    """One case of a corpus. `expected` and what is answered: deny, opaque or allow."""

    line: int
    command: str
    expected: str
    technique: str


@dataclass(frozen=True)
class Score:
    """What a corpus came to."""

    name: str
    cases: int
    wrong: Counter[str]

    def __str__(self) -> str:
        counts = (self.wrong["bypass"], self.wrong["weak"], self.wrong["false positive"])
        bypass, weak, positive = counts
        return (
            f"{self.name}: {self.cases} cases,"
            f" bypass {bypass}, weak {weak}, false positive {positive}"
        )


def judge(expected: str, answered: str) -> str:
    """What is wrong with an answer; empty if nothing is."""
    if answered == expected or (expected, answered) == ("opaque", "deny"):
        return ""
    if answered == "allow":
        return "bypass"
    return "weak" if expected == "deny" else "false positive"


# --- exec.tsv ---------------------------------------------------------------------------------

WHO: Final = Identity(
    "https://id.example", "1", "engineer", {"preferred_username": "ops"}, frozenset({"engineer"})
)
WHERE: Final = Target(name="corpus")


def exec_cases(path: Path) -> Iterator[Case]:
    """The rows: command, expected verdict, technique, source."""
    for number, row in enumerate(path.read_text("utf-8").split("\n"), 1):
        fields = row.split("\t")
        if len(fields) < 3 or fields[1] not in EXPECTED:
            continue  # the heading
        command, expected, technique = fields[:3]
        for symbol, character in SYMBOLS.items():
            command = command.replace(symbol, character)
        yield Case(number, command, expected, technique)


def answer(verdict: Verdict) -> str:
    """A verdict in the corpus's words."""
    if verdict.action is Action.DENY:
        return "deny"
    return "opaque" if verdict.rule == "opaque" else verdict.action.value


def run_exec(path: Path, policy: Policy) -> Score:
    """Decide every row; print those that went wrong."""
    wrong: Counter[str] = Counter()
    count = 0
    for case in exec_cases(path):
        if case.technique.startswith(LEFT_OUT):
            continue
        count += 1
        verdict = decide(policy, WHO, WHERE, "ops", ExecRequest(case.command))
        found = judge(case.expected, answer(verdict))
        if found:
            wrong[found] += 1
            print(
                f"{path.name}:{case.line}: {found}: expected {case.expected},"
                f" was {answer(verdict)} ({verdict.rule}): {visible(case.command, limit=160)}"
                + (f"  [{verdict.opaque[0]}]" if verdict.opaque else "")
            )
    return Score("exec", count, wrong)


# --- sql.tsv ----------------------------------------------------------------------------------

DATABASE: Final = Target(name="corpus", kind=TargetKind.POSTGRES)
SQL_EXPECTED: Final = ("deny", "approve", "allow")


def sql_cases(path: Path) -> Iterator[Case]:
    """The rows: SQL (as JSON where it begins with a quote), expected verdict, technique."""
    for number, row in enumerate(path.read_text("utf-8").split("\n"), 1):
        fields = row.split("\t")
        if len(fields) >= 3 and fields[1] in SQL_EXPECTED:
            sql = json.loads(fields[0]) if fields[0].startswith('"') else fields[0]
            yield Case(number, sql, fields[1], fields[2])


def judge_sql(expected: str, answered: str) -> str:
    """What is wrong with an answer; stricter than needed is only wrong where all is allowed."""
    if expected == "allow":
        return "" if answered == "allow" else "false positive"
    if SQL_EXPECTED.index(answered) <= SQL_EXPECTED.index(expected):
        return ""
    return "bypass" if answered == "allow" else "weak"


def run_sql(path: Path, policy: Policy) -> Score:
    """Read and decide every row; print those that went wrong."""
    wrong: Counter[str] = Counter()
    count = 0
    for case in sql_cases(path):
        count += 1
        request = QueryRequest(case.command, read_sql(case.command))
        verdict = decide(policy, WHO, DATABASE, "ops", request)
        found = judge_sql(case.expected, verdict.action.value)
        if found:
            wrong[found] += 1
            print(
                f"{path.name}:{case.line}: {found}: expected {case.expected},"
                f" was {verdict.action.value} ({verdict.rule}):"
                f" {visible(case.command, limit=160)}"
            )
    return Score("sql", count, wrong)


# --- shell*.yaml --------------------------------------------------------------------------------


@dataclass(frozen=True)
class ShellScore(Score):
    """What scenarios of interactive shells came to."""

    def __str__(self) -> str:
        told = ", ".join(f"{fault} {self.wrong[fault]}" for fault in shellcorpus.FAULTS)
        return f"{self.name}: {self.cases} scenarios, {told}"


def run_shell(path: Path, _: Policy) -> Score:
    """Play every scenario against a real shell; print those that went wrong."""
    outcomes = asyncio.run(shellcorpus.run(shellcorpus.scenarios(path)))
    return ShellScore(path.stem, len(outcomes), shellcorpus.count(outcomes))


RUNNERS: Final[dict[str, Callable[[Path, Policy], Score] | None]] = {
    "exec.tsv": run_exec,
    "shell.yaml": run_shell,
    "shell_attacks.yaml": run_shell,
    "sql.tsv": run_sql,
    "http.tsv": None,
}
"""A corpus's runner; None where the gate it is for does not exist yet."""


def main() -> int:
    """Run all the corpora that the directory holds."""
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("directory", nargs="?", type=Path, default=ROOT / "vectors")
    directory: Path = arguments.parse_args().directory
    policy = parse_policy(REFERENCE.read_text("utf-8"), REFERENCE.name)
    found = [name for name in RUNNERS if (directory / name).is_file()]
    if not found:
        print(f"{directory} holds no corpus (one of {', '.join(RUNNERS)})", file=sys.stderr)
        return 2
    results: list[Score | str] = []
    for name in found:
        runner = RUNNERS[name]
        results.append(runner(directory / name, policy) if runner else f"{name}: no gate yet")
    for result in results:
        print(result)
    return int(any(isinstance(one, Score) and one.wrong["bypass"] for one in results))


if __name__ == "__main__":
    sys.exit(main())
