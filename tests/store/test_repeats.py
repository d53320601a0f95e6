"""Grants for equal requests: a grant of its own beside an approval that is used once."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bastion.errors import AnswerRefused
from bastion.policy.approvals import Question
from bastion.policy.rules import ApprovalTerms
from tests.store.test_approvals import BOB, QUESTION, Desk

TERMS = ApprovalTerms(repeat=600.0)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.ledger.close()
    desk.audit.close(1.0)


def granted_for(desk: Desk, seconds: float) -> str:
    approval = desk.ask(terms=TERMS)
    desk.board.answer(approval, replace(BOB, repeat=seconds))
    return approval


def is_held(desk: Desk, question: Question = QUESTION) -> bool:
    return desk.board.find(desk.ask(question, TERMS)) is not None


async def test_an_equal_request_is_granted_until_its_time_is_over(desk: Desk) -> None:
    granted_for(desk, 60.0)
    later = replace(QUESTION, channel_id="c2", asked_at=150.0, expires_at=700.0)
    desk.now = 159.9
    assert not is_held(desk, later)
    desk.now = 160.0
    assert is_held(desk, later)


@pytest.mark.parametrize(
    "other",
    [
        {"session_id": "s2"},
        {"request": b"rm \xfe"},
        {"login": "www"},
        {"target": "db"},
        {"identity": "https://idp#18"},
        {"facts": (("rule", "other"),)},
    ],
)
async def test_what_differs_anywhere_is_held(desk: Desk, other: dict[str, Any]) -> None:
    granted_for(desk, 60.0)
    assert is_held(desk, replace(QUESTION, **other))


async def test_it_is_taken_back_and_ends_with_its_session(desk: Desk) -> None:
    approval = granted_for(desk, 60.0)
    assert [one.id for one in desk.board.repeats()] == [approval]
    assert desk.board.end_repeat(approval, "bob", "enough") is not None
    assert desk.board.end_repeat(approval, "bob", "enough") is None
    assert is_held(desk)
    granted_for(desk, 60.0)
    desk.board.session_ended("s1")
    assert is_held(desk)


async def test_a_rule_that_does_not_offer_it_refuses_the_answer(desk: Desk) -> None:
    approval = desk.ask()
    with pytest.raises(AnswerRefused, match="one request at a time"):
        desk.board.answer(approval, replace(BOB, repeat=1.0))
    longer = desk.ask(terms=TERMS)
    with pytest.raises(AnswerRefused, match="10m at most"):
        desk.board.answer(longer, replace(BOB, repeat=601.0))


async def test_of_several_people_the_shortest_time_counts(desk: Desk) -> None:
    approval = desk.ask(terms=replace(TERMS, count=2))
    desk.board.answer(approval, replace(BOB, repeat=60.0))
    desk.board.answer(approval, replace(BOB, approver_id="unix#carol", repeat=0.0))
    assert desk.board.repeats() == ()
