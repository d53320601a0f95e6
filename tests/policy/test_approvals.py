from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bastion.errors import AnswerRefused
from bastion.model import Identity
from bastion.policy.approvals import Answer, Approval, Question, State, decide, expire, withdraw
from bastion.policy.rules import ApprovalTerms

QUESTION = Question(
    identity="https://idp#17",
    name="alice",
    target="web",
    login="root",
    request=b"systemctl restart app",
    facts=(("parse", "systemctl restart app"), ("rule", "restarts")),
    session_id="s1",
    channel_id="c1",
    asked_at=100.0,
    expires_at=1000.0,
)


def held(**terms: Any) -> Approval:
    return Approval("k7f3", QUESTION, ApprovalTerms(**terms))


def says(who: str, *, grant: bool = True, **changes: Any) -> Answer:
    answer = Answer(f"unix#{who}", who, frozenset(), grant, "", 200.0, QUESTION.hash)
    return replace(answer, **changes)


def test_one_person_grants_by_default() -> None:
    granted = decide(held(), says("bob"))
    assert granted.state is State.GRANTED
    assert [answer.approver_name for answer in granted.answers] == ["bob"]


def test_as_many_distinct_people_as_the_terms_want() -> None:
    first = decide(held(count=2), says("bob"))
    assert (first.state, first.missing) == (State.PENDING, 1)
    with pytest.raises(AnswerRefused, match="another person"):
        decide(first, says("bob", approver_name="robert"))
    assert decide(first, says("carol")).state is State.GRANTED


def test_a_count_of_nobody_still_needs_somebody() -> None:
    assert held(count=0).missing == 1
    assert decide(held(count=-3), says("bob")).state is State.GRANTED


def test_one_refusal_ends_it() -> None:
    refused = decide(decide(held(count=3), says("bob")), says("carol", grant=False))
    assert refused.state is State.REFUSED
    with pytest.raises(AnswerRefused, match="already refused"):
        decide(refused, says("dave"))


@pytest.mark.parametrize(
    "changes",
    [
        {"approver_id": "https://idp#17"},
        {"approver_id": "HTTPS://IDP#17 "},
        {"approver_name": "alice"},
        {"approver_name": "Alice"},
        {"approver_name": "ａｌｉｃｅ"},
        {"approver_id": "alice"},
        {"approver_id": ""},
    ],
)
@pytest.mark.parametrize("grant", [True, False])
def test_never_the_requester_however_spelt(changes: dict[str, str], grant: bool) -> None:
    with pytest.raises(AnswerRefused, match="of their own"):
        decide(held(), says("bob", grant=grant, **changes))


def test_a_role_of_the_terms_is_needed() -> None:
    approval = held(approvers=("lead", "oncall"))
    with pytest.raises(AnswerRefused, match="lead or oncall"):
        decide(approval, says("bob", roles=frozenset({"dev"})))
    assert decide(approval, says("bob", roles=frozenset({"oncall"}))).state is State.GRANTED


def test_a_reason_is_given_where_the_terms_want_one() -> None:
    with pytest.raises(AnswerRefused, match="reason"):
        decide(held(reason_required=True), says("bob", reason=" \n"))
    assert decide(held(reason_required=True), says("bob", reason="INC-7")).state is State.GRANTED
    with pytest.raises(AnswerRefused, match="longer"):
        decide(held(), says("bob", reason="x" * 2001))


def test_at_the_expiry_exactly_it_is_over() -> None:
    assert decide(held(), says("bob", at=999.999)).state is State.GRANTED
    with pytest.raises(AnswerRefused, match="expired"):
        decide(held(), says("bob", at=1000.0))
    assert expire(held(), 999.999).state is State.PENDING
    assert expire(held(), 1000.0).state is State.EXPIRED


def test_an_answer_is_for_what_was_shown() -> None:
    with pytest.raises(AnswerRefused, match="shown"):
        decide(held(), says("bob", hash=replace(QUESTION, target="db").hash))
    with pytest.raises(AnswerRefused, match="shown"):
        decide(held(), says("bob", hash=""))


texts = st.text(max_size=4)
questions = st.builds(
    Question,
    identity=texts,
    name=texts,
    target=texts,
    login=texts,
    request=st.binary(max_size=4),
    facts=st.lists(st.tuples(texts, texts), max_size=3).map(tuple),
    session_id=texts,
    channel_id=texts,
    asked_at=st.floats(0, 10),
    expires_at=st.floats(0, 10),
)


@given(questions, questions)
def test_questions_that_differ_anywhere_hash_differently(one: Question, other: Question) -> None:
    assert (one.hash == other.hash) == (one == other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"target": "ab", "login": "c"}, {"target": "a", "login": "bc"}),
        ({"facts": (("a", "b"),)}, {"facts": (("a", ""), ("b", ""))}),
        ({"facts": (("ab", ""),)}, {"facts": (("a", "b"),)}),
        ({"request": b"", "facts": (("x", "y"),)}, {"request": b"xy", "facts": ()}),
    ],
)
def test_no_field_flows_into_the_next(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert replace(QUESTION, **one).hash != replace(QUESTION, **other).hash


people = st.sampled_from(["alice", "bob", "carol", "dave"])
answers = st.builds(
    says,
    people,
    grant=st.booleans(),
    at=st.floats(0, 1200),
    roles=st.frozensets(st.sampled_from(["lead", "dev"])),
    reason=st.sampled_from(["", "why"]),
    hash=st.sampled_from([QUESTION.hash, "0" * 64]),
)
steps = st.lists(st.one_of(answers, st.floats(0, 1200), st.just("withdraw")), max_size=12)
all_terms = st.builds(
    ApprovalTerms,
    approvers=st.sampled_from([(), ("lead",)]),
    count=st.integers(0, 4),
    reason_required=st.booleans(),
)


@given(all_terms, steps)
def test_whatever_comes_in_whatever_order(terms: ApprovalTerms, order: list[Any]) -> None:
    """A grant has its people, all of them allowed, and no end is ever left."""
    approval = Approval("k7f3", QUESTION, terms)
    for step in order:
        before = approval
        try:
            approval = advance(approval, step)
        except AnswerRefused:
            continue
        if before.state is not State.PENDING:
            assert approval == before
        check(approval)


def advance(approval: Approval, step: Any) -> Approval:
    if isinstance(step, Answer):
        return decide(approval, step)
    return withdraw(approval) if step == "withdraw" else expire(approval, step)


def check(approval: Approval) -> None:
    grants = [answer for answer in approval.answers if answer.grant]
    assert (approval.state is State.REFUSED) == (len(grants) < len(approval.answers))
    assert (approval.state is State.GRANTED) <= (len(grants) == max(1, approval.terms.count))
    assert len({answer.approver_id for answer in approval.answers}) == len(approval.answers)
    for answer in approval.answers:
        assert answer.approver_name != "alice"
        assert answer.at < QUESTION.expires_at
        assert answer.hash == QUESTION.hash
        assert not approval.terms.approvers or answer.roles & set(approval.terms.approvers)
        assert answer.reason or not approval.terms.reason_required


def test_a_question_never_outlives_its_identity() -> None:
    identity = Identity("https://idp", "17", "alice", expires_at=150.0)
    asked = Question.about(
        identity,
        target="web",
        login="root",
        request=b"true",
        facts=(),
        session_id="s",
        channel_id="c",
        asked_at=100.0,
        wait=900.0,
    )
    assert (asked.identity, asked.expires_at) == ("https://idp#17", 150.0)
