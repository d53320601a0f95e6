"""`bastion lock`: keep somebody or something out, now, live sessions too."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import click

from bastion.cli.screen import print_json, print_table, when
from bastion.cli.state import DefaultGroup, as_json, connect, with_state

if TYPE_CHECKING:
    from bastion.store.state import StateDirectory

KINDS: Final = {
    "identity": "An identity, by its name or its issuer#subject.",
    "target": "A target, by its name.",
    "session": "A session, by its id.",
    "certificate": "A certificate, by its serial.",
    "agent": "An agent, by its name in certificates.",
}

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Until(click.ParamType[float]):
    """A time to come: a duration (`90s`, `30m`, `2h`, `7d`) or a date and time (UTC if unsaid)."""

    name = "until"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Give seconds since the epoch."""
        text = str(value)
        if match := re.fullmatch(r"([0-9]{1,6})([smhd])", text):
            return time.time() + int(match[1]) * _UNITS[match[2]]
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            self.fail("give a duration such as 2h, or a date such as 2027-01-31T12:00", param, ctx)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


@click.group(cls=DefaultGroup)
def lock() -> None:
    """Lock an identity, target, session, certificate or agent out, and end what it covers.

    `list` when nothing is named.
    """


@lock.command("list")
@as_json
@with_state
def list_locks(directory: StateDirectory, json_output: bool) -> None:
    """List the locks in force."""
    import msgspec

    from bastion.wire import control as wire

    with connect(directory) as bastion:
        locks = bastion.call(wire.ListLocks(), list[wire.LockShown])
    if json_output:
        print_json(msgspec.to_builtins(locks))
        return
    print_table(
        ("lock", "kind", "value", "reason", "until", "by", "since"),
        (
            (
                held.id,
                held.kind,
                held.value,
                held.reason,
                when(held.until),
                held.by,
                when(held.at),
            )
            for held in locks
        ),
        none="No lock is in force.",
    )


@lock.command()
@click.argument("lock_id", metavar="ID")
@with_state
def remove(directory: StateDirectory, lock_id: str) -> None:
    """Take a lock away."""
    from bastion.wire import control as wire

    with connect(directory) as bastion:
        bastion.call(wire.RemoveLock(lock_id), wire.Ended)
    click.echo(f"Lock {lock_id} is removed.")


def _add_kind(kind: str, text: str) -> None:
    @lock.command(kind, help=f"Lock out: {text}")
    @click.argument("value")
    @click.option("--reason", required=True, help="Why; the people it ends and the audit are told.")
    @click.option("--until", type=Until(), help="2h, 7d, 2027-01-31T12:00; for good if unsaid.")
    @with_state
    def set_lock(directory: StateDirectory, value: str, reason: str, until: float | None) -> None:
        from bastion.wire import control as wire

        with connect(directory) as bastion:
            done = bastion.call(wire.SetLock(kind, value, reason, until), wire.LockSet)
        click.echo(f"Lock {done.lock.id} is set; sessions ended: {done.ended}.")


for _kind, _text in KINDS.items():
    _add_kind(_kind, _text)
