"""The bastion's own screens over SSH: `ssh -t bastion console`, `ssh -t bastion replay`.

The screen is a program of its own on a pseudo-terminal. All it gets is a connection to the control
service that is bound to this identity, a clean environment and no other descriptor: what it asks
for is authorised and audited there, like any caller's. To the drive it is a target like others, so
that recording, back-pressure, deadlines, locks and kills hold here too (invariant 2).
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import pty
import signal
import struct
import sys
import termios
from collections.abc import Sequence
from typing import Final

from bastion.errors import BastionError, DialError
from bastion.events import Ask, EndReason, Stream, TargetExit
from bastion.gate.relay import RelayGate
from bastion.model import Request
from bastion.policy.rules import Action, Verdict
from bastion.ssh.drive import Drive
from bastion.ssh.ends import ClientEnd
from bastion.ssh.record import Record
from bastion.ssh.session import Session

PROGRAMS: Final = {"console": "replay.console.remote", "replay": "replay.over_ssh"}
"""Command → the module that is run with the command's words and `--control-fd`."""

READ: Final = 65536
UNREAD: Final = 65536
"""Bytes typed that the screen has not taken; beyond it the client is not read."""

RESTORE: Final = (
    b"\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?1015l"  # mouse reports
    b"\x1b[?2004l\x1b[?1004l\x1b[<u"  # pasting in brackets, focus reports, kitty's keys
    b"\x1b[0m\x1b[?1049l\x1b[?25h\r\n"  # colours, the alternate screen, the cursor
)
"""What undoes a screen that is cut: it has no time to do so itself, and a person would be left with
a terminal that shows no line of the reason."""

GRACE: Final = 2.0
"""Seconds from SIGTERM to SIGKILL."""

_OWN: Final = Verdict(Action.ALLOW, "own-screen", "A screen of the bastion itself.")


class TerminalApp:
    """One screen on one channel (a Dialler and the TargetEnd in one); made when it is asked for."""

    def __init__(
        self, session: Session, words: Sequence[str], term: str, columns: int, rows: int
    ) -> None:
        self._session = session
        self._words = tuple(words)
        self._term = term
        self._size = (columns, rows)
        self._master = -1
        self._process: asyncio.subprocess.Process | None = None
        self._unsent = bytearray()
        self._drive: Drive | None = None
        self._ending: asyncio.Task[None] | None = None

    def drive(self, client: ClientEnd, record: Record) -> Drive:
        """The loop that carries it."""
        return Drive(
            gate=RelayGate(lambda _request: _OWN),
            client=client,
            dialler=self,
            asker=_NobodyAsks(),
            record=record,
            clock=self._session.services.clock,
            target_name="bastion",
            masking=self._session.services.masks.everywhere,
        )

    async def dial(self, request: Request, drive: Drive) -> None:
        """Start the program."""
        try:
            control = self._session.services.link.desk.attach(lambda: self._session.operator)
        except BastionError as error:
            raise DialError(str(error)) from error
        with contextlib.closing(control):
            self._master, slave = pty.openpty()
            try:
                self.resize(*self._size)
                os.set_blocking(self._master, False)
                self._process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-I",
                    "-m",
                    PROGRAMS[self._words[0]],
                    *self._words[1:],
                    f"--control-fd={control.fileno()}",
                    stdin=slave,
                    stdout=slave,
                    stderr=slave,
                    pass_fds=[control.fileno()],
                    start_new_session=True,
                    cwd="/",
                    env={"TERM": self._term or "xterm", "LANG": "C.UTF-8", "PATH": os.defpath},
                )
            except OSError as error:
                raise DialError(f"the screen cannot be started: {error.strerror}.") from error
            finally:
                os.close(slave)
        self._drive = drive
        self._ending = asyncio.get_running_loop().create_task(self._wait(self._process))
        drive.attach(self)

    def resize(self, columns: int, rows: int) -> None:
        """The client's window changed: the kernel tells the program."""
        self._size = (columns, rows)
        if self._master >= 0:
            size = struct.pack("4H", rows, columns, 0, 0)
            fcntl.ioctl(self._master, termios.TIOCSWINSZ, size)

    # the drive's TargetEnd

    def send(self, data: bytes) -> None:
        """What was typed."""
        self._unsent += data
        self._write()

    def eof(self) -> None:
        """The client closed its input: a screen without keys has nothing left to do."""
        self._signal(signal.SIGHUP)

    def hold(self, held: bool) -> None:
        """Stop or go on reading what it draws."""
        loop = asyncio.get_running_loop()
        if self._master >= 0:
            if held:
                loop.remove_reader(self._master)
            else:
                loop.add_reader(self._master, self._read)

    def close(self) -> None:
        """End it now."""
        self._signal(signal.SIGTERM)
        asyncio.get_running_loop().call_later(GRACE, self._signal, signal.SIGKILL)
        self._close_terminal()

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def _close_terminal(self) -> None:
        if self._master >= 0:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._master)
            loop.remove_writer(self._master)
            os.close(self._master)
            self._master = -1

    def _read(self) -> None:
        assert self._drive is not None
        try:
            data = os.read(self._master, READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""  # EIO: nobody holds the other side any more
        if data:
            self._drive.from_target(data, Stream.STDOUT)
        else:
            asyncio.get_running_loop().remove_reader(self._master)

    def _write(self) -> None:
        assert self._drive is not None
        loop = asyncio.get_running_loop()
        if self._master < 0:
            return
        with contextlib.suppress(BlockingIOError, OSError):
            written = os.write(self._master, self._unsent)
            del self._unsent[:written]
        if self._unsent:
            loop.add_writer(self._master, self._write)
        else:
            loop.remove_writer(self._master)
        self._drive.target_stalled(len(self._unsent) > UNREAD)

    async def _wait(self, process: asyncio.subprocess.Process) -> None:
        status = await process.wait()
        assert self._drive is not None
        with contextlib.suppress(OSError):
            while self._master >= 0 and (data := os.read(self._master, READ)):
                self._drive.from_target(data, Stream.STDOUT)
        self._close_terminal()
        at = self._session.services.clock()
        self._drive.target_exit(TargetExit(at, status if status >= 0 else 128 - status))


class _NobodyAsks:
    """The bastion's own screens hold nothing."""

    def ask(self, asked: Ask, drive: Drive) -> str:
        """Never."""
        drive.end(EndReason.INTERNAL, "the bastion's own screens hold nothing.")
        return ""

    def withdraw(self, ask: int, drive: Drive) -> None:
        """Nor is anything withdrawn."""
