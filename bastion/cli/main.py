"""`bastion`: one command line. Commands are imported when they are asked for."""

from __future__ import annotations

import importlib
import sys
from typing import Final

import click

from bastion import __version__
from bastion.errors import BastionError

COMMANDS: Final = {
    "approvals": "bastion.cli.approvals:approvals",
    "audit": "bastion.cli.audit:audit",
    "ca": "bastion.cli.ca:ca",
    "console": "bastion.cli.console:console",
    "demo": "bastion.cli.demo:demo",
    "grants": "bastion.cli.grants:grants",
    "lock": "bastion.cli.lock:lock",
    "login": "bastion.cli.login:login",
    "policy": "bastion.cli.policy:policy",
    "recordings": "bastion.cli.recordings:recordings",
    "replay": "bastion.cli.replay:replay",
    "serve": "bastion.cli.serve:serve",
    "sessions": "bastion.cli.sessions:sessions",
}


class LazyGroup(click.Group):
    """Knows its commands by name, so that `bastion --help` does not load asyncssh or Textual."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command's name."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module that holds the command."""
        place = COMMANDS.get(cmd_name)
        if place is None:
            return None
        module, name = place.split(":")
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="bastion")
def bastion() -> None:
    """An SSH bastion with command gating and session replay."""


def main() -> None:
    """Run the command line; what a user did wrong is one sentence and exit status 1."""
    try:
        bastion.main(prog_name="bastion")
    except BastionError as error:
        click.echo(f"bastion: {error}", err=True)
        sys.exit(1)
