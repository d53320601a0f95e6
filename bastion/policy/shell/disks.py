"""Disks that are read or written as a whole."""

from __future__ import annotations

import re
from typing import Final

from bastion.policy.facts import Access, OpaqueKind
from bastion.policy.shell.state import Reader, names

_DISK: Final = re.compile(
    r"/dev/(?:(?:sd|hd|vd|xvd|nvme|mmcblk|md|dm-|nbd|zd|loop|sr|pmem)\w*|mapper/.+|disk/.+)"
)
_COPY_CONTENT: Final = names(
    """
    cat tac dd cp strings head tail grep egrep fgrep xxd od hexdump base64 base32 less more cut awk
    sed tee pv buffer mbuffer ddrescue dcfldd nc socat scp rsync curl tar debugfs e2image
    dump partclone testdisk photorec foremost scalpel ntfscat fls icat sort uniq split
    """
)


def list_disks(reader: Reader) -> None:
    """Say where a disk is read or written as a whole: every file is on it."""
    for use in list(reader.paths):
        copies_it = use.redirection or use.program in _COPY_CONTENT
        if _DISK.fullmatch(use.path) and (
            use.access is Access.WRITE or (use.access is Access.READ and copies_it)
        ):
            reader.cannot_tell(OpaqueKind.OPERAND, "every file is on this disk", use.path)
