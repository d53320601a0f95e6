"""A control service on real stores, with a clock that stands still at 200 s."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pwd
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from bastion.control.calls import Parts
from bastion.control.client import ControlClient
from bastion.control.service import ControlService
from bastion.control.telling import tell_approvals
from bastion.events import Outcome
from bastion.policy.approvals import Operator, Question
from bastion.policy.rights import Subject
from bastion.policy.rules import ApprovalTerms, Policy
from bastion.store import auditfile
from bastion.store.access import AccessGrants
from bastion.store.approvals import Approvals
from bastion.store.audit import AuditLog
from bastion.store.feed import Feed, Happening
from bastion.store.ledger import Ledger
from bastion.store.locks import Lock
from bastion.store.state import StateDirectory
from bastion.tap.tail import Tail
from bastion.wire import control as wire

T = TypeVar("T")
QUESTION = Question(
    identity="https://idp#17",
    name="alice",
    target="web",
    login="root",
    request=b"rm \xff\x1b[2J",
    facts=(("parse", "rm \udcff"), ("rule", "r")),
    session_id="s1",
    channel_id="c1",
    asked_at=100.0,
    expires_at=1000.0,
)
ME = pwd.getpwuid(os.geteuid()).pw_name


@dataclass
class Live:
    """A SessionDirectory of names."""

    names: set[str] = field(default_factory=lambda: {"s1", "s2"})
    ended: list[str] = field(default_factory=list)
    shown: dict[str, Tail] = field(default_factory=dict)

    def enforce(self) -> None:
        self.ended.append("enforced")

    def subject(self, session_id: str) -> Subject | None:
        whose = Subject("https://idp#17", frozenset({"dev"}), ("web",))
        return whose if session_id in self.names else None

    def tails(self, session_id: str) -> Mapping[str, Tail]:
        return self.shown if session_id in self.names else {}

    def kill(self, session_id: str, reason: str) -> bool:
        if session_id not in self.names:
            return False
        self.names.remove(session_id)
        self.ended.append(reason)
        return True

    def end_matching(self, lock: Lock) -> int:
        if lock.value not in self.names | {"7"}:
            return 0
        self.ended.append(lock.value)
        return 1


class Desk:
    def __init__(self, folder: Path, operators: tuple[Operator, ...], **options: Any) -> None:
        self.state = StateDirectory(folder / "state")
        self.path = self.state.control_socket
        self.ledger = Ledger(self.state.database)
        self.audit = AuditLog(self.state.audit)
        self.board = Approvals(self.ledger, self.audit, lambda: 200.0)
        self.live = Live()
        self.ends: list[tuple[Outcome, tuple[str, ...], str]] = []
        self.feed = Feed()
        self.access = AccessGrants(self.ledger, self.audit, lambda: 200.0)
        self.policy = Policy("p", {}, {}, ())
        tell_approvals(self.board, self.feed, lambda: 200.0)
        parts = Parts(
            self.board,
            self.ledger,
            self.audit,
            self.access,
            self.feed,
            lambda: self.policy,
            self.live,
            lambda: 200.0,
            self.state,
        )
        self.service = ControlService(self.path, parts, operators, **options)

    def publish(self, kind: str, **fields: object) -> None:
        self.feed.publish(Happening(kind, 200.0, Subject("https://idp#17"), fields))

    def ask(self, **terms: Any) -> str:
        return self.board.ask(QUESTION, ApprovalTerms(**terms), lambda *end: self.ends.append(end))

    async def call(self, call: wire.AnyCall, shape: type[T]) -> T:
        def once() -> T:
            with ControlClient(self.path, timeout=5) as client:
                return client.call(call, shape)

        return await asyncio.to_thread(once)

    async def say(self, *lines: bytes) -> list[dict[str, Any]]:
        """Send raw bytes, then read all that comes until the service hangs up."""
        reader, writer = await asyncio.open_unix_connection(self.path)
        with contextlib.suppress(ConnectionError):
            for line in lines:
                writer.write(line)
            await writer.drain()
            writer.write_eof()
        async with asyncio.timeout(10):
            replies = await reader.read()
        writer.close()
        return [json.loads(line) for line in replies.splitlines()]

    def audited(self) -> list[str]:
        entries = auditfile.read_entries(self.state.audit / auditfile.LOG)
        return [entry.kind for _, entry in entries if isinstance(entry, auditfile.Entry)]

    async def close(self) -> None:
        await self.service.stop()
        self.ledger.close()
        self.audit.close(1.0)
