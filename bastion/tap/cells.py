"""Secrets in values that are whole, of which there are very many: the cells of a database's rows.

A cell is masked like any other text (`mask_bytes`). What is here keeps that off the way of all that
has nothing to mask: one pass over many cells, headers between them included, says whether any of
them can have a secret at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, Final

import re2

from bastion.policy.jsonpath import Paths
from bastion.tap import redraw
from bastion.tap.detect import Detector, Detectors
from bastion.tap.jsonmask import NAME, JsonMask
from bastion.tap.known import Known
from bastion.tap.marks import fitted
from bastion.tap.mask import MOST_HELD, Masking, mask_bytes

_TOKEN: Final = re.compile(r"\\.|\[\^?\]?(?:\\.|\[:\w+:\]|[^\]\\])*\]|.", re.DOTALL)
_PLAIN: Final = re.compile(rb"[\n\t\x20-\x7e]*")
SHORT: Final = MOST_HELD
_ANCHORS: Final = frozenset({"^", "$", r"\b", r"\B", r"\A", r"\z"})


class Cells:
    """What masks the values of one place."""

    def __init__(self, masking: Masking, known: Known | None = None) -> None:
        self._masking = masking
        self._known = known or Known()
        self._signs = signs_of(masking.detectors)
        self._json = masking.json
        self._names = None if masking.json is None else _names_of(masking.json)

    @property
    def paths(self) -> bool:
        """Whether values in JSON are masked by their paths."""
        return self._json is not None

    def may(self, data: bytes) -> bool:
        """Whether any value in `data` may have a secret, wherever in it values begin and end."""
        return self._signs.match(data) or self._may_json(data) or any(self._known.find(data))

    def _may_json(self, data: bytes) -> bool:
        names = self._names
        return names is not None and (not names or any(name in data for name in names))

    def json(self, cell: bytes) -> tuple[bytes | None, int]:
        """One whole JSON text without what paths name, and how many values that were; None where
        it is no JSON."""
        if self._json is None or not self._may_json(cell):
            return cell, 0
        mask = JsonMask(self._json, lambda value: self._masking.marks.mark(NAME, value))
        shown = mask.feed(cell)
        masked = len(mask.masked)
        shown += mask.finish()
        if mask.fault:
            return None, 1
        masked += len(mask.masked)
        return (shown if masked else cell), masked

    def mask(self, cell: bytes) -> tuple[bytes, Sequence[str]]:
        """One whole value without its secrets, and what they were."""
        looking = self._masking.detectors.looking(cell)
        if not looking and not self._known:
            return cell, ()
        if len(cell) <= SHORT and _PLAIN.fullmatch(cell):
            return self._cut(cell, looking)
        shown, masked = mask_bytes(cell, self._masking, self._known)
        return shown, tuple(one.detector for one in masked)

    def _cut(self, cell: bytes, looking: Sequence[Detector]) -> tuple[bytes, Sequence[str]]:
        """What `mask_bytes` gives for a short value whose text is the same on a terminal, and
        fifty times as fast: a column may have a secret in every row."""
        found = [one for detector in looking for one in detector.find(cell)]
        found += self._known.find(cell)
        pieces: list[bytes] = []
        names: list[str] = []
        at = 0
        for one in sorted(found, key=lambda one: (one.start, -one.end)):
            if one.end <= at:
                continue
            value = cell[one.start : one.end]
            if one.start >= at:
                pieces += cell[at : one.start], self._instead(one.detector, value)
            else:
                pieces.append(b"*" * (one.end - at))
            names.append(one.detector)
            at = one.end
        return (b"".join((*pieces, cell[at:])), tuple(names)) if names else (cell, ())

    def _instead(self, detector: str, value: bytes) -> bytes:
        mark = self._masking.marks.mark(detector, value)
        if self._masking.keep_width:
            mark = fitted(mark, redraw.printed(value))
        return mark.encode()

    def spans(self, data: bytes) -> Iterator[tuple[int, int, Detector | None]]:
        """Where in `data` secrets are, in no order: begin, end, and what found it."""
        for detector in self._masking.detectors.looking(data):
            for found in detector.find(data):
                yield found.start, found.end, detector
        for found in self._known.find(data):
            yield found.start, found.end, None


class Signs:
    """The signs of detectors, each without what it wants to stand beside it.

    Between cells stand their lengths, as bytes: 65 is an `A`, and a `\\b` before a key would not
    see that a value begins there.
    """

    def __init__(self, detectors: Detectors) -> None:
        self._always = False
        self._set: Any = None
        if not detectors:
            return
        options = re2.Options()
        options.log_errors = False
        options.encoding = re2.Options.Encoding.LATIN1
        options.max_mem = 8 << 20
        self._set = re2.Set.SearchSet(options)
        for one in detectors.each:
            try:
                self._set.Add(unanchored(one.sign or one.trigger).encode("latin-1"))
            except re2.error:
                self._always = True
        self._set.Compile()

    def match(self, data: bytes) -> bool:
        """Whether one of them is in `data`."""
        return self._set is not None and (self._always or bool(self._set.Match(data)))


@lru_cache(maxsize=64)
def signs_of(detectors: Detectors) -> Signs:
    """Compiled once for all sessions of a place: it takes longer than a client takes to log in."""
    return Signs(detectors)


def _names_of(paths: Paths) -> tuple[bytes, ...]:
    """Of which one stands in every JSON text that has a value which is named, or an escape for it;
    none where there are no such."""
    if not all(paths.last_names):
        return ()
    return (b"\\", *(name.encode() for name in paths.last_names if name))


def unanchored(expression: str) -> str:
    """The expression without anchors and word boundaries: it matches all that it did, and more."""
    tokens = _TOKEN.findall(expression)
    return "".join(token for token in tokens if token not in _ANCHORS)
