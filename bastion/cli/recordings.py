"""`bastion recordings`: where the casts are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bastion.cli.screen import print_json, print_table, when
from bastion.cli.state import DefaultGroup, as_json, with_state
from bastion.errors import CastFault, StoreError

if TYPE_CHECKING:
    from bastion.store.state import StateDirectory


@click.group(cls=DefaultGroup)
def recordings() -> None:
    """List casts and find their files (`list` when nothing is named)."""


@recordings.command("list")
@click.option("--session", "session_id", default="", metavar="ID", help="Of this session alone.")
@as_json
@with_state
def list_recordings(directory: StateDirectory, session_id: str, json_output: bool) -> None:
    """List casts, oldest day first."""
    rows = [_describe(path) for path in _find(directory, session_id)]
    if json_output:
        print_json(rows)
        return
    print_table(
        ("session", "channel", "began", "bytes", "title", "file"),
        (
            (
                row["session"],
                row["channel"],
                when(row["began"]),
                row["bytes"],
                row["title"],
                row["file"],
            )
            for row in rows
        ),
    )


@recordings.command()
@click.argument("session_id", metavar="SESSION")
@click.argument("channel_id", metavar="[CHANNEL]", required=False)
@with_state
def path(directory: StateDirectory, session_id: str, channel_id: str | None) -> None:
    """Print the files of a session's casts, or of one channel's."""
    found = [
        file
        for file in _find(directory, session_id)
        if channel_id is None or file.stem == channel_id
    ]
    if not session_id or not found:
        raise StoreError(f"No recording of {session_id!r} is here; list them.")
    for file in found:
        click.echo(file)


def _find(directory: StateDirectory, session_id: str) -> list[Path]:
    from bastion.store.recordings import Recordings

    return list(Recordings(directory.recordings).find(session_id))


def _describe(path: Path) -> dict[str, Any]:
    from bastion.wire import asciicast

    with path.open("rb") as file:
        line = file.readline(asciicast.MAX_LINE)
    try:
        header = asciicast.decode_header(line)
        title, began = header.title, header.timestamp
    except CastFault as fault:
        title, began = f"({fault})", None
    return {
        "session": path.parent.name,
        "channel": path.stem,
        "began": began,
        "bytes": path.stat().st_size,
        "title": title,
        "file": str(path),
    }
