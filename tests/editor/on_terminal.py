"""The editor on this very terminal, for a look at it: `python -m tests.editor.on_terminal`.

Lines are printed, not run; completion asks the local bash.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import termios
import tty
from pathlib import Path

from bastion.editor.editor import LineEditor
from bastion.editor.history import HistoryFile
from bastion.editor.values import Prompt
from bastion.policy.shell.reading import is_complete
from tests.editor.desk import judged

COMPGEN = {"command": "-c", "path": "-f", "directory": "-d", "variable": "-v", "user": "-u"}


async def complete(asked):
    command = 'compgen "$1" -- "$2"; [ "$1" != -f ] || compgen -d -S / -- "$2"'
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", command, "bash", COMPGEN[asked.kind.value], asked.word),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    return out.decode(errors="replace").splitlines()


@contextlib.contextmanager
def raw_terminal():
    before = termios.tcgetattr(0)
    tty.setraw(0)
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)


async def main():
    loop = asyncio.get_running_loop()
    size = os.get_terminal_size()
    history = HistoryFile(Path(os.environ["HISTORY"]) if "HISTORY" in os.environ else None, str)
    editor = LineEditor(
        write=lambda data: os.write(1, data) and None,
        term=os.environ["TERM"],
        columns=size.columns,
        rows=size.lines,
        outlook=judged,
        complete=complete,
        history=history,
        is_complete=is_complete,
    )

    def resized():
        size = os.get_terminal_size()
        editor.resize(size.columns, size.lines)

    loop.add_signal_handler(signal.SIGWINCH, resized)
    loop.add_reader(0, lambda: editor.feed(os.read(0, 65536)))
    status = 0
    while True:
        try:
            line = await editor.read_line(Prompt("deploy", "web1", os.getcwd(), status=status))
        except EOFError:
            break
        if line == "set -o vi":
            editor.vi = True
        status = 127 if line.startswith("false") else 0
        rest = editor.leftover()
        os.write(1, f"ran {line!r}{f', then {rest!r}' if rest else ''}\r\n".encode())
    editor.close()


if __name__ == "__main__":
    with raw_terminal():
        asyncio.run(main())
    sys.exit(0)
