"""`bastion serve`: run the bastion."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import click


@click.command()
@click.option(
    "--config",
    "-c",
    "path",
    type=click.Path(path_type=Path),
    default="bastion.yaml",
    show_default=True,
    envvar="BASTION_CONFIG",
    help="The configuration file.",
)
@click.option("--check", is_flag=True, help="Check the configuration and the policy, and stop.")
def serve(path: Path, check: bool) -> None:
    """Run the bastion in the foreground until SIGTERM or ctrl-C."""
    from bastion import app
    from bastion.config import load_config, load_policy

    config = load_config(path)
    if check:
        load_policy(config.policy, config.detectors)
        click.echo(f"{path}: ok")
        return
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    asyncio.run(app.serve(config, ready=lambda: click.echo("ready", err=True)))
