"""Colours of a terminal as the web writes them."""

from __future__ import annotations

from typing import Final

from replay.screen import Colour, Look

BACKGROUND: Final = "#101216"
FOREGROUND: Final = "#d8dbe2"

_BASIC: Final = (
    "#1c1f26", "#e06c75", "#98c379", "#e5c07b", "#61afef", "#c678dd", "#56b6c2", "#c8ccd4",
    "#6b7280", "#ff7a85", "#b5e08c", "#ffd68a", "#7cc0ff", "#dd90f0", "#6fd3df", "#ffffff",
)  # fmt: skip
_STEPS: Final = (0, 95, 135, 175, 215, 255)


def paint(look: Look) -> tuple[str, str]:
    """Foreground and background of a look, reversed where it says so; "" is the default."""
    front, back = _hex(look.foreground), _hex(look.background)
    if look.reverse:
        return back or BACKGROUND, front or FOREGROUND
    return front, back


def _hex(colour: Colour) -> str:
    if colour is None:
        return ""
    if not isinstance(colour, int):
        return "#{:02x}{:02x}{:02x}".format(*colour)
    if colour < 16:
        return _BASIC[colour]
    if colour < 232:
        number = colour - 16
        parts = (_STEPS[number // 36], _STEPS[number // 6 % 6], _STEPS[number % 6])
        return "#{:02x}{:02x}{:02x}".format(*parts)
    grey = 8 + (colour - 232) * 10
    return f"#{grey:02x}{grey:02x}{grey:02x}"
