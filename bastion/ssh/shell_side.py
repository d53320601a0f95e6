"""What only a gated shell has on the bastion's side: its line editor, and its timers."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bastion.editor.editor import LineEditor
from bastion.editor.values import Completing as Wanted
from bastion.editor.values import History, Outlook, Prompt
from bastion.events import (
    Completing,
    Edit,
    EditorEof,
    Entered,
    FromClient,
    Suggest,
    ToEditor,
    Wake,
    Woken,
)
from bastion.gate.words import refusal
from bastion.model import Dialect, LineRequest, visible
from bastion.policy.actions import Action
from bastion.policy.rules import Verdict
from bastion.policy.shell.reading import is_complete
from bastion.ssh.ends import Feed, ShellEffect
from bastion.ssh.services import Clock


@dataclass(frozen=True, slots=True)
class Keyboard:
    """The person's end: TERM, size, and what lines are remembered and judged by."""

    term: str
    columns: int
    rows: int
    history: History
    judge: Callable[[LineRequest], Verdict]
    login: str
    target: str
    dialect: Dialect

    @property
    def watches(self) -> bool:
        """Whether this shell has a hook that asks about steps."""
        return self.dialect is not Dialect.SH


class GatedShellSide:
    """Carries out a shell gate's Edit, ToEditor, Suggest and Wake (the drive's `ShellSide`)."""

    def __init__(self, clock: Clock, keyboard: Keyboard | None) -> None:
        self._clock = clock
        self._keyboard = keyboard
        self._drive: Feed | None = None
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._questions: dict[int, asyncio.Future[tuple[str, ...]]] = {}
        self._numbers = itertools.count(1)
        self._reading: asyncio.Task[None] | None = None
        self._directory = ""
        self._defined: tuple[str, ...] = ()
        self._editor = self._make_editor(keyboard) if keyboard else None

    def _make_editor(self, keyboard: Keyboard) -> LineEditor:
        return LineEditor(
            write=self._show,
            term=keyboard.term,
            columns=keyboard.columns,
            rows=keyboard.rows,
            outlook=self._outlook,
            complete=self._complete,
            history=keyboard.history,
            is_complete=lambda text: is_complete(text, keyboard.dialect),
        )

    @property
    def editing(self) -> bool:
        """Whether the line editor owns the screen's last lines."""
        return self._reading is not None

    def perform(self, effect: ShellEffect, drive: Feed) -> None:
        """Carry out what the gate wants of it."""
        self._drive = drive
        match effect:
            case Edit():
                self._edit(effect)
            case ToEditor(data=data):
                # Behind the task that reads the line, which has perhaps not begun yet.
                asyncio.get_running_loop().call_soon(self._feed, data)
            case Suggest(question=question, candidates=candidates):
                waiting = self._questions.pop(question, None)
                if waiting is not None and not waiting.done():
                    waiting.set_result(candidates)
            case Wake(timer=timer, seconds=seconds):
                self._wake(timer, seconds, drive)

    def resize(self, columns: int, rows: int) -> None:
        """The client's window has a new size."""
        if self._editor is not None:
            self._editor.resize(columns, rows)

    def interject(self, show: Callable[[], None]) -> None:
        """Let `show` write above the line that is being edited."""
        if self._editor is None:
            show()
        else:
            self._editor.interject(show)

    def close(self) -> None:
        """The channel has ended; whatever goes wrong in here does not end it again."""
        editor, self._editor = self._editor, None
        for timer in self._timers.values():
            timer.cancel()
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None
        if editor is not None:
            editor.close()

    # --- the editor ---------------------------------------------------------------------------

    def _edit(self, effect: Edit) -> None:
        assert self._editor is not None
        assert self._keyboard is not None
        self._directory, self._defined = effect.directory, effect.defined
        prompt = Prompt(
            login=self._keyboard.login,
            target=self._keyboard.target,
            directory=effect.directory,
            home=effect.home,
            status=effect.status,
            watched=bool(effect.defined) and self._keyboard.watches,
        )
        self._reading = asyncio.get_running_loop().create_task(self._read(prompt, effect.text))

    async def _read(self, prompt: Prompt, text: str) -> None:
        assert self._editor is not None
        assert self._drive is not None
        try:
            entered = await self._editor.read_line(prompt, text)
        except EOFError:
            self._reading = None
            self._drive.feed(EditorEof(self._clock()))
            return
        self._reading = None
        words = entered.split()
        if words[:2] == ["set", "-o"] and words[2:] in (["vi"], ["emacs"]):
            self._editor.vi = words[2] == "vi"
        self._drive.feed(Entered(self._clock(), entered, self._editor.leftover()))

    def _feed(self, data: bytes) -> None:
        if self._editor is not None and self._reading is not None:
            self._editor.feed(data)
        elif self._drive is not None:
            # Enter came just before: whoever has the keys now gets these.
            self._drive.feed(FromClient(self._clock(), data))

    def _show(self, data: bytes) -> None:
        if self._drive is not None:
            self._drive.show_own(data)

    def _outlook(self, text: str) -> Outlook:
        """What Enter would do with this text, by the policy as it stands now."""
        assert self._keyboard is not None
        if not text.strip():
            return Outlook(Action.ALLOW)
        request = LineRequest(
            text, self._directory, watched=self._keyboard.watches, defined=self._defined
        )
        verdict = self._keyboard.judge(request)
        match verdict.action:
            case Action.DENY:
                return Outlook(Action.DENY, refusal(verdict))
            case Action.APPROVE:
                return Outlook(
                    Action.APPROVE,
                    f"needs approval by rule {visible(verdict.rule)}: {visible(verdict.reason)}",
                )
            case _:
                return Outlook(Action.ALLOW, "decided step by step" if verdict.watch else "")

    async def _complete(self, wanted: Wanted) -> Sequence[str]:
        """Ask the shell on the target; the editor waits no longer than it says it does."""
        if self._drive is None:
            return ()
        number = next(self._numbers)
        answer: asyncio.Future[tuple[str, ...]] = asyncio.get_running_loop().create_future()
        self._questions[number] = answer
        try:
            self._drive.feed(Completing(self._clock(), number, wanted.kind.value, wanted.word))
            return await answer
        finally:
            self._questions.pop(number, None)

    # --- time ---------------------------------------------------------------------------------

    def _wake(self, timer: str, seconds: float, drive: Feed) -> None:
        earlier = self._timers.get(timer)
        if earlier is not None:
            earlier.cancel()
        loop = asyncio.get_running_loop()
        self._timers[timer] = loop.call_later(
            seconds, lambda: drive.feed(Woken(self._clock(), timer))
        )
