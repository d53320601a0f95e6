"""The escapes of `$'…'`, as bash reads them."""

from __future__ import annotations

import re
from typing import Final

_ANSI: Final = re.compile(
    r"\\(?:([0-7]{1,3})|x([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{1,4})|U([0-9a-fA-F]{1,8})|c(.)|(.))",
    re.DOTALL,
)
_ANSI_LETTERS: Final = {
    "a": "\a",
    "b": "\b",
    "e": "\x1b",
    "E": "\x1b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "\\": "\\",
    "'": "'",
    '"': '"',
    "?": "?",
}


def ansi_c(body: str) -> str:
    """Decode the inside of `$'…'`; a NUL ends the string, as in bash."""

    def decode(match: re.Match[str]) -> str:
        octal, byte, short, long, control, letter = match.groups()
        if octal:
            return chr(int(octal, 8) & 0xFF)
        number = byte or short or long
        if number:
            code = int(number, 16)
            return chr(code) if code < 0x110000 else ""
        if control:
            return chr(ord(control.upper()) & 0x1F)
        return _ANSI_LETTERS.get(letter, "\\" + letter)

    return _ANSI.sub(decode, body).split("\0", 1)[0]
