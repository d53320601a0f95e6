"""An encrypted recording's file: a header that holds the key for its recipients, then frames.

    {"bastion":"encrypted recording","version":1,"key":"BASE64"}\\n
    LENGTH (4 bytes, big-endian)  AES-256-GCM of a piece (ciphertext and 16 bytes of tag)
    LENGTH …

The key is an age file (X25519) around 32 bytes. Frame N has the nonce N (12 bytes, big-endian) and
no associated data. All pieces together are one zstd stream, flushed at the end of each piece, so
that whatever was written whole can be read. docs/recording-format.md says the same.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Iterator
from typing import BinaryIO, Final, cast

import zstandard
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bastion.errors import CastFault

KEY_BYTES: Final = 32

MAX_HEADER: Final = 64 * 1024
MAX_FRAME: Final = 16 * 1024 * 1024
"""Bytes: a length that damage made must not fill the memory."""

MAX_WINDOW: Final = 1 << 20
"""Bytes of memory a stream; two thousand recordings at once must fit."""

_NAME: Final = "encrypted recording"

OpenKey = Callable[[bytes], bytes]
"""Takes the key out of its age file, or raises CastFault."""


class Writer:
    """Turns what is written into frames. One for each file, for a key is used for one alone."""

    def __init__(self, key: bytes, wrapped_key: bytes) -> None:
        self._cipher = AESGCM(key)
        self._count = 0
        parameters = zstandard.ZstdCompressionParameters.from_level(1, window_log=17)
        self._stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
        self.header = _header(wrapped_key)

    def frame(self, data: bytes) -> bytes:
        """The next frame, for a file that holds all the frames before it."""
        piece = self._stream.compress(data) + self._stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
        sealed = self._cipher.encrypt(_nonce(self._count), piece, None)
        self._count += 1
        return len(sealed).to_bytes(4, "big") + sealed


def units(file: BinaryIO) -> Iterator[tuple[bytes, bool]]:
    """The header and each frame, whole as they lie, and whether that one is torn (the last)."""
    header = file.readline(MAX_HEADER)
    if not header:
        return
    yield header, not header.endswith(b"\n")
    while prefix := file.read(4):
        length = int.from_bytes(prefix, "big")
        frame = prefix + file.read(min(length, MAX_FRAME))
        yield frame, len(prefix) < 4 or len(frame) < 4 + length


def decrypted(file: BinaryIO, open_key: OpenKey) -> BinaryIO:
    """What was written, read from the beginning; a torn last frame is left out."""
    frames = units(file)
    header, torn = next(frames, (b"", True))
    if torn:
        raise CastFault("this is no encrypted recording")
    cipher = AESGCM(open_key(_wrapped_key(header)))
    return io.BufferedReader(_Plain(cipher, frames), 1024 * 1024)


class _Plain(io.RawIOBase):
    """What the frames hold, unpacked by pieces: anyone can encrypt a frame that unpacks to
    gigabytes, for a recipient's key is public."""

    def __init__(self, cipher: AESGCM, frames: Iterator[tuple[bytes, bool]]) -> None:
        packed = _Packed(cipher, frames)
        unpacker = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW)
        self._stream = unpacker.stream_reader(cast("BinaryIO", packed))

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        try:
            return self._stream.readinto(buffer)
        except (zstandard.ZstdError, MemoryError) as error:
            raise CastFault(f"this encrypted recording cannot be unpacked: {error}") from None


class _Packed(io.RawIOBase):
    def __init__(self, cipher: AESGCM, frames: Iterator[tuple[bytes, bool]]) -> None:
        self._cipher = cipher
        self._frames = enumerate(frames)
        self._rest = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """What is left of a frame, or of the next one; nothing at the end."""
        while not self._rest:
            number, (frame, torn) = next(self._frames, (0, (b"", True)))
            if torn:
                return b""
            self._rest = self._open(number, frame[4:])
        piece = self._rest if size < 0 else self._rest[:size]
        self._rest = self._rest[len(piece) :]
        return piece

    def _open(self, number: int, sealed: bytes) -> bytes:
        try:
            return self._cipher.decrypt(_nonce(number), sealed, None)
        except InvalidTag:
            raise CastFault(f"frame {number} of this encrypted recording was changed") from None


def _header(wrapped_key: bytes) -> bytes:
    encoded = base64.b64encode(wrapped_key).decode()
    line = {"bastion": _NAME, "version": 1, "key": encoded}
    return json.dumps(line, separators=(",", ":")).encode() + b"\n"


def _wrapped_key(header: bytes) -> bytes:
    try:
        raw = json.loads(header)
        if raw["bastion"] == _NAME and raw["version"] == 1:
            return base64.b64decode(raw["key"], validate=True)
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise CastFault("this is no encrypted recording")


def _nonce(number: int) -> bytes:
    return number.to_bytes(12, "big")
