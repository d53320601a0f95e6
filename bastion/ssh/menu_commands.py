"""What the bastion's own commands over SSH do: one function a command, one table of them."""

from __future__ import annotations

import io
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bastion.errors import AnswerRefused, ControlError, NotAsked
from bastion.model import EXIT_REFUSED, TargetKind, visible
from bastion.policy.access import Access, describe_features, reachable
from bastion.policy.schema import ShellMode
from bastion.ssh import access_commands, desk_commands
from bastion.ssh.commands import EXIT_USAGE, Answer, Help, Parser, Shown, Usage
from bastion.ssh.session import Session

HELP: Final = """\
ssh bastion                     list the targets you may reach
ssh bastion targets [--json]    the same
ssh bastion whoami [--json]     who you are here, and until when
ssh LOGIN@TARGET@bastion        work on a target (LOGIN%TARGET@bastion too)
ssh -J bastion LOGIN@TARGET     the same through a jump
ssh login@bastion               log in and print a certificate for your key

ssh bastion request NAME        ask for a role, or for access to a target
ssh bastion requests [ID]       what you asked for, and what you were granted
ssh bastion withdraw ID         take a request back
ssh bastion break-glass ID      go on without approval, where the policy lets you

ssh -t bastion console          decide and watch on one screen
ssh bastion approvals           what waits for you to decide
ssh bastion grant|refuse ID     decide it
ssh bastion grants              access and equal commands granted now
ssh bastion revoke ID           take a grant back
ssh bastion sessions            live sessions that you may see
ssh -t bastion replay           play recordings that you may watch
"""

Command = Callable[[Session, list[str], Shown], Awaitable[Answer]]


async def run(session: Session, words: list[str], shown: Shown) -> Answer:
    """Run one of the bastion's own commands for this session's identity."""
    name, rest = (words[0], words[1:]) if words else ("targets", [])
    if name in {"help", "--help", "-h"}:
        return Answer(HELP)
    command = _COMMANDS.get(name)
    if command is None:
        told = visible(" ".join(words), limit=80)
        return Answer("", f"bastion: there is no command {told!r}.\n{HELP}", EXIT_USAGE)
    try:
        return await command(session, rest, shown)
    except Help as asked:
        return Answer(str(asked))
    except Usage as usage:
        return Answer("", str(usage), EXIT_USAGE)
    except (ControlError, AnswerRefused, NotAsked) as error:
        return Answer("", f"bastion: {visible(str(error))}\n", EXIT_REFUSED)


def _screen(name: str) -> Command:
    """Screens run on a terminal alone; without one, they say so."""

    async def needs_terminal(session: Session, words: list[str], shown: Shown) -> Answer:
        told = f"bastion: this needs a terminal: ssh -t bastion {name}\n"
        return Answer("", told, EXIT_USAGE)

    return needs_terminal


_FORWARDED = {TargetKind.POSTGRES, TargetKind.TCP}


async def _targets(session: Session, words: list[str], shown: Shown) -> Answer:
    """A row for each target that the identity's roles reach."""
    as_json = _flags("targets", words)
    services = session.services
    rows = reachable(services.policy(), session.identity, tuple(services.targets.values()))
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("TARGET", "LOGINS", "MAY USE", "HOW", "DESCRIPTION"):
        table.add_column(heading, overflow="fold")
    data = []
    for row in rows:
        target = row.target
        logins = ", ".join(row.logins) or "-"
        uses = ", ".join(_uses(row))
        command = "" if row.features.shell is ShellMode.UNGATED else " COMMAND"
        how = f"ssh {row.logins[0]}@{target.name}@bastion{command}"
        if target.kind in _FORWARDED:
            port = 5432 if target.kind is TargetKind.POSTGRES else target.port
            how = f"ssh -N -L {port}:{target.name}:{port} bastion"
        data.append(
            {
                "target": target.name,
                "kind": target.kind.value,
                "logins": list(row.logins),
                "labels": dict(target.labels),
                "may_use": list(_uses(row)),
                "description": target.description,
                "ssh": how,
            }
        )
        cells = (target.name, logins, uses, how, target.description)
        table.add_row(*(Text(visible(cell)) for cell in cells))
    if as_json:
        return Answer(json.dumps(data, indent=2) + "\n")
    if rows:
        return Answer(_printed(shown, table))
    roles = ", ".join(sorted(session.identity.roles)) or "none"
    return Answer(f"No target is yours to reach (your roles: {visible(roles)}).\n")


async def _whoami(session: Session, words: list[str], shown: Shown) -> Answer:
    """The identity, its roles and its end."""
    as_json = _flags("whoami", words)
    identity = session.identity
    certificate = identity.certificate
    data = {
        "name": identity.name,
        "issuer": identity.issuer,
        "subject": identity.subject,
        "roles": sorted(identity.roles),
        "granted": [
            f"{one.role} on {', '.join(one.targets)} until {_utc(one.until)}"
            for one in session.services.access.of(identity.id)
        ],
        "ends": _utc(identity.expires_at),
        "session": session.id,
        "certificate": str(certificate.serial) if certificate else None,
        "key_id": certificate.key_id if certificate else None,
    }
    if as_json:
        return Answer(json.dumps(data, indent=2) + "\n")
    lines = []
    for key, value in data.items():
        told = ", ".join(value) if isinstance(value, list) else str(value or "-")
        lines.append(f"{key:<12}{visible(told or '-')}\n")
    return Answer("".join(lines))


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _flags(name: str, words: list[str]) -> bool:
    parser = Parser(prog=f"ssh bastion {name}", allow_abbrev=False)
    parser.add_argument("--json", action="store_true", help="print JSON")
    return bool(parser.parse_args(words).json)


def _printed(shown: Shown, table: Table) -> str:
    out = io.StringIO()
    Console(
        file=out,
        width=shown.columns,
        force_terminal=shown.terminal,
        color_system="standard" if shown.terminal else None,
        highlight=False,
        emoji=False,
        markup=False,
    ).print(table)
    return out.getvalue()


_COMMANDS: Final[dict[str, Command]] = {
    "targets": _targets,
    "whoami": _whoami,
    "request": access_commands.request,
    "requests": access_commands.requests,
    "withdraw": access_commands.withdraw,
    "break-glass": access_commands.break_glass,
    "approvals": desk_commands.approvals,
    "grant": desk_commands.grant,
    "refuse": desk_commands.refuse,
    "grants": desk_commands.grants,
    "revoke": desk_commands.revoke,
    "sessions": desk_commands.sessions,
    "replay": _screen("replay"),
    "console": _screen("console"),
}


def _uses(row: Access) -> tuple[str, ...]:
    """What may be used there, a few words each."""
    if row.target.kind is TargetKind.POSTGRES:
        return ("SQL, read-only",) if row.features.database.read_only else ("SQL",)
    return ("forwards",) if row.target.kind is TargetKind.TCP else describe_features(row.features)
