"""Exact secrets: the credentials that the bastion itself brings to a target, for their lifetime."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from typing import Any, Final
from urllib.parse import quote, quote_plus

from bastion.model import Secret
from bastion.tap.detect import Found, compile_bytes

NAME: Final = "credential"
"""What their marks say."""

SHORTEST: Final = 4
"""Bytes. A secret of one letter would mask that letter everywhere, and so spell itself out."""

SHORTEST_LINE: Final = 20
"""Bytes of one line of a private key: `-----END` and a last short line tell nothing."""

_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")

LONGEST: Final = 1024
"""Bytes of one value that are compared: what is longer is known by its beginning."""


class Known:
    """Values that are masked wherever they stand, also as an echo may encode them."""

    def __init__(self, secrets: Iterable[Secret | bytes] = ()) -> None:
        plain = (one.reveal() if isinstance(one, Secret) else one for one in secrets)
        forms = {form[:LONGEST] for value in plain for form in _forms(value)}
        self._forms = sorted(forms, key=lambda form: (-len(form), form))
        self._pattern: Any = None
        self._beginnings: frozenset[bytes] = frozenset()
        if self._forms:
            alternatives = "|".join(_quoted(form) for form in self._forms)
            self._pattern = compile_bytes(alternatives)
            self._beginnings = frozenset(
                form[:length] for form in self._forms for length in range(1, len(form))
            )

    def __bool__(self) -> bool:
        return bool(self._forms)

    def find(self, text: bytes) -> Iterator[Found]:
        """Each of them; of those that begin at the same byte the longest."""
        if self._pattern is not None:
            for match in self._pattern.finditer(text):
                yield Found(match.start(), match.end(), NAME)

    def unfinished_at(self, text: bytes) -> tuple[int, bool] | None:
        """Where the text ends in the beginning of one, and whether that is half of it already."""
        if not self._forms:
            return None
        longest = len(self._forms[0]) - 1
        for start in range(max(0, len(text) - longest), len(text)):
            tail = text[start:]
            if tail in self._beginnings:
                whole = (len(form) for form in self._forms if form.startswith(tail))
                return start, 2 * len(tail) >= min(whole)
        return None


def _quoted(form: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in form)


def _forms(value: bytes) -> Iterator[bytes]:
    if len(value) < SHORTEST:
        return
    lines = value.split(b"\n")
    if len(lines) > 1:
        for line in map(bytes.strip, lines):
            if len(line) >= SHORTEST_LINE and not line.startswith(b"-----"):
                yield line
        return
    yield value
    yield from _encoded(value)


def _encoded(value: bytes) -> Iterator[bytes]:
    """What `env`, a URL, a JSON text, an Authorization header or a hex dump make of it."""
    for form in (quote(value, safe=""), quote(value, safe="/"), quote_plus(value), value.hex()):
        yield form.encode()
    text = value.decode("utf-8", "replace")
    if "\ufffd" not in text:
        for escaped in (json.dumps(text), json.dumps(text, ensure_ascii=False)):
            yield escaped[1:-1].encode()
    for before in range(3):  # base64 of `user:VALUE`: three bytes become four letters
        whole = base64.b64encode(b"\0" * before + value)
        first, last = -(-8 * before // 6), 8 * (before + len(value)) // 6
        core = whole[first:last]  # the letters that no neighbour has a bit in
        if len(core) >= 8:
            yield core
            yield core.translate(_URL_SAFE)
