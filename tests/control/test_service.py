import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from bastion.control.client import ControlClient
from bastion.errors import ControlError
from bastion.events import Outcome
from bastion.model import Identity
from bastion.policy.approvals import Operator
from bastion.store.audit import AuditLog
from bastion.store.state import StateDirectory
from bastion.wire import control as wire
from tests.control.desk import ME, QUESTION, Desk

Start = Callable[..., Any]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    desks: list[Desk] = []

    async def starter(*operators: Operator, **options: Any) -> Desk:
        desk = Desk(tmp_path, operators, **options)
        desks.append(desk)
        await desk.service.start()
        return desk

    yield starter
    for desk in desks:
        await desk.close()


async def held(desk: Desk) -> wire.HeldRequest:
    [shown] = await desk.call(wire.ListApprovals(), list[wire.HeldRequest])
    return shown


async def test_our_own_user_is_an_operator_without_roles(start: Start) -> None:
    desk = await start()
    welcome = await desk.call(wire.Hello(), wire.Welcome)
    assert (welcome.user, welcome.name, welcome.roles) == (ME, ME, ())
    assert desk.path.stat().st_mode & 0o777 == 0o600


async def test_a_held_request_is_shown_exactly_and_granted_by_its_hash(start: Start) -> None:
    desk = await start()
    approval_id = desk.ask()
    shown = await held(desk)
    assert shown.question() == QUESTION
    assert shown.question().hash == QUESTION.hash
    with pytest.raises(ControlError, match="shown"):
        await desk.call(wire.Grant(approval_id, "0" * 64), wire.Answered)
    answered = await desk.call(wire.Grant(approval_id, QUESTION.hash, "ok"), wire.Answered)
    assert answered == wire.Answered("granted", 0)
    await asyncio.sleep(0)
    assert desk.ends == [(Outcome.GRANTED, (ME,), "ok")]
    assert await desk.call(wire.ListApprovals(), list[wire.HeldRequest]) == []


async def test_a_refusal_with_its_reason(start: Start) -> None:
    desk = await start()
    await desk.call(wire.Refuse(desk.ask(), QUESTION.hash, "not now"), wire.Answered)
    await asyncio.sleep(0)
    assert desk.ends == [(Outcome.REFUSED, (ME,), "not now")]


async def test_terms_that_name_roles_need_an_operator_who_has_one(start: Start) -> None:
    desk = await start()
    approval_id = desk.ask(approvers=("lead",))
    with pytest.raises(ControlError, match="Only lead"):
        await desk.call(wire.Grant(approval_id, QUESTION.hash), wire.Answered)
    assert desk.audited()[-2:] == ["approval-answer-refused", "control-refused"]


async def test_an_operator_by_config_brings_roles(start: Start) -> None:
    desk = await start(Operator(ME, "Bob", frozenset({"lead"})))
    approval_id = desk.ask(approvers=("lead",))
    answered = await desk.call(wire.Grant(approval_id, QUESTION.hash), wire.Answered)
    assert answered.state == "granted"


@pytest.mark.parametrize(
    "operator", [Operator(ME, "Alice"), Operator(ME, "A.", identity="https://idp#17")]
)
async def test_the_requester_may_not_answer_by_way_of_the_socket(
    start: Start, operator: Operator
) -> None:
    desk = await start(operator)
    approval_id = desk.ask()
    for answer in (wire.Grant, wire.Refuse):
        with pytest.raises(ControlError, match="of their own"):
            await desk.call(answer(approval_id, QUESTION.hash), wire.Answered)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
async def test_who_is_no_operator_is_told_so_and_audited(start: Start) -> None:
    desk = await start(mode=0o666)
    become = """
import os, socket, sys
os.chdir(sys.argv[1])  # while still root: the folders above belong to root alone
os.setuid(65534)
caller = socket.socket(socket.AF_UNIX)
caller.connect("control.sock")
print(caller.makefile().readline())
"""
    desk.state.path.chmod(0o711)
    words = [sys.executable, "-c", become, str(desk.state.path)]
    ran = await asyncio.to_thread(subprocess.run, words, capture_output=True, text=True)
    assert "nobody is no operator of this bastion." in ran.stdout, ran.stderr
    assert desk.audited() == ["control-rejected"]


