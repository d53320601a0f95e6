"""The client's side of a session channel: asyncssh's callbacks become events for the drive."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import asyncssh

from bastion.errors import BastionError
from bastion.events import EndReason, Exit
from bastion.gate.choose import choose
from bastion.gate.gate import Gate
from bastion.model import (
    EXIT_REFUSED,
    ExecRequest,
    ForwardKind,
    ForwardRequest,
    Request,
    ShellRequest,
    SubsystemRequest,
)
from bastion.policy.access import grant_for
from bastion.policy.rules import Action
from bastion.ssh.access_prompt import AccessPrompt, offer
from bastion.ssh.ask import Asker
from bastion.ssh.client_side import SessionSide
from bastion.ssh.connection import BastionConnection
from bastion.ssh.dialler import X11, Dialler, Terminal
from bastion.ssh.drive import Drive
from bastion.ssh.opening import open_record as open_record
from bastion.ssh.opening import permit as permit
from bastion.ssh.record import Record
from bastion.ssh.session import Place, Session, closed_to, deadline_of, file_scanner, masking_of
from bastion.ssh.shell_parts import GatedShellParts, gated_shell

UNMASK = "BASTION_UNMASK"
NOT_IN_SHELLS = (
    "a gated shell shows no secrets; ask for one command, with `ssh -o SetEnv=BASTION_UNMASK=1 …"
    " COMMAND`, or leave BASTION_UNMASK out."
)
"""People grant that secrets are shown for one thing that they see, not for all that may follow."""

TERM_LIMIT = 64
"""Characters of TERM that are kept; it goes into the cast's header and to the target."""


@dataclass(slots=True)
class _Pty:
    term: str
    size: tuple[int, int, int, int]
    modes: dict[int, int]


