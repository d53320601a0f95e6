"""A person at a terminal: a real SSH connection with a pty, and an emulator that shows it."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import asyncssh
import avt

from tests.harness.running import Bastion


class Person:
    """Types bytes, and waits until the screen is as it should be."""

    def __init__(self, process: Any, columns: int, rows: int) -> None:
        self._process = process
        self._screen = avt.Vt(columns, rows, scrollback_limit=2000)
        self._changed = asyncio.Event()
        self.received = b""
        self._reading = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        while data := await self._process.stdout.read(65536):
            self.received += data
            self._screen.feed_str(decoder.decode(data))
            self._changed.set()

    def type(self, keys: str | bytes) -> None:
        """Press keys."""
        self._process.stdin.write(keys.encode() if isinstance(keys, str) else keys)

    def resize(self, columns: int, rows: int) -> None:
        """Give the window another size."""
        self._screen.resize(columns, rows)
        self._process.change_terminal_size(columns, rows)

    @property
    def rows(self) -> list[str]:
        """All rows, those that have scrolled away included, without what is blank at the end."""
        rows = [line.text.rstrip() for line in self._screen.lines()]
        while rows and not rows[-1]:
            rows.pop()
        return rows

    @property
    def screen(self) -> str:
        """The rows as one text."""
        return "\n".join(self.rows)

    async def until(self, condition: Callable[[str], object], seconds: float = 20.0) -> str:
        """Wait until the screen is as `condition` wants it; the failure shows what it is."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not condition(self.screen):
                    self._changed.clear()
                    await self._changed.wait()
        assert condition(self.screen), self.screen
        return self.screen

    async def sees(self, text: str, seconds: float = 20.0) -> str:
        """Wait until the screen shows a text."""
        return await self.until(lambda screen: text in screen, seconds)

    async def insist(self, key: str, condition: Callable[[str], object]) -> str:
        """Press a key until it has its effect: a job that speaks may not own the terminal yet."""
        for _ in range(10):
            self.type(key)
            with contextlib.suppress(AssertionError):
                return await self.until(condition, 1.0)
        return await self.until(condition, 1.0)

    async def prompt(self, sign: str = "$ ") -> str:
        """Wait until the last row is a prompt with an empty line."""
        ends = sign.rstrip()
        return await self.until(lambda screen: screen.endswith(ends))

    async def line(self, text: str) -> list[str]:
        """Enter a line at an empty prompt; give the rows that it showed before the next one."""
        await self.until(lambda _: self.rows and self.rows[-1].endswith(("$", "#")))
        before = len(self.rows)
        self.type(text + "\r")
        await self.until(lambda _: len(self.rows) > before and self.rows[-1].endswith(("$", "#")))
        return self.rows[before:-1]

    async def status(self, seconds: float = 20.0) -> int:
        """Wait for the end: the exit status."""
        async with asyncio.timeout(seconds):
            await self._process.wait_closed()
            await self._reading
        return int(self._process.returncode)

    def leave(self) -> None:
        """Close the channel, as a window that is closed does."""
        self._process.close()


@contextlib.asynccontextmanager
async def at_terminal(
    bastion: Bastion, *, term: str = "xterm-256color", columns: int = 100, rows: int = 30
) -> AsyncIterator[Person]:
    """A shell channel on web1, with somebody in front of it."""
    async with bastion.connect() as connection:
        process = await connection.create_process(
            term_type=term, term_size=(columns, rows), encoding=None, stderr=asyncssh.STDOUT
        )
        person = Person(process, columns, rows)
        try:
            yield person
        finally:
            person.leave()
            person._reading.cancel()
