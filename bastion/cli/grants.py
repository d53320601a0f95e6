"""`bastion grants`: what people granted for a time, and the way to take it back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from bastion.cli.screen import print_json, print_table, when
from bastion.cli.state import DefaultGroup, as_json, connect, with_state

if TYPE_CHECKING:
    from bastion.store.state import StateDirectory


@click.group(cls=DefaultGroup)
def grants() -> None:
    """List and revoke what is granted for a time (`list` when nothing is named)."""


@grants.command("list")
@as_json
@with_state
def list_grants(directory: StateDirectory, json_output: bool) -> None:
    """List access and equal commands that are granted now."""
    import msgspec

    from bastion.wire import control as wire

    with connect(directory) as bastion:
        held = bastion.call(wire.ListGrants(), list[wire.GrantShown])
    if json_output:
        print_json(msgspec.to_builtins(held))
        return
    print_table(
        ("grant", "kind", "who", "what", "target", "until", "by", "reason"),
        (
            (
                one.id,
                one.kind,
                one.name,
                one.what,
                one.target or "everywhere",
                when(one.until),
                ", ".join(one.by),
                one.reason,
            )
            for one in held
        ),
        none="Nothing is granted now.",
    )


@grants.command()
@click.argument("grant_id", metavar="ID")
@click.option("--reason", required=True, help="Why; it is audited.")
@with_state
def revoke(directory: StateDirectory, grant_id: str, reason: str) -> None:
    """Take a grant back, and cut what it allowed, now."""
    from bastion.wire import control as wire

    with connect(directory) as bastion:
        bastion.call(wire.RevokeGrant(grant_id, reason), wire.Ended)
    click.echo(f"Grant {grant_id} is taken back.")
