"""A program that the demo runs beside itself: started, heard, and ended with all it has started."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from bastion.errors import BastionError

START_SECONDS: Final = 20.0
STOP_SECONDS: Final = 3.0


class ChildError(BastionError):
    """A program of the demo ended before it was ready, or never became so."""


class Child:
    """A running program. What it says goes to its log file, line by line."""

    def __init__(self, program: asyncio.subprocess.Process, name: str, log: Path) -> None:
        self._program = program
        self.name = name
        self.log = log
        self._news = asyncio.Condition()
        self._ended = False
        log.touch()
        self._listener = asyncio.create_task(self._listen())

    @property
    def pid(self) -> int:
        """Number of the first of its processes."""
        return self._program.pid

    def said(self) -> str:
        """All it has said so far."""
        return self.log.read_text(errors="replace")

    async def wait_for(self, line: str, *, seconds: float = START_SECONDS) -> None:
        """Return once it has said a line that contains `line`, a regular expression.

        ChildError when it ends before, or does not say it in time.
        """
        pattern = re.compile(line, re.MULTILINE)
        try:
            async with asyncio.timeout(seconds), self._news:
                await self._news.wait_for(lambda: pattern.search(self.said()) or self._ended)
        except TimeoutError:
            raise ChildError(f"{self.name} did not say {line!r} within {seconds:g} s.") from None
        if not pattern.search(self.said()):
            raise ChildError(f"{self.name} ended too early: {self.said()[-500:].strip()}")

    async def _listen(self) -> None:
        assert self._program.stdout is not None
        with self.log.open("ab", buffering=0) as log:
            while chunk := await self._program.stdout.read(65536):
                log.write(chunk)
                await self._tell()
        self._ended = True
        await self._tell()

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()

    async def stop(self) -> None:
        """End it and whatever it has started: asked first, and made to after STOP_SECONDS."""
        with contextlib.ExitStack() as handles:
            family = [
                handles.enter_context(handle)
                for pid in (self.pid, *descendants(self.pid))
                if (handle := PidHandle.open(pid)) is not None
            ]
            for member in family:
                member.send(signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_SECONDS):
                    await asyncio.gather(*(member.ended() for member in family))
            for member in family:
                member.send(signal.SIGKILL)
            await asyncio.gather(*(member.ended() for member in family))
        await self._program.wait()
        # A daemon that has left the family may still hold the pipe open.
        await asyncio.wait([self._listener], timeout=STOP_SECONDS)
        self._listener.cancel()


@contextlib.asynccontextmanager
async def running(
    arguments: Sequence[str | Path],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    user: str | None = None,
) -> AsyncIterator[Child]:
    """Run a program for as long as the block lasts; as another account, if root says so."""
    program = await asyncio.create_subprocess_exec(
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=None if env is None else dict(env),
        # Ctrl-C in the terminal is for the demo, which then ends its children in order.
        start_new_session=True,
        user=user,
        extra_groups=None if user is None else [],
    )
    child = Child(program, Path(arguments[0]).name, log)
    try:
        yield child
    finally:
        await child.stop()


def descendants(pid: int) -> list[int]:
    """Every process that `pid` has started, and theirs. sshd gives each connection a process group
    of its own, so that ending one group is not enough. Linux only: elsewhere, none is found."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [found for child in map(int, children) for found in (child, *descendants(child))]


class PidHandle:
    """A hold on one running program that stays good when its number is given to another."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def open(cls, pid: int) -> PidHandle | None:
        """The program of that number, or None when it has ended."""
        try:
            return cls(os.pidfd_open(pid))
        except ProcessLookupError:
            return None

    def send(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens when the program has ended."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            signal.pidfd_send_signal(self._descriptor, number)

    async def ended(self) -> None:
        """Return once it has ended: its handle then becomes readable (pidfd_open(2))."""
        loop, end = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._descriptor, end.set)
        try:
            await end.wait()
        finally:
            loop.remove_reader(self._descriptor)

    def __enter__(self) -> PidHandle:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


def free_port() -> int:
    """A TCP port of loopback that nobody listens on now. Somebody else may take it before it is
    used: who asks must be ready to ask again."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        assert isinstance(port, int)
        return port
