"""The options that every command of a running or resting bastion takes: where its state is."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from bastion.control.client import ControlClient
    from bastion.store.state import StateDirectory


class DefaultGroup(click.Group):
    """A group whose `list` runs when nothing else is named: `bastion sessions --json`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the `list` in."""
        if not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names):
            args.insert(0, "list")
        return super().parse_args(ctx, args)


def with_state(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give the command its StateDirectory as `directory`, by --state or by the configuration."""

    @functools.wraps(command)
    def opened(*args: Any, config: Path, state: Path | None, **options: Any) -> Any:
        return command(*args, directory=_open(config, state), **options)

    return _state_options(opened)


def with_state_where_needed(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give the command `find_state`, which opens the StateDirectory: it may work without one."""

    @functools.wraps(command)
    def found(*args: Any, config: Path, state: Path | None, **options: Any) -> Any:
        return command(*args, find_state=functools.partial(_open, config, state), **options)

    return _state_options(found)


def as_json(command: Callable[..., Any]) -> Callable[..., Any]:
    """Let the command print JSON; it gets `json_output`."""
    return click.option("--json", "json_output", is_flag=True, help="Print JSON.")(command)


def _state_options(command: Callable[..., Any]) -> Callable[..., Any]:
    command = click.option(
        "--config",
        "-c",
        type=click.Path(path_type=Path),
        default="bastion.yaml",
        show_default=True,
        envvar="BASTION_CONFIG",
        help="The configuration file, which names the state directory.",
    )(command)
    return click.option(
        "--state",
        type=click.Path(path_type=Path),
        envvar="BASTION_STATE",
        help="The state directory itself; then no configuration is read.",
    )(command)


def connect(directory: StateDirectory) -> ControlClient:
    """Call the bastion that runs on this directory."""
    from bastion.control.client import ControlClient

    return ControlClient(directory.control_socket)


def _open(config: Path, state: Path | None) -> StateDirectory:
    from bastion.store.state import StateDirectory

    if state is None:
        from bastion.config import load_config

        state = load_config(config).state
    return StateDirectory(state, create=False)
