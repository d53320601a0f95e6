"""The seal of a recording: chained, signed lines that vouch for its files up to a point.

`CHANNEL.seal.jsonl` lies beside the files it is about. docs/recording-format.md specifies it, so
that another program can verify a recording with the public key alone.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bastion.store import chain
from bastion.store.appendfile import AppendFile

FORMAT: Final = 1

MAX_LINE: Final = 16 * 1024 * 1024
"""Bytes of one line: a file that is no seal must not be read into memory."""

TAG: Final = 4
"""Bytes of a line's hash that are kept, to tell what happened to which line; the proof that
something happened is the whole SHA-256 beside them."""

FINAL: Final = frozenset({"end", "failed", "finished"})
"""Kinds of line after which nothing comes: closed in order, ended because it could not be
written, or finished by a later start of the bastion."""

_SIGNED: Final = b"bastion recording seal v1\0"
_SIGNATURE_MEMBER: Final = b',"signature":"'
_SIGNATURE_TAIL: Final = len(_SIGNATURE_MEMBER) + 128 + len(b'"}')


@dataclass(frozen=True, slots=True)
class Extent:
    """A file up to a point: its bytes, its lines, the SHA-256 of those bytes (hex)."""

    size: int = 0
    lines: int = 0
    sha256: str = hashlib.sha256().hexdigest()
    tags: bytes = field(default=b"", repr=False)
    """TAG bytes for each line since the seal's line before."""


class Rolling:
    """A file's extent while it grows."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()
        self._size = self._lines = 0
        self._tags = bytearray()

    @property
    def size(self) -> int:
        """Bytes so far."""
        return self._size

    @property
    def lines_since(self) -> int:
        """Lines since the last extent was taken."""
        return len(self._tags) // TAG

    def feed(self, lines: bytes) -> None:
        """Take in whole lines."""
        self._sha256.update(lines)
        self._size += len(lines)
        for line in lines.split(b"\n")[:-1]:
            self._lines += 1
            self._tags += tag(line)

    def feed_unit(self, unit: bytes) -> None:
        """Take in what counts as one line although it is none: a frame of an encrypted file."""
        self._sha256.update(unit)
        self._size += len(unit)
        self._lines += 1
        self._tags += tag(unit)

    def take(self) -> Extent:
        """The extent now; the next one's tags begin here."""
        tags, self._tags = bytes(self._tags), bytearray()
        return Extent(self._size, self._lines, self._sha256.hexdigest(), tags)


def tag(line: bytes) -> bytes:
    """What is kept of a line, given without its newline."""
    return hashlib.sha256(line).digest()[:TAG]


@dataclass(frozen=True, slots=True)
class SealLine:
    """One line of a seal, as it was written."""

    seq: int
    at: float
    kind: str
    prev: str
    hash: str
    signature: str
    files: dict[str, Extent]
    facts: dict[str, Any]
    """What only some kinds say: session, channel, key, reason, …"""

    def is_signed_by(self, key: Ed25519PublicKey) -> bool:
        """Whether `key` vouches for it."""
        try:
            key.verify(bytes.fromhex(self.signature), _SIGNED + bytes.fromhex(self.hash))
        except (InvalidSignature, ValueError):
            return False
        return True


class Seal:
    """The one writer of a seal's file."""

    def __init__(
        self, file: AppendFile, key: Ed25519PrivateKey, *, after: SealLine | None = None
    ) -> None:
        """Begin, or go on after the last line there is."""
        self._file = file
        self._key = key
        self._next = after.seq + 1 if after else 0
        self._last_hash = after.hash if after else chain.GENESIS

    @property
    def last_hash(self) -> str:
        """The hash of the last line: who keeps it elsewhere can tell that the seal was cut."""
        return self._last_hash

    def append(self, kind: str, at: float, files: dict[str, Extent], **facts: object) -> None:
        """Vouch for the files as far as their extents go, or raise OSError."""
        body = chain.canonical(
            {
                **facts,
                "at": at,
                "files": {name: _members(extent) for name, extent in files.items()},
                "kind": kind,
                "prev": self._last_hash,
                "seq": self._next,
            }
        )
        line, digest = chain.seal_line(body)
        signature = self._key.sign(_SIGNED + bytes.fromhex(digest)).hex().encode()
        self._file.append(line[:-2] + _SIGNATURE_MEMBER + signature + b'"}\n')
        self._next += 1
        self._last_hash = digest

    def sync(self) -> None:
        """Wait until the disk has it."""
        self._file.sync()

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def parse_seal_line(line: bytes) -> SealLine:
    """Read one line and check its hash, not its signature; ValueError says what is wrong."""
    line = line.removesuffix(b"\n")
    chained, signed = line[:-_SIGNATURE_TAIL], line[-_SIGNATURE_TAIL:]
    if not signed.startswith(_SIGNATURE_MEMBER) or not signed.endswith(b'"}'):
        raise ValueError("this is no line of a seal")
    members, digest = chain.open_line(chained + b"}")
    try:
        files = {name: _extent(raw) for name, raw in members.pop("files").items()}
        shape = (members.pop("seq"), members.pop("at"), members.pop("kind"), members.pop("prev"))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError("this is no line of a seal") from error
    if [type(value) for value in shape] not in ([int, float, str, str], [int, int, str, str]):
        raise ValueError("this is no line of a seal")
    signature = signed[len(_SIGNATURE_MEMBER) : -2].decode("ascii", "replace")
    return SealLine(*shape, digest, signature, files, members)


def fingerprint(key: Ed25519PublicKey) -> str:
    """A public key's name, as `ssh-keygen -l` prints it."""
    encoded = key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).split()[1]
    digest = hashlib.sha256(base64.b64decode(encoded)).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def _members(extent: Extent) -> dict[str, object]:
    return {
        "lines": extent.lines,
        "sha256": extent.sha256,
        "size": extent.size,
        "tags": base64.b64encode(extent.tags).decode(),
    }


def _extent(raw: dict[str, Any]) -> Extent:
    tags = base64.b64decode(raw["tags"], validate=True)
    extent = Extent(raw["size"], raw["lines"], raw["sha256"], tags)
    shape = [type(extent.size), type(extent.lines), type(extent.sha256), len(tags) % TAG]
    if shape != [int, int, str, 0] or min(extent.size, extent.lines) < 0:
        raise ValueError("this is no extent")
    return extent
