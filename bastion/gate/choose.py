"""Which gate a request gets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from bastion.errors import ContentBlocked
from bastion.gate.content import NewScanner, no_scanner
from bastion.gate.gate import Gate
from bastion.gate.relay import RelayGate
from bastion.gate.rsync import RsyncGate
from bastion.gate.scp import ScpGate
from bastion.gate.sftp import SftpGate
from bastion.model import Dialect, ExecRequest, ForwardRequest, Request, SubsystemRequest
from bastion.policy.files import RsyncServer, ScpServer, read_transfer, sends_packs
from bastion.policy.rules import Verdict
from bastion.policy.shell.reading import read

UNREADABLE: Final = (
    "files with secrets are blocked here, and {}'s stream cannot be looked into; use sftp or scp."
)


def choose(
    request: Request,
    dialect: Dialect,
    decide: Callable[[Request], Verdict],
    scan: NewScanner = no_scanner,
) -> tuple[Gate, bool]:
    """Give the gate, and whether the channel's bytes are text that a cast can hold.

    Packets and file content are not: the gate writes a transcript for the cast instead.
    """
    match request:
        case SubsystemRequest(name="sftp"):
            return SftpGate(decide, scan), False
        case ExecRequest(command=command, pty=pty):
            reading = read(command, dialect, pty=pty)
            if not pty and sends_packs(reading):
                _refuse_unread("git", scan)
                return RelayGate(decide), False
            match read_transfer(reading):
                case ScpServer() as transfer:
                    return ScpGate(decide, transfer, scan), False
                case RsyncServer() as transfer:
                    _refuse_unread("rsync", scan)
                    return RsyncGate(decide, transfer), False
            return RelayGate(decide), True
        case ForwardRequest():
            return RelayGate(decide), False
        case _:
            return RelayGate(decide), True


def _refuse_unread(program: str, scan: NewScanner) -> None:
    """Delta, compression and packs hide what passes: where that matters, it does not pass."""
    if (scanner := scan()) is not None and scanner.blocks:
        raise ContentBlocked(UNREADABLE.format(program))
