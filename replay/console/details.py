"""What stands below the lists: all of the thing under the cursor, nothing of it cut."""

from __future__ import annotations

import time
from typing import Final

from rich.text import Text

from bastion.errors import CastFault
from bastion.model import visible
from bastion.wire import control as wire
from replay.console.live import STEP
from replay.console.rows import Row
from replay.console.state import (
    Known,
    details,
    grant_details,
    lock_details,
    past_lines,
    request_text,
    session_details,
)
from replay.screen import AvtScreen

MOMENT: Final = 0.1
"""Seconds that drawing the last screen may take."""

_STRONG = frozenset({"request", "runs", "cannot tell"})


def details_of(tab: str, row: Row | None, known: Known, now: float) -> tuple[str, Text]:
    """A title and the text for the row under the cursor of a tab."""
    if row is None:
        return "", Text("")
    match tab:
        case "waiting":
            held = known.held.get(row.key)
            if held is None:
                return row.key, Text(f"{row.key} is over: {visible(row.ended)}.")
            return f"{held.id}  asked by {visible(held.name)}", held_text(held, now)
        case "recent":
            decision = next((one for one in known.decisions if one.id == row.key), None)
            return row.key, _decision_text(decision) if decision else Text("")
        case "live":
            session = next((one for one in known.sessions if one["id"] == row.key), None)
            if session is not None:
                return f"session of {visible(session['name'])}", _pairs(
                    session_details(session, now)
                )
        case "locks":
            return _lock_or_grant(row, known, now)
    return row.key, Text(row.text)


def _lock_or_grant(row: Row, known: Known, now: float) -> tuple[str, Text]:
    kind, _, key = row.key.partition(" ")
    if kind == "lock" and (lock := next((one for one in known.locks if one.id == key), None)):
        return "a lock", _pairs(lock_details(lock, now))
    if kind == "grant" and (grant := next((one for one in known.grants if one.id == key), None)):
        return "granted for a time", _pairs(grant_details(grant, now))
    return row.key, Text(row.text)


def held_text(held: wire.HeldRequest, now: float, context: wire.Context | None = None) -> Text:
    """A held request whole; below it, once they are known, the last screen and the past."""
    text = _pairs(details(held, now))
    if not held.decidable:
        text.append("\nYou may look at this, and not decide it.\n", "italic")
    if context is None:
        return text
    text.append("\nlast screen of the session\n", "bold underline")
    text.append_text(_screen_text(context.screen) if context.screen else Text("(none yet)\n"))
    text.append("\nwhat this person asked for before\n", "bold underline")
    text.append("\n".join(past_lines(context.past)) or "(nothing)")
    return text


def _screen_text(screen: wire.ScreenShown) -> Text:
    """The screen that the bytes lead to, as plain lines: no escape sequence of it reaches ours."""
    terminal = AvtScreen(screen.columns, screen.rows, raw_newlines=screen.raw)
    whole = _play(terminal, screen.data.decode("utf-8", "replace"))
    lines = ["".join(text for text, _ in terminal.row(y)) for y in range(terminal.size[1])]
    while lines and not lines[-1].strip():
        lines.pop()
    told = "" if whole else "(it costs too much to draw; this is not the end of it)\n"
    return Text("\n".join(f"│ {line.rstrip()}" for line in lines) + f"\n{told}", "dim")


def _play(terminal: AvtScreen, text: str) -> bool:
    """Feed what fits into a moment: a hostile target can make the rest take seconds, at every move
    of the cursor. False where something is left, or cannot be shown."""
    until = time.perf_counter() + MOMENT
    try:
        for start in range(0, len(text), STEP):
            if time.perf_counter() > until:
                return False
            terminal.feed(text[start : start + STEP])
    except CastFault:
        return False
    return True


def _decision_text(decision: wire.Decision) -> Text:
    return _pairs(
        [
            ("request", visible(decision.request)),
            ("state", decision.state),
            ("by", visible(", ".join(decision.by)) or "-"),
            ("reason", visible(decision.reason) or "-"),
            ("who", visible(decision.name)),
            ("target", visible(f"{decision.target} as {decision.login}".removesuffix(" as "))),
            ("session", decision.session_id),
        ]
    )


def _pairs(pairs: list[tuple[str, str]]) -> Text:
    text = Text()
    for label, value in pairs:
        text.append(f"{visible(label):<12} ", "cyan")
        text.append(value, "bold" if label in _STRONG else "")
        text.append("\n")
    return text


def label_of(held: wire.HeldRequest) -> str:
    """A request in a few words, for a prompt."""
    return visible(f"{held.id} {request_text(held)}", limit=40)
