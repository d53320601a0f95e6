"""How command lines print: tables for people, tab-separated lines for pipes, JSON for programs.

Whatever came from outside goes through `visible`, so that no text can act on the terminal.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import click

from bastion.model import visible


def print_json(value: object) -> None:
    """Print JSON; it is ASCII, so nothing in it can act on a terminal."""
    click.echo(json.dumps(value, indent=2))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, none: str) -> None:
    """Print rows under their columns; where nobody looks on, tab-separated and never cut.

    `none`: the sentence that says on stderr that there are no rows.
    """
    shown = [[_cell(value) for value in row] for row in rows]
    if not shown:
        click.echo(none, err=True)
        return
    if not sys.stdout.isatty():
        for row in shown:
            click.echo("\t".join(row))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False)
    for row in shown:
        table.add_row(*(Text(cell, overflow="fold") for cell in row))
    Console(highlight=False).print(table)


def print_fields(pairs: Iterable[tuple[str, object]], *, indent: str = "") -> None:
    """Print labels and values, a line each."""
    for label, value in pairs:
        click.echo(f"{indent}{visible(label):<12} {_cell(value)}")


def when(seconds: float | None) -> str:
    """A time as UTC, or a dash; what no calendar can show (a file says so) as its number."""
    if seconds is None:
        return "-"
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        return f"{seconds} s"


def how_long(seconds: float) -> str:
    """A duration, as people say it."""
    whole = max(0, int(seconds))
    if whole < 120:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def _cell(value: object) -> str:
    return "-" if value is None or value == "" else visible(str(value))
