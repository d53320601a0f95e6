"""What programs and people do to a text on its way to a screen, and how streams are cut.

A trick takes a text, random choices, and where its secret stands; it gives steps: bytes, and sizes
that the window gets between them.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable
from typing import Final

COLUMNS: Final = 80
ROWS: Final = 200  # more lines than any case shows

Step = bytes | tuple[int, int]
"""Bytes, or the window's new columns and rows."""
Trick = Callable[[bytes, random.Random, int, int], Iterable[Step]]


def plain(text: bytes, _rng: random.Random, _start: int, _end: int) -> list[Step]:
    """As it is."""
    return [text]


# --- colours and other things that print nothing ----------------------------------------------


def coloured(text: bytes, rng: random.Random, start: int, end: int) -> list[Step]:
    """Colours at three places of the secret."""
    for at in sorted(rng.sample(range(start, end), min(3, end - start)), reverse=True):
        text = text[:at] + rng.choice([b"\x1b[1;31m", b"\x1b[0m", b"\x1b[38;5;9m"]) + text[at:]
    return [text]


def coloured_throughout(text: bytes, _rng: random.Random, start: int, end: int) -> list[Step]:
    """Each letter in a colour of its own, as `lolcat` has it."""
    middle = b"".join(b"\x1b[38;5;%dm%c" % (n % 256, c) for n, c in enumerate(text[start:end]))
    return [text[:start] + middle + b"\x1b[39m" + text[end:]]


def linked(text: bytes, rng: random.Random, start: int, end: int) -> list[Step]:
    """A hyperlink around a part of it."""
    a, b = sorted(rng.choices(range(start, end + 1), k=2))
    close = rng.choice([b"\x07", b"\x1b\\"])
    link = b"\x1b]8;;http://x" + close + text[a:b] + b"\x1b]8;;" + close
    return [text[:a] + link + text[b:]]


def dotted(text: bytes, rng: random.Random, start: int, end: int) -> list[Step]:
    """NUL and BEL bytes, which no terminal shows."""
    at = rng.randrange(start, end)
    return [text[:at] + b"\0\x07" + text[at:]]


def wide(text: bytes, rng: random.Random, _start: int, _end: int) -> list[Step]:
    """UTF-16, which is ASCII with NUL bytes between."""
    low, high = rng.choice([(b"", b"\0"), (b"\0", b"")])
    return [b"".join(low + bytes([c]) + high for c in text)]


def invisible(text: bytes, rng: random.Random, start: int, end: int) -> list[Step]:
    """Characters without width, and accents, between its letters."""
    for at in sorted(rng.sample(range(start, end), min(3, end - start)), reverse=True):
        mark = rng.choice("\u200b\u200d\u2060\ufeff\u00ad\u202e\ufe0f")
        text = text[:at] + mark.encode() + text[at:]
    return [text]


def among_bytes(text: bytes, rng: random.Random, _start: int, _end: int) -> list[Step]:
    """Bytes that are no UTF-8 before and after it."""
    return [b"\xe4\xff\n" + text + rng.choice([b"\n", b"\r\n"]) + b"\xfc\xc3"]


# --- going to and fro -------------------------------------------------------------------------


def corrected(text: bytes, rng: random.Random, start: int, end: int) -> list[Step]:
    """A wrong letter, taken back."""
    if b"\n" in text[:start]:
        return [text]  # who corrects a key of many lines?
    at = rng.randrange(start, end)
    return [text[:at] + rng.choice([b"Q\b", b"Q\b \b", b"Q\x1b[D", b"QQ\b\b\x1b[K"]) + text[at:]]


def overstruck(text: bytes, _rng: random.Random, start: int, end: int) -> list[Step]:
    """Bold as old manual pages have it."""
    bold = b"".join(bytes([c, 8, c]) for c in text[start:end])
    return [text[:start] + bold + text[end:]]


def underlined(text: bytes, _rng: random.Random, start: int, end: int) -> list[Step]:
    """Underlined as old manual pages have it."""
    lined = b"".join(b"_\b%c" % c for c in text[start:end])
    return [text[:start] + lined + text[end:]]


def redrawn(text: bytes, rng: random.Random, start: int, end: int) -> list[Step]:
    """A progress bar before it on the same line."""
    bar = b"  %d%% [####    ]\r" % rng.randrange(100)
    return [text if b"\n" in text[:end] else bar + rng.choice([b"", b"\x1b[K", b"\x1b[2K"]) + text]


def inserted(text: bytes, rng: random.Random, start: int, end: int) -> list[Step]:
    """Its middle is put in later, between what is there, as a line editor does it."""
    if b"\n" in text or len(text) > COLUMNS - 2:
        return [text]
    a, b = sorted(rng.choices(range(start, end + 1), k=2))
    back, size = len(text) - b, b - a
    if not back or not size:
        return [text]
    return [text[:a] + text[b:], b"\x1b[%dD\x1b[%d@%s" % (back, size, text[a:b])]


