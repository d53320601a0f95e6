"""What the console shows: four lists, what is under the cursor, one line to type reasons in."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, Final

from rich.text import Text
from textual import events
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import ContentSwitcher, Static

from bastion.errors import ControlError
from bastion.model import visible
from bastion.wire import control as wire
from replay.console.details import details_of
from replay.console.link import Link, Streams
from replay.console.live import LiveScreen
from replay.console.prompt import Prompt
from replay.console.rows import Rows
from replay.console.state import Known, decision_rows, held_rows, lock_rows, session_rows

TABS: Final = ("waiting", "live", "recent", "locks")
AWAY: Final = "The bastion is away; trying again."
SOON: Final = 0.3
"""Seconds from a change to asking for a list anew: a burst of changes is asked about once."""

KEYS: Final = {
    "waiting": "g grant  G equals too  r refuse  f follow  K kill  L lock",
    "live": "f follow  z zoom  K kill  L lock",
    "recent": "",
    "locks": "u take back",
}
ALWAYS: Final = "/ find  ? keys  q"

HELP: Final = """\
1 2 3 4, tab   waiting, live sessions, recent decisions, locks and grants
up down j k    move the cursor; PgUp and PgDn scroll what is below the list
g              grant what the cursor is on, once
G              grant it, and its equals in that session, as long as the rule lets
r              refuse it, with a reason
f, enter       follow that session's live screen; z gives it the whole window
K              end the session, with a reason
L              lock the person out: 30m (2h …) and a reason, or a reason alone
u              take the lock or grant back that the cursor is on
/              show only what holds these words; escape shows all again
x              put a break-glass alarm away
q              leave

