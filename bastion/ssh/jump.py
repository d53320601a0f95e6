"""The inner connection of `ssh -J`: an SSH server of the bastion's own, inside a channel."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import asyncssh

from bastion.model import Target
from bastion.policy.access import reachable
from bastion.ssh.connection import BastionConnection
from bastion.ssh.options import server_options
from bastion.ssh.services import Services
from bastion.ssh.session import Session


def may_reach(session: Session, target: Target) -> bool:
    """Whether any grant of this identity reaches the target, under whatever login."""
    return bool(reachable(session.services.policy(), session.identity, [target]))


async def inner_connection(
    services: Services, target: Target, factory: Callable[[], asyncssh.SSHServer]
) -> BastionConnection:
    """A server connection that a direct-tcpip channel carries; it shows the target's name."""
    issued = services.authority.sign_host(
        services.host_key.convert_to_public(), [target.name], now=services.clock()
    )
    options = await server_options(services, factory, issued.certificate)
    return BastionConnection(asyncio.get_running_loop(), options)


def host_certificate(services: Services) -> asyncssh.SSHCertificate | None:
    """The bastion's own host certificate, for the names it is known by."""
    if not services.names:
        return None
    issued = services.authority.sign_host(
        services.host_key.convert_to_public(), services.names, now=services.clock()
    )
    return issued.certificate
