"""`bastion replay`: play recordings, print them, or write them as something else."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from bastion.errors import CastFault
from bastion.model import visible
from replay.castfile import CastFile
from replay.catalogue import open_tape
from replay.export import FORMATS, export, transcribe
from replay.playback import Playback, parse_place
from replay.tape import Tape


@click.command()
@click.argument("paths", metavar="[PATH]...", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--speed",
    type=click.FloatRange(0.5, 16),
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
@click.option("--at", default="", metavar="PLACE", help="Begin there: 1:02:03, 90 or 45%.")
@click.option("--follow", is_flag=True, help="It is still recorded: show it as it grows.")
@click.option("--plain", is_flag=True, help="Print the text instead, without control characters.")
@click.option(
    "--export",
    "out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help=f"Write it as {', '.join(FORMATS)}: the last is a picture of the screen --at PLACE.",
)
def replay(
    paths: tuple[Path, ...],
    speed: float,
    idle_limit: float,
    at: str,
    follow: bool,
    plain: bool,
    out: Path | None,
) -> None:
    """Play recordings: a cast, all casts of a session's folder, or a list to choose from.

    PATH is a cast (any asciicast v2 file), a folder of casts (one session on one timeline), or a
    folder above such folders. The key ? shows all keys: play, seek, search the screen, jump to
    commands, denials and approvals, copy, save. What is recorded is played into a terminal in
    memory: no escape sequence of it reaches yours.
    """
    if not paths:
        raise click.UsageError("name a cast, or a folder of casts")
    if plain:
        _print(paths)
    elif out is not None:
        with contextlib.closing(open_tape(_casts(paths))) as tape:
            _export(tape, out, at)
    elif not sys.stdout.isatty():
        raise click.UsageError("there is no terminal to play on; try --plain")
    else:
        # Textual takes a quarter of a second to load, which --plain need not pay.
        from replay.app import ReplayApp
        from replay.catalogue import Folder
        from replay.player import Player

        casts = _casts(paths)
        if casts:
            tape = open_tape(casts, live=follow)
            player = Player(tape, speed=speed, idle_limit=idle_limit, at=at)
            ReplayApp(player=player).run()
            _tell_faults(tape)
        else:
            ReplayApp(catalogue=Folder(paths[0]), speed=speed, idle_limit=idle_limit).run()


def _casts(paths: Sequence[Path]) -> list[Path]:
    """The casts that are meant; none where a folder holds only other folders."""
    found: list[Path] = []
    for path in paths:
        found += sorted(path.glob("*.cast")) if path.is_dir() else [path]
    return found


def _export(tape: Tape, out: Path, at: str) -> None:
    tape.read_on(float("inf"))
    playback = Playback(tape.times)
    if at:
        place = parse_place(at, playback.duration)
        if place is None:
            raise click.UsageError(f"{at} is no place; write 1:02:03, 90 or 45%")
        playback.seek(place)
    else:
        playback.seek(playback.duration)
    number = tape.latest(playback.count) if out.suffix == ".svg" else 0
    export(tape.tracks[number], out, count=tape.count_of(number, playback.count))
    _tell_faults(tape)


def _print(paths: Sequence[Path]) -> None:
    for path in _casts(paths):
        with CastFile(path) as cast:
            for line in transcribe(cast):
                click.echo(visible(line.rstrip()))
            if cast.fault:
                raise CastFault(visible(cast.fault) + ".")


def _tell_faults(tape: Tape) -> None:
    for track in tape.tracks:
        if track.fault:
            raise CastFault(visible(track.fault) + ".")
