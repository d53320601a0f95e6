import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bastion.errors import AnswerRefused, NotAsked, StoreError
from bastion.events import Outcome
from bastion.policy.approvals import Answer, Question, State
from bastion.policy.rules import ApprovalTerms
from bastion.store import auditfile
from bastion.store.approvals import Approvals
from bastion.store.audit import AuditLog
from bastion.store.ledger import Ledger

QUESTION = Question(
    "https://idp#17",
    "alice",
    "web",
    "root",
    b"rm \xff",
    (("rule", "r"),),
    "s1",
    "c1",
    100.0,
    1000.0,
)
BOB = Answer("unix#bob", "bob", frozenset(), True, "fine", 100.0, QUESTION.hash)

Ends = list[tuple[Outcome, tuple[str, ...], str]]


class Desk:
    """The board with its stores and a clock that is set by hand."""

    def __init__(self, folder: Path) -> None:
        self.now = 100.0
        self.folder = folder
        self.ledger = Ledger(folder / "bastion.db")
        self.audit = AuditLog(folder)
        self.board = self.open()
        self.ends: Ends = []

    def open(self, **limits: int) -> Approvals:
        return Approvals(self.ledger, self.audit, lambda: self.now, **limits)

    def ask(self, question: Question = QUESTION, terms: ApprovalTerms | None = None) -> str:
        terms = terms or ApprovalTerms()
        return self.board.ask(question, terms, lambda *end: self.ends.append(end))

    def audited(self) -> list[str]:
        entries = auditfile.read_entries(self.folder / auditfile.LOG)
        return [entry.kind for _, entry in entries if isinstance(entry, auditfile.Entry)]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.ledger.close()
    desk.audit.close(1.0)


async def settle() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_a_grant_is_told_once_and_kept(desk: Desk) -> None:
    approval_id = desk.ask()
    assert len(approval_id) == 4
    assert [approval.id for approval in desk.board.pending()] == [approval_id]
    assert desk.board.answer(approval_id, BOB).state is State.GRANTED
    assert desk.ends == [], "never from inside another call"
    await settle()
    assert desk.ends == [(Outcome.GRANTED, ("bob",), "fine")]
    with pytest.raises(AnswerRefused):
        desk.board.answer(approval_id, replace(BOB, approver_id="unix#carol"))
    await settle()
    assert len(desk.ends) == 1
    row = desk.ledger.approval(approval_id)
    assert row is not None
    assert (row["state"], row["answers"][0]["approver"]) == ("granted", "unix#bob")
    assert desk.audited() == ["approval-asked", "approval-answered", "approval-granted"]


async def test_two_people_where_two_are_wanted(desk: Desk) -> None:
    approval_id = desk.ask(terms=ApprovalTerms(count=2))
    desk.board.answer(approval_id, BOB)
    await settle()
    assert desk.ends == []
    carol = replace(BOB, approver_id="unix#carol", approver_name="carol", reason="too")
    desk.board.answer(approval_id, carol)
    await settle()
    assert desk.ends == [(Outcome.GRANTED, ("bob", "carol"), "fine; too")]


async def test_a_refusal(desk: Desk) -> None:
    desk.board.answer(desk.ask(), replace(BOB, grant=False))
    await settle()
    assert desk.ends == [(Outcome.REFUSED, ("bob",), "fine")]


async def test_an_answer_that_does_not_count_is_audited_and_changes_nothing(desk: Desk) -> None:
    approval_id = desk.ask()
    with pytest.raises(AnswerRefused):
        desk.board.answer(approval_id, replace(BOB, approver_name="alice"))
    assert desk.audited()[-1] == "approval-answer-refused"
    assert desk.board.find(approval_id) is not None


async def test_an_answer_cannot_be_dated_back(desk: Desk) -> None:
    approval_id = desk.ask()
    desk.now = 1000.0
    with pytest.raises(AnswerRefused, match="expired"):
        desk.board.answer(approval_id, replace(BOB, at=999.0))


async def test_it_expires_by_the_clock_not_by_the_timer(desk: Desk) -> None:
    soon = replace(QUESTION, expires_at=100.01)
    approval_id = desk.ask(soon)
    await asyncio.sleep(0.05)
    assert desk.board.find(approval_id) is not None, "the clock has not moved"
    desk.now = 100.01
    async with asyncio.timeout(5):
        while desk.board.pending():
            await asyncio.sleep(0.005)
        await settle()
    assert desk.ends == [(Outcome.EXPIRED, (), "")]
    row = desk.ledger.approval(approval_id)
    assert row is not None
    assert row["state"] == "expired"


async def test_what_is_withdrawn_opens_nothing_and_tells_nobody(desk: Desk) -> None:
    approval_id = desk.ask()
    desk.board.withdraw(approval_id, 101.0)
    desk.board.withdraw(approval_id, 102.0)
    with pytest.raises(AnswerRefused):
        desk.board.answer(approval_id, BOB)
    await settle()
    assert desk.ends == []
    assert desk.audited()[-1] == "approval-withdrawn"


async def test_a_stopping_bastion_tells_who_waits(desk: Desk) -> None:
    desk.ask()
    desk.board.close(101.0)
    await settle()
    assert desk.ends == [(Outcome.WITHDRAWN, (), "")]


async def test_too_many_questions_are_not_asked(desk: Desk) -> None:
    desk.board = desk.open(max_pending=3, max_pending_each=2)
    desk.ask()
    desk.ask()
    with pytest.raises(NotAsked, match="You have 2"):
        desk.ask()
    desk.ask(replace(QUESTION, identity="https://idp#18"))
    with pytest.raises(NotAsked, match="Too many"):
        desk.ask(replace(QUESTION, identity="https://idp#19"))


@pytest.mark.parametrize(
    "long",
    [
        replace(QUESTION, request=b"x" * 40_000),
        replace(QUESTION, facts=tuple(("runs", "x" * 100) for _ in range(400))),
    ],
)
async def test_what_nobody_could_read_is_not_asked(desk: Desk, long: Question) -> None:
    with pytest.raises(NotAsked, match="too long"):
        desk.ask(long)
    assert (desk.board.pending(), desk.audited()) == ((), [])


async def test_a_grant_that_cannot_be_audited_is_none(desk: Desk) -> None:
    approval_id = desk.ask()
    desk.audit.close(1.0)
    with pytest.raises(StoreError):
        desk.board.answer(approval_id, BOB)
    await settle()
    assert desk.ends == []
    with pytest.raises(StoreError):
        desk.ask()
    desk.audit = AuditLog(desk.folder)


async def test_watchers_see_it_all(desk: Desk) -> None:
    seen: list[tuple[str, str]] = []
    stop = desk.board.watch(lambda approval, what: seen.append((approval.id, what)))
    approval_id = desk.ask()
    desk.board.answer(approval_id, BOB)
    stop()
    desk.ask()
    assert seen == [(approval_id, what) for what in ("asked", "answered", "granted")]
