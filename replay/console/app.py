"""What the keys do. Each captures what is under the cursor at once; only then it asks or waits."""

from __future__ import annotations

import time
from collections.abc import Awaitable
from typing import Any, ClassVar, Final

import msgspec
from rich.text import Text
from textual.binding import Binding, BindingType
from textual.widgets import Static

from bastion.errors import ControlError
from bastion.model import visible
from bastion.policy.fields import parse_duration
from bastion.wire import control as wire
from replay.console.details import held_text, label_of
from replay.console.live import LiveScreen
from replay.console.prompt import Prompt
from replay.console.view import ConsoleView

LOOK: Final = 0.5
"""Seconds that a request must have been before the eyes before a key decides it: one that slides
under the cursor as the key goes down was not read."""


class ConsoleApp(ConsoleView):
    """Decides, ends and follows."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("g", "grant(False)"),
        Binding("G", "grant(True)"),
        Binding("r", "refuse"),
        Binding("K", "kill"),
        Binding("L", "lock"),
        Binding("f,enter", "follow"),
        Binding("u", "take_back"),
    ]

    _looked: tuple[str, float] = ("", 0.0)
    """What is before the eyes, and since when (monotonic seconds)."""

    # --- deciding -----------------------------------------------------------------------------

    def looked_at(self) -> None:
        """Something came under the eyes: note when, and fetch what stands around it."""
        held = self._held()
        if held is None:
            self._looked = ("", 0.0)
            return
        if self._looked[0] != held.id:
            self._looked = (held.id, time.monotonic())
        self.run_worker(self._show_context(held), group="context", exclusive=True)

    def action_grant(self, equals: bool) -> None:
        """Grant what is under the cursor, once, or with its equals."""
        held = self._to_decide()
        if held is None:
            return
        if equals and not held.repeat:
            self.say("The rule lets one request be granted at a time; g does that.", wrong=True)
            return
        repeat = held.repeat if equals else 0.0

        def grant(reason: str) -> None:
            self._send(
                wire.Grant(held.id, held.hash, reason, repeat), wire.Answered, f"{held.id} granted"
            )

        if held.reason_required:
            self.query_one(Prompt).ask(f"grant {label_of(held)}, because", grant)
        else:
            grant("")

    def action_refuse(self) -> None:
        """Refuse what is under the cursor, with a reason."""
        held = self._to_decide()
        if held is None:
            return

        def refuse(reason: str) -> None:
            self._send(wire.Refuse(held.id, held.hash, reason), wire.Answered, f"{held.id} refused")

        self.query_one(Prompt).ask(f"refuse {label_of(held)}, because", refuse)

    def _held(self) -> wire.HeldRequest | None:
        row = self.rows_of("waiting").current if self.tab == "waiting" else None
        return self.known.held.get(row.key) if row and not row.ended else None

    def _to_decide(self) -> wire.HeldRequest | None:
        """What the cursor is on, if it may be decided now; else says why not."""
        if self.tab != "waiting":
            self.say("Go to the waiting list first: 1.", wrong=True)
            return None
        row, held = self.rows_of("waiting").current, self._held()
        if held is None:
            self.say(f"{row.key} is over: {row.ended}." if row else "Nothing waits.", wrong=True)
        elif not held.decidable:
            self.say(self._why_not(held), wrong=True)
        elif self._looked[0] != held.id or time.monotonic() - self._looked[1] < LOOK:
            self.say(f"{held.id} has just appeared: look at it, then press again.", wrong=True)
        else:
            return held
        return None

    def _why_not(self, held: wire.HeldRequest) -> str:
        """Why somebody may look at a request, and not decide it."""
        if self.welcome is not None and held.identity == self.welcome.identity:
            return f"You asked for {held.id} yourself: somebody else decides it."
        if self.welcome is not None and self.welcome.name in held.granted_by:
            missing = held.count - len(held.granted_by)
            return f"You granted {held.id} already; {missing} more must grant it."
        return f"{held.id} is not yours to decide: it needs {', '.join(held.approvers)}."

    async def _show_context(self, held: wire.HeldRequest) -> None:
        try:
            context = await self.link.call(wire.GetContext(held.id), wire.Context)
        except ControlError:
            return
        looks = self._held() is held or self._looked[0] == held.id
        if looks and not self.screen.has_class("helping"):
            text = held_text(held, self.clock(), context)
            self.query_one("#details", Static).update(text)

    # --- ending -------------------------------------------------------------------------------

    def action_kill(self) -> None:
        """End the session under the cursor."""
        session, name = self._session()
        if session:
            label = f"kill the session of {visible(name, limit=30)}, because"
            self.query_one(Prompt).ask(
                label,
                lambda reason: self._send(wire.Kill(session, reason), wire.Ended, "Killed."),
            )

    def action_lock(self) -> None:
        """Lock out the person under the cursor."""
        identity, name = self._person()
        if not identity:
            return

        def lock(text: str) -> None:
            first, _, rest = text.partition(" ")
            until = None
            try:
                until = self.clock() + parse_duration(first)
                text = rest.strip() or text
            except ValueError:
                pass
            call = wire.SetLock("identity", identity, text, until)
            self._send(call, wire.LockSet, f"{name} is locked out.")

        self.query_one(Prompt).ask(f"lock {visible(name, limit=30)} out, [30m] because", lock)

    def action_take_back(self) -> None:
        """Take back the lock or grant under the cursor."""
        row = self.rows_of("locks").current if self.tab == "locks" else None
        if row is None or row.ended:
            self.say("Go to a lock or a grant first: 4.", wrong=True)
            return
        kind, _, key = row.key.partition(" ")
        if kind == "lock":
            self._send(wire.RemoveLock(key), wire.Ended, "The lock is taken away.")
            return
        self.query_one(Prompt).ask(
            f"revoke {key}, because",
            lambda reason: self._send(wire.RevokeGrant(key, reason), wire.Ended, "Revoked."),
        )

    def _session(self) -> tuple[str, str]:
        if (held := self._held()) is not None:
            return held.session_id, held.name
        row = self.rows_of("live").current if self.tab == "live" else None
        session = next((one for one in self.known.sessions if row and one["id"] == row.key), None)
        if row is None or row.ended or session is None:
            self.say("Go to a session first.", wrong=True)
            return "", ""
        return row.key, str(session["name"])

    def _person(self) -> tuple[str, str]:
        if (held := self._held()) is not None:
            return held.identity, held.name
        key, name = self._session()
        session = next((one for one in self.known.sessions if one["id"] == key), None)
        return (str(session["identity"]), name) if session else ("", "")

    # --- following ----------------------------------------------------------------------------

    def action_follow(self) -> None:
        """Follow the session under the cursor, in place."""
        session, name = self._session()
        if session:
            if self.tab != "live":
                self.action_tab("live")
            self.run_worker(self._follow(session, name), group="follow", exclusive=True)

    def stop_following(self) -> None:
        """Watch nothing any more."""
        if self.following:
            self.following = ""
            self.screen.remove_class("zoomed")
            self._send(wire.Unfollow(), wire.Ended, "")

    def show_output(self, event: dict[str, Any]) -> None:
        """A piece of what is followed."""
        if not self.following:
            return
        if event.get("ended") or event.get("screen") is None:
            self.say("The session is not shown to you any more.")
            return
        screen = msgspec.convert(event["screen"], wire.ScreenShown)
        live = self.query_one("#live", LiveScreen)
        if event.get("reset"):
            live.start(screen)
        else:
            live.feed(screen)
        if live.behind:
            self.run_worker(
                self._follow(screen.session, "", screen.channel), group="follow", exclusive=True
            )

    async def _follow(self, session: str, name: str, channel: str = "") -> None:
        try:
            following = await self.link.call(wire.Follow(session, channel), wire.Following)
        except ControlError as error:
            self.say(str(error), wrong=True)
            return
        self.following = session
        self.say("")
        live = self.query_one("#live", LiveScreen)
        live.start(following.screen)
        parts = ", shown in parts until it is drawn anew" if following.screen.cut else ""
        title = f"following {name or session} {following.screen.channel}{parts}  (escape leaves)"
        self.query_one("#title", Static).update(Text(visible(title), no_wrap=True))
        self.query_one("#below").display = False
        live.display = True

    # --- calls --------------------------------------------------------------------------------

    def _send(self, call: wire.AnyCall, shape: type[Any], done: str) -> None:
        self.run_worker(self._call(self.link.call(call, shape), done))

    async def _call(self, answer: Awaitable[Any], done: str) -> None:
        try:
            result = await answer
        except ControlError as error:
            self.say(str(error), wrong=True)
            return
        if isinstance(result, wire.Answered) and result.missing and result.state == "pending":
            done = f"Counted; {result.missing} more must grant it."
        if isinstance(result, wire.LockSet):
            done = f"{done} Sessions ended: {result.ended}."
        if done:
            self.say(done)
