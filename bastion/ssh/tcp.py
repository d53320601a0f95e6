"""Dial a target of kind tcp: a plain connection, as a grant lets it through."""

from __future__ import annotations

import asyncio

from bastion.errors import DialError
from bastion.model import Request, Target
from bastion.ssh.drive import Drive
from bastion.target.postgres_link import connect
from bastion.target.tcp import TcpLink

DIAL_SECONDS = 30.0


class TcpDialler:
    """Dials for one channel (the drive's `Dialler`)."""

    def __init__(self, target: Target) -> None:
        self._target = target

    async def dial(self, request: Request, drive: Drive) -> None:
        """Connect and attach."""
        try:
            async with asyncio.timeout(DIAL_SECONDS):
                link = await connect(self._target.host, self._target.port, TcpLink)
        except TimeoutError:
            raise DialError(f"target {self._target.name} did not answer in time.") from None
        except DialError as error:
            raise DialError(f"target {self._target.name}: {error}") from None
        assert isinstance(link, TcpLink)
        drive.attach(link)
        link.begin(drive)
