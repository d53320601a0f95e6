"""OpenSSH certificates as bytes: PROTOCOL.certkeys, version 01. Values in, values out, no keys.

asyncssh can neither write nor read extensions of one's own, hence this file.
"""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from bastion.errors import IdentityError

USER: Final = 1
HOST: Final = 2

MAX_BLOB: Final = 32768
"""SSH packets end at 35000 bytes; longer than this is not a certificate but an attempt."""

MAX_PRINCIPALS: Final = 256
"""What OpenSSH accepts (SSHKEY_CERT_MAX_PRINCIPALS)."""

_PARAMETERS: Final = {
    b"ssh-ed25519": 1,
    b"ssh-rsa": 2,
    b"ecdsa-sha2-nistp256": 2,
    b"ecdsa-sha2-nistp384": 2,
    b"ecdsa-sha2-nistp521": 2,
    b"sk-ssh-ed25519@openssh.com": 2,
    b"sk-ecdsa-sha2-nistp256@openssh.com": 3,
}
"""How many strings (mpints are strings too) make up each kind of public key."""


def certificate_type(key_type: bytes) -> bytes:
    """`ssh-ed25519` → `ssh-ed25519-cert-v01@openssh.com`."""
    return key_type.removesuffix(b"@openssh.com") + b"-cert-v01@openssh.com"


_KEY_TYPES: Final = {certificate_type(key_type): key_type for key_type in _PARAMETERS}


@dataclass(frozen=True, slots=True)
class CertificateFields:
    """All that a certificate says, unverified. Times are whole seconds since the epoch.

    `public_key` is the subject's plain key blob; options map a name to its raw data.
    """

    public_key: bytes
    serial: int
    kind: int
    key_id: str
    principals: tuple[str, ...]
    valid_after: int
    valid_before: int
    critical_options: Mapping[str, bytes] = field(default_factory=dict)
    extensions: Mapping[str, bytes] = field(default_factory=dict)
    authority: bytes = b""
    signature: bytes = b""


def string(data: bytes) -> bytes:
    """RFC 4251 string."""
    return struct.pack(">I", len(data)) + data


def fingerprint(public_key: bytes) -> str:
    """`SHA256:…` of a key blob, as OpenSSH shows it."""
    digest = hashlib.sha256(public_key).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def certificate_line(blob: bytes) -> bytes:
    """The certificate as a line of an OpenSSH `-cert.pub` file, without a comment."""
    return Reader(blob).string() + b" " + base64.b64encode(blob)


def encode_unsigned(fields: CertificateFields, nonce: bytes) -> bytes:
    """Everything up to the signature, which is made over exactly these bytes."""
    reader = Reader(fields.public_key)
    key_type = reader.string()
    if key_type not in _PARAMETERS:
        raise IdentityError(f"Keys of type {key_type.decode(errors='replace')!r} get none.")
    parameters = b"".join(string(reader.string()) for _ in range(_PARAMETERS[key_type]))
    reader.end()
    return b"".join(
        (
            string(certificate_type(key_type)),
            string(nonce),
            parameters,
            struct.pack(">QI", fields.serial, fields.kind),
            string(fields.key_id.encode()),
            string(b"".join(string(name.encode()) for name in fields.principals)),
            struct.pack(">QQ", fields.valid_after, fields.valid_before),
            string(_encode_options(fields.critical_options)),
            string(_encode_options(fields.extensions)),
            string(b""),
            string(fields.authority),
        )
    )


def decode(blob: bytes) -> CertificateFields:
    """Read a whole certificate strictly; IdentityError for anything out of shape.

    The signature is not verified here; it is over all but the last `4 + len(signature)` bytes.
    """
    if len(blob) > MAX_BLOB:
        raise IdentityError("This certificate is too long to be one.")
    reader = Reader(blob)
    key_type = _KEY_TYPES.get(reader.string())
    if key_type is None:
        raise IdentityError("Certificates of this type are not accepted.")
    reader.string()  # the nonce
    parameters = [reader.string() for _ in range(_PARAMETERS[key_type])]
    fields = CertificateFields(
        public_key=b"".join(string(part) for part in (key_type, *parameters)),
        serial=reader.uint64(),
        kind=reader.uint32(),
        key_id=reader.text(),
        principals=_decode_principals(reader.string()),
        valid_after=reader.uint64(),
        valid_before=reader.uint64(),
        critical_options=_decode_options(reader.string()),
        extensions=_decode_options(reader.string()),
        authority=_skip_reserved(reader),
        signature=reader.string(),
    )
    reader.end()
    return fields


def _skip_reserved(reader: Reader) -> bytes:
    reader.string()
    return reader.string()


def _encode_options(options: Mapping[str, bytes]) -> bytes:
    # PROTOCOL.certkeys: "Options must be lexically ordered by name".
    ordered: Iterable[tuple[bytes, bytes]] = sorted((n.encode(), d) for n, d in options.items())
    return b"".join(string(name) + string(data) for name, data in ordered)


def _decode_options(data: bytes) -> Mapping[str, bytes]:
    reader, options, last = Reader(data), {}, ""
    while reader.left():
        name = reader.text()
        if name <= last:
            raise IdentityError("This certificate's options repeat or are out of order.")
        options[name] = reader.string()
        last = name
    return options


def _decode_principals(data: bytes) -> tuple[str, ...]:
    reader, names = Reader(data), []
    while reader.left():
        names.append(reader.text())
        if len(names) > MAX_PRINCIPALS:
            raise IdentityError("This certificate names too many principals.")
    return tuple(names)


class Reader:
    """Takes RFC 4251 values off the front of some bytes; IdentityError when they run out."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def left(self) -> int:
        """How many bytes are unread."""
        return len(self._data) - self._at

    def _take(self, count: int) -> bytes:
        if count > self.left():
            raise IdentityError("This certificate or key ends too early.")
        self._at += count
        return self._data[self._at - count : self._at]

    def uint32(self) -> int:
        """A big-endian unsigned 32-bit number."""
        return int.from_bytes(self._take(4))

    def uint64(self) -> int:
        """A big-endian unsigned 64-bit number."""
        return int.from_bytes(self._take(8))

    def string(self) -> bytes:
        """A length and that many bytes."""
        return self._take(self.uint32())

    def text(self) -> str:
        """A string of printable ASCII: names and key ids are shown and compared."""
        data = self.string()
        if not all(0x20 <= byte < 0x7F for byte in data):
            raise IdentityError("This certificate holds characters that names do not have.")
        return data.decode("ascii")

    def end(self) -> None:
        """Say that nothing may follow."""
        if self.left():
            raise IdentityError("Something follows this certificate or key.")
