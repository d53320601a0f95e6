"""A person at the editor: keys as bytes in, the screen as a terminal shows it out."""

from __future__ import annotations

import asyncio
import contextlib

import avt

from bastion.editor.editor import LineEditor
from bastion.editor.history import HistoryFile
from bastion.editor.values import Outlook, Prompt
from bastion.policy.actions import Action
from bastion.policy.shell.reading import is_complete

PROMPT = Prompt("deploy", "web1", "/srv/app")
SIGN = "deploy@web1:/srv/app$ "
DENIED = Outlook(Action.DENY, "denied by no-reboot: production does not reboot")
APPROVAL = Outlook(Action.APPROVE, "needs approval by careful: somebody looks first")


def judged(text: str) -> Outlook:
    if "reboot" in text:
        return DENIED
    return APPROVAL if "systemctl" in text else Outlook(Action.ALLOW)


class Seat:
    """An editor with a terminal of `columns` × `rows` before it."""

    def __init__(self, columns=80, rows=12, *, term="xterm-256color", history=None, **settings):
        self.vt = avt.Vt(columns, rows, scrollback_limit=1000)
        self.written = b""
        self.changed = asyncio.Event()
        self.questions = []
        self.answers = {}
        settings.setdefault("outlook", judged)
        settings.setdefault("complete", self.complete)
        settings.setdefault("is_complete", is_complete)
        self.history = history or HistoryFile(None, lambda line: line)
        self.editor = LineEditor(
            write=self.write,
            term=term,
            columns=columns,
            rows=rows,
            history=self.history,
            **settings,
        )
        self.reading = None

    def write(self, data: bytes) -> None:
        self.written += data
        self.vt.feed_str(data.decode())
        self.changed.set()

    async def complete(self, asked):
        self.questions.append(asked)
        return self.answers.get((asked.kind.value, asked.word), [])

    async def start(self, prompt=PROMPT, initial=""):
        self.reading = asyncio.ensure_future(self.editor.read_line(prompt, initial))
        await asyncio.sleep(0)
        return self

    def keys(self, data: bytes | str) -> None:
        self.editor.feed(data.encode() if isinstance(data, str) else data)

    async def until(self, condition, seconds=5.0):
        """Wait until the screen is as it should be; what it is instead is in the failure."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not condition(self):
                    self.changed.clear()
                    await self.changed.wait()
        assert condition(self), self.screen

    async def line(self, keys: bytes | str = b"") -> str:
        """Press `keys`, and wait for the command that they enter."""
        if self.reading is None:
            await self.start()
        self.keys(keys)
        async with asyncio.timeout(10):
            try:
                return await self.reading
            finally:
                self.reading = None

    @property
    def rows(self) -> list[str]:
        return [line.text.rstrip() for line in self.vt.view()]

    @property
    def screen(self) -> str:
        return "\n".join(self.rows).rstrip()

    @property
    def everything(self) -> str:
        """The scrollback as well."""
        return "\n".join(line.text.rstrip() for line in self.vt.lines()).rstrip()

    @property
    def cursor(self) -> tuple[int, int]:
        return self.vt.cursor.row, self.vt.cursor.col

    async def leave(self):
        if self.reading:
            self.reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.reading
        self.editor.close()


@contextlib.asynccontextmanager
async def seat(*args, prompt=PROMPT, initial="", **settings):
    """A seat where a line is being read."""
    place = Seat(*args, **settings)
    await place.start(prompt, initial)
    try:
        yield place
    finally:
        await place.leave()
