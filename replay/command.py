"""What `bastion replay` does: play recordings, print them, or write them as something else."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bastion.control.client import ControlClient
from bastion.errors import CastFault
from bastion.model import visible
from bastion.wire.encrypted import OpenKey
from replay.castfile import CastFile
from replay.catalogue import Folder, casts_in, open_tape
from replay.export import export, transcribe
from replay.playback import Playback, parse_place
from replay.remote import Remote
from replay.spool import plain_file
from replay.tape import Tape


def play(
    paths: Sequence[Path],
    open_key: OpenKey,
    *,
    speed: float,
    idle_limit: float,
    at: str,
    follow: bool,
) -> None:
    """Play casts, or list what is below a folder. CastFault where something of it is damaged."""
    # Textual takes a quarter of a second to load, which `transcript` need not pay.
    from replay.app import ReplayApp
    from replay.player import Player

    casts = casts_of(paths)
    if not casts:
        ReplayApp(catalogue=Folder(paths[0], open_key), speed=speed, idle_limit=idle_limit).run()
        return
    tape = open_tape(casts, live=follow, open_key=open_key)
    ReplayApp(player=Player(tape, speed=speed, idle_limit=idle_limit, at=at)).run()
    _tell_faults(tape)


def play_remote(connect: Callable[[], ControlClient], *, speed: float, idle_limit: float) -> None:
    """List what a running bastion lets its caller play."""
    from replay.app import ReplayApp

    with contextlib.closing(Remote(connect, again=True)) as remote:
        ReplayApp(catalogue=remote, speed=speed, idle_limit=idle_limit).run()


def write(paths: Sequence[Path], open_key: OpenKey, out: Path, at: str) -> None:
    """Write casts as something else; CastFault says what cannot be done."""
    with contextlib.closing(open_tape(casts_of(paths), open_key=open_key)) as tape:
        _export(tape, out, at)


def transcript(paths: Sequence[Path], open_key: OpenKey) -> Iterator[str]:
    """The text of casts, a line each, without control characters."""
    for path in casts_of(paths):
        with CastFile(plain_file(path, open_key), name=path.name) as cast:
            yield from (visible(line.rstrip()) for line in transcribe(cast))
            if cast.fault:
                raise CastFault(visible(cast.fault) + ".")


def casts_of(paths: Sequence[Path]) -> list[Path]:
    """The casts that are meant; none where a folder holds only other folders."""
    found: list[Path] = []
    for path in paths:
        found += casts_in(path) if path.is_dir() else [path]
    return found


def _export(tape: Tape, out: Path, at: str) -> None:
    tape.read_on(float("inf"))
    playback = Playback(tape.times)
    if at:
        place = parse_place(at, playback.duration)
        if place is None:
            raise CastFault(f"{at} is no place; write 1:02:03, 90 or 45%.")
        playback.seek(place)
    else:
        playback.seek(playback.duration)
    number = tape.latest(playback.count) if out.suffix == ".svg" else 0
    export(tape.tracks[number], out, count=tape.count_of(number, playback.count))
    _tell_faults(tape)


def _tell_faults(tape: Tape) -> None:
    for track in tape.tracks:
        if track.fault:
            raise CastFault(visible(track.fault) + ".")