class ClientChannel(SessionSide, asyncssh.SSHServerSession[bytes]):
    """A session channel that goes to a target."""

    def __init__(self, session: Session, connection: BastionConnection, place: Place) -> None:
        super().__init__(session, connection)
        self._place = place
        self._id = session.next_channel()
        self._terminal: _Pty | None = None
        self._request: Request | None = None
        self._dialler: Dialler | None = None
        self._refused = ""
        self._x11: X11 | None = None
        self._agent = False
        self._clear = False
        """Whether it is to be shown with its secrets, should people grant that."""
        self._asking: asyncio.Task[object] | None = None
        self._prompt: AccessPrompt | None = None
        self._record: Record | None = None

    # --- before the request ---------------------------------------------------------------------

    def connection_made(self, chan: asyncssh.SSHServerChannel[bytes]) -> None:
        """The channel is open."""
        self._chan = chan

    def requested(self, name: str) -> None:
        """Every channel request leaves an event, known or not."""
        self._session.note("channel-request", channel=self._id, name=name)

    def pty_requested(
        self, term_type: str, term_size: tuple[int, int, int, int], term_modes: Mapping[int, int]
    ) -> bool:
        """A pty is a feature of the grant; without a grant the request is refused later."""
        services = self._session.services
        grant = grant_for(
            services.policy(), self._session.identity, self._place.target, self._place.login
        )
        if not self._session.permits("permit-pty") or (grant is not None and not grant.pty):
            self._session.note(
                "verdict",
                channel=self._id,
                request="pty",
                action=Action.DENY.value,
                rule="no-pty",
                reason="A terminal is not granted here.",
            )
            return False
        term = "".join(c for c in term_type if c.isalnum() or c in "-+._")[:TERM_LIMIT]
        self._terminal = _Pty(term, term_size, dict(term_modes))
        self._pty = True
        return True

    async def permit_agent(self) -> bool:
        """Decide agent forwarding."""
        self._agent = await self._permit(ForwardRequest(ForwardKind.AGENT))
        return self._agent

    async def permit_x11(self, single: bool) -> bool:
        """Decide X11 forwarding."""
        allowed = await self._permit(ForwardRequest(ForwardKind.X11))
        if allowed:
            self._x11 = X11(self._session.services.x11_authority_path, single)
        return allowed

    async def _permit(self, request: ForwardRequest) -> bool:
        self._asking = asyncio.current_task()
        try:
            return await permit(self._session, self._place, self._id, request, self.tell)
        finally:
            self._asking = None

    # --- the request ----------------------------------------------------------------------------

    def exec_requested(self, command: str) -> bool:
        """One command line."""
        return self._begin(ExecRequest(command, pty=self._pty))

    def shell_requested(self) -> bool:
        """An interactive shell, gated where the policy says so."""
        shell = gated_shell(self._session, self._place, self._tty())
        return self._begin(ShellRequest(pty=self._pty, gated=shell is not None), shell)

    def subsystem_requested(self, subsystem: str) -> bool:
        """A subsystem by name."""
        return self._begin(SubsystemRequest(subsystem))

    def _begin(self, request: Request, shell: GatedShellParts | None = None) -> bool:
        """Accept the request itself, so that a refusal can be told on stderr with its status."""
        self._request = request
        session, place = self._session, self._place
        self._refused = closed_to(session, place)
        if shell is not None and self._wants_clear():
            self._refused = self._refused or NOT_IN_SHELLS
            return True
        try:
            gate, text = (shell.gate, True) if shell is not None else self._choose(request)
            self._clear = text and self._wants_clear()
            self._record = self._open_record(request, text)
        except BastionError as error:
            self._refused = self._refused or str(error)
            return True
        self._make_drive(gate, shell, self._record)
        return True

    def _make_drive(self, gate: Gate, shell: GatedShellParts | None, record: Record) -> Drive:
        session, place = self._session, self._place
        if self._x11 is not None and self._chan is not None:
            self._x11.display = self._chan.get_x11_display() or ""
        make = Dialler if shell is None else shell.dialler
        self._dialler = make(session, place, self._environment(), self._tty(), self._x11)
        if self._agent:
            self._dialler.agent_path = self._connection.get_agent_path() or ""
        self.drive = Drive(
            gate=gate,
            client=self,
            dialler=self._dialler,
            asker=Asker(session, place, self._id),
            record=record,
            masking=masking_of(session, place, clear=self._clear),
            clock=session.services.clock,
            target_name=place.target.name,
            login=place.login,
            deadline=deadline_of(session, place),
            window=self._window(),
            shell=shell.side if shell is not None else None,
        )
        session.drives.add(self.drive)
        return self.drive

    def _choose(self, request: Request) -> tuple[Gate, bool]:
        session, place = self._session, self._place
        return choose(
            request,
            place.target.dialect,
            lambda asked: session.verdict(place, asked, clear=self._clear),
            lambda: file_scanner(session, place),
        )

    def _open_record(self, request: Request, text: bool) -> Record:
        terminal = self._terminal
        columns, rows = terminal.size[:2] if terminal else (80, 24)
        return open_record(
            self._session,
            self._place,
            self._id,
            request,
            text=text,
            columns=columns,
            rows=rows,
            term=terminal.term if terminal else "",
        )

    def _environment(self) -> dict[str, str]:
        assert self._chan is not None
        allowed, refused = {}, []
        for name, value in self._chan.get_environment().items():
            if name == UNMASK:
                continue
            if self._session.wants_environment(self._place, name):
                allowed[name] = value
            else:
                refused.append(name)
        if refused:
            self._session.note("environment-refused", channel=self._id, names=sorted(refused)[:50])
        return allowed

    def _wants_clear(self) -> bool:
        """Whether the client asks for secrets in clear: `ssh -o SetEnv=BASTION_UNMASK=1`."""
        return self._chan is not None and UNMASK in self._chan.get_environment()

    def _window(self) -> tuple[int, int]:
        """Columns and rows; a client that does not say has what terminals begin with."""
        if self._terminal is None:
            return 0, 0
        columns, rows = self._terminal.size[:2]
        return columns or 80, rows or 24

    def _tty(self) -> Terminal | None:
        if self._terminal is None:
            return None
        return Terminal(self._terminal.term, self._terminal.size, self._terminal.modes)

    def session_started(self) -> None:
        """The client knows that its request was taken; now decide it."""
        assert self._request is not None
        if self.drive is None or self._refused:
            self.tell(self._refused)
            self._session.note("channel-refused", channel=self._id, reason=self._refused)
            if self.drive is not None:
                self.drive.end(EndReason.LOCKED, "")
                self._session.drives.discard(self.drive)
            self.exit(Exit(EndReason.RECORDING_FAILED, EXIT_REFUSED))
            return
        self.watch_pace()
        entry = offer(self._session, self._place, self._request)
        if entry is None:
            self.drive.start(self._request)
        else:
            say = self.drive.say
            self._prompt = AccessPrompt(self._session, self._place, entry, say, self._asked)

    def _asked(self, granted: bool) -> None:
        """Access was asked for at the prompt; the gate decides by what holds now."""
        self._prompt = None
        drive, request, record = self.drive, self._request, self._record
        if drive is None or request is None or record is None or drive.ended is not None:
            return
        if not granted:
            drive.end(EndReason.DENIED, "")
            return
        # All of it anew: which gate a shell gets, the environment, masks and deadline are the
        # grant's to say, and there was none when the channel began.
        self._session.drives.discard(drive)
        shell = None
        if isinstance(request, ShellRequest):
            shell = gated_shell(self._session, self._place, self._tty())
            request = ShellRequest(pty=request.pty, gated=shell is not None)
        gate = shell.gate if shell is not None else self._choose(request)[0]
        self._make_drive(gate, shell, record).start(request)

    def nobody_reads(self) -> None:
        """Tell the target, so that its program gets SIGPIPE; what still comes is neither shown nor
        recorded, for nobody sees it."""
        if self.drive is not None and self._dialler is not None:
            self.drive.nobody_reads()
            self._dialler.end_of_write()

    # --- bytes ----------------------------------------------------------------------------------

    def data_received(self, data: bytes, datatype: int | None) -> None:
        """Bytes of the client."""
        if self._prompt is not None:
            self._prompt.typed(data)
        elif self.drive is not None:
            self.drive.from_client(data)

    def terminal_size_changed(self, width: int, height: int, pixwidth: int, pixheight: int) -> None:
        """A new window size."""
        if self.drive is not None and self._dialler is not None:
            self.drive.resized(width, height)
            self._dialler.resize(width, height, pixwidth, pixheight)

    def signal_received(self, signal: str) -> None:
        """A signal for the target's program; while a request is held it can only end the wait."""
        if self.drive is None or self._dialler is None:
            return
        if not self._dialler.signal(signal) and signal in {"INT", "TERM", "HUP", "QUIT", "KILL"}:
            self.drive.end(EndReason.APPROVAL_WITHDRAWN, "withdrawn; nothing was run.", 130)

    def break_received(self, msec: int) -> bool:
        """A break for the target's program."""
        return self._dialler is not None and self._dialler.send_break(msec)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client closed the channel, or we did."""
        if self._asking is not None:
            self._asking.cancel()  # nobody is asked any more for a channel that is gone
        if self._prompt is not None:
            self._prompt.cancel()
        super().connection_lost(exc)
