"""The key that vouches for what is kept: it signs the audit's heads and the recordings' seals."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
    load_ssh_public_key,
)

from bastion.errors import StoreError


def load_signing_key(path: Path) -> Ed25519PrivateKey:
    """Read the key (OpenSSH's format), or make it (0600) with its public half beside it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return _make_key(path)
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}.") from error
    with os.fdopen(descriptor, "rb") as file:
        if os.fstat(descriptor).st_mode & 0o077:
            raise StoreError(f"{path} is open to other users; mend it with: chmod 600 {path}")
        try:
            key = load_ssh_private_key(file.read(64 * 1024), password=None)
        except ValueError:
            raise StoreError(f"{path} is not an OpenSSH private key; restore it.") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise StoreError(f"{path} is not an Ed25519 key; restore it.")
    return key


def read_public_key(path: Path) -> Ed25519PublicKey:
    """Read an OpenSSH public key file; StoreError if it is none, or not Ed25519."""
    try:
        key = load_ssh_public_key(path.read_bytes())
    except FileNotFoundError:
        raise StoreError(f"{path} is missing: nothing can be verified without it.") from None
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} is no public key that can be read: {error}.") from error
    if not isinstance(key, Ed25519PublicKey):
        raise StoreError(f"{path} is not an Ed25519 key.")
    return key


def _make_key(path: Path) -> Ed25519PrivateKey:
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    try:
        _write_new(path.with_suffix(".pub"), public + b" bastion-audit\n")
        _write_new(path, key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}.") from error
    return key


def _write_new(path: Path, data: bytes) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
