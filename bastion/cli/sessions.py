"""`bastion sessions`: who is in, who was, and the way out."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import click

from bastion.cli.screen import print_fields, print_json, print_table, when
from bastion.cli.state import DefaultGroup, as_json, connect, with_state
from bastion.errors import StoreError

if TYPE_CHECKING:
    from bastion.store.ledger import Ledger
    from bastion.store.state import StateDirectory


@click.group(cls=DefaultGroup)
def sessions() -> None:
    """List, show and kill sessions (`list` when nothing is named)."""


@sessions.command("list")
@click.option("--all", "everything", is_flag=True, help="Sessions that ended, too.")
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    default=100,
    show_default=True,
    help="How many at most.",
)
@as_json
@with_state
def list_sessions(
    directory: StateDirectory, everything: bool, limit: int, json_output: bool
) -> None:
    """List live sessions, newest first."""
    with _ledger(directory) as ledger:
        rows = ledger.sessions(open_only=not everything, limit=limit)
    if json_output:
        print_json(rows)
        return
    print_table(
        ("session", "who", "from", "via", "targets", "channels", "started", "ended"),
        (
            (
                row["id"],
                row["name"],
                row["client_address"],
                row["via"],
                row["targets"],
                row["channels"],
                when(row["started_at"]),
                f"{when(row['ended_at'])} {row['reason']}" if row["ended_at"] else "live",
            )
            for row in rows
        ),
        none="There are no sessions."
        if everything
        else "No session is live (--all shows those that ended).",
    )


@sessions.command()
@click.argument("session_id", metavar="ID")
@as_json
@with_state
def show(directory: StateDirectory, session_id: str, json_output: bool) -> None:
    """Show one session with its channels, verdicts, approvals and file operations."""
    with _ledger(directory) as ledger:
        session = ledger.session(session_id)
    if session is None:
        raise StoreError(f"No session is called {session_id!r}; list them with --all.")
    if json_output:
        print_json(session)
        return
    print_fields(
        (
            ("session", session["id"]),
            ("who", f"{session['name']} ({session['identity']})"),
            ("roles", ", ".join(json.loads(session["roles"]))),
            ("from", f"{session['client_address']} {session['client_version']}"),
            ("via", session["via"]),
            ("certificate", session["serial"]),
            ("started", when(session["started_at"])),
            ("ended", f"{when(session['ended_at'])} {session['reason'] or ''}"),
        )
    )
    for name, line in _PARTS:
        for row in session[name]:
            click.echo()
            print_fields(line(row))


@sessions.command()
@click.argument("session_id", metavar="ID")
@click.option("--reason", required=True, help="Why; the person and the audit log are told.")
@with_state
def kill(directory: StateDirectory, session_id: str, reason: str) -> None:
    """End a live session now."""
    from bastion.wire import control as wire

    with connect(directory) as bastion:
        bastion.call(wire.Kill(session_id, reason), wire.Ended)
    click.echo(f"Session {session_id} is ended.")


def _channel(row: dict[str, Any]) -> list[tuple[str, object]]:
    status = "" if row["exit_status"] is None else f", exit status {row['exit_status']}"
    return [
        ("channel", f"{row['id']} {row['kind']} on {row['target']} as {row['login']}"),
        ("request", row["request"]),
        ("recording", row["recording"]),
        ("opened", when(row["opened_at"])),
        ("ended", f"{when(row['ended_at'])} {row['reason'] or ''}{status}"),
    ]


def _verdict(row: dict[str, Any]) -> list[tuple[str, object]]:
    return [
        ("verdict", f"{row['action']} by {row['rule']}: {row['reason']}"),
        ("request", row["request"]),
        ("at", f"{when(row['at'])} on channel {row['channel_id']}"),
    ]


def _approval(row: dict[str, Any]) -> list[tuple[str, object]]:
    return [
        ("approval", f"{row['id']} {row['state']} {row['reason']}"),
        ("asked", f"{when(row['asked_at'])} on channel {row['channel_id']}"),
    ]


def _file(row: dict[str, Any]) -> list[tuple[str, object]]:
    outcome = "done" if row["ok"] else "not done"
    return [
        ("file", f"{row['operation']} {row['path']} {row['other_path']} ({row['protocol']})"),
        ("outcome", f"{outcome} {row['note']}"),
        ("content", f"{row['size']} bytes {row['sha256']}"),
    ]


_PARTS = (
    ("channels", _channel),
    ("verdicts", _verdict),
    ("approvals", _approval),
    ("file_operations", _file),
)


def _ledger(directory: StateDirectory) -> contextlib.closing[Ledger]:
    from bastion.store.ledger import Ledger

    return contextlib.closing(Ledger(directory.database, read_only=True))
