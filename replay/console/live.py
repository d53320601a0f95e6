"""A live screen that comes in pieces over the control socket, played into a terminal in memory."""

from __future__ import annotations

import codecs
import time
from typing import Final

from bastion.errors import CastFault
from bastion.wire import control as wire
from replay.screen import AvtScreen
from replay.terminal import BUDGET, FRAME, ScreenView

MAX_BEHIND: Final = 256 * 1024
"""Characters that wait to be played; a channel that shows more for long is joined anew."""


STEP: Final = 64
"""Characters fed between two looks at the clock: of a hostile target's they can cost 80 ms."""


class LiveScreen(ScreenView):
    """Shows what `feed` gives it, some milliseconds of work a frame, whatever the bytes are."""

    def __init__(self, **options: str) -> None:
        super().__init__(AvtScreen(80, 24), id=options.get("id"))
        self._avt = AvtScreen(80, 24)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._text = ""
        self._at = 0
        """How much of it is played."""
        self.behind = False
        """More came than can be played: it must be joined anew."""

    def on_mount(self) -> None:
        """Play a little in every frame."""
        self.set_interval(FRAME, self.play)

    def on_resize(self) -> None:
        """Show as much above the cursor as there is room for."""
        if (cursor := self._avt.cursor) is not None:
            top = max(0, cursor[1] - self.scrollable_content_region.height + 1)
            self.scroll_to(y=top, animate=False, force=True)

    def start(self, screen: wire.ScreenShown) -> None:
        """Begin with a screen; whatever was shown before is gone."""
        self._avt = AvtScreen(screen.columns, screen.rows, raw_newlines=screen.raw)
        self._decoder.reset()
        self._text, self._at, self.behind = "", 0, False
        self.update(self._avt)
        self.feed(screen)
        self.play()

    def clear(self) -> None:
        """Show nothing."""
        self._avt, self._text, self._at = AvtScreen(80, 24), "", 0
        self.update(self._avt)

    def feed(self, screen: wire.ScreenShown) -> None:
        """Take what came next, and the size it came with."""
        if (screen.columns, screen.rows) != self._avt.size:
            self.play(seconds=BUDGET)
            self._avt.resize(screen.columns, screen.rows)
            self.update()
        self._text, self._at = self._text[self._at :] + self._decoder.decode(screen.data), 0
        if len(self._text) > MAX_BEHIND:
            self._text, self.behind = "", True

    def play(self, seconds: float = BUDGET) -> None:
        """Feed the terminal in memory; time is what is bounded, for no count of bytes says what
        they cost."""
        if self._at >= len(self._text):
            return
        until = time.perf_counter() + seconds
        try:
            while self._at < len(self._text) and time.perf_counter() < until:
                self._avt.feed(self._text[self._at : self._at + STEP])
                self._at += STEP
        except CastFault:
            self.clear()
        self.update()
