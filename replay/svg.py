"""One screen as an SVG that needs nothing else: no font, no script, no address."""

from __future__ import annotations

from html import escape
from typing import Final

from rich.cells import cell_len

from replay.colours import BACKGROUND, FOREGROUND, paint
from replay.screen import Look, Screen

WIDTH: Final = 8.4
HEIGHT: Final = 18
MARGIN: Final = 12


def to_svg(screen: Screen, title: str = "") -> str:
    """Draw what is shown; every run is stretched to its cells, whatever font the viewer has."""
    columns, rows = screen.size
    width, height = columns * WIDTH + 2 * MARGIN, rows * HEIGHT + 2 * MARGIN
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}"'
        f' viewBox="0 0 {width:g} {height:g}" font-size="14"'
        ' font-family="ui-monospace, Menlo, Consolas, DejaVu Sans Mono, monospace">'
    )
    parts = [
        head,
        f"<title>{_xml(title)}</title>",
        f'<rect width="100%" height="100%" rx="6" fill="{BACKGROUND}"/>',
    ]
    for number in range(rows):
        column = 0
        for text, look in screen.row(number):
            cells = cell_len(text)
            parts += _run(text, look, column, number, cells)
            column += cells
    if (cursor := screen.cursor) is not None:
        x, y = MARGIN + cursor[0] * WIDTH, MARGIN + cursor[1] * HEIGHT
        parts.append(
            f'<rect x="{x:g}" y="{y}" width="{WIDTH}" height="{HEIGHT}" fill="{FOREGROUND}"'
            ' fill-opacity="0.5"/>'
        )
    return "\n".join([*parts, "</svg>\n"])


def _run(text: str, look: Look, column: int, row: int, cells: int) -> list[str]:
    front, back = paint(look)
    x, y, width = MARGIN + column * WIDTH, MARGIN + row * HEIGHT, cells * WIDTH
    parts = []
    if back:
        parts.append(f'<rect x="{x:g}" y="{y}" width="{width:g}" height="{HEIGHT}" fill="{back}"/>')
    if text.strip():
        shown = text.rstrip()
        length = cell_len(shown) * WIDTH
        parts.append(
            f'<text x="{x:g}" y="{y + 14}" fill="{front or FOREGROUND}" xml:space="preserve"'
            f' textLength="{length:g}" lengthAdjust="spacingAndGlyphs"{_style(look)}>'
            f"{_xml(shown)}</text>"
        )
    return parts


def _style(look: Look) -> str:
    lines = [
        name for name, on in (("underline", look.underline), ("line-through", look.strike)) if on
    ]
    style = {
        "font-weight": "bold" if look.bold else "",
        "font-style": "italic" if look.italic else "",
        "opacity": "0.6" if look.faint else "",
        "text-decoration": " ".join(lines),
    }
    return "".join(f' {name}="{value}"' for name, value in style.items() if value)


def _xml(text: str) -> str:
    """XML has no way to write most control characters; none is left in a screen's rows."""
    return escape("".join(one if one.isprintable() else "\ufffd" for one in text))
