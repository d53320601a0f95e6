"""`bastion replay FILE`: play a cast, or print its text."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from bastion.errors import CastFault
from bastion.model import visible
from bastion.wire import asciicast
from replay.castfile import CastFile, has_raw_newlines
from replay.screen import PIECE, Transcript


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--speed",
    type=click.FloatRange(1, 16),
    default=1.0,
    show_default=True,
    help="How many times as fast as it was.",
)
@click.option(
    "--idle-limit",
    type=click.FloatRange(0),
    default=0.0,
    metavar="SECONDS",
    help="Shorten every longer pause to this; 0 keeps them.",
)
@click.option("--plain", is_flag=True, help="Print the text instead, without control characters.")
def replay(file: Path, speed: float, idle_limit: float, plain: bool) -> None:
    """Play the cast in FILE.

    Keys: space plays and pauses, the arrows move by 5 s, digits go to tenths, m to the next
    marker, + and - change the speed, q leaves. What is recorded is played into a terminal in
    memory: no escape sequence of it reaches yours.
    """
    with CastFile(file) as cast:
        if plain:
            _print(cast)
        elif not sys.stdout.isatty():
            raise click.UsageError("there is no terminal to play on; try --plain")
        else:
            # Textual takes a quarter of a second to load, which --plain need not pay.
            from replay.app import ReplayApp

            ReplayApp(cast, speed=speed, idle_limit=idle_limit).run()
        if cast.fault:
            raise CastFault(visible(cast.fault) + ".")


def _print(cast: CastFile) -> None:
    for line in transcribe(cast):
        click.echo(visible(line.rstrip()))


def transcribe(cast: CastFile) -> Iterator[str]:
    """The lines of a recording's text, as they are finished."""
    header = cast.header
    text = Transcript(header.width, header.height, raw_newlines=has_raw_newlines(cast))
    for number in range(len(cast)):
        try:
            yield from _lines(text, cast.event(number))
        except CastFault as fault:
            raise CastFault(f"line {number + 2}: {fault}; what comes before is shown.") from None
    yield from text.flush()


def _lines(text: Transcript, event: asciicast.CastEvent) -> Iterator[str]:
    if event.code == asciicast.OUTPUT:
        for start in range(0, len(event.data), PIECE):
            yield from text.feed(event.data[start : start + PIECE])
    elif event.code == asciicast.RESIZE:
        yield from text.resize(*asciicast.parse_resize(event.data))
