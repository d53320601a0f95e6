"""The player's screen: the recorded terminal, what happened, a timeline, a line of state."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Final

from rich.text import Text
from textual import events, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.screen import Screen
from textual.widgets import Input, OptionList, Static

from bastion.errors import CastFault
from bastion.model import visible
from replay.export import export
from replay.finder import Finder
from replay.happenings import Happening, Sort
from replay.keys import PLAYER_KEYS, PROMPTS, Help
from replay.playback import Playback, clock, parse_place
from replay.tape import Tape, Track
from replay.terminal import BUDGET, FRAME, ScreenView
from replay.timeline import current, draw_happening, draw_timeline, marks_of, next_of, progress

IDLE_CAP: Final = 2.0
"""Seconds to which `i` shortens longer pauses."""

WIDE: Final = 120
"""Columns from which on the list is there unasked."""

MAX_LISTED: Final = 2000
"""Happenings in the list: each is a widget's line."""

INDEX_BUDGET: Final = 0.025
"""Seconds of a frame that the index gets while it is built."""


class Player(Screen[None]):
    """Plays one tape. Leaving it closes the tape."""

    CSS = """
    #list { width: 40; height: 1fr; display: none; border: none; border-left: solid $primary; }
    #list { background: $surface; text-wrap: nowrap; text-overflow: ellipsis; padding: 0; }
    #list:focus { border: none; border-left: heavy $accent; }
    Player.listed #list { display: block; }
    #timeline { height: 1; }
    #status { height: 1; }
    #prompt { display: none; border: none; height: 1; padding: 0; }
    Player.asking #prompt { display: block; }
    Player.asking #status { display: none; }
    """
    AUTO_FOCUS = ""
    BINDINGS: ClassVar[list[BindingType]] = PLAYER_KEYS

    def __init__(
        self,
        tape: Tape,
        *,
        speed: float = 1.0,
        idle_limit: float = 0.0,
        at: str = "",
        saves: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`at`: where to begin, as the prompt takes it. `saves`: files may be written here."""
        super().__init__()
        self.tape = tape
        self.playback = Playback((), speed=speed, idle_limit=idle_limit)
        self.following = tape.live and not at
        self.saves = saves
        self._at = at
        self._clock = clock
        self._last = clock()
        self._chosen: int | None = None
        self._finder: Finder | None = None
        self._hits: list[float] = []
        self._entries: list[tuple[float, int, Happening]] = []
        self._moments: list[tuple[float, Happening]] = []
        self._marks: dict[int, str] = {}
        self._marked_for: tuple[float, int, int, int] = (0.0, 0, 0, 0)
        self._news = -1
        self._label = ""
        self._asked = ""
        self._drawn: tuple[object, ...] = ()

    def compose(self) -> ComposeResult:
        """The terminal and the list, the timeline, the state or a prompt."""
        with Horizontal():
            yield ScreenView(self.tape.tracks[0].stage.screen)
            yield OptionList(id="list")
        yield Static(id="timeline", markup=False)
        yield Static(id="status", markup=False)
        yield Input(id="prompt", select_on_focus=False)

    def on_mount(self) -> None:
        """Begin to play."""
        self.set_class(self.app.size.width >= WIDE, "listed")
        self._last = self._clock()
        self.set_interval(FRAME, self.tick)
        self.tick()

    def on_unmount(self) -> None:
        """Nobody plays it any more."""
        self.tape.close()

    # --- the clock ------------------------------------------------------------------------------

    def tick(self) -> None:
        """Let the time since the last tick pass, and show where that leads."""
        now = self._clock()
        elapsed, self._last = now - self._last, now
        self._take_new()
        number, track = self._shown()
        target = self.tape.count_of(number, self.playback.count)
        caught_up = track.stage.count >= min(target, track.stage.limit)
        if self.following:
            self.playback.seek(self.playback.duration)
        elif caught_up and self.tape.ready and not self._at:
            self.playback.advance(elapsed)
        number, track = self._shown()
        arrived = track.stage.show(self.tape.count_of(number, self.playback.count), BUDGET)
        self._search_on()
        self._draw(track, arrived)

    def _take_new(self) -> None:
        if not self.tape.ready or self.tape.live:
            self.tape.read_on(INDEX_BUDGET if not self.tape.ready else BUDGET)
        if len(self.tape.times) > len(self.playback):
            self.playback.extend(self.tape.times[len(self.playback) :])
        if self._at and self.tape.ready:
            place = parse_place(self._at, self.playback.duration)
            self.playback.seek(place or 0.0)
            self._at = ""
        if self.tape.ready and self.tape.news != self._news:
            self._news = self.tape.news
            self._entries = self.tape.happenings()
            self._place_entries()
            self._fill_list()

    def _place_entries(self) -> None:
        """Where on the timeline, which may be shortened, each happening lies."""
        self._moments = [(self._position(moment), one) for moment, _, one in self._entries]

    def _position(self, moment: float) -> float:
        return self.playback.position_of(self.tape.times, moment)

    def _shown(self) -> tuple[int, Track]:
        number = self._chosen
        if number is None:
            number = self.tape.latest(self.playback.count)
        return number, self.tape.tracks[number]

    # --- moving ---------------------------------------------------------------------------------

    def action_play(self) -> None:
        """Play or pause."""
        if self.following:
            self.following, self.playback.playing = False, False
        else:
            self.playback.toggle()

    def action_skip(self, seconds: float) -> None:
        """Move on the timeline."""
        self._seek(self.playback.position + seconds)

    def action_step(self, count: int) -> None:
        """Go an event on, or back."""
        self.following = False
        self.playback.step(count)

    def action_tenth(self, tenth: int) -> None:
        """Go to a tenth of the timeline."""
        self._seek(self.playback.duration * tenth / 10)

    def on_click(self, event: events.Click) -> None:
        """A click on the timeline goes there."""
        if event.widget is not None and event.widget.id == "timeline":
            self._seek(self.playback.duration * event.x / max(1, self.size.width - 1))

    def action_faster(self, steps: int) -> None:
        """Change the speed."""
        self.playback.change_speed(steps)

    def action_idle(self) -> None:
        """Shorten long pauses, or do not."""
        limit = 0.0 if self.playback.idle_limit else IDLE_CAP
        self.playback.limit_idle(self.tape.times, limit)
        self._place_entries()
        self._place_hits()
        self._label = f"pauses end after {limit:g} s" if limit else "pauses as they were"

    def action_next(self, sort: str, step: int) -> None:
        """Go to the next happening of a sort, or the one before."""
        sorts = frozenset({Sort(sort)}) if sort else frozenset()
        found = next_of(self._moments, self.playback.position, sorts, step)
        if found is None:
            self._label = f"no {sort or 'command'} {'after' if step > 0 else 'before'} this"
            return
        self._go_to(*found)

    def action_hit(self, step: int) -> None:
        """Go to the next place where the text is that was looked for."""
        here = self.playback.position
        if not self._hits:
            self._label = "nothing is found" if self._finder else "press / to look for text"
            return
        ahead = [hit for hit in self._hits if (hit - here) * step > 1e-6]
        # Past the last one it begins again at the other end.
        self._seek(min(ahead or self._hits, key=lambda hit: (hit - here) * step))
        self._label = f"{self._hits.index(self.playback.position) + 1} of {len(self._hits)}"

    def action_follow(self) -> None:
        """Go to the end of what is still recorded, and stay there."""
        self.following = self.tape.live
        self._label = "" if self.following else "this recording is not live"

    def action_channel(self, step: int) -> None:
        """Show the next channel, or again the one that shows something."""
        choices = [None, *range(len(self.tape.tracks))]
        self._chosen = choices[(choices.index(self._chosen) + step) % len(choices)]
        named = "auto" if self._chosen is None else self.tape.tracks[self._chosen].title
        self._label = f"channel: {named}"

    def _seek(self, position: float) -> None:
        self.following, self._label = False, ""
        self.playback.seek(position)

    def _go_to(self, moment: float, happening: Happening) -> None:
        self._seek(moment)
        detail = f" ({happening.detail})" if happening.detail else ""
        self._label = f"{happening.verdict or happening.kind}: {happening.title}{detail}"

    # --- the list -------------------------------------------------------------------------------

    def action_list(self) -> None:
        """Show or hide what happened; shown, it has the keys."""
        self.toggle_class("listed")
        listing = self.query_one("#list", OptionList)
        self.set_focus(listing if self.has_class("listed") else None)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Go where it happened."""
        self._go_to(*self._moments[event.option_index])
        self.set_focus(None)

    def _fill_list(self) -> None:
        many = len(self.tape.tracks) > 1
        listing = self.query_one("#list", OptionList)
        listing.clear_options()
        listing.add_options(
            draw_happening(moment, one, self.tape.tracks[number].name if many else "")
            for moment, number, one in self._entries[:MAX_LISTED]
        )

    # --- prompts --------------------------------------------------------------------------------

    def action_ask(self, what: str) -> None:
        """Ask for a text below the timeline."""
        if what == "save" and not self.saves:
            self._label = "files are written only where you run bastion yourself; y copies"
            return
        self._asked = what
        self.add_class("asking")
        prompt = self.query_one("#prompt", Input)
        prompt.value, prompt.placeholder = "", PROMPTS[what]
        self.set_focus(prompt)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Do what was asked for."""
        self._dismiss_prompt()
        text = event.value.strip()
        if not text:
            return
        if self._asked == "find":
            self._finder, self._hits = Finder(self.tape, text), []
        elif self._asked == "go":
            place = parse_place(text, self.playback.duration)
            if place is None:
                self._label = f"{text} is no time; write 1:02:03, 90 or 45%"
            else:
                self._seek(place)
        elif self._asked == "save":
            number, track = self._shown()
            self._label = "writing…"
            self._save(track, text, self.tape.count_of(number, self.playback.count))

    def _dismiss_prompt(self) -> None:
        self.remove_class("asking")
        self.set_focus(None)

    def _search_on(self) -> None:
        if self._finder is None or self._finder.done or not self.tape.ready:
            return
        over = self._finder.read_on(BUDGET)
        self._place_hits()
        if over:
            self._label = f"{len(self._hits)} found" + ("; n goes there" if self._hits else "")

    def _place_hits(self) -> None:
        hits = self._finder.hits if self._finder else []
        self._hits = sorted({self.playback.at(hit) for hit in hits})

    @work(thread=True, exclusive=True)
    def _save(self, track: Track, name: str, count: int) -> None:
        path = Path(name).expanduser()
        try:
            export(track, path, count=count)
            self._label = f"written to {path}"
        except CastFault as fault:
            self._label = str(fault)

    def action_copy(self) -> None:
        """Hand the text of the screen to the viewer's own clipboard."""
        _, track = self._shown()
        lines = [line.rstrip() for line in track.stage.screen.text()]
        self.app.copy_to_clipboard("\n".join(lines).rstrip() + "\n")
        self._label = "the screen's text is copied"

    def action_help(self) -> None:
        """Show the keys."""
        self.app.push_screen(Help())

    def action_back(self) -> None:
        """Leave the prompt, then the list, then the player."""
        if self.has_class("asking"):
            self._dismiss_prompt()
        elif self.focused is not None:
            self.set_focus(None)
        else:
            self.action_leave()

    def action_leave(self) -> None:
        """Back to where it was chosen."""
        self.dismiss()

    # --- drawing --------------------------------------------------------------------------------

    def on_resize(self) -> None:
        """The window changed: draw all of it."""
        self._drawn = ()

    def _draw(self, track: Track, arrived: bool) -> None:
        """Draw what has changed: a paused player costs nothing."""
        timeline = self._timeline()
        state = self._state(track, arrived)
        picture = (id(track), track.stage.changes, self.size)
        drawn, self._drawn = self._drawn, (picture, timeline, state)
        if not drawn or drawn[0] != picture:
            self.query_one(ScreenView).update(track.stage.screen)
        if not drawn or drawn[1] != timeline:
            self.query_one("#timeline", Static).update(timeline)
            listing = self.query_one("#list", OptionList)
            if not listing.has_focus and listing.option_count:
                moments = [moment for moment, _ in self._moments[:MAX_LISTED]]
                listing.highlighted = current(moments, self.playback.position)
        if not drawn or drawn[2] != state:
            self.query_one("#status", Static).update(state)

    def _timeline(self) -> Text:
        playback, width = self.playback, self.size.width
        drawn_for = (playback.duration, width, len(self._moments), len(self._hits))
        if drawn_for != self._marked_for:
            self._marked_for = drawn_for
            self._marks = marks_of(playback.duration, width, self._moments, self._hits)
        return draw_timeline(playback.position, playback.duration, width, self._marks)

    def _state(self, track: Track, arrived: bool) -> Text:
        """Where it stands, then what is wrong, or what was said last, or the title."""
        playback = self.playback
        sign = ("▶" if playback.playing else "⏸") if arrived else "…"
        if self.following:
            sign = "● LIVE"
        times = f"{clock(playback.position)} / {clock(playback.duration)}"
        state = f"{sign} {times} {playback.speed:g}×  "
        if not self.tape.ready:
            return Text.assemble(state, ("reading ", "dim"), progress(self.tape.progress))
        if self._finder is not None and not self._finder.done:
            return Text.assemble(state, ("searching ", "dim"), progress(self._finder.progress))
        if fault := track.stage.fault or (track.cast.fault if playback.ended else ""):
            return Text.assemble(state, (visible(fault), "bold red"), no_wrap=True)
        keys = "? keys"
        mark = "UNGATED " if track.ungated else ""
        room = max(0, self.size.width - len(state) - len(mark) - len(keys) - 3)
        said = visible(self._label or track.title)[:room]
        parts = (state, (mark, "bold yellow"), said, "  ", (keys, "dim"))
        return Text.assemble(*parts, no_wrap=True)
