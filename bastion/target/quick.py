"""What asyncssh does for each packet of a channel, without what it does for every other case.

A statement of a database is two packets. For each, asyncssh sends an empty one before it (which
guards CBC; RFC 4253 section 9.3.1), makes its key's cipher anew, writes a log line that nobody
reads, and looks at every other kind of packet. Channel data under AES-GCM takes a short way here;
whatever else there is, and whatever is not exactly as it should be, goes asyncssh's own way, which
knows how to answer.
"""

from __future__ import annotations

import os
import time
from typing import Any, ClassVar, Final

from asyncssh.connection import SSHConnection
from asyncssh.constants import MSG_CHANNEL_DATA, MSG_IGNORE, MSG_NEWKEYS
from asyncssh.encryption import GCMEncryption
from asyncssh.packet import SSHPacket
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

TAG: Final = 16
"""Bytes of GCM's tag (RFC 5647)."""
BLOCK: Final = 16
LEAST_PADDING: Final = 4
"""Bytes; RFC 4253 section 6."""
MOST: Final = 64 * 1024
"""Bytes of a packet on the short way; beyond it its cost is the encryption's."""
DATA_AT: Final = 10
"""Where a data packet's bytes begin: padding length, type, channel, length."""
KEEPALIVE_STEP: Final = 1.0
"""Seconds: the keepalive timer is not set anew more often, so it may come so much early."""
_EMPTY: Final = (b"\0\0\0\0",)
_DATA: Final = bytes((MSG_CHANNEL_DATA,))


class KeptCipher:
    """AES-GCM with its key schedule kept, in the place of asyncssh's `GCMCipher`."""

    def __init__(self, key: bytes, iv: bytes) -> None:
        self._aead = AESGCM(key)
        self._fixed = iv[:4]
        self._count = int.from_bytes(iv[4:], "big")

    def _nonce(self) -> bytes:
        return self._fixed + self._count.to_bytes(8, "big")

    def advance(self) -> None:
        """A packet is done: no nonce serves twice."""
        self._count = (self._count + 1) & 0xFFFFFFFFFFFFFFFF

    def seal(self, header: bytes, data: bytes) -> bytes:
        """The encrypted packet and its tag."""
        sealed = self._aead.encrypt(self._nonce(), data, header)
        self.advance()
        return sealed

    def peek(self, header: bytes, sealed: bytes) -> bytes:
        """What a packet says, or b"" where its tag is wrong; it stays the next one."""
        try:
            return self._aead.decrypt(self._nonce(), sealed, header)
        except InvalidTag:
            return b""

    def encrypt_and_sign(self, header: bytes, data: bytes) -> tuple[bytes, bytes]:
        """As `GCMCipher` does."""
        sealed = self.seal(header, data)
        return header + sealed[:-TAG], sealed[-TAG:]

    def verify_and_decrypt(self, header: bytes, data: bytes, mac: bytes) -> bytes | None:
        """As `GCMCipher` does."""
        opened = self.peek(header, data + mac)
        self.advance()
        return opened or None


def _kept(encryption: Any) -> KeptCipher | None:
    """Put the kept cipher into an encryption of asyncssh's, where it is AES-GCM."""
    if not isinstance(encryption, GCMEncryption):
        return None
    cipher = encryption._cipher
    kept = KeptCipher(cipher._key, cipher._iv)
    encryption._cipher = kept  # type: ignore[assignment]
    return kept


class QuickConnection(SSHConnection):
    """A connection whose channel data takes the short way."""

    _inpbuf: bytes
    _recv_seq: int

    def __init__(self, *args: Any, **arguments: Any) -> None:
        super().__init__(*args, **arguments)
        self._cipher_out: KeptCipher | None = None
        self._cipher_in: KeptCipher | None = None
        self._next_cipher_in: KeptCipher | None = None
        self._keepalive_at = 0.0

    # --- keys -------------------------------------------------------------------------------------

    def send_newkeys(self, k: bytes, h: bytes) -> None:
        """From here on we send with new keys; the peer follows with its own NEWKEYS."""
        super().send_newkeys(k, h)
        self._cipher_out = None if self._compressor else _kept(self._send_encryption)
        self._next_cipher_in = _kept(self._next_recv_encryption)

    def _take_newkeys(self, pkttype: int, pktid: int, packet: SSHPacket) -> None:
        """The peer sends with new keys from here on."""
        self._process_newkeys(pkttype, pktid, packet)
        self._cipher_in = None if self._decompressor else self._next_cipher_in

    _packet_handlers: ClassVar[Any] = {  # type: ignore[misc]
        **SSHConnection._packet_handlers,
        MSG_NEWKEYS: _take_newkeys,
    }

    def _reset_keepalive_timer(self) -> None:
        now = self._loop.time()
        if self._keepalive_timer is None or now - self._keepalive_at >= KEEPALIVE_STEP:
            self._keepalive_at = now
            super()._reset_keepalive_timer()

    # --- out --------------------------------------------------------------------------------------

    def send_packet(self, pkttype: int, *args: bytes, handler: Any = None) -> None:
        """Send a packet."""
        cipher = self._cipher_out
        if cipher is None or self._keys_are_due():
            super().send_packet(pkttype, *args, handler=handler)
        elif pkttype == MSG_CHANNEL_DATA:
            self._send_data(cipher, _DATA + b"".join(args))
        elif pkttype != MSG_IGNORE or args != _EMPTY:
            super().send_packet(pkttype, *args, handler=handler)

    def _keys_are_due(self) -> bool:
        """Whether there is to be, or is, a key exchange."""
        return (
            not (self._auth_complete and self._kex_complete)
            or self._rekey_bytes_sent >= self._rekey_bytes
            or bool(self._rekey_seconds and time.monotonic() >= self._rekey_time)
        )

    def _send_data(self, cipher: KeptCipher, payload: bytes) -> None:
        padding = LEAST_PADDING + (-len(payload) - LEAST_PADDING - 1) % BLOCK
        packet = b"%c%b%b" % (padding, payload, os.urandom(padding))
        header = len(packet).to_bytes(4, "big")
        self._send(header + cipher.seal(header, packet))
        self._send_seq = (self._send_seq + 1) & 0xFFFFFFFF
        self._rekey_bytes_sent += len(packet)

    # --- in ---------------------------------------------------------------------------------------

    def _recv_pkthdr(self) -> bool:
        """Take a whole packet of channel data at once; anything else step by step."""
        cipher = self._cipher_in
        if cipher is None or not self._auth_complete:
            return super()._recv_pkthdr()
        data = self._inpbuf
        header = data[:4]
        size = int.from_bytes(header, "big")
        end = 4 + size + TAG
        if size % BLOCK or not BLOCK <= size <= MOST or len(data) < end:
            return super()._recv_pkthdr()
        packet = cipher.peek(header, data[4:end])
        number, length = int.from_bytes(packet[2:6], "big"), int.from_bytes(packet[6:10], "big")
        channel = self._channels.get(number)
        if (
            packet[1:2] != _DATA
            or packet[0] < LEAST_PADDING
            or channel is None
            or DATA_AT + length + packet[0] != len(packet)
            or channel._recv_state != "open"
            or length > channel._recv_window
        ):
            return super()._recv_pkthdr()
        cipher.advance()
        self._inpbuf = data[end:]
        channel._accept_data(packet[DATA_AT : DATA_AT + length])
        self._finish_recv_packet(MSG_CHANNEL_DATA, self._recv_seq)
        return True
