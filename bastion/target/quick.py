"""What asyncssh does for each packet and need not: a statement of a database is two packets.

Its packets stay its own: own encryption would be some ten per cent faster, and ours to get right.
"""

from __future__ import annotations

from typing import Any, Final

from asyncssh.connection import SSHConnection
from asyncssh.constants import MSG_IGNORE
from asyncssh.encryption import GCMEncryption

KEEPALIVE_STEP: Final = 1.0
"""Seconds: the keepalive timer is not set anew more often, so it may come so much early."""
_EMPTY: Final = (b"\0\0\0\0",)


class QuickConnection(SSHConnection):
    """A connection that sends no packet for nothing."""

    def __init__(self, *args: Any, **arguments: Any) -> None:
        super().__init__(*args, **arguments)
        self._keepalive_at = 0.0

    def send_packet(self, pkttype: int, *args: bytes, handler: Any = None) -> None:
        """Send a packet, and not the empty one that asyncssh puts before each.

        That one guards the IV of CBC (RFC 4251 section 9.3.1); GCM's nonce is a counter.
        """
        guard = pkttype == MSG_IGNORE and args == _EMPTY
        if not (guard and isinstance(self._send_encryption, GCMEncryption)):
            super().send_packet(pkttype, *args, handler=handler)

    def _reset_keepalive_timer(self) -> None:
        now = self._loop.time()
        if self._keepalive_timer is None or now - self._keepalive_at >= KEEPALIVE_STEP:
            self._keepalive_at = now
            super()._reset_keepalive_timer()
