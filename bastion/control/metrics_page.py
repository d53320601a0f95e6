"""`GET /metrics`, on an address or a Unix socket of its own: for scrapers, not for people."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from bastion.errors import ConfigError, Fault
from bastion.identity import web

MODE: Final = 0o660
"""Of the socket: whoever scrapes is in the bastion's group."""


class MetricsPage:
    """Serves a registry; `place` is HOST and PORT, or the path of a socket."""

    def __init__(self, registry: CollectorRegistry, place: tuple[str, int] | Path) -> None:
        """Nothing is bound before `start`."""
        self._place = place
        self._server = web.WebServer(_app(registry))

    def start(self) -> None:
        """Bind and serve; ConfigError where that place cannot be had."""
        place = self._place
        try:
            listener = _bind_path(place) if isinstance(place, Path) else web.bind(*place)
        except OSError as error:
            where = str(place) if isinstance(place, Path) else f"{place[0]}:{place[1]}"
            fault = f"the metrics cannot be served there: {error.strerror or error}"
            raise ConfigError([Fault(where, fault)]) from None
        self._server.start(listener)

    async def stop(self) -> None:
        """Stop serving."""
        await self._server.stop()
        if isinstance(self._place, Path):
            self._place.unlink(missing_ok=True)


def _bind_path(path: Path) -> socket.socket:
    """The state directory is this bastion's alone, so a socket that is there was left behind."""
    with contextlib.suppress(FileNotFoundError):
        if path.is_socket():
            path.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        path.chmod(MODE)
    except OSError:
        listener.close()
        raise
    return listener


def _app(registry: CollectorRegistry) -> Starlette:
    async def metrics(request: Request) -> Response:
        encode, form = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), media_type=form)

    async def nothing(_: Request, __: Exception) -> Response:
        return PlainTextResponse("There is nothing here but /metrics.\n", 404)

    return Starlette(
        routes=[Route("/metrics", metrics, methods=["GET"])],
        exception_handlers={404: nothing, 405: nothing},
    )