What was under the cursor when you pressed the key is what is decided.
Something that appeared less than a moment ago is not: look, then press again.
A struck line has ended meanwhile. Escape leaves this page.
"""

FEW: Final = 3
"""Rows for which a list is short: what is below it has the room then."""


class ConsoleView(App[str]):
    """Shows what one Link tells, and moves about in it; what keys decide is `ConsoleApp`'s."""

    ENABLE_COMMAND_PALETTE = False
    CSS = """
    Screen { background: ansi_default; color: ansi_default; }
    #head, #tabs, #title, #said, #keys { height: 1; }
    #lists { height: 3; }
    .many #lists { height: 40%; min-height: 4; }
    #title { background: ansi_blue; color: ansi_white; }
    #below { height: 1fr; }
    #live { display: none; }
    #alarm { height: 1; display: none; background: ansi_red; color: ansi_white; text-style: bold; }
    .zoomed #lists, .zoomed #tabs, .helping #lists { display: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(str(n + 1), f"tab('{name}')", show=False) for n, name in enumerate(TABS)),
        Binding("tab", "next_tab", show=False, priority=True),
        Binding("z", "zoom"),
        Binding("x", "quiet"),
        Binding("pageup", "scroll_below(-1)"),
        Binding("pagedown", "scroll_below(1)"),
        Binding("slash", "find"),
        Binding("question_mark", "help"),
        Binding("escape", "leave"),
        Binding("q", "quit"),
    ]

    def __init__(
        self,
        connect: Callable[[], Awaitable[Streams]],
        *,
        again: bool,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(ansi_color=True)
        self.known = Known()
        self.link = Link(connect, self.take, self.changed, again=again)
        self.clock = clock
        self.welcome: wire.Welcome | None = None
        self.following = ""
        self._again = again
        self._said_away = False
        """Whether it was told that there is no connection: once, however often it is tried."""
        self._keys_of_ours = {
            binding.action.partition("(")[0]
            for bindings in self._bindings.key_to_bindings.values()
            for binding in bindings
        } - {"quit"}
        self._find = dict.fromkeys(TABS, "")
        self._asking: set[str] = set()
        self._shown: object = None
        """The request that the details are of: when it changes, they are written anew."""

    def compose(self) -> ComposeResult:
        """Head, tabs, lists, what is under the cursor, the line of words, the keys."""
        yield Static("connecting …", id="head", markup=False)
        yield Static(id="alarm", markup=False)
        yield Static(id="tabs", markup=False)
        with ContentSwitcher(id="lists", initial="waiting"):
            yield Rows("Nothing waits.", id="waiting")
            yield Rows("No session is live that you may see.", id="live-list")
            yield Rows("Nothing was decided yet.", id="recent")
            yield Rows("Nothing is locked or granted for a time.", id="locks")
        yield Static(id="title", markup=False)
        with VerticalScroll(id="below", can_focus=False):
            yield Static(id="details", markup=False)
        yield LiveScreen(id="live")
        yield Prompt(id="prompt")
        yield Static(id="said", markup=False)
        yield Static(id="keys", markup=False)

    def on_mount(self) -> None:
        """Connect, and let the seconds run."""
        self.run_worker(self._connect(), exclusive=False)
        self.set_interval(1.0, self.draw)
        self.draw()
        self.action_tab("waiting")

    async def _connect(self) -> None:
        await self.link.run()
        if not self._again:
            self.exit("The bastion hung up.")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """While a reason is typed, keys are letters."""
        typing = any(prompt.open for prompt in self.query(Prompt))
        return not typing or action not in self._keys_of_ours

    def on_key(self, event: events.Key) -> None:
        """A letter that comes as far as here while a reason is typed was on its way to a list when
        the line opened: it belongs to the reason, and its order is that of the keys."""
        prompt = self.query_one(Prompt)
        if prompt.open and event.is_printable and event.character is not None:
            prompt.type(event.character)
            event.prevent_default()

    # --- what the bastion tells ---------------------------------------------------------------

    def changed(self, state: wire.Welcome | str) -> None:
        """Connected, or not any more."""
        if isinstance(state, str):
            self.welcome = None
            self.following = ""
            if not self._said_away:
                self.say(f"{AWAY} {state}" if self._again else state, wrong=True)
            self._said_away = True
        else:
            self.say("Connected again; everything is listed anew." if self._said_away else "")
            self._said_away = False
            self.welcome = state
            self.run_worker(self.load("waiting", "live", "recent", "locks"))
        self.draw()

    def take(self, event: dict[str, Any]) -> None:
        """One pushed event."""
        kind = str(event.get("kind", ""))
        if kind == wire.OUTPUT:
            self.show_output(event)
            return
        new = self.known.take(event)
        if new and self.known.held[new].decidable:
            self.bell()
        if kind == wire.Event.BREAK_GLASS.value:
            self.alarm(event)
        for name, prefixes in _LISTS_OF.items():
            if kind.startswith(prefixes):
                self.ask_soon(name)
        self.draw()

    def ask_soon(self, name: str) -> None:
        """List anew, once for a burst of changes."""
        if name not in self._asking:
            self._asking.add(name)
            self.set_timer(SOON, lambda: self.run_worker(self.load(name)))

    async def load(self, *names: str) -> None:
        """Ask for these lists; what this operator may not list stays empty."""
        known = self.known
        self._asking.difference_update(names)
        for name in names:
            try:
                if name == "waiting":
                    held = await self.link.call(wire.ListApprovals(), list[wire.HeldRequest])
                    known.held = {one.id: one for one in held}
                elif name == "live":
                    known.sessions = await self.link.call(wire.ListSessions(), list[dict[str, Any]])
                elif name == "recent":
                    known.decisions = await self.link.call(
                        wire.ListDecisions(), list[wire.Decision]
                    )
                else:
                    known.grants = await self.link.call(wire.ListGrants(), list[wire.GrantShown])
                    known.locks = await self.link.call(wire.ListLocks(), list[wire.LockShown])
            except ControlError:
                continue
        self.draw()

    # --- what is shown ------------------------------------------------------------------------

    @property
    def tab(self) -> str:
        """The name of the tab that is shown."""
        current = self.query_one("#lists", ContentSwitcher).current or "waiting"
        return "live" if current == "live-list" else current

    def rows_of(self, tab: str) -> Rows:
        """A tab's list."""
        return self.query_one(f"#{'live-list' if tab == 'live' else tab}", Rows)

    def draw(self) -> None:
        """Show all lists and lines as they are now; cursors stay on what they were on."""
        if not self.query("#head"):
            return  # an answer that comes while the app closes finds nothing to draw on
        known, now, find = self.known, self.clock(), self._find
        waiting = self.rows_of("waiting")
        under = waiting.current
        how = known.how_ended(under.key) if under else ""
        waiting.show(held_rows(known.held.values(), now, find["waiting"]), how)
        self.rows_of("live").show(session_rows(known.sessions, find["live"]), "ended")
        self.rows_of("recent").show(decision_rows(known.decisions, find["recent"]))
        self.rows_of("locks").show(lock_rows(known.locks, known.grants, now, find["locks"]), "over")
        self.screen.set_class(len(self.rows_of(self.tab).lines) > FEW, "many")
        changed = self.tab == "waiting" and self._under() is not self._shown and self._under()
        if changed and not self.screen.has_class("helping"):
            self._below(home=False)
        self._draw_head()
        self._draw_tabs()

    def _under(self) -> wire.HeldRequest | None:
        row = self.rows_of("waiting").current
        return self.known.held.get(row.key) if row else None

    def _draw_head(self) -> None:
        head = Text(no_wrap=True, overflow="ellipsis")
        if self.welcome is None:
            head.append(" NOT CONNECTED ", "bold white on red")
        else:
            roles = ", ".join(self.welcome.roles) or "no roles"
            head.append("bastion console", "bold")
            head.append(f"  {visible(self.welcome.name)} ({visible(roles)})")
        self.query_one("#head", Static).update(head)

    def _draw_tabs(self) -> None:
        known = self.known
        counts = (
            len(known.held),
            len(known.sessions),
            len(known.decisions),
            len(known.locks) + len(known.grants),
        )
        line = Text(no_wrap=True)
        for number, (name, count) in enumerate(zip(TABS, counts, strict=True), 1):
            find = f" /{visible(self._find[name])}" if self._find[name] else ""
            style = "reverse bold" if name == self.tab else ""
            line.append(f" {number} {name.capitalize()} {count}{find} ", style)
        self.query_one("#tabs", Static).update(line)
        keys = "  ".join(part for part in (KEYS[self.tab], ALWAYS) if part)
        self.query_one("#keys", Static).update(Text(keys, "dim", no_wrap=True, overflow="ellipsis"))

    def say(self, text: str, *, wrong: bool = False) -> None:
        """One line about what was done, or why not."""
        line = Text(visible(text), "bold red" if wrong else "bold", no_wrap=True)
        self.query_one("#said", Static).update(line)
        if wrong:
            self.bell()

    def alarm(self, event: dict[str, Any]) -> None:
        """Somebody went on without approval: loud, until it is put away."""
        approval, reason = event.get("approval", {}), event.get("reason", "")
        text = (
            f" BREAK-GLASS  {approval.get('name')} on {approval.get('target')}: {reason}"
            "  (x puts this away)"
        )
        alarm = self.query_one("#alarm", Static)
        alarm.update(Text(visible(text), no_wrap=True, overflow="ellipsis"))
        alarm.display = True
        self.bell()

    # --- moving about -------------------------------------------------------------------------

    def action_tab(self, name: str) -> None:
        """Show a tab."""
        self.query_one("#lists", ContentSwitcher).current = "live-list" if name == "live" else name
        self.rows_of(name).focus()
        self.say("")
        self._below()
        self.draw()

    def action_next_tab(self) -> None:
        """The next tab, and round."""
        if not self.query_one(Prompt).open:
            self.action_tab(TABS[(TABS.index(self.tab) + 1) % len(TABS)])

    def action_scroll_below(self, pages: int) -> None:
        """Scroll what is below the list."""
        below = self.query_one("#below", VerticalScroll)
        below.scroll_relative(y=pages * max(1, below.size.height - 1), animate=False)

    def action_find(self) -> None:
        """Filter the list that is shown."""
        tab = self.tab

        def filter_by(text: str) -> None:
            self._find[tab] = text
            self.draw()

        self.query_one(Prompt).ask("find", filter_by, empty=True)

    def action_help(self) -> None:
        """Say what the keys do, until anything else is looked at."""
        self.screen.add_class("helping")
        self.query_one("#title", Static).update("keys")
        self.query_one("#live", LiveScreen).display = False
        below = self.query_one("#below", VerticalScroll)
        below.display = True
        self.query_one("#details", Static).update(Text(HELP))
        below.scroll_home(animate=False)

    def action_leave(self) -> None:
        """Out of whatever was opened."""
        self.screen.remove_class("zoomed")
        self._find[self.tab] = ""
        self.rows_of(self.tab).leave_ended()
        self.stop_following()
        self._below()
        self.draw()

    def action_quiet(self) -> None:
        """Put the alarm away."""
        self.query_one("#alarm", Static).display = False

    def action_zoom(self) -> None:
        """Give the live screen the whole window, or take it back."""
        if self.following:
            self.screen.toggle_class("zoomed")

    def on_rows_moved(self, message: Rows.Moved) -> None:
        """Another thing is under the cursor."""
        if message.rows is self.rows_of(self.tab):
            self._below()

    def _below(self, *, home: bool = True) -> None:
        """Show what is under the cursor, from its beginning where it is another thing."""
        self.screen.remove_class("helping")
        self._shown = self._under() if self.tab == "waiting" else None
        if self.tab != "live":
            self.stop_following()
        live = bool(self.following)
        self.query_one("#live", LiveScreen).display = live
        self.query_one("#below", VerticalScroll).display = not live
        if not live:
            row = self.rows_of(self.tab).current
            title, text = details_of(self.tab, row, self.known, self.clock())
            self.query_one("#title", Static).update(Text(title, no_wrap=True))
            self.query_one("#details", Static).update(text)
            if home:
                self.query_one("#below", VerticalScroll).scroll_home(animate=False)
            self.looked_at()

    # --- what the keys are for ----------------------------------------------------------------

    def looked_at(self) -> None:
        """Another thing is before the eyes."""

    def show_output(self, event: dict[str, Any]) -> None:
        """A piece of what is followed."""

    def stop_following(self) -> None:
        """Watch nothing any more."""


_LISTS_OF: Final[dict[str, tuple[str, ...]]] = {
    "live": ("session-", "channel-"),
    "recent": ("approval-granted", "approval-refused", "approval-expired", "approval-withdrawn"),
    "locks": ("lock-", "grant-", "approval-granted"),
}
