"""`bastion console`: decide and watch, on the bastion's machine."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from bastion.cli.state import with_state

if TYPE_CHECKING:
    from bastion.store.state import StateDirectory


@click.command()
@with_state
def console(directory: StateDirectory) -> None:
    """Decide what waits, watch what runs, on one screen.

    Over SSH it is `ssh -t bastion console`. Press ? there for its keys.
    """
    if not sys.stdout.isatty():
        raise click.UsageError("there is no terminal to show it on; `bastion approvals` lists")
    from replay.console.app import ConsoleApp
    from replay.console.link import by_path

    said = ConsoleApp(by_path(directory.control_socket), again=True).run()
    if said:
        click.echo(f"bastion: {said}", err=True)
