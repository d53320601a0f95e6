"""A small web server beside the SSH listener, in the running loop: bounded, and without signals.

Whoever serves pages with it says which; nothing of it is meant to stand in the open internet alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Final

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

MAX_CONNECTIONS: Final = 128
"""Whoever opens more holds file descriptors that SSH connections need."""

CONNECTION_SECONDS: Final = 60.0
"""The longest exchange is a code for a token at a slow provider; longer is a slow-header attack."""

_MAX_HEAD: Final = 16 * 1024


class _BoundedProtocol(H11Protocol):
    """Refuses connections over the limit and ends those that last too long."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._deadline: asyncio.TimerHandle | None = None
        if len(self.connections) >= MAX_CONNECTIONS:
            transport.abort()
            return
        super().connection_made(transport)
        self._deadline = self.loop.call_later(CONNECTION_SECONDS, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            super().connection_lost(exc)


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the bastion."""
        yield


class WebServer:
    """Serves one application. TLS where both files are given."""

    def __init__(self, app: Starlette, *, tls_certificate: str = "", tls_key: str = "") -> None:
        """Nothing is served before `start`."""
        self._server = _Server(
            uvicorn.Config(
                app,
                http=_BoundedProtocol,
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="error",  # anybody can send nonsense, which is a warning there
                access_log=False,  # addresses hold codes and states
                proxy_headers=False,
                server_header=False,
                date_header=False,
                h11_max_incomplete_event_size=_MAX_HEAD,
                timeout_keep_alive=5,
                timeout_graceful_shutdown=3,
                ssl_certfile=tls_certificate or None,
                ssl_keyfile=tls_key or None,
            )
        )
        self._task: asyncio.Task[None] | None = None

    def start(self, listener: socket.socket) -> None:
        """Serve on a bound socket."""
        listener.listen()  # from here on clients connect, be it a moment before they are served
        self._task = asyncio.get_running_loop().create_task(self._server.serve(sockets=[listener]))

    async def stop(self) -> None:
        """Stop serving; answers on their way get three seconds."""
        self._server.should_exit = True
        if self._task is not None:
            await self._task


def bind(host: str, port: int) -> socket.socket:
    """A socket bound to an address; OSError where it cannot be had."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return listener
