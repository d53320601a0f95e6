"""`ssh -t bastion replay`: the player as a screen of the bastion, with the caller's own rights."""

from __future__ import annotations

import contextlib
import socket
import sys

from bastion.control.client import ControlClient
from replay.app import ReplayApp
from replay.handed import take_terminal
from replay.remote import Remote


def main() -> None:
    """List what this identity may play; files are written nowhere, for this is not its machine."""
    connection = socket.socket(fileno=take_terminal(sys.argv[1:]))
    with contextlib.closing(Remote(lambda: ControlClient(connection), again=False)) as remote:
        ReplayApp(catalogue=remote, saves=False).run()


if __name__ == "__main__":
    main()
