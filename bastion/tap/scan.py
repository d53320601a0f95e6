"""Looks for secrets in files that are copied. A file passes or is blocked; it is never changed."""

from __future__ import annotations

from bastion.errors import ContentBlocked
from bastion.tap.mask import Masking
from bastion.tap.stream import StreamMasker


class FileScanner:
    """One file in one direction: `feed` each piece before it is passed on."""

    def __init__(self, masking: Masking, *, blocks: bool) -> None:
        self._masker = StreamMasker(masking)
        self.blocks = blocks
        self._found: dict[str, None] = {}

    def feed(self, data: bytes) -> None:
        """Look at a piece; ContentBlocked where a secret ends in it and policy blocks those."""
        self._masker.feed(data)
        masked = self._masker.masked
        self._masker.flush()  # what is whole counts at once: this piece may be the last
        for one in (*masked, *self._masker.masked):
            self._found[one.detector] = None
        if self._found and self.blocks:
            raise ContentBlocked(
                f"the file holds secrets ({', '.join(self._found)}), which may not be copied here;"
                " ask whoever keeps the policy, or take them out."
            )

    def found(self) -> tuple[str, ...]:
        """The kinds of secrets so far."""
        return tuple(self._found)
