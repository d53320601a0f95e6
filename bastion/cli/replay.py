"""`bastion replay`: the player, on files or on what a running bastion keeps."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bastion.cli.state import with_state_where_needed

if TYPE_CHECKING:
    from bastion.store.state import StateDirectory


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
    help="Write it as .txt, .cast, .html or .svg: the last is a picture of the screen --at PLACE.",
)
@click.option(
    "--identity",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A private age key, for recordings that are encrypted.",
)
@with_state_where_needed
def replay(
    find_state: Callable[[], StateDirectory],
    paths: tuple[Path, ...],
    speed: float,
    idle_limit: float,
    at: str,
    follow: bool,
    plain: bool,
    out: Path | None,
    identity: Path | None,
) -> None:
    """Play recordings: a cast, all casts of a session's folder, or a list to choose from.

    PATH is a cast (any asciicast v2 file), a folder of casts (one session on one timeline), or a
    folder above such folders. Without one, the running bastion lists what it lets you play. The
    key ? shows all keys: play, seek, search the screen, jump to commands, denials and approvals,
    copy, save. What is recorded is played into a terminal in memory: no escape sequence of it
    reaches yours.
    """
    from bastion.wire.packed import no_key
    from replay import command
    from replay.identity import load_identity

    if (plain or out) and not paths:
        raise click.UsageError("name a cast, or a folder of casts")
    open_key = load_identity(identity) if identity else no_key
    if plain:
        for line in command.transcript(paths, open_key):
            click.echo(line)
    elif out is not None:
        command.write(paths, open_key, out, at)
    elif not sys.stdout.isatty():
        raise click.UsageError("there is no terminal to play on; try --plain")
    elif paths:
        command.play(paths, open_key, speed=speed, idle_limit=idle_limit, at=at, follow=follow)
    else:
        from bastion.control.client import ControlClient

        place = find_state().control_socket
        command.play_remote(lambda: ControlClient(place), speed=speed, idle_limit=idle_limit)
