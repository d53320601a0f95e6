"""One caller's connection: its calls in their order, and what it watches in between."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any

from bastion.control.calls import Calls, Parts
from bastion.control.follow import Follower
from bastion.control.outbox import Outbox
from bastion.errors import BastionError, ControlError, StoreError
from bastion.policy.approvals import Operator
from bastion.wire import control as wire

log = logging.getLogger(__name__)


class Connection:
    """Serves one caller until it leaves, breaks the protocol, or does not read."""

    def __init__(
        self,
        calls: Calls,
        parts: Parts,
        operator: Callable[[], Operator],
        user: str,
        writer: asyncio.StreamWriter,
    ) -> None:
        """`operator` is asked at every call: roles may be given and taken while it is open."""
        self.operator = operator
        self.watches = False
        self._calls = calls
        self._parts = parts
        self._user = user
        self._writer = writer
        self._outbox = Outbox(writer)
        self._follower: Follower | None = None

    async def serve(self, reader: asyncio.StreamReader, idle: float | None) -> None:
        """Answer calls; ends with the connection. `idle` is for those who watch nothing."""
        this = asyncio.current_task()
        assert this is not None
        sending = asyncio.get_running_loop().create_task(self._outbox.run())
        sending.add_done_callback(lambda _: self._abort())
        try:
            while line := await self._read_line(reader, idle):
                if not await self._answer(line):
                    break
            await self._outbox.flush()
        finally:
            self._unfollow()
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    def tell(self, event: dict[str, Any]) -> None:
        """Send an event; a watcher who is too far behind is hung up on instead."""
        if not self._outbox.put(_line(event)):
            self.watches = False
            self._abort()

    def _abort(self) -> None:
        if not self._writer.is_closing():
            self._writer.transport.abort()

    async def _read_line(self, reader: asyncio.StreamReader, idle: float | None) -> bytes:
        """One whole line; nothing at the end, after a long silence, or after too long a line."""
        try:
            looking_on = self.watches or self._follower is not None
            async with asyncio.timeout(None if looking_on else idle):
                line = await reader.readline()
        except TimeoutError:
            return b""
        except ValueError:
            await self._reject("A control message is too long.")
            return b""
        return line if line.endswith(b"\n") else b""

    async def _answer(self, line: bytes) -> bool:
        try:
            request = wire.decode_request(line)
        except ControlError as error:
            await self._reject(str(error))
            return False
        await self._outbox.put_answer(wire.encode(self._reply(request)))
        return True

    def _reply(self, request: wire.Request) -> wire.Reply:
        operator = self.operator()
        try:
            result = self._perform(operator, request.call)
        except BastionError as error:
            with contextlib.suppress(StoreError):
                self._parts.audit.append(
                    "control-refused", self._parts.clock(), operator=operator.id, why=str(error)
                )
            return wire.Reply(wire.VERSION, request.id, error=str(error))
        except Exception:
            log.exception("control call of %s", operator.id)
            return wire.Reply(wire.VERSION, request.id, error="The bastion failed on this call.")
        return wire.Reply(wire.VERSION, request.id, result=result)

    def _perform(self, operator: Operator, call: wire.AnyCall) -> object:
        match call:
            case wire.Watch():
                self._calls.note(operator, call)
                self.watches = True
                return self._calls.welcome(operator, call)
            case wire.Follow():
                self._calls.note(operator, call)
                return self._follow(operator, call)
            case wire.Unfollow():
                self._calls.note(operator, call)
                return wire.Ended(self._unfollow())
        return self._calls.answer(operator, call)

    def _follow(self, operator: Operator, call: wire.Follow) -> wire.Following:
        channel, tail = self._calls.screen(operator, call)
        self._unfollow()
        self._follower = Follower(
            call.session,
            channel,
            tail,
            self._outbox,
            lambda: self._calls.may_follow(self.operator(), call.session),
            _line,
        )
        return self._follower.beginning()

    def _unfollow(self) -> int:
        follower, self._follower = self._follower, None
        if follower is None:
            return 0
        follower.stop()
        with contextlib.suppress(StoreError):
            self._parts.audit.append(
                "follow-ended",
                self._parts.clock(),
                operator=self.operator().id,
                session=follower.session_id,
                channel=follower.channel,
            )
        return 1

    async def _reject(self, why: str) -> None:
        with contextlib.suppress(StoreError):
            self._parts.audit.append(
                "control-rejected", self._parts.clock(), user=self._user, why=why
            )
        await self._outbox.put_answer(wire.encode(wire.Reply(wire.VERSION, 0, error=why)))


def _line(event: dict[str, Any]) -> bytes:
    return wire.encode(wire.Reply(wire.VERSION, 0, event=event))