async def test_sessions_are_listed_and_killed(start: Start) -> None:
    desk = await start()
    alice = Identity("https://idp", "17", "alice")
    desk.ledger.session_started("s1", alice, "192.0.2.1", "x", "direct", 1.0)
    rows = await desk.call(wire.ListSessions(), list[dict[str, Any]])
    assert [row["id"] for row in rows] == ["s1"]
    assert (await desk.call(wire.GetStatus(), wire.Status)).sessions == 1
    with pytest.raises(ControlError, match="reason is required"):
        await desk.call(wire.Kill("s1", " "), wire.Ended)
    assert await desk.call(wire.Kill("s1", "incident"), wire.Ended) == wire.Ended(1)
    assert desk.live.ended == [f"{ME}: incident"]
    with pytest.raises(ControlError, match="No live session"):
        await desk.call(wire.Kill("s1", "incident"), wire.Ended)


async def test_a_lock_ends_what_it_covers_and_can_be_taken_away(start: Start) -> None:
    desk = await start()
    done = await desk.call(wire.SetLock("session", "s2", "incident", 300.0), wire.LockSet)
    assert (done.ended, desk.live.ended) == (1, ["s2"])
    assert await desk.call(wire.ListLocks(), list[wire.LockShown]) == [done.lock]
    assert await desk.call(wire.RemoveLock(done.lock.id), wire.Ended) == wire.Ended(1)
    assert desk.ledger.locks(200.0) == ()
    for bad in (
        wire.SetLock("planet", "mars", "x"),
        wire.SetLock("target", "web", "x", 200.0),
        wire.SetLock("target", "", "x"),
        wire.RemoveLock("none"),
    ):
        with pytest.raises(ControlError):
            await desk.call(bad, wire.LockSet)


async def test_a_revoked_certificate_ends_its_sessions(start: Start) -> None:
    desk = await start()
    assert await desk.call(wire.Revoke(7, "lost"), wire.Ended) == wire.Ended(1)
    assert desk.ledger.is_revoked(7)


async def test_every_call_is_audited_and_an_unaudited_one_is_refused(start: Start) -> None:
    desk = await start()
    await desk.call(wire.Hello(), wire.Welcome)
    assert desk.audited() == ["control-call"]
    desk.audit.close(1.0)
    with pytest.raises(ControlError, match="audit"):
        await desk.call(wire.SetLock("target", "web", "x"), wire.LockSet)
    assert desk.ledger.locks(200.0) == ()
    desk.audit = AuditLog(desk.state.audit)


@pytest.mark.parametrize(
    "line",
    [
        b"hello\n",
        b"{}\n",
        b'{"version":2,"id":1,"call":{"method":"hello"}}\n',
        b'{"version":1,"id":1,"call":{"method":"hello","extra":1}}\n',
        b'{"version":1,"id":1,"call":{"method":"nothing"}}\n',
        b'{"version":1,"id":NaN,"call":{"method":"hello"}}\n',
        b'{"version":1,"id":1,"call":{"method":"revoke","serial":"7","reason":"x"}}\n',
        b"[" * 60_000 + b"\n",
        b"\xff\xfe\n",
        b"1" * 50_000 + b"\n",
    ],
)
async def test_nonsense_is_refused_audited_and_let_go(start: Start, line: bytes) -> None:
    desk = await start()
    good = wire.encode(wire.Request(1, 2, wire.Hello()))
    [reply] = await desk.say(line, good)
    assert "control" in reply["error"]
    assert desk.audited() == ["control-rejected"]


async def test_a_line_without_end_is_refused(start: Start) -> None:
    desk = await start()
    with contextlib.suppress(ConnectionError):
        [reply] = await desk.say(b"x" * 1_000_000)
        assert "too long" in reply["error"]
    async with asyncio.timeout(5):
        while desk.audited() != ["control-rejected"]:
            await asyncio.sleep(0.01)


async def test_a_torn_call_does_nothing(start: Start) -> None:
    desk = await start()
    call = wire.encode(wire.Request(1, 1, wire.SetLock("target", "web", "x")))
    assert await desk.say(call[:-1]) == []
    assert desk.ledger.locks(200.0) == ()


async def test_a_long_answer_arrives_whole_after_the_caller_has_said_all(start: Start) -> None:
    desk = await start()
    reason = "x" * 1900
    for number in range(300):
        desk.ledger.add_lock("target", f"t{number}", reason, None, ME, 1.0)
    reader, writer = await asyncio.open_unix_connection(desk.path, limit=10_000_000)
    writer.write(wire.encode(wire.Request(1, 1, wire.ListLocks())))
    writer.write_eof()
    reply = wire.decode_reply(await reader.readline())
    assert [lock["value"] for lock in reply.result] == [f"t{number}" for number in range(300)]
    writer.close()


