"""Who is at the other end of a Unix socket, by the kernel's word, and which operator that is."""

from __future__ import annotations

import os
import pwd
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bastion.policy.approvals import Operator


@dataclass(frozen=True, slots=True)
class Peer:
    """A caller, as SO_PEERCRED names it when it connected."""

    pid: int
    uid: int
    user: str


def identify(connection: socket.socket) -> Peer:
    """Ask the kernel; OSError if this is no Unix socket."""
    shape = struct.Struct("3i")
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, shape.size)
    pid, uid, _ = shape.unpack(raw)
    try:
        user = pwd.getpwuid(uid).pw_name
    except KeyError:
        user = f"uid-{uid}"
    return Peer(pid, uid, user)


def find_operator(peer: Peer, operators: Sequence[Operator]) -> Operator | None:
    """The operator this caller is, or None.

    root and the bastion's own user are operators without being named, with every right and no
    roles. Who became
    root is not known here: give people users of their own where approvals must name them.
    """
    machine = peer.uid in (0, os.geteuid())
    for operator in operators:
        if operator.unix_user == peer.user:
            return replace(operator, machine=machine)
    return Operator(peer.user, peer.user, machine=True) if machine else None
