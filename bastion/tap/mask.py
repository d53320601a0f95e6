"""Takes secrets out of a byte stream before anybody sees it, however the stream is cut.

What a trigger lets expect is held back until it is whole or can no longer become a secret, never
longer than the drive's timer and never more than MOST_HELD bytes. Everything else passes at once.
What is matched is the text that a terminal would show (`tap/terminal.py`); what is taken out are
the bytes of the stream behind it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from bastion.model import Secret
from bastion.policy.jsonpath import Paths
from bastion.tap import redraw, terminal
from bastion.tap.detect import Detector, Detectors, Found, Late, Rest
from bastion.tap.known import Known
from bastion.tap.marks import Marks, Masked, fitted

MOST_HELD: Final = 4096
"""Bytes that are held back: a target that begins a secret and never ends it must not fill the
memory. What is held is then masked, and the rest of it too."""

CONTEXT: Final = 1024
"""Bytes of the line that stay known after they were shown: triggers, and what strokes go over."""


@dataclass(frozen=True, slots=True)
class Masking:
    """What is masked, and how: for one place, or for all that the bastion writes."""

    detectors: Detectors
    marks: Marks
    late: Late | None = None
    """Instead of what each detector says about a value that is late."""
    keep_width: bool = False
    """Marks as wide as the secret, so that tables keep their columns."""
    json: Paths | None = None
    """Values in JSON that are masked whatever they are (`tap/stream.py`)."""
    clear: bool = False
    """The client sees what is masked for everybody else; people have granted that."""


Exact = Known | Sequence[Secret | bytes]
"""Values that are masked wherever they stand; as `Known` where many texts are looked at."""


class Finder(Protocol):
    """A detector, or the exact values."""

    def find(self, text: bytes) -> Iterable[Found]:
        """Every secret in `text`."""


class _Span(NamedTuple):
    """A secret in the stream: `raw[start:end]`, and its text."""

    start: int
    end: int
    detector: str
    value: bytes


class _Held(NamedTuple):
    """From `start` on the stream may be a secret's beginning; `keep` is where its trigger began."""

    start: int
    keep: int
    detector: Detector | None = None
    mask: bool = False
    rest: Rest | None = None


class _Look:
    """A text, as far as it is looked at, and who looks.

    `behind`: also at what stands behind the cursor, which may be about to be written over.
    """

    __slots__ = ("data", "detectors", "text")

    def __init__(self, text: terminal.Text, detectors: Detectors, *, behind: bool = False) -> None:
        self.text = text
        self.data = text.data if behind or text.cursor < 0 else text.data[: text.cursor]
        self.detectors = detectors.looking(self.data)


