"""The forms in which a recording's files lie, and how each is read: plain, or packed (zstd)."""

from __future__ import annotations

import io
from typing import BinaryIO, Final, cast

import zstandard

from bastion.errors import CastFault
from bastion.wire import encrypted

PLAIN: Final = ""
ZSTD: Final = "zst"
ENCRYPTED: Final = "enc"

FORMS: Final = (PLAIN, ZSTD, ENCRYPTED)
"""Names of the forms; all but the plain one end a file's name, after a dot."""

LEVEL: Final = 3
"""As small as level 6 within a few percent, and more than 100 MB/s."""

MAX_WINDOW: Final = 8 * 1024 * 1024
"""Bytes of memory that reading may take: a frame made to need gigabytes is refused."""


def no_key(_: bytes) -> bytes:
    """For those who have none."""
    raise CastFault("this recording is encrypted; give a private key with --identity FILE")


def unpacked(file: BinaryIO, form: str, open_key: encrypted.OpenKey = no_key) -> BinaryIO:
    """The file as it was written, read from its beginning; a damaged one raises CastFault."""
    if form == PLAIN:
        return file
    if form == ZSTD:
        reader = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW).stream_reader(
            file, read_across_frames=False, closefd=False
        )
        return cast("BinaryIO", io.BufferedReader(_Checked(reader), 1024 * 1024))
    if form == ENCRYPTED:
        return encrypted.decrypted(file, open_key)
    raise CastFault(f"a file packed as {form} cannot be read here")


def form_of(name: str) -> str:
    """The form that a file's name tells."""
    return next((form for form in FORMS if form and name.endswith(f".{form}")), PLAIN)


class _Checked(io.RawIOBase):
    """Tells damage in our words."""

    def __init__(self, reader: zstandard.ZstdDecompressionReader) -> None:
        self._reader = reader

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill the buffer, or a part of it."""
        try:
            return self._reader.readinto(buffer)
        except (zstandard.ZstdError, MemoryError) as error:
            raise CastFault(f"this file cannot be unpacked: {error}") from None
