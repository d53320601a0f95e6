"""The bastion's own commands over SSH: `ssh bastion`, `ssh bastion whoami`, …

They run as the identity that logged in, and are recorded like everything else.
"""

from __future__ import annotations

import io
import json
import shlex
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import asyncssh
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bastion.errors import BastionError
from bastion.events import EndReason, Exit, Stream
from bastion.model import EXIT_REFUSED, ExecRequest, Request, ShellRequest, Target, visible
from bastion.policy.access import describe_features, reachable
from bastion.policy.schema import ShellMode
from bastion.ssh.channel import open_record
from bastion.ssh.client_end import ClientEnd
from bastion.ssh.connection import BastionConnection
from bastion.ssh.session import Place, Session

EXIT_USAGE: Final = 2
COMMAND_LIMIT: Final = 4096

HELP: Final = """\
ssh bastion                     list the targets you may reach
ssh bastion targets [--json]    the same
ssh bastion whoami [--json]     who you are here, and until when
ssh LOGIN@TARGET@bastion        work on a target (LOGIN%TARGET@bastion too)
ssh -J bastion LOGIN@TARGET     the same through a jump
ssh login@bastion               log in and print a certificate for your key
"""

Answer = tuple[str, str, int]
"""stdout, stderr, exit status."""


class MenuChannel(ClientEnd, asyncssh.SSHServerSession[bytes]):
    """A session channel that goes to no target."""

    def __init__(self, session: Session, connection: BastionConnection) -> None:
        super().__init__(connection)
        self._session = session
        self._id = session.next_channel()
        self._columns, self._rows = 100, 24
        self._term = ""
        self._request: Request = ShellRequest(pty=False)

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
        self._columns, self._rows = max(40, min(term_size[0], 500)), max(2, min(term_size[1], 500))
        return True

    def shell_requested(self) -> bool:
        """`ssh bastion`."""
        return True

    def exec_requested(self, command: str) -> bool:
        """`ssh bastion COMMAND`."""
        self._request = ExecRequest(command, pty=self._pty)
        return True

    def eof_received(self) -> bool:
        """The client only listens."""
        return True

    def session_started(self) -> None:
        """Answer and close."""
        place = Place(Target(name="bastion"), "")
        session, at = self._session, self._session.services.clock()
        command = self._request.command if isinstance(self._request, ExecRequest) else ""
        try:
            record = open_record(
                session,
                place,
                self._id,
                self._request,
                text=True,
                columns=self._columns,
                rows=self._rows,
            )
            stdout, stderr, status = answer(session, command, self._columns, self._pty)
            for text, stream in ((stdout, Stream.STDOUT), (stderr, Stream.STDERR)):
                data = text.replace("\n", "\r\n" if self._pty else "\n").encode()
                record.output(at, data, stream)
                self.show(data, stream)
            ended = Exit(EndReason.FINISHED, status)
            record.close(at, ended, 0, "")
        except BastionError as error:
            self.tell(str(error))
            ended = Exit(EndReason.RECORDING_FAILED, EXIT_REFUSED)
        self.exit(ended)


def answer(session: Session, command: str, width: int, colour: bool) -> Answer:
    """Run one of the bastion's own commands for this session's identity."""
    try:
        words = shlex.split(command[:COMMAND_LIMIT])
    except ValueError:
        words = ["?"]
    name, flags = (words[0], words[1:]) if words else ("targets", [])
    commands: dict[str, Callable[[Session, Console], object]] = {
        "targets": _targets,
        "whoami": _whoami,
    }
    if name in {"help", "--help", "-h"}:
        return HELP, "", 0
    if name not in commands or set(flags) - {"--json"}:
        return (
            "",
            f"bastion: there is no command {visible(command, limit=80)!r}.\n{HELP}",
            EXIT_USAGE,
        )
    out = io.StringIO()
    console = Console(
        file=out,
        width=width,
        force_terminal=colour,
        color_system="standard" if colour else None,
        highlight=False,
        emoji=False,
        markup=False,
    )
    data = commands[name](session, Console(file=io.StringIO()) if flags else console)
    return (json.dumps(data, indent=2) + "\n" if flags else out.getvalue()), "", 0


def _targets(session: Session, console: Console) -> object:
    """A row for each target that the identity's roles reach."""
    targets = tuple(session.services.targets.values())
    rows = reachable(session.services.policy(), session.identity, targets)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("TARGET", "LOGINS", "MAY USE", "HOW", "DESCRIPTION"):
        table.add_column(heading, overflow="fold")
    data = []
    for row in rows:
        target = row.target
        logins = ", ".join(row.logins) or "-"
        uses = ", ".join(describe_features(row.features))
        command = "" if row.features.shell is ShellMode.UNGATED else " COMMAND"
        how = f"ssh {row.logins[0]}@{target.name}@bastion{command}"
        data.append(
            {
                "target": target.name,
                "kind": target.kind.value,
                "logins": list(row.logins),
                "labels": dict(target.labels),
                "may_use": list(describe_features(row.features)),
                "description": target.description,
                "ssh": how,
            }
        )
        cells = (target.name, logins, uses, how, target.description)
        table.add_row(*(Text(visible(cell)) for cell in cells))
    if rows:
        console.print(table)
    else:
        roles = ", ".join(sorted(session.identity.roles)) or "none"
        console.print(f"No target is yours to reach (your roles: {visible(roles)}).")
    return data


def _whoami(session: Session, console: Console) -> object:
    """The identity, its roles and its end."""
    identity = session.identity
    ends = datetime.fromtimestamp(identity.expires_at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    certificate = identity.certificate
    data = {
        "name": identity.name,
        "issuer": identity.issuer,
        "subject": identity.subject,
        "roles": sorted(identity.roles),
        "ends": ends,
        "session": session.id,
        "certificate": str(certificate.serial) if certificate else None,
        "key_id": certificate.key_id if certificate else None,
    }
    for key, value in data.items():
        shown = ", ".join(value) if isinstance(value, list) else str(value or "-")
        console.print(f"{key:<12}{visible(shown)}", soft_wrap=True)
    return data
