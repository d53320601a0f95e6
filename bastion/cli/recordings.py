"""`bastion recordings`: where the casts are, and whether they are what was recorded."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bastion.cli.screen import print_json, print_table, when
from bastion.cli.state import DefaultGroup, as_json, with_state, with_state_where_needed
from bastion.errors import CastFault, StoreError
from bastion.model import visible

if TYPE_CHECKING:
    from bastion.store.state import StateDirectory


@click.group(cls=DefaultGroup)
def recordings() -> None:
    """List, verify and find recordings (`list` when nothing is named)."""


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


@recordings.command()
@click.argument("places", metavar="[SESSION|PATH]...", nargs=-1)
@click.option(
    "--key",
    "key_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The public key, kept elsewhere; by default the one beside the audit log.",
)
@as_json
@with_state_where_needed
def verify(
    find_state: Callable[[], StateDirectory],
    places: tuple[str, ...],
    key_file: Path | None,
    json_output: bool,
) -> None:
    """Tell whether recordings are what was recorded: all of them, some sessions, or files.

    Finds what was edited, put in another order, removed, cut or is missing, and what has no end.
    With PATHs and --key it needs no bastion. Exit status: 0 they hold, 1 something is broken, 3
    nothing is broken, but something has no end (it is live, or a crash left it).
    """
    from bastion.store import evidence

    paths = [Path(place) for place in places if Path(place).exists()]
    if paths and len(paths) == len(places) and key_file is not None:
        found = evidence.verify_paths(paths, key_file)
    else:
        found = evidence.verify_state(find_state(), places, key_file)
    reports = sorted(found, key=lambda report: (report.session, report.channel))
    if json_output:
        print_json([asdict(report) for report in reports])
    else:
        for report in reports:
            click.echo(f"{visible(report.state):<10} {visible(evidence.describe(report))}")
            for finding in report.findings:
                click.echo(f"  {visible(finding)}")
    sys.exit(evidence.exit_status(reports))


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
