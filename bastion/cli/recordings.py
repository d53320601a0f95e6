"""`bastion recordings`: where the casts are, and whether they are what was recorded."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bastion.cli.screen import print_json, print_table, when
from bastion.cli.state import DefaultGroup, as_json, connect, with_state, with_state_where_needed
from bastion.errors import CastFault, StoreError
from bastion.model import visible

if TYPE_CHECKING:
    from bastion.store.state import StateDirectory


@click.group(cls=DefaultGroup)
def recordings() -> None:
    """List, find, verify and keep recordings (`list` when nothing is named)."""


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
        none="There are no recordings.",
    )


@recordings.command()
@click.argument("session_id", metavar="SESSION")
@click.argument("channel_id", metavar="[CHANNEL]", required=False)
@with_state
def path(directory: StateDirectory, session_id: str, channel_id: str | None) -> None:
    """Print the files of a session's casts, or of one channel's."""
    from bastion.store.stored import stem_of

    found = [
        file
        for file in _find(directory, session_id)
        if channel_id is None or stem_of(file).name == channel_id
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


@recordings.command()
@click.argument("session_id", metavar="[SESSION]", default="")
@as_json
@with_state
def scan(directory: StateDirectory, session_id: str, json_output: bool) -> None:
    """Look for secrets that the masker missed, with a second scanner: in all, or in one session.

    Needs the extra `scan` (pip install 'bastion[scan]'). Exit status: 0 nothing was missed, 1
    something was; write a detector for it.
    """
    from bastion.identity.keyfiles import read_private
    from bastion.store import deepscan
    from bastion.store.stored import find_stored, open_stored, stem_of
    from bastion.tap.marks import Marks

    marks = Marks(read_private(directory.path / "mask.key"))
    look = deepscan.second_scanner()
    rows = []
    for path in _find(directory, session_id):
        with open_stored(*find_stored(stem_of(path), "cast")) as cast:
            for missed in deepscan.look_again(cast, look, marks):
                session, channel = path.parent.name, stem_of(path).name
                rows.append({"session": session, "channel": channel, **asdict(missed)})
    if json_output:
        print_json(rows)
    else:
        names = ("session", "channel", "time", "rule", "length", "mark")
        print_table(
            names, ([row[name] for name in names] for row in rows), none="Nothing was missed."
        )
    sys.exit(bool(rows))


@recordings.command()
@click.argument("text", default="")
@click.option("--identity", default="", help="Of this person: their name, or issuer#subject.")
@click.option("--target", default="", help="On this target.")
@click.option("--verdict", default="", help="Where a request was: allow, deny, approve.")
@click.option("--since", type=click.DateTime(), help="Sessions that began then or later, UTC.")
@click.option("--until", type=click.DateTime(), help="Sessions that began before, UTC.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@as_json
@with_state
def search(
    directory: StateDirectory,
    text: str,
    since: datetime | None,
    until: datetime | None,
    json_output: bool,
    **wanted: Any,
) -> None:
    """Find sessions by TEXT: on their screens, in commands, or in names. All that is given holds.

    Screens are indexed after a recording has ended, by `bastion recordings tidy`.
    """
    from bastion.cli.searching import search_state
    from bastion.store.found import Query

    query = Query(text=text, since=_utc(since), until=_utc(until), **wanted)
    rows = search_state(directory, query)
    if json_output:
        print_json(rows)
        return
    columns = ("session", "began", "who", "targets", "where", "what")
    print_table(
        columns, ([row[name] for name in columns] for row in rows), none="Nothing is found."
    )


def _utc(moment: datetime | None) -> float | None:
    return moment.replace(tzinfo=UTC).timestamp() if moment else None


@recordings.command()
@click.argument("session_id", metavar="SESSION")
@click.option("--reason", required=True, help="Why; it is audited.")
@with_state
def hold(directory: StateDirectory, session_id: str, reason: str) -> None:
    """Keep a session's recordings until they are released, whatever their age."""
    from bastion.wire import control as wire

    with connect(directory) as client:
        client.call(wire.HoldRecording(session_id, reason), wire.Ended)


@recordings.command()
@click.argument("session_id", metavar="SESSION")
@with_state
def release(directory: StateDirectory, session_id: str) -> None:
    """Let retention have a session's recordings again."""
    from bastion.wire import control as wire

    with connect(directory) as client:
        client.call(wire.ReleaseRecording(session_id), wire.Ended)


@recordings.command()
@as_json
@with_state
def holds(directory: StateDirectory, json_output: bool) -> None:
    """List the sessions whose recordings are held."""
    from bastion.store.ledger import Ledger
    from bastion.store.retention import held

    with contextlib.closing(Ledger(directory.database, read_only=True)) as ledger:
        rows = list(held(ledger.file).values())
    if json_output:
        print_json(rows)
        return
    columns = ("session", "by", "since", "reason")
    shown = ((r["session"], r["by"], when(r["at"]), r["reason"]) for r in rows)
    print_table(columns, shown, none="No recording is held.")


@recordings.command()
@click.argument("session_id", metavar="SESSION")
@click.option("--reason", required=True, help="Why; it is audited.")
@with_state
def delete(directory: StateDirectory, session_id: str, reason: str) -> None:
    """Delete a session's recordings now. What is held or live is not deleted."""
    from bastion.wire import control as wire

    with connect(directory) as client:
        client.call(wire.DeleteRecording(session_id, reason), wire.Ended)


@recordings.command()
@click.option(
    "--config",
    "-c",
    type=click.Path(path_type=Path),
    default="bastion.yaml",
    show_default=True,
    envvar="BASTION_CONFIG",
    help="The configuration file: it says what is kept for how long.",
)
@as_json
def tidy(config: Path, json_output: bool) -> None:
    """Index what was on screens, pack away what ended long ago, delete what is kept no longer.

    A running bastion does this by itself after recordings end, and the systemd timer once a day.
    Exit status 1 if something could not be done; the rest is.
    """
    from bastion.cli.tidying import tidy as tidied
    from bastion.config import load_config
    from bastion.store.state import StateDirectory

    settings = load_config(config)
    done = tidied(StateDirectory(settings.state, create=False), settings.recordings, at=time.time())
    if json_output:
        print_json(asdict(done))
    else:
        click.echo(
            f"{done.indexed} indexed, {done.packed} packed ({done.saved} bytes saved),"
            f" {done.deleted} sessions deleted, {done.problems} problems"
        )
    sys.exit(1 if done.problems else 0)


def _find(directory: StateDirectory, session_id: str) -> list[Path]:
    from bastion.store.recordings import Recordings

    return list(Recordings(directory.recordings).find(session_id))


def _describe(path: Path) -> dict[str, Any]:
    from bastion.store.stored import open_stored, stem_of
    from bastion.wire import asciicast
    from bastion.wire.packed import form_of

    try:
        with open_stored(path, form_of(path.name)) as file:
            header = asciicast.decode_header(file.readline(asciicast.MAX_LINE))
        title, began = header.title, header.timestamp
    except CastFault as fault:
        title, began = f"({fault})", None
    return {
        "session": path.parent.name,
        "channel": stem_of(path).name,
        "began": began,
        "bytes": path.stat().st_size,
        "title": title,
        "file": str(path),
    }
