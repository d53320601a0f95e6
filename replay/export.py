"""A recording as something else: text, a cast, a page, a picture of one screen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bastion.errors import CastFault
from bastion.model import visible
from bastion.wire import asciicast
from replay.castfile import CastFile, has_raw_newlines
from replay.page import to_html
from replay.screen import PIECE, Transcript
from replay.stage import Stage
from replay.svg import to_svg
from replay.tape import Track

FORMATS: Final = (".txt", ".cast", ".html", ".svg")


def export(track: Track, path: Path, *, count: int) -> None:
    """Write `path` in the format that its name ends with; a picture is of the screen after `count`
    events. CastFault says what cannot be done; a file that is there is never overwritten."""
    if path.suffix not in FORMATS:
        raise CastFault(f"End the name with one of {', '.join(FORMATS)}.")
    with track.cast.reopened() as cast:
        cast.read_on()
        again = Track(track.name, cast, happenings=track.happenings)
        try:
            with path.open("x", encoding="utf-8", newline="") as file:
                for piece in _pieces(again, path.suffix, count):
                    file.write(piece)
        except FileExistsError:
            raise CastFault(f"{path} is there already; take another name.") from None
        except OSError as error:
            raise CastFault(f"{path} cannot be written: {error.strerror}.") from None


def _pieces(track: Track, suffix: str, count: int) -> Iterator[str]:
    match suffix:
        case ".txt":
            yield from (f"{visible(line.rstrip())}\n" for line in transcribe(track.cast))
        case ".cast":
            yield from track.cast.lines()
        case ".html":
            yield to_html(track)
        case ".svg":
            stage = Stage(track.cast, track.new_screen(), len(track.cast))
            while not stage.show(count, 1.0):
                pass
            yield to_svg(stage.screen, track.title)


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
