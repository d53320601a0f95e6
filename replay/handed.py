"""What a screen that the bastion starts on an SSH channel is handed: terminal and connection."""

from __future__ import annotations

import fcntl
import signal
import termios
from collections.abc import Sequence

OPTION = "--control-fd="


def take_terminal(words: Sequence[str]) -> int:
    """Make standard input the controlling terminal, so that the kernel tells of its new sizes;
    give the descriptor of the control connection. ValueError where none was handed over."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    for word in words:
        if word.startswith(OPTION):
            return int(word.removeprefix(OPTION))
    raise ValueError("no control connection was handed over")