async def test_a_silent_caller_is_let_go(start: Start) -> None:
    desk = await start(idle=0.05)
    reader, writer = await asyncio.open_unix_connection(desk.path)
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    writer.close()


async def test_many_callers_at_once_and_no_more_than_that(start: Start) -> None:
    desk = await start()
    async with contextlib.AsyncExitStack() as opened:
        for _ in range(64):
            _, writer = await asyncio.open_unix_connection(desk.path)
            opened.callback(writer.close)
        with pytest.raises(ControlError, match="Too many"):
            await desk.call(wire.Hello(), wire.Welcome)
    async with asyncio.timeout(5):
        while True:
            with contextlib.suppress(ControlError):
                await desk.call(wire.Hello(), wire.Welcome)
                break


async def test_a_watcher_sees_what_happens_from_then_on(start: Start) -> None:
    desk = await start()
    seen: list[dict[str, Any]] = []
    watching = threading.Event()

    def watch() -> None:
        with ControlClient(desk.path, timeout=5) as client:
            events = client.events()
            for _ in range(3):
                if not watching.is_set():
                    watching.set()
                seen.append(next(events))

    watcher = asyncio.create_task(asyncio.to_thread(watch))
    async with asyncio.timeout(5):
        while "control-call" not in desk.audited():
            await asyncio.sleep(0.01)
        approval_id = desk.ask()
        desk.board.withdraw(approval_id, 201.0)
        desk.publish("session-started", session="s9")
        await watcher
    assert [event["kind"] for event in seen] == [
        "approval-asked",
        "approval-withdrawn",
        "session-started",
    ]
    assert seen[0]["approval"]["id"] == approval_id


async def test_a_watcher_who_does_not_read_is_let_go(start: Start) -> None:
    desk = await start()
    reader, writer = await asyncio.open_unix_connection(desk.path)
    writer.write(wire.encode(wire.Request(1, 1, wire.Watch())))
    await reader.readline()
    for _ in range(1200):
        desk.publish("noise", text="x" * 100)
    async with asyncio.timeout(5):
        lines = (await reader.read()).splitlines()
    assert len(lines) <= 1000
    writer.close()


async def test_after_the_stop_nobody_answers(start: Start) -> None:
    desk = await start()
    reader, writer = await asyncio.open_unix_connection(desk.path)
    writer.write(wire.encode(wire.Request(1, 1, wire.Hello())))
    await reader.readline()
    await desk.service.stop()
    assert await reader.read() == b""
    assert not desk.path.exists()
    with pytest.raises(ControlError, match="is it running"):
        await desk.call(wire.Hello(), wire.Welcome)
    writer.close()


async def test_a_socket_left_by_a_killed_bastion_is_replaced(start: Start, tmp_path: Path) -> None:
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as stale:
        stale.bind(str(StateDirectory(tmp_path / "state").control_socket))
    desk = await start()
    await desk.call(wire.Hello(), wire.Welcome)


ODD_CALLS = (
    b'{"method":"lock","kind":"session","value":"s1","reason":"x","until":1e999}',
    b'{"method":"lock","kind":"session","value":"s1","reason":"x","until":1e300}',
    b'{"method":"revoke","serial":340282366920938463463374607431768211456,"reason":"x"}',
    b'{"method":"revoke","serial":-1,"reason":"x"}',
    b'{"method":"sessions","limit":99999999999999999999999}',
    b'{"method":"recordings","since":1e999}',
    b'{"method":"recordings","text":"\\ud800abc"}',
    b'{"method":"recordings","identity":"\\ud800"}',
    b'{"method":"read-recording","session":"\\ud800","channel":"c1","file":"cast"}',
    b'{"method":"grant","approval":"x","hash":"y","repeat":1e999}',
    b'{"method":"context","approval":"\\ud800"}',
    b'{"method":"unlock","lock":"\\ud800"}',
)


@pytest.mark.parametrize("call", ODD_CALLS)
async def test_odd_numbers_and_texts_of_a_call_are_answered(
    start: Start, call: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    desk = await start()
    (reply,) = await desk.say(b'{"version":1,"id":7,"call":%s}\n' % call)
    assert ("error" in reply) is not ("result" in reply)
    assert not caplog.records
    # What nobody could be shown is in no list.
    (listed,) = await desk.say(b'{"version":1,"id":8,"call":{"method":"locks"}}\n')
    assert listed["result"] == []
