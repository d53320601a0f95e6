"""The player's screen: the recorded terminal, a timeline, and one line of state and keys."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import ClassVar, Final

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Static

from bastion.model import visible
from replay.castfile import CastFile, has_raw_newlines
from replay.playback import Playback, bar, clock, next_marker
from replay.screen import AvtScreen
from replay.stage import Stage
from replay.terminal import BUDGET, FRAME, ScreenView

SKIP: Final = 5.0
"""Seconds that an arrow key moves."""

KEYS: Final = "space ←→ 0-9 m +- q"


class ReplayApp(App[None]):
    """Plays one cast."""

    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #timeline { height: 1; color: $accent; }
    #status { height: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "play", "play or pause"),
        Binding("left", f"skip(-{SKIP})", "back 5 s"),
        Binding("right", f"skip({SKIP})", "on 5 s"),
        *(Binding(str(tenth), f"tenth({tenth})", f"to {tenth}0 %") for tenth in range(10)),
        Binding("home", "tenth(0)", "to the beginning"),
        Binding("end", "tenth(10)", "to the end"),
        Binding("m", "marker", "to the next marker"),
        Binding("plus,equals_sign", "faster(1)", "faster"),
        Binding("minus", "faster(-1)", "slower"),
        Binding("q,escape", "quit", "leave"),
    ]

    def __init__(
        self,
        cast: CastFile,
        *,
        speed: float = 1.0,
        idle_limit: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self.cast = cast
        self.playback = Playback(cast.times, speed=speed, idle_limit=idle_limit)
        header = cast.header
        screen = AvtScreen(header.width, header.height, raw_newlines=has_raw_newlines(cast))
        self.stage = Stage(cast, screen, len(cast))
        self._marks = [self.playback.at(number) for number, _ in cast.markers]
        self._clock = clock
        self._last = clock()
        self._label = ""
        self._drawn = (-1, "", "")

    def compose(self) -> ComposeResult:
        """The terminal, the timeline, the state."""
        yield ScreenView(self.stage.screen)
        yield Static(id="timeline", markup=False)
        yield Static(id="status", markup=False)

    def on_mount(self) -> None:
        """Begin to play."""
        self._last = self._clock()
        self.set_interval(FRAME, self.tick)
        self.tick()

    def tick(self) -> None:
        """Let the time since the last tick pass, and show where that leads."""
        now = self._clock()
        elapsed, self._last = now - self._last, now
        caught_up = self.stage.count >= min(self.playback.count, self.stage.limit)
        if caught_up:
            self.playback.advance(elapsed)
        arrived = self.stage.show(self.playback.count, BUDGET)
        self._draw(self._timeline(), self._state(arrived))

    def on_resize(self) -> None:
        """The window changed: draw all of it."""
        self._drawn = (-1, "", "")

    def action_play(self) -> None:
        """Play or pause."""
        self.playback.toggle()

    def action_skip(self, seconds: float) -> None:
        """Move on the timeline."""
        self.playback.seek(self.playback.position + seconds)

    def action_tenth(self, tenth: int) -> None:
        """Go to a tenth of the timeline."""
        self.playback.seek(self.playback.duration * tenth / 10)

    def action_faster(self, steps: int) -> None:
        """Change the speed."""
        self.playback.change_speed(steps)

    def action_marker(self) -> None:
        """Go to the next marker, and say what it is."""
        found = next_marker(self.cast.markers, self.playback.count)
        if found is None:
            self._label = "no marker after this"
            return
        number, self._label = found
        self.playback.seek_event(number)

    def _draw(self, timeline: str, state: Text) -> None:
        """Draw what has changed: a paused player costs nothing."""
        changes, line, markup = self._drawn
        self._drawn = (self.stage.changes, timeline, state.markup)
        if self.stage.changes != changes:
            self.query_one(ScreenView).update()
        if timeline != line:
            self.query_one("#timeline", Static).update(Text(timeline, no_wrap=True))
        if state.markup != markup:
            self.query_one("#status", Static).update(state)

    def _timeline(self) -> str:
        playback = self.playback
        return bar(playback.position, playback.duration, self.size.width, self._marks)

    def _state(self, arrived: bool) -> Text:
        """Where it stands, then what is wrong, or the last marker, or the title and the keys."""
        playback = self.playback
        sign = ("▶" if playback.playing else "⏸") if arrived else "…"
        times = f"{clock(playback.position)} / {clock(playback.duration)}"
        state = f"{sign} {times} {playback.speed:g}×  "
        if fault := self.stage.fault or (self.cast.fault if playback.ended else ""):
            return Text.assemble(state, (visible(fault), "bold red"), no_wrap=True)
        room = max(0, self.size.width - len(state) - len(KEYS) - 3)
        said = visible(self._label or self.cast.header.title)[:room]
        return Text.assemble(state, said, "  ", (KEYS, "dim"), no_wrap=True)
