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


STEP: Final = 256
"""Characters fed between two looks at the clock: of a hostile target's they can cost 7 ms."""


class LiveScreen(ScreenView):
    """Shows what `feed` gives it, some milliseconds of work a frame, whatever the bytes are."""

    def __init__(self, **options: str) -> None:
        super().__init__(AvtScreen(80, 24), id=options.get("id"))
        self._avt = AvtScreen(80, 24)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._text = ""
        self._said = False
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
        lines = screen.data.count(b"\n")
        raw = lines > 0 and screen.data.count(b"\r\n") == 0
        self._avt = AvtScreen(screen.columns, screen.rows, raw_newlines=raw)
        self._decoder.reset()
        self._text, self.behind = "", False
        self.update(self._avt)
        self.feed(screen)

    def clear(self) -> None:
        """Show nothing."""
        self._avt, self._text = AvtScreen(80, 24), ""
        self.update(self._avt)

    def feed(self, screen: wire.ScreenShown) -> None:
        """Take what came next, and the size it came with."""
        if (screen.columns, screen.rows) != self._avt.size:
            self.play(seconds=BUDGET)
            self._avt.resize(screen.columns, screen.rows)
            self.update()
        self._text += self._decoder.decode(screen.data)
        if len(self._text) > MAX_BEHIND:
            self._text, self.behind = "", True

    def play(self, seconds: float = BUDGET) -> None:
        """Feed the terminal in memory; time is what is bounded, for no count of bytes says what
        they cost."""
        if not self._text:
            return
        until = time.perf_counter() + seconds
        try:
            while self._text and time.perf_counter() < until:
                piece, self._text = self._text[:STEP], self._text[STEP:]
                self._avt.feed(piece)
        except CastFault:
            self.clear()
        self.update()