class Masker:
    """One stream: `feed` pieces, `flush` when nothing came for a while, `finish` at its end.

    `masked` holds what the last call took out. `columns`, which may change, is the width of the
    window that shows the stream; 0 where there is none.
    """

    def __init__(self, masking: Masking, secrets: Exact = (), *, columns: int = 0) -> None:
        self._masking = masking
        self.know(secrets)
        self._raw = b""
        """The end of the stream: context that was shown, then what is held."""
        self._shown = 0
        """How many bytes of `_raw` were shown."""
        self._passed = 0
        """Bytes of the stream before `_raw`."""
        self._rest_of: Rest | None = None
        """Of a value that was masked before it ended; it is dropped."""
        self._full_screen = False
        self.columns = columns
        self.masked: list[Masked] = []

    @property
    def held(self) -> int:
        """Bytes of the stream that were fed and have not been passed on."""
        return len(self._raw) - self._shown

    @property
    def held_from(self) -> int:
        """Bytes of the stream that were passed on."""
        return self._passed + self._shown

    def know(self, secrets: Exact) -> None:
        """Look for these exact values from now on, instead of those before."""
        self._known = secrets if isinstance(secrets, Known) else Known(secrets)
        self._idle = not self._known and not self._masking.detectors

    def feed(self, data: bytes) -> bytes:
        """Give what may be shown now; where nothing is looked for, that is `data` itself."""
        self.masked = []
        if self._idle:
            return data
        shown = b""
        if self._rest_of is not None:
            shown, data = self._drop_rest(self._rest_of, data)
        return shown + self._take(data) if data else shown

    def flush(self) -> bytes:
        """The time is over: give what was held back; stars, where it may be a secret's beginning.

        Should more of it come, that is held and masked as well.
        """
        return self._end_hold(over=False)

    def finish(self) -> bytes:
        """Nothing more will come: give what was held back, for it is a secret now or none."""
        return self._end_hold(over=True)

    # --- looking --------------------------------------------------------------------------------

    def _take(self, data: bytes) -> bytes:
        raw = self._raw + data
        if b"?" in raw and (b"\x1b" in raw or b"\x9b" in raw):
            switches = terminal.FULL_SCREEN.findall(raw)
            self._full_screen = switches[-1] == b"h" if switches else self._full_screen
        looked = [_Look(text, self._masking.detectors) for text in self._texts(raw)]
        held = self._held(looked, len(raw))
        shown, end = self._cut(raw, self._spans(looked), held.start)
        if held.detector is not None and len(raw) - held.start > MOST_HELD:
            span = _Span(held.start, len(raw), held.detector.kind, raw[held.start :])
            more, end = self._cut(raw, [span], len(raw), begin=end)
            self._rest_of = held.rest
            self._passed += len(raw)
            self._raw, self._shown = b"", 0
            return shown + more
        self._keep(raw, end, held.keep)
        return shown

    def _texts(self, raw: bytes) -> list[terminal.Text]:
        return terminal.read(raw, self.columns)

    def _spans(self, looked: Iterable[_Look]) -> list[_Span]:
        """Every whole secret of which something was not shown yet, from left to right."""
        spans = []
        for look in looked:
            finders: list[Finder] = [*look.detectors, self._known]
            for finder in finders:
                for found in finder.find(look.data):
                    start, end = look.text.span(found.start, found.end)
                    if end > self._shown:
                        value = look.data[found.start : found.end]
                        spans.append(_Span(start, end, found.detector, value))
        return sorted(spans, key=lambda span: (span.start, -span.end))

    def _held(self, looked: Iterable[_Look], size: int) -> _Held:
        """What has to wait: the earliest beginning of anything that more bytes could complete."""
        found = [_Held(size, size)]
        for look in looked:
            if look.text.cursor >= 0:
                found += self._unfinished(look, size)
        first = min(found, key=lambda held: held.start)
        return first._replace(keep=min(held.keep for held in found))

    def _unfinished(self, look: _Look, size: int) -> Iterable[_Held]:
        """The beginnings of secrets that reach to where a text goes on, in a stream of `size`."""
        end = look.text.cursor
        yield from self._beginnings(look, end, size)
        if look.data[end - 1 : end] == b"_":  # underlined by `_`, a backspace and the letter
            yield from self._beginnings(look, end - 1, size)

    def _beginnings(self, look: _Look, end: int, size: int) -> Iterable[_Held]:
        text = look.text
        begin = max(0, end - MOST_HELD - CONTEXT)
        line = max(begin, look.data.rfind(b"\n", begin, end) + 1)
        many = [(one, 0) for one in look.detectors if one.many_lines]
        single = [(one, line) for one in self._masking.detectors.opening(look.data[line:end])]
        for detector, first in (*many, *single):
            opened = detector.unfinished_at(look.data[first:end])
            if opened is not None:
                keep = text.span(first + opened.trigger, end)[0]
                bare = first + opened.start == end  # a trigger with nothing behind it yet
                start = size if bare else text.span(first + opened.start, end)[0]
                late = self._masking.late or detector.late
                rest = Rest(detector, opened.lead, look.data[line:end])
                yield _Held(start, keep, detector, late is Late.MASK, rest)
        known = self._known.unfinished_at(look.data[line:end])
        if known is not None:
            start = text.span(line + known[0], end)[0]
            yield _Held(start, start, None, known[1])

    # --- showing --------------------------------------------------------------------------------

    def _cut(
        self, raw: bytes, spans: Sequence[_Span], upto: int, *, begin: int = -1
    ) -> tuple[bytes, int]:
        """What to show of `raw` from what was shown (or `begin`) up to `upto`, and where that ends.

        A secret that begins before `upto` is taken out whole.
        """
        pieces: list[bytes] = []
        at = self._shown if begin < 0 else begin
        for span in spans:
            if span.end <= at or span.start >= upto:
                continue
            pieces.append(raw[at : span.start])
            pieces.append(self._replaced(raw, max(at, span.start), span))
            at = span.end
        pieces.append(raw[at:upto])
        return b"".join(pieces), max(at, upto)

    def _replaced(self, raw: bytes, start: int, span: _Span) -> bytes:
        """What stands for a secret whose bytes before `start` were shown as something else."""
        mark = self._masking.marks.mark(span.detector, span.value)
        where = self._passed + span.start
        self.masked.append(Masked(span.detector, len(span.value), mark, where))
        gone = raw[start : span.end]
        if start > span.start:
            return _stars(gone)
        if self._masking.keep_width or self._full_screen:
            return redraw.written_over(gone, fitted(mark, redraw.printed(gone)))
        return mark.encode() + redraw.still_sequences(gone)

    def _end_hold(self, *, over: bool) -> bytes:
        self.masked = []
        raw = self._raw
        if len(raw) == self._shown:
            return b""
        texts = self._texts(raw)
        spans = self._spans(_Look(text, self._masking.detectors, behind=True) for text in texts)
        held = self._held([_Look(text, self._masking.detectors) for text in texts], len(raw))
        whole = any(span.start <= held.start and span.end == len(raw) for span in spans)
        if over or whole or not held.mask:
            shown, _ = self._cut(raw, spans, len(raw))
        else:
            shown, end = self._cut(raw, spans, held.start)
            shown += _stars(raw[end:])
        self._keep(raw, len(raw), held.keep)
        return shown

    def _drop_rest(self, rest: Rest, data: bytes) -> tuple[bytes, bytes]:
        """Drop what belongs to a value that was masked already; give the controls, and the rest."""
        raw = self._raw + data
        self._raw = b""
        kept: list[bytes] = []
        for token in terminal.TOKEN.finditer(raw):
            begun = token["partial"] is not None or token["still"] is not None
            if begun and token.end() == len(raw):
                self._raw = token[0]
                break
            inside = token["text"] is not None or token["newline"] is not None
            size = rest.goes_on(token[0]) if inside else 0
            if inside and size < len(token[0]):
                self._rest_of = None
                self._passed += token.start() + size
                return b"".join(kept), raw[token.start() + size :]
            kept.append(b"" if inside else token[0])
        self._passed += len(raw) - len(self._raw)
        return b"".join(kept), b""

    def _keep(self, raw: bytes, shown: int, keep: int) -> None:
        """Remember the end of the line, from `keep` at least, of which all to `shown` was shown."""
        line = max(raw.rfind(b"\n", 0, shown) + 1, shown - CONTEXT)
        begin = max(0, min(line, keep, shown))
        self._raw, self._shown = raw[begin:], shown - begin
        self._passed += begin


def _stars(gone: bytes) -> bytes:
    return redraw.written_over(gone, "*" * len(gone))


def mask_text(text: str, masking: Masking, secrets: Exact = ()) -> tuple[str, list[Masked]]:
    """Mask one whole text: a name, a command, a cell, a line of a log."""
    shown, masked = mask_bytes(text.encode("utf-8", "surrogatepass"), masking, secrets)
    return (shown.decode("utf-8", "surrogatepass"), masked) if masked else (text, [])


def mask_bytes(data: bytes, masking: Masking, secrets: Exact = ()) -> tuple[bytes, list[Masked]]:
    """The same for bytes."""
    masker = Masker(masking, secrets)
    shown = masker.feed(data)
    masked = masker.masked
    shown += masker.finish()
    masked = masked + masker.masked
    return (shown, masked) if masked else (data, [])
