"""JSON among other text: a command's output, lines of a log with an object in each.

A JSON text may begin at every `{` and `[`. It is followed as long as it is one; where it turns out
to be none, what comes is text again. So this finds what programs write as JSON, and is no wall
against a target that breaks its own JSON before what should be masked: a body that has to be JSON
is put through `JsonMask` itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from bastion.policy.jsonpath import Paths
from bastion.tap.jsonmask import JsonMask
from bastion.tap.marks import Masked

_OPENS: Final = re.compile(rb"(?<!\x1b)[{\[](?=[\s\"{\[\]}0-9tfnNI-]|\x1b|\Z)")
"""A bracket that may begin a JSON text, and is no part of a control sequence."""


class JsonStream:
    """One stream of text: `feed` pieces, `flush` when nothing came for a while, `finish`."""

    def __init__(self, paths: Paths, mark: Callable[[bytes], str]) -> None:
        self._paths = paths
        self._mark = mark
        self._json: JsonMask | None = None
        self._before = b""
        """The last byte of the text."""
        self._passed = 0
        """Bytes before the JSON text that is read."""
        self.masked: list[Masked] = []

    @property
    def held(self) -> int:
        """Bytes that wait: the beginning of a name or a number."""
        return 0 if self._json is None else self._json.held

    def feed(self, data: bytes) -> bytes:
        """Give what may be shown now."""
        self.masked = []
        return self._take(data)

    def flush(self) -> bytes:
        """The time is over: show the name or number that waits, if it is not masked."""
        self.masked = []
        return b"" if self._json is None else self._json.release()

    def finish(self) -> bytes:
        """Nothing more comes."""
        self.masked = []
        if self._json is None:
            return b""
        shown = self._json.finish()
        return shown + self._left(self._json)

    def _take(self, data: bytes) -> bytes:
        pieces: list[bytes] = []
        while data:
            if self._json is None:
                shown, data = self._until_json(data)
                pieces.append(shown)
                continue
            json = self._json
            pieces.append(json.feed(data))
            if not json.done and not json.fault:
                self._note(json)
                break
            data = self._left(json)
        return b"".join(pieces)

    def _until_json(self, data: bytes) -> tuple[bytes, bytes]:
        size = len(self._before)
        begin = _OPENS.search(self._before + data, size)
        at = len(data) if begin is None else begin.start() - size
        self._before = data[at - 1 : at] or self._before
        self._passed += at
        if at < len(data):
            self._json = JsonMask(self._paths, self._mark, within=True)
        return data[:at], data[at:]

    def _left(self, json: JsonMask) -> bytes:
        """The JSON text is over, or is none: what of it is text again."""
        self._note(json)
        self._passed += json.taken
        self._json = None
        self._before = b"}"
        return json.rest

    def _note(self, json: JsonMask) -> None:
        self.masked += [one._replace(where=self._passed + one.where) for one in json.masked]
        json.masked = []
