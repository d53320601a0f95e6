"""Open the target's side of a channel: exactly the request that was decided, and nothing more."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Final

import asyncssh

from bastion.errors import DialError
from bastion.model import (
    ExecRequest,
    ForwardKind,
    ForwardRequest,
    Request,
    Secret,
    ShellRequest,
    SubsystemRequest,
    TargetKind,
    visible,
)
from bastion.ssh.drive import Drive
from bastion.ssh.ends import TargetEnd
from bastion.ssh.session import Place, Session
from bastion.target.channel import TargetForward, TargetSession, TargetUnixForward
from bastion.target.dial import TargetConnection

OPEN_SECONDS: Final = 30.0
"""How long the other side may take to open a channel and accept its request."""


@dataclass(frozen=True, slots=True)
class Terminal:
    """The client's pty: TERM, (columns, rows, pixel width, pixel height), RFC 4254 §8 modes."""

    term: str
    size: tuple[int, int, int, int]
    modes: dict[int, int]


@dataclass(slots=True)
class X11:
    """A granted X11 forward."""

    authority_path: str
    single: bool
    display: str = ""


class Dialler:
    """Dials for one channel (the drive's `Dialler`)."""

    def __init__(
        self,
        session: Session,
        place: Place,
        environment: dict[str, str] | None = None,
        terminal: Terminal | None = None,
        x11: X11 | None = None,
    ) -> None:
        self._session = session
        self._place = place
        self._environment = environment or {}
        self._terminal = terminal
        self._x11 = x11
        self._target: TargetSession | None = None
        self.agent_path = ""

    async def dial(self, request: Request, drive: Drive) -> None:
        """Open the target's channel; the drive is attached before the first byte."""
        if self._place.target.kind is not TargetKind.SSH:
            name = self._place.target.name
            port = 5432 if self._place.target.kind is TargetKind.POSTGRES else "PORT"
            raise DialError(f"{name} has no shell; forward to it: ssh -N -L {port}:{name}:{port}.")
        if self._place.target.host == "":
            raise DialError(f"there is no target {self._place.target.name}.")
        connection, secrets = await self._session.connection_to(self._place, self.agent_path)
        name = self._place.target.name
        try:
            await self._open(connection, request, drive, secrets)
        except TimeoutError:
            raise DialError(f"target {name} did not open the channel in time.") from None
        except asyncssh.ChannelOpenError as error:
            if connection.lost.is_set():
                raise DialError(f"target {name} broke off.") from error
            said = visible(error.reason, limit=200)
            raise DialError(f"target {name} refused it: {said}.") from error
        except (OSError, asyncssh.Error) as error:
            raise DialError(f"target {name} broke off.") from error
        except UnicodeEncodeError as error:
            raise DialError("the command has bytes that are not UTF-8.") from error

    async def _open(
        self,
        connection: TargetConnection,
        request: Request,
        drive: Drive,
        secrets: tuple[Secret, ...],
    ) -> None:
        if isinstance(request, ForwardRequest):
            await self._open_forward(connection, request, drive)
        else:
            await self._open_session(connection, request, drive, secrets)

    def _attach(self, side: TargetSession, drive: Drive, secrets: tuple[Secret, ...]) -> None:
        drive.attach(side, secrets)

    async def _open_session(
        self,
        connection: TargetConnection,
        request: Request,
        drive: Drive,
        secrets: tuple[Secret, ...],
    ) -> None:
        assert connection.connection is not None
        assert isinstance(request, ExecRequest | ShellRequest | SubsystemRequest)
        side = TargetSession(drive, connection, lambda: self._attach(side, drive, secrets))
        self._target = side
        terminal, x11 = self._terminal, self._x11
        await opened(
            side,
            connection.connection.create_session(
                lambda: side,
                request.command if isinstance(request, ExecRequest) else None,
                subsystem=request.name if isinstance(request, SubsystemRequest) else None,
                env=[f"{name}={value}" for name, value in self._environment.items()],
                send_env=(),
                request_pty="force" if terminal else False,
                term_type=terminal.term if terminal else None,
                term_size=terminal.size if terminal else (),
                term_modes=terminal.modes if terminal else {},
                x11_forwarding=x11 is not None and bool(x11.display),
                x11_display=x11.display if x11 else None,
                x11_auth_path=x11.authority_path if x11 else None,
                x11_single_connection=x11.single if x11 else False,
                encoding=None,
            ),
        )
        if self._terminal is not None and self._terminal is not terminal:
            side.resize(*self._terminal.size)  # the window changed meanwhile

    async def _open_forward(
        self, connection: TargetConnection, request: ForwardRequest, drive: Drive
    ) -> None:
        ssh = connection.connection
        assert ssh is not None
        if request.kind is ForwardKind.DIRECT_STREAMLOCAL:
            unix = TargetUnixForward(drive, connection, lambda: drive.attach(unix))
            await opened(unix, ssh.create_unix_connection(lambda: unix, request.host))
        else:
            tcp = TargetForward(drive, connection, lambda: drive.attach(tcp))
            await opened(tcp, ssh.create_connection(lambda: tcp, request.host, request.port))

    # --- what rides on a session channel beside its bytes ---------------------------------------

    def resize(self, columns: int, rows: int, width: int, height: int) -> None:
        """Pass a window change on, or keep it for the dialling that is under way."""
        if self._terminal is not None:
            size = (columns, rows, width, height)
            self._terminal = Terminal(self._terminal.term, size, self._terminal.modes)
        if self._target is not None:
            self._target.resize(columns, rows, width, height)

    def end_of_write(self) -> None:
        """Nobody reads what the target's program writes."""
        if self._target is not None:
            self._target.end_of_write()

    def signal(self, name: str) -> bool:
        """Pass a signal on; False where nothing was dialled yet."""
        if self._target is not None:
            self._target.signal(name)
        return self._target is not None

    def send_break(self, milliseconds: int) -> bool:
        """Pass a break on."""
        if self._target is not None:
            self._target.send_break(milliseconds)
        return self._target is not None


async def opened(side: TargetEnd, opening: Coroutine[Any, Any, object]) -> None:
    """Wait until the target has opened the channel.

    Whoever gives up (the channel ended, the time is over) closes it all the same, for a target
    may already run what was asked. asyncssh leaves a cancelled one open, so it is never cancelled.
    """
    task = asyncio.ensure_future(opening)
    try:
        async with asyncio.timeout(OPEN_SECONDS):
            await asyncio.shield(task)
    except BaseException:
        side.close()
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        raise
