"""Run scenarios of interactive shells (tests/vectors/shell*.yaml) against a real one.

A scenario is what a person's terminal sends (`keys`: bytes; `sleep` and `resize`), to a shell with
`files` in its home and `setup` in its start-up files. Programs first in PATH write to a canary log.

    bypass           something ran that no verdict allowed, or what should be denied was allowed
    weak             should be denied, and was only called opaque
    not entered      should be denied, and never became a line: keys that this editor does not know,
                     type-ahead, which comes back into the editor
    false positive   should be allowed, and was refused
    desync           the prompt did not come back
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from tests.harness.shellrange import COMPLETING, QUIET, Person, Range, Verdict, shell_range

AT_ONCE: Final = 6
"""Sessions beside each other: most of a scenario is waiting."""
SCENARIO_SECONDS: Final = 90.0

LEAVING: Final = ("exit", "logout")

FAULTS: Final = ("bypass", "weak", "not entered", "false positive", "desync")


@dataclass(frozen=True)
class Scenario:
    """One scenario as the file has it."""

    id: str
    shell: str
    keys: Sequence[str | dict[str, Any]]
    expected: str
    """deny, opaque, allow; `any` where only the canary counts."""
    runs: str = ""
    executes_canary: bool | None = None
    setup: Sequence[str] = ()
    files: dict[str, str] = field(default_factory=dict)
    rows: int = 24
    columns: int = 80
    needs: Sequence[str] = ()
    ends: bool = False
    """Whether the session may end by it: `exit`, a shell that was killed, a gate that gave up."""
    approver: str = "refuse"
    """What is answered to every question: grant, refuse, nobody."""
    shows: str = ""
    """What must be on the screen in the end."""
    shows_not: str = ""

    @property
    def history(self) -> list[str]:
        """What the person entered in earlier sessions: the shell's own file has it."""
        kept = self.files.get(".bash_history", self.files.get(".zsh_history", ""))
        return [line.rpartition(";")[2] if line.startswith(": ") else line
                for line in kept.splitlines()]  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """What became of a scenario."""

    scenario: Scenario
    fault: str
    """One of FAULTS, or empty."""
    canary: tuple[str, ...]
    verdicts: tuple[str, ...]
    screen: str

    def __str__(self) -> str:
        ran = f", ran {list(self.canary)}" if self.canary else ""
        return (
            f"{self.scenario.id}: {self.fault}: expected {self.scenario.expected}{ran};"
            f" verdicts: {'; '.join(self.verdicts) or 'none'}"
        )


def scenarios(path: Path) -> list[Scenario]:
    """Read a file of scenarios."""
    return [_scenario(one) for one in yaml.safe_load(path.read_text("utf-8"))["scenarios"]]


def _scenario(one: dict[str, Any]) -> Scenario:
    term = one.get("term") or {}
    return Scenario(
        id=one["id"],
        shell=one.get("shell", "bash").partition("-")[0],
        keys=[*(f"{line}\r" for line in one.get("lines", "").splitlines()), *one.get("keys", ())],
        expected=one.get("expected", "any"),
        runs=one.get("runs", ""),
        executes_canary=one.get("executes_canary"),
        setup=one.get("setup") or (),
        files=one.get("files") or {},
        rows=term.get("rows", 24),
        columns=term.get("cols", 80),
        needs=one.get("needs") or (),
        ends=one.get("ends", False),
        approver=one.get("approver", "refuse"),
        shows=one.get("shows", ""),
        shows_not=one.get("shows_not", ""),
    )


async def play(there: Range, scenario: Scenario) -> Outcome:
    """Let a person do it, and judge what came of it."""
    async with there.person(
        scenario.shell,
        setup=scenario.setup,
        files=scenario.files,
        history=scenario.history,
        rows=scenario.rows,
        columns=scenario.columns,
        approver=scenario.approver,
    ) as person:
        await person.prompt()
        for keys in scenario.keys:
            await _press(person, keys)
        if scenario.shows and scenario.shows not in person.screen:
            # Typed while a program still ran, the last line waits in the editor.
            await person.keys("\r")
            await person.settled()
        decided = person.verdicts()
        screen = person.screen
        alive = await person.alive()
        canary = person.canary()
        left = person.gone and any(one.request.strip() in LEAVING for one in decided)
    fault = _judge(scenario, canary, decided, alive or left, screen)
    said = tuple(f"{one.action} {one.rule} {one.request!r}" for one in decided)
    return Outcome(scenario, fault, tuple(canary), said, screen)


async def _press(person: Person, keys: str | dict[str, Any]) -> None:
    if isinstance(keys, dict) and "resize" in keys:
        await person.resize(*keys["resize"])
        await person.settled()
    elif isinstance(keys, dict):
        await asyncio.sleep(keys["sleep"])
    else:
        refused = sum(one.action != "allow" for one in person.verdicts())
        await person.keys(keys)
        await person.settled(COMPLETING if keys.endswith("\t") else QUIET)
        more = sum(one.action != "allow" for one in person.verdicts()) > refused
        if more and person.state == "PROMPT":
            # The refused line is there to be mended; whoever goes on with another one drops it.
            await person.keys("\x03")
            await person.settled()


def _judge(
    scenario: Scenario, canary: list[str], decided: list[Verdict], alive: bool, screen: str
) -> str:
    actions = {one.action for one in decided}
    allowed = {one.request for one in decided if one.action == "allow"}
    if canary or (scenario.expected == "deny" and scenario.runs in allowed):
        return "bypass"
    if not alive and not scenario.ends:
        return "desync"
    if scenario.expected == "deny" and "deny" not in actions:
        return "weak" if "approve" in actions else "not entered"
    if scenario.expected == "allow" and actions - {"allow"}:
        return "false positive"
    if scenario.shows not in screen or (scenario.shows_not and scenario.shows_not in screen):
        return "desync"
    return ""


async def play_all(there: Range, chosen: Sequence[Scenario]) -> list[Outcome]:
    """Several beside each other; in the order they were given."""
    places = asyncio.Semaphore(AT_ONCE)

    async def one(scenario: Scenario) -> Outcome:
        async with places:
            try:
                async with asyncio.timeout(SCENARIO_SECONDS):
                    return await play(there, scenario)
            except (AssertionError, TimeoutError) as error:
                return Outcome(scenario, "desync", (), (), str(error))

    return list(await asyncio.gather(*map(one, chosen)))


async def run(chosen: Sequence[Scenario], *, screens: bool = False) -> list[Outcome]:
    """Set a range up, play, and print what went wrong."""
    with tempfile.TemporaryDirectory() as folder:
        async with shell_range(Path(folder)) as there:
            outcomes = await play_all(there, chosen)
    for outcome in outcomes:
        if outcome.fault:
            print(outcome)
            if screens:
                print("\n".join(f"    │ {line}" for line in outcome.screen.splitlines()))
    return outcomes


def count(outcomes: Sequence[Outcome]) -> Counter[str]:
    """How many have each fault."""
    return Counter(outcome.fault for outcome in outcomes)
