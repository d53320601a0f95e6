"""Who sees what, and the live screen of a session (class D: a stream without authorisation)."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bastion.errors import ControlError
from bastion.policy.approvals import Operator
from bastion.policy.parse import parse_policy
from bastion.policy.rights import Subject
from bastion.store.feed import Happening
from bastion.tap.tail import Tail
from bastion.wire import control as wire
from tests.control.desk import QUESTION, Desk

POLICY = """
version: 1
roles:
  dev: {match: {groups: dev}}
  lead: {match: {groups: lead}}
  watcher: {match: {groups: watcher}}
console:
  - {name: leads, roles: lead, may: list, targets: "db-*"}
  - {name: watchers, roles: watcher, may: [list, follow, kill], targets: web}
"""


class Caller:
    """An attached connection: somebody who came over SSH."""

    def __init__(self, desk: Desk, operator: Operator) -> None:
        self.desk, self.operator = desk, operator
        self.events: list[dict[str, Any]] = []
        self._number = 0

    async def open(self) -> None:
        theirs = self.desk.service.attach(lambda: self.operator)
        theirs.setblocking(False)
        self.reader, self.writer = await asyncio.open_unix_connection(
            sock=theirs, limit=wire.MAX_REPLY
        )

    async def call(self, call: wire.AnyCall) -> Any:
        self._number += 1
        self.writer.write(wire.encode(wire.Request(1, self._number, call)))
        while True:
            reply = await self.reply()
            if reply.event is None:
                assert reply.id == self._number
                if reply.error:
                    raise ControlError(reply.error)
                return reply.result
            self.events.append(reply.event)

    async def reply(self) -> wire.Reply:
        async with asyncio.timeout(5):
            return wire.decode_reply(await self.reader.readline())

    async def event(self) -> dict[str, Any]:
        if self.events:
            return self.events.pop(0)
        reply = await self.reply()
        assert reply.event is not None, reply
        return reply.event


def person(name: str, *roles: str, agent: str = "") -> Operator:
    return Operator("", name, frozenset(roles), f"https://idp#{name}", agent=agent)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    desk = Desk(tmp_path, ())
    desk.policy = parse_policy(POLICY, "p.yaml")
    await desk.service.start()
    yield desk
    await desk.close()


@pytest.fixture
async def caller(desk: Desk) -> AsyncIterator[Any]:
    opened: list[Caller] = []

    async def open_as(name: str, *roles: str, agent: str = "") -> Caller:
        one = Caller(desk, person(name, *roles, agent=agent))
        opened.append(one)
        await one.open()
        return one

    yield open_as
    for one in opened:
        one.writer.close()
        with contextlib.suppress(ConnectionError):
            await one.writer.wait_closed()


async def test_somebody_over_ssh_is_their_identity_and_no_account(desk: Desk, caller: Any) -> None:
    welcome = await (await caller("wendy", "watcher")).call(wire.Hello())
    assert (welcome["user"], welcome["name"]) == ("", "wendy")
    assert welcome["may"] == ["follow", "kill", "list"]


async def test_who_has_no_right_sees_nothing_and_may_nothing(desk: Desk, caller: Any) -> None:
    eve = await caller("eve", "dev")
    approval = desk.ask(approvers=("lead",))
    assert await eve.call(wire.ListApprovals()) == []
    for call in (
        wire.GetStatus(),
        wire.GetContext(approval),
        wire.Grant(approval, QUESTION.hash),
        wire.Kill("s1", "x"),
        wire.SetLock("identity", "alice", "x"),
        wire.RemoveLock("x"),
        wire.ListLocks(),
        wire.Revoke(7, "x"),
        wire.Follow("s1"),
        wire.BreakGlass(approval, "x"),
        wire.Withdraw(approval),
    ):
        with pytest.raises(ControlError):
            await eve.call(call)
    assert desk.live.ended == []
    assert len(desk.board.pending()) == 1
    assert desk.audited().count("control-refused") == 11


async def test_an_approver_sees_what_the_rule_names_them_for_alone(desk: Desk, caller: Any) -> None:
    lena = await caller("lena", "lead")
    approval = desk.ask(approvers=("lead",))
    desk.ask(approvers=("other",))
    [held] = await lena.call(wire.ListApprovals())
    assert (held["id"], held["decidable"]) == (approval, True)


async def test_an_agent_looks_and_decides_nothing(desk: Desk, caller: Any) -> None:
    agent = await caller("lena", "lead", agent="robot")
    approval = desk.ask(approvers=("lead",))
    [held] = await agent.call(wire.ListApprovals())
    assert not held["decidable"]
    with pytest.raises(ControlError, match="agent decides nothing"):
        await agent.call(wire.Grant(approval, QUESTION.hash))


async def test_watchers_are_told_only_what_they_may_see(desk: Desk, caller: Any) -> None:
    lena, wendy = await caller("lena", "lead"), await caller("wendy", "watcher")
    for one in (lena, wendy):
        await one.call(wire.Watch())
    for target in ("db-1", "web", "db-2"):
        subject = Subject("https://idp#x", frozenset(), (target,))
        desk.feed.publish(Happening("channel-opened", 1.0, subject, {"target": target}))
    assert [(await lena.event())["target"] for _ in range(2)] == ["db-1", "db-2"]
    assert (await wendy.event())["target"] == "web"


async def test_a_watcher_may_call_in_between(desk: Desk, caller: Any) -> None:
    wendy = await caller("wendy", "watcher")
    await wendy.call(wire.Watch())
    desk.ask(approvers=("watcher",))
    assert len(await wendy.call(wire.ListApprovals())) == 1
    assert (await wendy.event())["kind"] == "approval-asked"


def data(screen: dict[str, Any]) -> bytes:
    return msgspec.convert(screen, wire.ScreenShown).data


async def test_a_live_screen_is_joined_late_and_followed(desk: Desk, caller: Any) -> None:
    tail = desk.live.shown["c1"] = Tail(80, 24)
    tail.feed(b"before\r\n")
    wendy = await caller("wendy", "watcher")
    following = await wendy.call(wire.Follow("s1"))
    assert data(following["screen"]) == b"before\r\n"
    tail.feed(b"after")
    tail.resize(100, 30)
    event = await wendy.event()
    assert data(event["screen"]) == b"after"
    assert (event["screen"]["columns"], event["reset"]) == (100, False)
    await wendy.call(wire.Unfollow())
    assert "follow-ended" in desk.audited()


async def test_a_follower_whose_right_is_taken_sees_no_more(desk: Desk, caller: Any) -> None:
    tail = desk.live.shown["c1"] = Tail(80, 24)
    wendy = await caller("wendy", "watcher")
    await wendy.call(wire.Follow("s1", "c1"))
    desk.policy = parse_policy(POLICY.replace("list, follow, kill", "list"), "p.yaml")
    tail.feed(b"secret")
    event = await wendy.event()
    assert (event["screen"], event["ended"]) == (None, True)


async def test_a_slow_follower_is_shown_anew_and_holds_nothing_up(desk: Desk, caller: Any) -> None:
    tail = desk.live.shown["c1"] = Tail(80, 24)
    wendy = await caller("wendy", "watcher")
    await wendy.call(wire.Follow("s1"))
    for number in range(20_000):
        tail.feed(b"line %d\r\n" % number)
    event = await wendy.event()
    assert event["reset"]
    assert data(event["screen"]).endswith(b"line 19999\r\n")


async def test_the_context_shows_the_screen_and_the_past_to_who_decides(
    desk: Desk, caller: Any
) -> None:
    tail = desk.live.shown["c1"] = Tail(80, 24)
    tail.feed(b"$ rm x")
    lena, wendy = await caller("lena", "lead"), await caller("bo", "dev")
    approval = desk.ask(approvers=("lead",))
    context = await lena.call(wire.GetContext(approval))
    assert data(context["screen"]) == b"$ rm x"
    with pytest.raises(ControlError):
        await wendy.call(wire.GetContext(approval))


async def test_consoles_over_ssh_are_counted_and_come_free(desk: Desk) -> None:
    def attach(name: str) -> socket.socket:
        return desk.service.attach(lambda: person(name))

    opened = [attach(f"p{number // 8}") for number in range(64)]
    with pytest.raises(ControlError, match="Too many consoles are open"):
        attach("late")
    opened.pop().close()
    async with asyncio.timeout(5):
        while True:
            with contextlib.suppress(ControlError):
                opened.append(attach("late"))
                break
            await asyncio.sleep(0)
    for one in opened:
        one.close()


async def test_one_person_does_not_keep_the_others_out(desk: Desk) -> None:
    opened = [desk.service.attach(lambda: person("eve")) for _ in range(8)]
    with pytest.raises(ControlError, match="You have too many"):
        desk.service.attach(lambda: person("eve"))
    opened.append(desk.service.attach(lambda: person("olga")))
    for one in opened:
        one.close()


async def test_a_caller_who_hangs_up_before_the_answer_is_let_go_at_once(desk: Desk) -> None:
    for number in range(300):
        desk.ledger.add_lock("target", f"t{number}", "x" * 1900, None, "root", 1.0)
    root = Operator("root", "root", machine=True)
    theirs = desk.service.attach(lambda: root)
    theirs.sendall(wire.encode(wire.Request(1, 1, wire.ListLocks())) * 3)
    theirs.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_recv(theirs, 1)
    theirs.close()
    async with asyncio.timeout(5):  # half of what a stalled reader is given
        while desk.service._attached.total():
            await asyncio.sleep(0.01)


async def test_who_granted_equals_takes_them_back_and_a_namesake_does_not(
    desk: Desk, caller: Any
) -> None:
    lena, namesake = await caller("lena", "lead"), await caller("other", "watcher")
    namesake.operator = replace(namesake.operator, name="lena")
    approval = desk.ask(approvers=("lead",), repeat=600.0)
    await lena.call(wire.Grant(approval, QUESTION.hash, "", 600.0))
    assert [one["id"] for one in await namesake.call(wire.ListGrants())] == [approval]
    with pytest.raises(ControlError, match="no right to revoke"):
        await namesake.call(wire.RevokeGrant(approval, "x"))
    assert [one["id"] for one in await lena.call(wire.ListGrants())] == [approval]
    await lena.call(wire.RevokeGrant(approval, "enough"))
    assert desk.board.repeats() == ()
