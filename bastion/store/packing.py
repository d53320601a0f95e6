"""Packs recordings away once they have their end: no file goes before its like is proven."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import zstandard
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from bastion.errors import CastFault
from bastion.store.recording import SUFFIXES
from bastion.store.sealfile import State, verify_recording
from bastion.store.stored import stored_path
from bastion.wire.packed import LEVEL, PLAIN, ZSTD

PACKED_STATES: Final = frozenset({State.WHOLE, State.FAILED, State.FINISHED})
"""What has its end and holds; all else stays as it was found."""

PART: Final = ".part"


def pack(stem: Path, key: Ed25519PublicKey) -> int:
    """Pack one channel's files, and give the bytes that this saved; 0 where nothing was to be done.

    Every step can be interrupted: what is half done is done anew, and nothing is lost.
    """
    plain = [name for name in SUFFIXES if stored_path(stem, name, PLAIN).exists()]
    if not plain or verify_recording(stem, key).state not in PACKED_STATES:
        return 0
    saved = sum(_pack_file(stem, name) for name in plain)
    packed = dict.fromkeys(plain, ZSTD)
    if verify_recording(stem, key, forms=packed).state not in PACKED_STATES:
        for name in plain:
            stored_path(stem, name, ZSTD).unlink()
        raise CastFault(f"{stem.name} could not be packed; it stays as it is.")
    for name in plain:
        stored_path(stem, name, PLAIN).unlink()
    return saved


def _pack_file(stem: Path, name: str) -> int:
    source, target = stored_path(stem, name, PLAIN), stored_path(stem, name, ZSTD)
    part = target.with_name(target.name + PART)
    part.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with source.open("rb") as file, os.fdopen(os.open(part, flags, 0o600), "wb") as packed:
        compressor = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True)
        compressor.copy_stream(file, packed)
        packed.flush()
        os.fsync(packed.fileno())
    os.rename(part, target)
    descriptor = os.open(stem.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return source.stat().st_size - target.stat().st_size
