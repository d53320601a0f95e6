"""What is left of a piece of stream whose letters are taken out: its colours, its width."""

from __future__ import annotations

from bastion.tap.terminal import STILL, STILL_ESCAPES, TOKEN


def still_sequences(raw: bytes) -> bytes:
    """The sequences in `raw` that neither print nor move: colours, modes, character sets."""
    if b"\x1b" not in raw and b"\xc2" not in raw:
        return b""
    return b"".join(
        token[0]
        for token in TOKEN.finditer(raw)
        if (token["csi"] and token["final"][0] in STILL)
        or (token["escape"] and STILL_ESCAPES.fullmatch(token[0]))
    )


def printed(raw: bytes) -> int:
    """How many characters `raw` prints."""
    return sum(
        len(token[0]) if token[0][0] < 0x80 else 1
        for token in TOKEN.finditer(raw)
        if token["text"] is not None
    )


def written_over(raw: bytes, letters: str) -> bytes:
    """`raw` with each character that it prints replaced by the next one of `letters` (ASCII)."""
    left = letters.encode()
    pieces = []
    for token in TOKEN.finditer(raw):
        if token["text"] is None:
            pieces.append(token[0])
            continue
        size = len(token[0]) if token[0][0] < 0x80 else 1
        pieces.append(left[:size])
        left = left[size:]
    return b"".join(pieces)
