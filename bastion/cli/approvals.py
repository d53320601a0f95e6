"""`bastion approvals`: what is held, and the answer to it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from bastion.cli.screen import print_fields, print_json
from bastion.cli.state import DefaultGroup, as_json, connect, with_state
from bastion.errors import ControlError

if TYPE_CHECKING:
    from bastion.control.client import ControlClient
    from bastion.store.state import StateDirectory
    from bastion.wire.control import HeldRequest


@click.group(cls=DefaultGroup)
def approvals() -> None:
    """List, grant and refuse held requests (`list` when nothing is named)."""


@approvals.command("list")
@as_json
@with_state
def list_approvals(directory: StateDirectory, json_output: bool) -> None:
    """List held requests, oldest first, with all that a grant would be for."""
    with connect(directory) as bastion:
        held = _held(bastion)
    if json_output:
        print_json([_plain(request) for request in held])
        return
    if not held:
        click.echo("Nothing is held.", err=True)
    for number, request in enumerate(held):
        if number:
            click.echo()
        _show(request)


@approvals.command()
@click.argument("approval_id", metavar="ID")
@as_json
@with_state
def show(directory: StateDirectory, approval_id: str, json_output: bool) -> None:
    """Show one held request."""
    with connect(directory) as bastion:
        request = _find(bastion, approval_id)
    if json_output:
        print_json(_plain(request))
    else:
        _show(request)


@approvals.command()
@click.argument("approval_id", metavar="ID")
@click.option("--reason", default="", help="Why; the requester and the audit log are told.")
@with_state
def grant(directory: StateDirectory, approval_id: str, reason: str) -> None:
    """Let a held request go on. What is granted is shown, and exactly that is granted."""
    from bastion.wire import control as wire

    with connect(directory) as bastion:
        request = _find(bastion, approval_id)
        _show(request)
        call = wire.Grant(request.id, request.question().hash, reason)
        answered = bastion.call(call, wire.Answered)
    if answered.missing:
        click.echo(f"\nCounted; {answered.missing} more must grant it.")
    else:
        click.echo("\nGranted.")


@approvals.command()
@click.argument("approval_id", metavar="ID")
@click.option("--reason", required=True, help="Why; the requester and the audit log are told.")
@with_state
def refuse(directory: StateDirectory, approval_id: str, reason: str) -> None:
    """End a held request; it does not run."""
    from bastion.wire import control as wire

    with connect(directory) as bastion:
        request = _find(bastion, approval_id)
        _show(request)
        call = wire.Refuse(request.id, request.question().hash, reason)
        bastion.call(call, wire.Answered)
    click.echo("\nRefused.")


def _held(bastion: ControlClient) -> list[HeldRequest]:
    from bastion.wire import control as wire

    return bastion.call(wire.ListApprovals(), list[wire.HeldRequest])


def _find(bastion: ControlClient, approval_id: str) -> HeldRequest:
    for request in _held(bastion):
        if request.id == approval_id:
            return request
    raise ControlError(f"No approval {approval_id!r} is pending; list them again.")


def _show(request: HeldRequest) -> None:
    """Everything that the hash covers and a person can judge; nothing is cut."""
    print_fields(request.lines(time.time()))


def _plain(request: HeldRequest) -> dict[str, Any]:
    return request.plain() | {"seconds_left": max(0.0, request.expires_at - time.time())}
