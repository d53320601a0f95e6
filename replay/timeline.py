"""The timeline and the list of what happened: how they are drawn."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from rich.text import Text

from bastion.model import visible
from replay.happenings import Happening, Sort
from replay.playback import bar, cell_of, clock

HIT: Final = "▲"

SIGNS: Final = {
    Sort.COMMAND: ("◆", "green"),
    Sort.DENIAL: ("✗", "red"),
    Sort.APPROVAL: ("?", "yellow"),
    Sort.MASK: ("▒", "magenta"),
    Sort.ERROR: ("!", "red"),
    Sort.OTHER: ("◇", "cyan"),
}
"""How each sort of happening looks; the colours are among the sixteen that every terminal has."""

_COLOURS: Final = {"●": "bold", HIT: "bold cyan", **dict(SIGNS.values())}

_RANK: Final = (Sort.OTHER, Sort.COMMAND, Sort.MASK, Sort.APPROVAL, Sort.ERROR, Sort.DENIAL)
"""Of several in one cell, the last one here is shown."""


def marks_of(
    duration: float,
    width: int,
    happenings: Iterable[tuple[float, Happening]],
    hits: Iterable[float],
) -> dict[int, str]:
    """Which cells of the timeline show that something happened, or was found, there."""
    worst: dict[int, int] = {}
    for moment, one in happenings:
        cell = cell_of(moment, duration, width)
        worst[cell] = max(worst.get(cell, 0), _RANK.index(one.sort))
    marks = {cell: SIGNS[_RANK[rank]][0] for cell, rank in worst.items()}
    return marks | {cell_of(moment, duration, width): HIT for moment in hits}


def draw_timeline(position: float, duration: float, width: int, marks: Mapping[int, str]) -> Text:
    """What has passed, what comes, and the marks."""
    line = Text(no_wrap=True)
    for cell in bar(position, duration, width, marks):
        line.append(cell, _COLOURS.get(cell, "dim" if cell == "─" else ""))
    return line


def draw_happening(moment: float, happening: Happening, channel: str) -> Text:
    """One line of the list: when, what was decided, what it was."""
    sign, colour = SIGNS[happening.sort]
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(f"{clock(moment):>7} ", "dim")
    line.append(f"{sign} ", colour)
    if channel:
        line.append(f"{visible(channel)} ", "dim")
    if happening.verdict:
        line.append(f"{visible(happening.verdict, limit=12)} ", colour)
    elif happening.kind != "marker":
        line.append(f"{visible(happening.kind, limit=20)} ", colour)
    line.append(visible(happening.title.replace("\n", "⏎"), limit=300))
    return line


def current(moments: Sequence[float], position: float) -> int | None:
    """Which of the happenings was the last at a position."""
    found = bisect_right(moments, position) - 1
    return found if found >= 0 else None


def next_of(
    entries: Sequence[tuple[float, Happening]], position: float, sorts: frozenset[Sort], step: int
) -> tuple[float, Happening] | None:
    """The next (1) or the one before (-1) of some sorts; all of them where none is named."""
    ordered = entries if step > 0 else list(reversed(entries))
    for moment, one in ordered:
        beyond = moment > position + 1e-6 if step > 0 else moment < position - 1e-6
        if beyond and (not sorts or one.sort in sorts):
            return moment, one
    return None


def progress(part: float) -> str:
    """A bar for what takes its time."""
    done = int(part * 20)
    return f"{'█' * done}{'░' * (20 - done)} {part:.0%}"
