"""Bytes of a client's terminal → key presses, one at a time, with nothing read ahead.

One at a time because the bytes after Enter belong to whatever runs next, not to the editor.
prompt_toolkit's own parser is not used: it remembers every beginning of a sequence that it ever
saw, for the whole life of the process, so that digits without end would fill the memory.
"""

from __future__ import annotations

import re
from typing import Final

from prompt_toolkit.input.ansi_escape_sequences import ANSI_SEQUENCES
from prompt_toolkit.key_binding.key_processor import KeyPress
from prompt_toolkit.keys import Keys

from bastion.editor.values import MAX_LINE

ESCAPE: Final = 0x1B
PASTE_END: Final = b"\x1b[201~"
MAX_SEQUENCE: Final = 64
"""Bytes. No terminal sends a longer one for a key; what is longer is dropped up to its end."""
MAX_REPORT: Final = 4096
"""Bytes of a report (OSC, DCS) that a terminal sends unasked; the rest would be taken for keys."""

REPLACEMENT: Final = "\ufffd"
"""What bytes that are no UTF-8, and NULs, turn into: it can be seen, by the policy too. A shell
would drop a NUL, and so run what nobody read."""

_CSI: Final = re.compile(
    rb"\x1b\[(?:\[[A-E]|M[\x00-\xff]{3}|(?![\[M])[0-?]*[ -/]*[@-~])", re.DOTALL
)
_CSI_BEGIN: Final = re.compile(rb"\x1b\[(?:\[?|M[\x00-\xff]{0,2}|[0-?]*[ -/]*)\Z", re.DOTALL)
_SS3: Final = re.compile(rb"\x1bO[0-9]?[@-~]")
_SS3_BEGIN: Final = re.compile(rb"\x1bO[0-9]?\Z")
_REPORT: Final = re.compile(rb"\x1b[\]P][0-9>$+|!][^\x07\x1b]*(?:\x07|\x1b\\)", re.DOTALL)
_REPORT_BEGIN: Final = re.compile(rb"\x1b[\]P](?:[0-9>$+|!][^\x07\x1b]*\x1b?)?\Z", re.DOTALL)
_SEQUENCES: Final = ((_CSI, _CSI_BEGIN), (_SS3, _SS3_BEGIN), (_REPORT, _REPORT_BEGIN))
_UNFINISHED_CSI: Final = re.compile(rb"[0-?]*[ -/]*")

Pressed = tuple[KeyPress, ...]


class KeyDecoder:
    """`feed` bytes, then ask for the `next` key until there is none."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._at = 0
        self._paste: bytearray | None = None
        self._in_long_sequence = False

    def __len__(self) -> int:
        """How many bytes wait."""
        return len(self._bytes) - self._at

    @property
    def pasting(self) -> bool:
        """Within a bracketed paste whose end has not come."""
        return self._paste is not None

    def feed(self, data: bytes) -> None:
        """Append what the client sent."""
        if self._at:
            del self._bytes[: self._at]
            self._at = 0
        self._bytes += data

    def take(self) -> bytes:
        """Give all that was not read, and forget it."""
        rest = bytes(self._bytes[self._at :])
        self._bytes.clear()
        self._at = 0
        self._paste = None
        self._in_long_sequence = False
        return rest

    def next(self, *, final: bool = False) -> Pressed | None:
        """Give the next key; no key presses for what is no key; None when more bytes are needed.

        `final`: nothing more has come for a while, so an ESC is the Escape key, and a paste ends.
        """
        if self._in_long_sequence:
            self._drop_long_sequence()
        if self._paste is not None:
            return self._next_of_paste(final)
        if self._at >= len(self._bytes):
            return None
        first = self._bytes[self._at]
        if first == ESCAPE:
            return self._next_of_escape(final)
        if first < 0x80:
            self._at += 1
            return _pressed(chr(first))
        return self._next_of_utf8(first, final)

    def _next_of_utf8(self, first: int, final: bool) -> Pressed | None:
        length = 2 if first < 0xE0 else 3 if first < 0xF0 else 4
        piece = bytes(self._bytes[self._at : self._at + length])
        for end in range(1, len(piece)):
            if piece[end] & 0xC0 != 0x80:
                piece = piece[:end]
                break
        else:
            if len(piece) < length and 0xC2 <= first < 0xF5 and not final:
                return None
        self._at += len(piece)
        return tuple(KeyPress(each, each) for each in piece.decode("utf-8", "replace"))

    def _next_of_escape(self, final: bool) -> Pressed | None:
        for whole, begin in _SEQUENCES:
            match = whole.match(self._bytes, self._at)
            if match:
                self._at = match.end()
                return self._sequence(match.group().decode("latin-1"))
            if begin.match(self._bytes, self._at):
                return self._unfinished(final)
        if len(self) == 1 and not final:
            return None
        self._at += 1
        return (KeyPress(Keys.Escape, "\x1b"),)

    def _sequence(self, text: str) -> Pressed:
        found = ANSI_SEQUENCES.get(text)
        if found is Keys.BracketedPaste:
            self._paste = bytearray()
            return ()
        if found is None:
            return ()
        keys = found if isinstance(found, tuple) else (found,)
        return tuple(KeyPress(key, "" if place else text) for place, key in enumerate(keys))

    def _unfinished(self, final: bool) -> Pressed | None:
        report = chr(self._bytes[self._at + 1]) in "]P"
        if final and (not report or len(self) == 2):
            # Alt with `[`, `O`, `]` or `P`: Escape now, the other key after it.
            self._at += 1
            return (KeyPress(Keys.Escape, "\x1b"),)
        if final or len(self) > (MAX_REPORT if report else MAX_SEQUENCE):
            self._at = len(self._bytes)
            self._in_long_sequence = not report
            return ()
        return None

    def _drop_long_sequence(self) -> None:
        match = _UNFINISHED_CSI.match(self._bytes, self._at)
        self._at = match.end() if match else self._at
        if self._at < len(self._bytes):
            self._at += 1
            self._in_long_sequence = False

    def _next_of_paste(self, final: bool) -> Pressed | None:
        paste = self._paste
        if paste is None:
            return None
        end = self._bytes.find(PASTE_END, self._at)
        upto = end if end >= 0 else len(self._bytes)
        if end < 0 and not final:
            upto = max(self._at, upto - len(PASTE_END) + 1)
        # One byte too many is kept, so that the line refuses the whole paste, not its end alone.
        paste += self._bytes[self._at : upto][: MAX_LINE + 1 - len(paste)]
        self._at = upto
        if end < 0 and not final:
            return None
        self._at += len(PASTE_END) if end >= 0 else 0
        self._paste = None
        return (KeyPress(Keys.BracketedPaste, _pasted(bytes(paste))),)


def _pressed(character: str) -> Pressed:
    found = ANSI_SEQUENCES.get(character, character)
    keys = found if isinstance(found, tuple) else (found,)
    return tuple(KeyPress(key, character) for key in keys)


def _pasted(data: bytes) -> str:
    text = data.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
    return text.replace("\0", REPLACEMENT)
