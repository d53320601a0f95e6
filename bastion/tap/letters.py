"""The letters of a stream that is JSON: UTF-8 or UTF-16, with or without a mark, cut anywhere."""

from __future__ import annotations

import codecs

ENOUGH = 4
"""Bytes that tell the encoding: a JSON text begins with ASCII."""


class Letters:
    """Decodes a stream, and encodes what becomes of it in the same way.

    `within`: it stands in another text, in UTF-8; bytes that are none are kept as they are.
    """

    def __init__(self, *, within: bool) -> None:
        self.encoding = "utf-8"
        self._within = within
        self._errors = "surrogateescape" if within else "strict"
        self._decoder: codecs.IncrementalDecoder | None = None
        self._begun = b""

    @property
    def waiting(self) -> bytes:
        """Bytes of a letter that is not whole, or too few to tell what they are."""
        return self._begun if self._decoder is None else self._decoder.getstate()[0]

    def decode(self, data: bytes, *, last: bool) -> tuple[str, bytes]:
        """The letters, and the bytes from where on there are none."""
        if self._decoder is None:
            self._begun += data
            if len(self._begun) < ENOUGH and not (last or self._within):
                return "", b""
            data, self._begun = self._begun, b""
            self.encoding = "utf-8" if self._within else _encoding_of(data)
            self._decoder = codecs.getincrementaldecoder(self.encoding)(self._errors)
        waiting = self.waiting
        try:
            return self._decoder.decode(data, last), b""
        except UnicodeDecodeError as error:
            whole = waiting + data
            self._decoder.reset()
            return whole[: error.start].decode(self.encoding), whole[error.start :]

    def encode(self, text: str) -> bytes:
        """Back to bytes."""
        return text.encode(self.encoding, self._errors)


def _encoding_of(data: bytes) -> str:
    """By its mark, or by where NUL bytes are."""
    if data.startswith(codecs.BOM_UTF16_LE) or (data[1:2] == b"\0" != data[:1]):
        return "utf-16-le"
    if data.startswith(codecs.BOM_UTF16_BE) or (data[:1] == b"\0" != data[1:2]):
        return "utf-16-be"
    return "utf-8"
