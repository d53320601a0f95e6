"""`bastion demo`: everything on loopback, to be tried out."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import click


@click.command()
@click.option("--check", "checking", is_flag=True, help="Run the demo's commands, and stop.")
@click.option("--port", default=2222, show_default=True, help="Where the bastion listens.")
@click.option(
    "--directory",
    type=click.Path(path_type=Path),
    help="A new directory for all files of the demo, kept afterwards; else a temporary one.",
)
def demo(checking: bool, port: int, directory: Path | None) -> None:
    """Run a provider, a bastion and a target here, and print commands to try on them."""
    from bastion.demo.show import show

    good = asyncio.run(show(port=port, directory=directory, checking=checking))
    sys.exit(0 if good else 1)
