"""What systemd hands over and wants to be told; without it, our own sockets."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from typing import Final

from bastion.errors import StoreError
from bastion.wire.places import split_address

SYSTEMD_FIRST_SOCKET: Final = 3


def listening_sockets(addresses: Iterable[str]) -> list[socket.socket]:
    """systemd's sockets where it hands them over, else our own on the configured addresses."""
    count = int(os.environ.get("LISTEN_FDS", "0"))
    if count and os.environ.get("LISTEN_PID") == str(os.getpid()):
        return [socket.socket(fileno=SYSTEMD_FIRST_SOCKET + n) for n in range(count)]
    bound = []
    for address in addresses:
        host, port = split_address(address)
        try:
            bound.append(socket.create_server((host, port), family=_family(host), backlog=512))
        except OSError as error:
            raise StoreError(f"cannot listen on {address}: {error.strerror}.") from error
    return bound


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def notify_systemd(message: str) -> None:
    """sd_notify(3), where systemd asked for it."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    if path.startswith("@"):
        path = "\0" + path[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notify:
        notify.connect(path)
        notify.sendall(message.encode())
