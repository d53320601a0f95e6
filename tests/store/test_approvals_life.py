"""An approval's life in any order of asking, granting, refusing, expiry, leaving and restarting.

A model knows who granted what and when; the board, on real stores, must end each approval once, in
the way that the model says, and never grant what the model would not.
"""

import asyncio
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bastion.errors import AnswerRefused
from bastion.events import Outcome
from bastion.policy.approvals import Answer, Question
from bastion.policy.rules import ApprovalTerms
from bastion.store.approvals import Approvals
from bastion.store.audit import AuditLog
from bastion.store.ledger import Ledger

PEOPLE = {
    "idp#ann": frozenset({"dev"}),
    "idp#bob": frozenset({"lead"}),
    "IDP#Bob": frozenset({"lead"}),  # the same person, spelt otherwise
    "idp#carol": frozenset({"lead"}),
    "idp#dora": frozenset({"lead", "dev"}),
    "idp#eve": frozenset(),
}
WAIT = 100.0
REPEAT = 50.0


@dataclass
class Held:
    """What the model knows of one approval."""

    question: Question
    count: int
    granted: dict[str, float] = field(default_factory=dict)
    """Person (folded) → seconds of repeat."""
    end: str = ""
    told: list[tuple[Outcome, tuple[str, ...], str]] = field(default_factory=list)
    left: bool = False


class Life(RuleBasedStateMachine):
    """Random lives against the model."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.loop = asyncio.new_event_loop()
        self.now = 1000.0
        self.held: dict[str, Held] = {}
        self.repeats: dict[tuple[str, bytes], float] = {}
        self.open()

    def open(self) -> None:
        path = Path(self.folder.name)
        self.ledger, self.audit = Ledger(path / "db"), AuditLog(path)
        self.ledger.close_leftovers(self.now)
        self.board = Approvals(self.ledger, self.audit, lambda: self.now)

    def run(self, step: Callable[[], Any]) -> Any:
        async def once() -> Any:
            try:
                return step()
            finally:
                for _ in range(3):
                    await asyncio.sleep(0)

        return self.loop.run_until_complete(once())

    def end(self, held: Held, how: str) -> None:
        assert not held.end, "an end is an end"
        held.end = how

    def waiting(self) -> list[str]:
        return [name for name, held in self.held.items() if not held.end]

    @rule(
        who=st.sampled_from(["idp#ann", "idp#dora"]),
        request=st.sampled_from([b"ls", b"rm"]),
        session=st.sampled_from(["s1", "s2"]),
        count=st.sampled_from([1, 1, 1, 2, 3]),
    )
    def ask(self, who: str, request: bytes, session: str, count: int) -> None:
        if len(self.waiting()) >= 15:
            return
        question = Question(
            who, who[4:], "web", "root", request, (), session, "c", self.now, self.now + WAIT
        )
        terms = ApprovalTerms(("lead",), count, WAIT, repeat=REPEAT, break_glass=("dev",))
        held = Held(question, count)
        name = self.run(lambda: self.board.ask(question, terms, lambda *end: held.told.append(end)))
        self.held[name] = held
        if self.now < self.repeats.get((who + session, request), 0.0):
            self.end(held, "granted")

    @precondition(lambda self: self.held)
    @rule(
        data=st.data(),
        who=st.sampled_from(sorted(PEOPLE)),
        grant=st.sampled_from([True, True, True, False]),
        repeat=st.sampled_from([0.0, 0.0, 20.0, REPEAT, REPEAT + 1]),
        right_hash=st.sampled_from([True, True, True, False]),
        agent=st.sampled_from(["", "", "", "robot"]),
    )
    def answer(
        self, data: Any, who: str, grant: bool, repeat: float, right_hash: bool, agent: str
    ) -> None:
        name = data.draw(st.sampled_from(list(self.held)))
        held = self.held[name]
        shown = held.question if right_hash else replace(held.question, request=b"other")
        answer = Answer(
            who, who[4:], PEOPLE[who], grant, "", self.now, shown.hash, repeat, agent
        )  # fmt: skip
        person = who.casefold()
        counts = (
            not held.end
            and self.now < held.question.expires_at
            and right_hash
            and not agent
            and person != held.question.identity
            and "lead" in PEOPLE[who]
            and person not in held.granted
            and (not grant or repeat <= REPEAT)
        )
        try:
            self.run(lambda: self.board.answer(name, answer))
        except AnswerRefused:
            assert not counts
            return
        assert counts
        if not grant:
            self.end(held, "refused")
            return
        held.granted[person] = repeat
        if len(held.granted) >= held.count:
            self.end(held, "granted")
            shortest = min(held.granted.values())
            if shortest:
                key = (held.question.identity + held.question.session_id, held.question.request)
                self.repeats[key] = max(self.repeats.get(key, 0.0), self.now + shortest)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), who=st.sampled_from(sorted(PEOPLE)), reason=st.sampled_from(["", "fire"]))
    def break_glass(self, data: Any, who: str, reason: str) -> None:
        name = data.draw(st.sampled_from(list(self.held)))
        held = self.held[name]
        may = (
            not held.end
            and self.now < held.question.expires_at
            and who == held.question.identity
            and bool(reason)
        )
        try:
            self.run(lambda: self.board.break_glass(name, who, PEOPLE[who], "", reason))
        except AnswerRefused:
            assert not may
            return
        assert may
        self.end(held, "granted")

    @precondition(lambda self: self.waiting())
    @rule(data=st.data())
    def the_requester_leaves(self, data: Any) -> None:
        name = data.draw(st.sampled_from(self.waiting()))
        self.run(lambda: self.board.withdraw(name, self.now))
        self.held[name].left = True
        self.end(self.held[name], "withdrawn")

    @rule(session=st.sampled_from(["s1", "s2"]))
    def the_session_ends(self, session: str) -> None:
        for name in self.waiting():
            if self.held[name].question.session_id == session:
                self.run(lambda name=name: self.board.withdraw(name, self.now))
                self.held[name].left = True
                self.end(self.held[name], "withdrawn")
        self.board.session_ended(session)
        self.repeats = {key: until for key, until in self.repeats.items() if session not in key[0]}

    @rule(seconds=st.sampled_from([1.0, 19.0, 60.0, WAIT]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        for name in self.waiting():
            if self.now >= self.held[name].question.expires_at:
                # The board's own timers follow the loop's clock; this is their look at it.
                pending = self.board._pending[name]
                self.run(lambda pending=pending: self.board._look_at(pending))
                self.end(self.held[name], "expired")

    @rule()
    def restart(self) -> None:
        self.run(lambda: self.board.close(self.now))
        for name in self.waiting():
            self.end(self.held[name], "withdrawn")
        self.close()
        self.repeats.clear()
        self.open()

    @invariant()
    def everyone_knows_how_it_stands(self) -> None:
        assert sorted(one.id for one in self.board.pending()) == sorted(self.waiting())
        for name, held in self.held.items():
            row = self.ledger.approval(name)
            assert row is not None
            assert row["state"] == (held.end or "pending")
            ends = [outcome.value for outcome, _, _ in held.told]
            assert ends == ([] if held.left or not held.end else [held.end]), "told once, and truly"

    def close(self) -> None:
        self.ledger.close()
        self.audit.close(self.now)

    def teardown(self) -> None:
        self.run(lambda: self.board.close(self.now))
        self.close()
        self.loop.close()
        self.folder.cleanup()


Life.TestCase.settings = settings(
    max_examples=40,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
test_a_life_in_any_order = Life.TestCase
