"""A gated shell without a network: real gate, relay, start-up file and shell, on our own pty."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import itertools
import os
import pty
import signal
import subprocess
import termios
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from bastion.errors import TargetFault
from bastion.events import (
    Ask,
    Decided,
    Edit,
    Effect,
    Entered,
    Event,
    Exit,
    FromClient,
    FromShell,
    FromTarget,
    Opened,
    Outcome,
    Resolved,
    ToClient,
    ToShell,
    ToTarget,
    Wake,
    Woken,
)
from bastion.gate.gate import Decide
from bastion.gate.shell.gate import ShellGate
from bastion.gate.shell.terms import ShellTerms
from bastion.model import Dialect, ShellRequest
from bastion.target.shell import Relay, relay_command, start_command, start_up_file

START_SECONDS: Final = 20.0


class LocalShell:
    """One shell; whatever is asked of people is refused."""

    def __init__(self, decide: Decide, dialect: Dialect, *, own_files: bool = False) -> None:
        marks = (f"m{number}" for number in itertools.count(1))
        self.gate = ShellGate(decide, ShellTerms(dialect, drifted=own_files), lambda: next(marks))
        self.dialect = dialect
        self.own_files = own_files
        self.decided: list[Decided] = []
        self.shown = bytearray()
        self.edits: list[Edit] = []
        self.ended: str = ""
        self.changed = asyncio.Event()
        self._master = -1
        self._relay: asyncio.subprocess.Process | None = None
        self._shell: subprocess.Popen[bytes] | None = None
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, home: Path, environment: Mapping[str, str], temporary: Path) -> None:
        """Start relay and shell, and wait for the first prompt."""
        plain = {"PATH": os.environ["PATH"], "TMPDIR": str(temporary)}
        self._relay = await asyncio.create_subprocess_exec(
            "/bin/sh", "-c", relay_command(), env=plain, start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        made: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        relay = Relay(
            lambda data: self.feed(FromShell(0.0, data)),
            lambda: self._end("no relay"),
            lambda: self._end("no connection"),
        )
        script = start_up_file(self.dialect, own_files=self.own_files)
        relay.start(
            _Stdin(self._relay), script, made=made.set_result, failed=self._end  # type: ignore[arg-type]
        )  # fmt: skip
        self._later(self._listen(self._relay, relay.from_target))
        async with asyncio.timeout(START_SECONDS):
            directory = await made
        self.feed(Opened(0.0, ShellRequest(pty=True)))
        self._start_shell(directory, home, environment)
        await self.prompt(START_SECONDS)

    def _start_shell(self, directory: str, home: Path, environment: Mapping[str, str]) -> None:
        self._master, slave = pty.openpty()
        command = start_command(self.dialect, directory, environment, pty=True)

        def own_terminal() -> None:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self._shell = subprocess.Popen(
            ["/bin/sh", "-c", command], stdin=slave, stdout=slave, stderr=slave, cwd=home,
            env={"HOME": str(home), "TERM": "xterm", **environment}, start_new_session=True,
            preexec_fn=own_terminal,
        )  # fmt: skip
        os.close(slave)
        os.set_blocking(self._master, False)
        asyncio.get_running_loop().add_reader(self._master, self._output)

    async def _listen(
        self, process: asyncio.subprocess.Process, feed: Callable[[bytes], None]
    ) -> None:
        assert process.stdout is not None
        while data := await process.stdout.read(65536):
            feed(data)

    def _later(self, work: object) -> None:
        task = asyncio.ensure_future(work)  # type: ignore[call-overload]
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _output(self) -> None:
        try:
            data = os.read(self._master, 65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self._master)
            self._end("the shell left")
        self.feed(FromTarget(0.0, data))

    # --- the drive ----------------------------------------------------------------------------

    def feed(self, event: Event) -> None:
        """One event for the gate, and what it wants done."""
        if self.ended:
            return
        try:
            effects = self.gate.feed(event)
        except TargetFault as fault:
            self._end(str(fault))
            return
        for effect in effects:
            self._perform(effect)
        self.changed.set()

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Decided():
                self.decided.append(effect)
            case ToShell(data=data):
                assert self._relay is not None
                assert self._relay.stdin is not None
                self._relay.stdin.write(data)
            case ToTarget(data=data):
                with contextlib.suppress(OSError):
                    os.write(self._master, data)
            case ToClient(data=data):
                self.shown += data
                del self.shown[:-65536]
            case Edit():
                self.edits.append(effect)
            case Ask(ask=ask):
                self._later(self._refuse(ask))
            case Wake(timer=timer, seconds=seconds):
                self._wake(timer, seconds)
            case Exit():
                self._end(effect.reason.value)

    async def _refuse(self, ask: int) -> None:
        self.feed(Resolved(0.0, ask, Outcome.REFUSED, ("bob",), "as the test says"))

    def _wake(self, timer: str, seconds: float) -> None:
        if timer in self._timers:
            self._timers[timer].cancel()
        loop = asyncio.get_running_loop()
        self._timers[timer] = loop.call_later(seconds, lambda: self.feed(Woken(0.0, timer)))

    def _end(self, why: str) -> None:
        self.ended = self.ended or why
        self.changed.set()

    # --- the person ---------------------------------------------------------------------------

    @property
    def at_prompt(self) -> bool:
        """Whether a line may be entered."""
        return self.gate._state.name == "PROMPT" and not self.ended

    async def prompt(self, seconds: float) -> bool:
        """Wait for a prompt or the end; False where neither came."""
        until = time.monotonic() + seconds
        while not self.at_prompt and not self.ended:
            left = until - time.monotonic()
            if left <= 0:
                return False
            self.changed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.changed.wait(), left)
        return True

    def enter(self, line: str) -> None:
        """Enter a line."""
        self.feed(Entered(0.0, line, b""))

    def keys(self, data: bytes) -> None:
        """Press keys for whatever has them."""
        self.feed(FromClient(0.0, data))

    async def leave(self) -> None:
        """Hang up."""
        self.ended = self.ended or "left"
        for timer in self._timers.values():
            timer.cancel()
        if self._master >= 0:
            asyncio.get_running_loop().remove_reader(self._master)
            os.close(self._master)
        if self._shell is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._shell.pid, signal.SIGKILL)
            self._shell.wait()
        if self._relay is not None and self._relay.stdin is not None:
            self._relay.stdin.close()
            await self._relay.wait()
        for task in self._tasks:
            task.cancel()


class _Stdin:
    """The relay's channel."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    def send(self, data: bytes) -> None:
        """Bytes for the relay."""
        assert self._process.stdin is not None
        self._process.stdin.write(data)
