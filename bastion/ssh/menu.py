"""The bastion's own commands over SSH: `ssh bastion`, `ssh bastion whoami`, its console, …

They run as the identity that logged in, and are recorded like everything else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import asyncssh

from bastion.errors import BastionError
from bastion.events import EndReason, Exit, Stream
from bastion.model import EXIT_REFUSED, ExecRequest, Request, ShellRequest, Target
from bastion.ssh.channel import open_record
from bastion.ssh.client_side import SessionSide
from bastion.ssh.commands import EXIT_USAGE, Shown, Usage, split
from bastion.ssh.connection import BastionConnection
from bastion.ssh.menu_commands import run
from bastion.ssh.record import Record
from bastion.ssh.session import Place, Session
from bastion.ssh.terminal_app import PROGRAMS, RESTORE, TerminalApp

EXIT_INTERRUPTED = 130


class MenuChannel(SessionSide, asyncssh.SSHServerSession[bytes]):
    """A session channel that goes to no target."""

    def __init__(self, session: Session, connection: BastionConnection) -> None:
        super().__init__(session, connection)
        self._id = session.next_channel()
        self._columns, self._rows = 100, 24
        self._term = ""
        self._request: Request = ShellRequest(pty=False)
        self._task: asyncio.Task[None] | None = None
        self._app: TerminalApp | None = None
        self._not_at_end: Callable[[], None] = lambda: None

    def connection_made(self, chan: asyncssh.SSHServerChannel[bytes]) -> None:
        """The channel is open."""
        self._chan = chan

    def requested(self, name: str) -> None:
        """Every channel request leaves an event."""
        self._session.note("channel-request", channel=self._id, name=name)

    async def permit_agent(self) -> bool:
        """There is no target to forward an agent to."""
        return False

    async def permit_x11(self, single: bool) -> bool:
        """Nor a display."""
        return False

    def pty_requested(
        self, term_type: str, term_size: tuple[int, int, int, int], term_modes: object
    ) -> bool:
        """A terminal gets colours and its own width."""
        self._pty = True
        self._term = "".join(c for c in term_type if c.isalnum() or c in "-+._")[:64]
        self._columns, self._rows = _clamped(term_size[0], term_size[1])
        return True

    def shell_requested(self) -> bool:
        """`ssh bastion`."""
        return True

    def exec_requested(self, command: str) -> bool:
        """`ssh bastion COMMAND`."""
        self._request = ExecRequest(command, pty=self._pty)
        return True

    def session_started(self) -> None:
        """Answer and close, or hand the channel to a screen."""
        try:
            words = split(self._request.command if isinstance(self._request, ExecRequest) else "")
            record = self._open_record()
        except Usage as usage:
            self.show(str(usage).encode(), Stream.STDERR)
            self.exit(Exit(EndReason.DENIED, EXIT_USAGE))
            return
        except BastionError as error:
            self.tell(str(error))
            self.exit(Exit(EndReason.RECORDING_FAILED, EXIT_REFUSED))
            return
        if words[:1] and words[0] in PROGRAMS and self._pty:
            self._start_screen(words, record)
        else:
            self._task = asyncio.get_running_loop().create_task(self._answer(words, record))
            self._not_at_end = self._session.at_end(self._session_ended)

    def _open_record(self) -> Record:
        return open_record(
            self._session,
            Place(Target(name="bastion"), ""),
            self._id,
            self._request,
            text=True,
            columns=self._columns,
            rows=self._rows,
            term=self._term,
        )

    # --- a command ----------------------------------------------------------------------------

    async def _answer(self, words: list[str], record: Record) -> None:
        shown = Shown(self._columns, self._pty, lambda text: self._print(record, text))
        clock = self._session.services.clock
        reason = EndReason.FINISHED
        try:
            answer = await run(self._session, words, shown)
            self._print(record, answer.stdout, Stream.STDOUT)
            self._print(record, answer.stderr)
            status = answer.status
        except asyncio.CancelledError:
            reason, status = EndReason.CLIENT_LEFT, EXIT_INTERRUPTED
        except BastionError as error:
            self.tell(str(error))
            reason, status = EndReason.RECORDING_FAILED, EXIT_REFUSED
        ended = Exit(reason, status)
        record.close(clock(), ended, 0, "")
        self._not_at_end()
        self.exit(ended)

    def _print(self, record: Record, text: str, stream: Stream = Stream.STDERR) -> None:
        if text:
            data = text.replace("\n", "\r\n" if self._pty else "\n").encode()
            record.output(self._session.services.clock(), data, stream)
            self.show(data, stream)

    def _session_ended(self, text: str) -> None:
        if text:
            self.tell(text)
        if self._task is not None:
            self._task.cancel()

    def phrase(self, text: str) -> bytes:
        """A sentence of the bastion, on a terminal that a screen was drawn on before."""
        said = super().phrase(text)
        return RESTORE + said if self._app is not None else said

    # --- a screen -----------------------------------------------------------------------------

    def _start_screen(self, words: list[str], record: Record) -> None:
        self._app = TerminalApp(self._session, words, self._term, self._columns, self._rows)
        self.drive = self._app.drive(self, record)
        self._session.drives.add(self.drive)
        self.watch_pace()
        self.drive.start(self._request)

    def data_received(self, data: bytes, datatype: int | None) -> None:
        """Keys for the screen; ctrl-C ends a command that waits."""
        if self.drive is not None:
            self.drive.from_client(data)
        elif self._pty and b"\x03" in data and self._task is not None:
            self._task.cancel()

    def terminal_size_changed(self, width: int, height: int, pixwidth: int, pixheight: int) -> None:
        """A new window size."""
        self._columns, self._rows = _clamped(width, height)
        if self.drive is not None and self._app is not None:
            self.drive.resized(self._columns, self._rows)
            self._app.resize(self._columns, self._rows)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client left."""
        self._not_at_end()
        if self._task is not None:
            self._task.cancel()
        super().connection_lost(exc)


def _clamped(columns: int, rows: int) -> tuple[int, int]:
    """A size that screens and tables can be drawn in; 0 stands for a client that does not know."""
    return max(40, min(columns or 80, 500)), max(2, min(rows or 24, 500))
