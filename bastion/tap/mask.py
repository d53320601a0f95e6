"""Takes known secrets out of a byte stream before anybody sees it, across any cut of the stream.

Only exact values are known here: the credentials that the bastion itself brings to a target. What
a terminal changed on the way (a newline that became two bytes, a colour in the middle) or an
encoding hides is not found. Whoever masks more stands behind the same two methods.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from bastion.model import Secret

MASKED: Final = b"[masked:credential]"

SHORTEST: Final = 4
"""Bytes. A secret of one letter would mask that letter everywhere, and so spell itself out."""


class Masker:
    """One direction of one channel: `feed` pieces, `flush` at the end or when nothing comes.

    Held back is only the longest end of the stream that could be the beginning of a secret. Of
    secrets that begin at the same byte the longest is masked. `flush` shows what was held back; if
    the rest of a secret comes after all, that rest is masked.
    """

    def __init__(self, secrets: Sequence[Secret]) -> None:
        values = {secret.reveal() for secret in secrets}
        self._values = sorted((v for v in values if len(v) >= SHORTEST), key=len, reverse=True)
        self._pattern = re.compile(b"|".join(map(re.escape, self._values)), re.DOTALL)
        self._begin = re.compile(b"|".join({re.escape(v[:1]) for v in self._values}), re.DOTALL)
        self._held = b""
        self._shown = 0
        """How many bytes of `_held` were shown already, by `flush`."""

    def feed(self, data: bytes) -> bytes:
        """Give what may be shown now; with no secrets that is `data` itself."""
        if not self._values:
            return data
        stream = self._held + data
        shown, end = self._masked(stream, final=False)
        self._held, self._shown = stream[end:], max(0, self._shown - end)
        return shown

    def flush(self) -> bytes:
        """Give what was held back, for it is no whole secret."""
        shown, _ = self._masked(self._held, final=True)
        self._shown = len(self._held)
        return shown

    def _masked(self, stream: bytes, *, final: bool) -> tuple[bytes, int]:
        """What to show of `stream`, and up to where it is settled."""
        pieces: list[bytes] = []
        at = 0
        while True:
            settled = len(stream) if final else self._settled(stream, at)
            found = self._pattern.search(stream, at) if at < settled else None
            if found is None or found.start() >= settled:
                pieces.append(stream[max(at, self._shown) : settled])
                return b"".join(pieces), settled
            pieces.append(stream[max(at, self._shown) : found.start()])
            if found.end() > self._shown:
                pieces.append(MASKED)
            at = found.end()

    def _settled(self, stream: bytes, at: int) -> int:
        """Where the first end of the stream begins that more bytes could turn into a secret."""
        at = max(at, len(stream) - len(self._values[0]) + 1)
        while (begin := self._begin.search(stream, at)) is not None:
            at = begin.start()
            tail = stream[at:]
            if any(len(value) > len(tail) and value.startswith(tail) for value in self._values):
                return at
            at += 1
        return len(stream)
