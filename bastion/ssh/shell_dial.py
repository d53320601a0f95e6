"""Dial a gated shell: the relay first, then the shell on the client's terminal."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from bastion.events import EndReason
from bastion.model import Dialect, ExecRequest, Request, Secret
from bastion.ssh.dialler import OPEN_SECONDS, Dialler, opened
from bastion.ssh.drive import Drive
from bastion.target.channel import TargetSession
from bastion.target.dial import TargetConnection
from bastion.target.shell import (
    SOURCE_START_UP,
    GatedShell,
    Relay,
    RelaySession,
    cannot_be_gated,
    relay_command,
    start_command,
    start_up_file,
)
from bastion.wire.shellcontrol import read_lines


@dataclass(frozen=True, slots=True)
class ShellStart:
    """How the shell is started on the target."""

    dialect: Dialect = Dialect.BASH
    own_files: bool = False
    environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


class ShellDialler(Dialler):
    """Dials for one gated shell."""

    def __init__(self, *args: Any, start: ShellStart, **arguments: Any) -> None:
        super().__init__(*args, **arguments)
        self._start = start
        self._relay_side: TargetSession | None = None

    async def _open(
        self,
        connection: TargetConnection,
        request: Request,
        drive: Drive,
        secrets: tuple[Secret, ...],
    ) -> None:
        directory = await self._open_relay(connection, drive)
        pty = self._terminal is not None
        command = start_command(self._start.dialect, directory, self._start.environment, pty=pty)
        try:
            await self._open_session(connection, ExecRequest(command, pty=pty), drive, secrets)
            if not pty and self._relay_side is not None:
                self._relay_side.send(read_lines(SOURCE_START_UP))
        except BaseException:
            assert self._relay_side is not None
            self._relay_side.close()
            raise

    def _attach(self, side: TargetSession, drive: Drive, secrets: tuple[Secret, ...]) -> None:
        assert self._relay_side is not None
        shell = GatedShell(side, self._relay_side)
        drive.attach(shell, secrets, shell.tell_shell)

    async def _open_relay(self, connection: TargetConnection, drive: Drive) -> str:
        """Give the private directory on the target, or raise DialError."""
        made: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        name = self._place.target.name

        def failed(why: str) -> None:
            if not made.done():
                made.set_exception(cannot_be_gated(name, why))

        def lost() -> None:
            drive.end(EndReason.TARGET_LEFT, f"the shell on {name} lost its relay.", 255)

        relay = Relay(drive.from_shell, lost, drive.target_lost)
        side = RelaySession(relay, connection)
        self._relay_side = side
        assert connection.connection is not None
        await opened(
            side,
            connection.connection.create_session(lambda: side, relay_command(), encoding=None),
        )
        script = start_up_file(self._start.dialect, own_files=self._start.own_files)
        relay.start(side, script, made=made.set_result, failed=failed)
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                return await made
        except BaseException:
            side.close()
            raise
