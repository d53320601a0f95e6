"""All that looks at one stream of text: the paths of JSON first, then the detectors."""

from __future__ import annotations

from functools import partial

from bastion.tap.jsonmask import NAME
from bastion.tap.jsonstream import JsonStream
from bastion.tap.marks import Masked
from bastion.tap.mask import Exact, Masker, Masking


class StreamMasker:
    """A Masker, behind what masks JSON where a policy names paths; used as a Masker is."""

    def __init__(self, masking: Masking, secrets: Exact = (), *, columns: int = 0) -> None:
        self._masker = Masker(masking, secrets, columns=columns)
        self._json = (
            JsonStream(masking.json, partial(masking.marks.mark, NAME)) if masking.json else None
        )
        self.masked: list[Masked] = []
        """What the last call took out; places behind a masked value of JSON are those in what was
        made of it."""

    @property
    def columns(self) -> int:
        """The width of the window that shows the stream."""
        return self._masker.columns

    @columns.setter
    def columns(self, columns: int) -> None:
        self._masker.columns = columns

    @property
    def held(self) -> int:
        """Bytes that were fed and have not been passed on."""
        return self._masker.held + (self._json.held if self._json is not None else 0)

    @property
    def held_from(self) -> int:
        """Bytes that were passed on."""
        return self._masker.held_from

    def know(self, secrets: Exact) -> None:
        """Look for these exact values from now on."""
        self._masker.know(secrets)

    def feed(self, data: bytes) -> bytes:
        """Give what may be shown now."""
        if self._json is None:
            shown, self.masked = self._masker.feed(data), self._masker.masked
            return shown
        shown = self._masker.feed(self._json.feed(data))
        self.masked = self._json.masked + self._masker.masked
        return shown

    def flush(self) -> bytes:
        """The time is over: give what was held back."""
        return self._feed_last(b"" if self._json is None else self._json.flush(), over=False)

    def finish(self) -> bytes:
        """Nothing more will come."""
        return self._feed_last(b"" if self._json is None else self._json.finish(), over=True)

    def _feed_last(self, data: bytes, *, over: bool) -> bytes:
        masked = list(self._json.masked) if self._json is not None else []
        shown = b""
        if data:
            shown = self._masker.feed(data)
            masked += self._masker.masked
        shown += self._masker.finish() if over else self._masker.flush()
        self.masked = masked + self._masker.masked
        return shown
