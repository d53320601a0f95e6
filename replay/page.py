"""A channel as one HTML page that plays by itself: no address is asked for anything.

Screens are drawn here, so the page holds no terminal: only rows of escaped text, and when which
row is shown. Its own policy forbids it every request and every script but its own.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.resources
import json
import re
from html import escape
from typing import Any, Final

from bastion.model import visible
from replay.colours import BACKGROUND, FOREGROUND, paint
from replay.screen import Look, Screen
from replay.stage import Stage
from replay.tape import Track

FRAME: Final = 0.05
"""Seconds: what changes faster than this is shown together."""

MAX_FRAMES: Final = 200_000
MAX_ROWS: Final = 500_000
"""Bounds of a page that a browser still opens; the page says where it was cut."""


def to_html(track: Track) -> str:
    """The whole channel, with its list of what happened."""
    title = visible(track.title)
    data = {
        "title": title,
        "happenings": [
            [round(one.time, 3), one.sort.value, visible(one.verdict), visible(one.title)]
            for one in track.happenings
        ],
        **_frames(track),
    }
    template = importlib.resources.files("replay").joinpath("page.html").read_text("utf-8")
    script = template.rpartition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    text = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    values = {
        "HASH": digest,
        "TITLE": escape(title),
        "BACKGROUND": BACKGROUND,
        "FOREGROUND": FOREGROUND,
        "DATA": text,
    }
    # In one pass: what is filled in may hold such names itself.
    return re.sub("@([A-Z]+)@", lambda found: values[found[1]], template)


def _frames(track: Track) -> dict[str, Any]:
    """Rows, each once, and for every frame its time, size and which row stands where."""
    stage = Stage(track.cast, track.new_screen(), len(track.cast))
    numbers: dict[str, int] = {}
    frames: list[list[Any]] = []
    latest = -1.0
    times = track.cast.times
    for count in range(1, len(track.cast) + 1):
        while not stage.show(count, 1.0):
            pass
        if stage.fault:
            break
        soon = count < len(times) and times[count] - latest < FRAME
        if not stage.changed or (soon and frames):
            continue
        latest = times[count - 1]
        frames.append([round(latest, 3), [*stage.screen.size], _changed(stage, numbers)])
        if len(frames) >= MAX_FRAMES or len(numbers) >= MAX_ROWS:
            return {"rows": list(numbers), "frames": frames, "cut": True}
    return {"rows": list(numbers), "frames": frames, "cut": False}


def _changed(stage: Stage, numbers: dict[str, int]) -> list[list[int]]:
    changed, stage.changed = stage.changed, set()
    height = stage.screen.size[1]
    rows = []
    for number in sorted(changed):
        if number < height:
            drawn = _row(stage.screen, number)
            rows.append([number, numbers.setdefault(drawn, len(numbers))])
    return rows


def _row(screen: Screen, number: int) -> str:
    return "".join(_run(text, look) for text, look in screen.row(number)).rstrip()


def _run(text: str, look: Look) -> str:
    front, back = paint(look)
    style = [f"color:{front}"] if front else []
    style += [f"background:{back}"] if back else []
    style += ["font-weight:bold"] if look.bold else []
    style += ["opacity:.6"] if look.faint else []
    style += ["font-style:italic"] if look.italic else []
    style += ["text-decoration:underline"] if look.underline else []
    style += ["text-decoration:line-through"] if look.strike else []
    shown = escape(text)
    return f'<i style="{";".join(style)}">{shown}</i>' if style else shown
