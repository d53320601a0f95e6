"""Key revocation lists as OpenSSH reads them: PROTOCOL.krl, format version 1."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Final

from bastion.identity.certblob import string

_MAGIC: Final = 0x5353484B524C0A00  # "SSHKRL\n\0"
_FORMAT_VERSION: Final = 1
_SECTION_CERTIFICATES: Final = 1
_SERIAL_LIST: Final = 0x20
_KEY_ID: Final = 0x23


def encode_krl(
    ca_public_keys: Sequence[bytes],
    serials: Iterable[int],
    key_ids: Iterable[str] = (),
    *,
    comment: str = "",
    now: float,
    version: int,
) -> bytes:
    """Revoke these serials and key ids for certificates of each of these authorities.

    `ca_public_keys` are key blobs; `version` must grow from one list to the next. Unsigned, as
    OpenSSH no longer reads signatures on these lists: it is trusted by where it lies.
    """
    head = struct.pack(">QIQQQ", _MAGIC, _FORMAT_VERSION, version, int(now), 0)
    revoked = _subsections(sorted(set(serials)), sorted(set(key_ids)))
    sections = b"".join(
        bytes((_SECTION_CERTIFICATES,)) + string(string(key) + string(b"") + revoked)
        for key in ca_public_keys
    )
    return head + string(b"") + string(comment.encode()) + (sections if revoked else b"")


def _subsections(serials: Sequence[int], key_ids: Sequence[str]) -> bytes:
    revoked = b""
    if serials:
        listed = b"".join(struct.pack(">Q", serial) for serial in serials)
        revoked += bytes((_SERIAL_LIST,)) + string(listed)
    if key_ids:
        listed = b"".join(string(key_id.encode()) for key_id in key_ids)
        revoked += bytes((_KEY_ID,)) + string(listed)
    return revoked
