"""Which gate a request gets."""

from __future__ import annotations

from collections.abc import Callable

from bastion.gate.gate import Gate
from bastion.gate.relay import RelayGate
from bastion.gate.rsync import RsyncGate
from bastion.gate.scp import ScpGate
from bastion.gate.sftp import SftpGate
from bastion.model import Dialect, ExecRequest, ForwardRequest, Request, SubsystemRequest
from bastion.policy.files import RsyncServer, ScpServer, read_transfer
from bastion.policy.rules import Verdict
from bastion.policy.shell.reading import read


def choose(
    request: Request, dialect: Dialect, decide: Callable[[Request], Verdict]
) -> tuple[Gate, bool]:
    """Give the gate, and whether the channel's bytes are text that a cast can hold.

    Packets and file content are not: the gate writes a transcript for the cast instead.
    """
    match request:
        case SubsystemRequest(name="sftp"):
            return SftpGate(decide), False
        case ExecRequest(command=command, pty=pty):
            match read_transfer(read(command, dialect, pty=pty)):
                case ScpServer() as transfer:
                    return ScpGate(decide, transfer), False
                case RsyncServer() as transfer:
                    return RsyncGate(decide, transfer), False
            return RelayGate(decide), True
        case ForwardRequest():
            return RelayGate(decide), False
        case _:
            return RelayGate(decide), True
