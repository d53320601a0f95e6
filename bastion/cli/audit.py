"""`bastion audit`: read the audit log, and hold it against its proofs."""

from __future__ import annotations

import json
import sys
from collections import deque
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bastion.cli.screen import print_json, when
from bastion.cli.state import as_json, with_state
from bastion.errors import StoreError
from bastion.model import visible

if TYPE_CHECKING:
    from bastion.store.auditfile import Entry, Head
    from bastion.store.state import StateDirectory


@click.group()
def audit() -> None:
    """Verify the audit log, show it, and print a signed head to keep elsewhere."""


@audit.command()
@click.option(
    "--head",
    "head_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Heads that were kept elsewhere, a line each: the log must still hold what they name.",
)
@click.option(
    "--key",
    "key_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The public key, kept elsewhere; by default the one beside the log.",
)
@as_json
@with_state
def verify(
    directory: StateDirectory, head_file: Path | None, key_file: Path | None, json_output: bool
) -> None:
    """Find any edit, reorder, removal, or cut tail. Exit status 1 if there is one."""
    from bastion.store import auditfile
    from bastion.store.signing import read_public_key

    key = read_public_key(key_file or directory.audit / auditfile.PUBLIC_KEY)
    kept = _kept_heads(head_file) if head_file else []
    report = auditfile.verify(directory.audit, key, kept=kept)
    if json_output:
        print_json(asdict(report) | {"ok": report.ok})
    else:
        for finding in report.findings:
            click.echo(visible(str(finding)))
        if report.more:
            click.echo(f"and {report.more} more")
        click.echo(
            f"{'holds' if report.ok else 'BROKEN'}: {report.entries} entries,"
            f" {report.heads} signed heads, {report.unsigned} entries after the last head"
        )
    sys.exit(0 if report.ok else 1)


@audit.command()
@click.option(
    "--limit",
    type=click.IntRange(1),
    default=50,
    show_default=True,
    help="How many of the latest.",
)
@click.option("--kind", default="", help="Only entries of this kind.")
@as_json
@with_state
def show(directory: StateDirectory, limit: int, kind: str, json_output: bool) -> None:
    """Show the latest entries, oldest first. What is damaged is shown as such."""
    from bastion.store import auditfile

    kept: deque[tuple[int, Entry | ValueError]] = deque(maxlen=limit)
    path = directory.audit / auditfile.LOG
    if not path.exists():
        raise StoreError(f"{path} is not there yet: no bastion has run on this directory.")
    for number, entry in auditfile.read_entries(path):
        if isinstance(entry, ValueError) or not kind or entry.kind == kind:
            kept.append((number, entry))
    for number, entry in kept:
        if isinstance(entry, ValueError):
            click.echo(f"{number}: {visible(str(entry))}", err=json_output)
        elif json_output:
            click.echo(json.dumps(asdict(entry)))
        else:
            fields = " ".join(
                f"{visible(name)}={visible(json.dumps(value, ensure_ascii=False))}"
                for name, value in entry.fields.items()
            )
            click.echo(f"{entry.seq} {when(entry.at)} {visible(entry.kind)} {fields}")


@audit.command()
@with_state
def head(directory: StateDirectory) -> None:
    """Print the latest signed head. Kept elsewhere, it finds even a tail cut with its heads."""
    from bastion.store import auditfile

    latest: Head | None = None
    for _, found in auditfile.read_heads(directory.audit / auditfile.HEADS):
        if not isinstance(found, ValueError):
            latest = found
    if latest is None:
        raise StoreError("No head is signed yet: that happens every few entries and at the stop.")
    click.echo(latest.line().decode(), nl=False)


def _kept_heads(path: Path) -> list[Head]:
    from bastion.store.auditfile import Head

    try:
        return [Head.parse(line) for line in path.read_bytes().splitlines() if line.strip()]
    except ValueError:
        raise StoreError(f"{path} holds a line that is no signed head.") from None