def without_some(text: bytes, rng: random.Random, start: int, end: int) -> list[Step]:
    """Letters in its middle are taken out later."""
    if b"\n" in text or len(text) > COLUMNS - 8:
        return [text]
    at = rng.randrange(start + 1, end)
    there = text[:at] + b"<-->" + text[at:]
    return [there, b"\x1b[%dD\x1b[4P" % (len(text) - at + 4)]


# --- over a whole screen -----------------------------------------------------------------------


def drawn_in_parts(text: bytes, rng: random.Random, start: int, end: int) -> list[Step]:
    """Its second half is drawn first, by addresses, on the other screen."""
    if b"\n" in text or len(text) > COLUMNS - 2:
        return [text]
    at, row = rng.randrange(start + 1, end), rng.randrange(1, 20)
    halves = [b"\x1b[%d;1H%s" % (row, text[:at]), b"\x1b[%d;%dH%s" % (row, at + 1, text[at:])]
    rng.shuffle(halves)
    return [b"\x1b[?1049h\x1b[2J", *halves, b"\x1b[24;1H"]


def drawn_by_rows(text: bytes, rng: random.Random, _start: int, _end: int) -> list[Step]:
    """Each of its lines at an address, as an editor shows a file."""
    rows: list[Step] = [
        b"\x1b[%d;1H\x1b[K%s" % (row, line.rstrip(b"\r"))
        for row, line in enumerate(text.split(b"\n"), start=2)
    ]
    start: Step = b"\x1b[?1049h\x1b[2J" if rng.random() < 0.5 else b"\x1b[H\x1b[2J"
    return [start, *rows, b"\x1b[190;1H"]


def scrolled_together(text: bytes, rng: random.Random, start: int, end: int) -> list[Step]:
    """A line between its two halves, which stand at the window's edge, is taken out."""
    if b"\n" in text or end - start < 4 or len(text) > COLUMNS - 2:
        return [text]
    at = rng.randrange(start + 1, end)
    first = b"\x1b[2;%dH%s" % (COLUMNS - at + 1, text[:at])
    return [b"\x1b[H\x1b[2J", first, b"\x1b[3;1Hx", b"\x1b[4;1H" + text[at:], b"\x1b[3;1H\x1b[M"]


# --- the window's edge -------------------------------------------------------------------------


def wrapped(text: bytes, rng: random.Random, start: int, end: int) -> list[Step]:
    """Wrapped at the window's edge, as a line editor does it."""
    if b"\n" in text or end > COLUMNS:
        return [text]
    before = b"x" * (COLUMNS - rng.randrange(start + 1, end) - 1) + b" "
    line = before + text
    return [line[:COLUMNS] + rng.choice([b" \r", b"\r\n"]) + line[COLUMNS:]]


def narrow(text: bytes, rng: random.Random, _start: int, _end: int) -> list[Step]:
    """In a window of an odd width, which changes in the middle."""
    middle = rng.randrange(len(text))
    sizes = [(rng.randrange(20, 200), ROWS) for _ in range(2)]
    return [sizes[0], text[:middle], sizes[1], text[middle:]]


TRICKS: Final[tuple[Trick, ...]] = (
    *(plain, coloured, coloured_throughout, linked, dotted, wide, invisible, among_bytes),
    *(corrected, overstruck, underlined, redrawn, inserted, without_some),
    *(drawn_in_parts, drawn_by_rows, scrolled_together, wrapped, narrow),
)
BESIDE: Final[frozenset[Trick]] = frozenset({wrapped, redrawn, scrolled_together})
"""Those that put something, or blanks, before it on the same line."""
COMPOSED: Final[frozenset[Trick]] = frozenset(
    {inserted, without_some, drawn_in_parts, scrolled_together}
)
"""Those after which it is whole on the screen alone: what stood there before was sent before."""


# --- forms that keep a key's lines apart -------------------------------------------------------

LEADS: Final[tuple[Callable[[int], str], ...]] = (
    lambda _: "",
    lambda n: f"{n:6}\t",
    lambda n: f"{n:7} ",
    lambda n: f"etc/key.pem:{n}:",
    lambda n: f"etc/key.pem{':' if n == 1 else '-'}{n}{':' if n == 1 else '-'}",
    lambda _: "+",
    lambda _: "-",
    lambda _: "> ",
    lambda _: "    ",
    lambda _: "web-1  | ",
    lambda n: f"Nov 24 12:00:{n:02} web1 app[4711]: ",
    lambda n: f"2026-11-24T12:00:01.{n:06}Z ",
)


def set_off(text: str, rng: random.Random) -> str:
    """Each line with something before it."""
    lead = rng.choice(LEADS)
    return "\n".join(lead(n) + line for n, line in enumerate(text.split("\n"), start=1))


def cuts(text: bytes, rng: random.Random) -> list[bytes]:
    """Whole, byte by byte, in two, in several, in packets."""
    way = rng.randrange(5)
    if way == 0 or len(text) < 2:
        return [text]
    if way == 1 and len(text) < 300:
        return [text[at : at + 1] for at in range(len(text))]
    count = {1: 40, 2: 1, 3: 4, 4: 12}[way]
    places = sorted({0, len(text), *(rng.randrange(len(text)) for _ in range(count))})
    return [text[a:b] for a, b in itertools.pairwise(places)]
