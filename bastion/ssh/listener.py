"""Accept connections; each handshake runs in its own task and blocks nobody."""

from __future__ import annotations

import asyncio
import logging
import socket
import weakref
from collections.abc import Sequence
from typing import Final

import asyncssh

from bastion.errors import BastionError, StoreError
from bastion.events import EndReason
from bastion.ssh.connection import BastionConnection
from bastion.ssh.jump import host_certificate
from bastion.ssh.options import server_options
from bastion.ssh.server import BastionServer
from bastion.ssh.services import Services
from bastion.ssh.sessions import Sessions

log = logging.getLogger(__name__)

ENFORCE_SECONDS: Final = 0.25
"""How often deadlines, revocations and locks are looked at; invariant 5 allows a second."""

BLIND_SECONDS: Final = 5.0
"""How long sessions may live on while locks and revocations cannot be read (a busy database)."""

CERTIFICATE_SECONDS: Final = 3600.0
"""How often the bastion's own host certificate is made anew."""

STOP_SECONDS: Final = 5.0
"""How long connections may take to close when the bastion stops."""

BACKLOG: Final = 512


class Listener:
    """The SSH service: sockets in, sessions out, and the ticking that ends them."""

    def __init__(self, services: Services, sessions: Sessions) -> None:
        self._services = services
        self._sessions = sessions
        self._servers: list[asyncio.Server] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._options: asyncssh.SSHServerConnectionOptions | None = None
        self._connections: weakref.WeakSet[BastionConnection] = weakref.WeakSet()

    async def start(self, sockets: Sequence[socket.socket]) -> None:
        """Serve on bound sockets (systemd's or our own)."""
        await self._renew()
        loop = asyncio.get_running_loop()
        for listening in sockets:
            server = await loop.create_server(self._connection, sock=listening, backlog=BACKLOG)
            self._servers.append(server)
        self._tasks = [loop.create_task(self._enforce()), loop.create_task(self._renew_for_ever())]

    async def stop(self) -> None:
        """Refuse new connections, end the sessions, wait for them to close."""
        for server in self._servers:
            server.close()
        self._sessions.end_all(EndReason.SHUTDOWN, "the bastion is stopping.")
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._close_connections()

    async def _close_connections(self) -> None:
        """Every connection leaves its last audit line before the audit is closed."""
        connections = tuple(self._connections)
        for connection in connections:
            connection.part("the bastion is stopping.")
        closing = [asyncio.ensure_future(one.wait_closed()) for one in connections]
        if closing:
            _, stuck = await asyncio.wait(closing, timeout=STOP_SECONDS)
            for waiting in stuck:
                waiting.cancel()
        for connection in connections:
            connection.abort()

    def _connection(self) -> BastionConnection:
        assert self._options is not None
        connection = BastionConnection(asyncio.get_running_loop(), self._options)
        self._connections.add(connection)
        return connection

    async def _renew(self) -> None:
        services, sessions = self._services, self._sessions
        self._options = await server_options(
            services, lambda: BastionServer(services, sessions), host_certificate(services)
        )

    async def _renew_for_ever(self) -> None:
        while True:
            await asyncio.sleep(CERTIFICATE_SECONDS)
            try:
                await self._renew()
            except BastionError as error:
                log.error("the host certificate was not renewed: %s", error)

    async def _enforce(self) -> None:
        """Whatever fails, deadlines are still looked at; who cannot tell locks ends what may be."""
        loop = asyncio.get_running_loop()
        seen_at = loop.time()
        while True:
            try:
                self._services.ledger.refresh()
                seen_at = loop.time()
            except StoreError as error:
                log.error("locks and revocations cannot be read: %s", error)
            if loop.time() - seen_at > BLIND_SECONDS:
                self._sessions.end_all(
                    EndReason.INTERNAL, "the bastion cannot read its locks and revocations."
                )
            self._sessions.enforce()
            await asyncio.sleep(ENFORCE_SECONDS)
