"""Has SQL read in worker processes: what crashes or stalls the parser is unreadable, no more.

Whoever sent such a text is suspected for a while: what they send is read by a worker of its own, so
that nobody else waits for the processes that they end. A session of one identity can so take a
worker from others once a minute, for as long as a new one takes to start.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache
from typing import Final, NamedTuple

import msgspec

from bastion.model import SqlReading
from bastion.policy.sql.reading import unreadable
from bastion.policy.sql.template import is_general, template

log = logging.getLogger(__name__)

WORKERS: Final = 2
"""So that one slow text does not keep everybody else's waiting."""
SECONDS: Final = 3.0
"""How long one text may take; then its worker is killed."""
SUSPECT_SECONDS: Final = 60.0
"""How long whoever sent a text that ended a worker is kept from the others' workers."""
MOST_SUSPECTS: Final = 10_000
START_SECONDS: Final = 30.0
"""How long a worker may take to answer for the first time, on a busy machine."""
MAX_ANSWER: Final = 64 * 1024 * 1024
MAX_WAITING: Final = 2000
"""Texts that wait for a worker, of everybody together."""
MAX_WAITING_SIZE: Final = 256 * 1024 * 1024
"""Their characters."""
CACHED_TEXTS: Final = 4000
CACHED_BYTES: Final = 16 * 1024 * 1024
CACHED_TEXT: Final = 32 * 1024
"""Longer texts are seldom sent twice."""

Done = Callable[[SqlReading], None]
Queue = asyncio.Queue["_Text"]


class _Text(NamedTuple):
    text: str
    done: Done
    who: str
    again: bool = False
    """A worker ended over it: perhaps of something else, so it is tried once more."""
    keep: bool = True


class SqlReader:
    """Reads SQL, with a memory for what was read lately."""

    def __init__(self, command: tuple[str, ...] = ()) -> None:
        self._command = command or (sys.executable, "-m", "bastion.target.sql_worker")
        self._waiting: Queue = asyncio.Queue(MAX_WAITING)
        self._suspected: Queue = asyncio.Queue(MAX_WAITING)
        self._suspects: OrderedDict[str, float] = OrderedDict()
        """Until when each is one, on the loop's clock."""
        self._tasks: list[asyncio.Task[None]] = []
        self._cache: OrderedDict[str, SqlReading] = OrderedDict()
        self._cached_bytes = 0
        self._waiting_size = 0
        self._decoder = msgspec.msgpack.Decoder(SqlReading)

    def read(self, text: str, done: Done, who: str = "", *, keep: bool = True) -> None:
        """Call `done` with the reading: at once where it is known, else later. `keep`: remember it.

        `who`: whose text it is; of texts that end workers, all of theirs wait for each other alone.
        """
        key = _key(text)
        key = key if key in self._cache else text
        known = self._cache.get(key)
        if known is not None:
            self._cache.move_to_end(key)
            done(known)
            return
        fault = unreadable(text)
        queue = self._suspected if self._is_suspect(who) else self._waiting
        full = queue.full() or self._waiting_size + len(text) > MAX_WAITING_SIZE
        if fault or full:
            done(SqlReading(fault=fault or "too much SQL waits to be read; try again"))
            return
        if not self._tasks:
            loop = asyncio.get_running_loop()
            queues = [self._waiting] * WORKERS + [self._suspected]
            self._tasks = [loop.create_task(self._work(one)) for one in queues]
        self._waiting_size += len(text)
        queue.put_nowait(_Text(text, done, who, keep=keep))

    def _is_suspect(self, who: str) -> bool:
        until = self._suspects.get(who)
        return until is not None and until > asyncio.get_running_loop().time()

    def _suspect(self, who: str) -> None:
        self._suspects.pop(who, None)
        self._suspects[who] = asyncio.get_running_loop().time() + SUSPECT_SECONDS
        if len(self._suspects) > MOST_SUSPECTS:
            self._suspects.popitem(last=False)

    async def close(self) -> None:
        """End the workers."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _work(self, queue: Queue) -> None:
        """One worker's life, and its successors'; it is started for the first text."""
        worker: asyncio.subprocess.Process | None = None
        try:
            while True:
                one = await queue.get()
                worker = worker or await self._start()
                reading = await self._ask(worker, one.text, SECONDS)
                self._waiting_size -= len(one.text)
                if reading is None:
                    await _end(worker)
                    worker = None
                    self._failed(one)
                else:
                    if one.keep:
                        self._keep(one.text, reading)
                    self._answer(one.text, one.done, reading)
        finally:
            if worker is not None:
                await _end(worker)

    def _failed(self, one: _Text) -> None:
        """It ended a worker: once more, where it keeps nobody but suspects waiting."""
        self._suspect(one.who)
        if one.again or self._suspected.full():
            self._keep(one.text, _CRASHED)
            self._answer(one.text, one.done, _CRASHED)
        else:
            self._waiting_size += len(one.text)
            self._suspected.put_nowait(one._replace(again=True))

    def _answer(self, text: str, done: Done, reading: SqlReading) -> None:
        try:
            done(reading)
        except Exception:
            log.exception("a reading of %d characters was not taken", len(text))

    async def _start(self) -> asyncio.subprocess.Process:
        worker = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            limit=1024 * 1024,
        )
        await self._ask(worker, "SELECT 1", START_SECONDS)
        return worker

    async def _ask(
        self, worker: asyncio.subprocess.Process, text: str, seconds: float
    ) -> SqlReading | None:
        """The worker's answer; None where it died, or took too long."""
        assert worker.stdin is not None
        assert worker.stdout is not None
        data = text.encode()
        try:
            async with asyncio.timeout(seconds):
                worker.stdin.write(len(data).to_bytes(4, "big") + data)
                await worker.stdin.drain()
                size = int.from_bytes(await worker.stdout.readexactly(4), "big")
                if size > MAX_ANSWER:
                    return None
                return self._decoder.decode(await worker.stdout.readexactly(size))
        except (TimeoutError, OSError, asyncio.IncompleteReadError, msgspec.MsgspecError):
            log.warning("the SQL parser did not survive a text of %d bytes", len(data))
            return None

    def _keep(self, text: str, reading: SqlReading) -> None:
        key = text if reading.fault else _key(text)  # a fault may name a number
        if len(text) > CACHED_TEXT or key in self._cache:
            return
        self._cache[key] = reading
        self._cached_bytes += len(key)
        while len(self._cache) > CACHED_TEXTS or self._cached_bytes > CACHED_BYTES:
            old, _ = self._cache.popitem(last=False)
            self._cached_bytes -= len(old)


def _key(text: str) -> str:
    """What a text is remembered by: its template, where it has one."""
    shape = template(text)
    return shape if shape and _is_general(shape) else text


_is_general: Final = lru_cache(maxsize=CACHED_TEXTS)(is_general)


_CRASHED: Final = SqlReading(fault="the parser did not survive it")


async def _end(worker: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        worker.kill()
    await worker.wait()
