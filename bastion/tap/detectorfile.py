"""The file of detectors: YAML → Detectors, every fault with file:line:column.

A detector that does not do what its examples say is a fault, and so is one that would let the
beginning of an example through because its `unfinished` does not see it coming.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from bastion.errors import ConfigError, Fault
from bastion.model import visible
from bastion.policy.document import Document, Path, Section, in_file_order
from bastion.policy.schema import NAME
from bastion.tap.checks import CHECKS
from bastion.tap.detect import Detector, Detectors, Late, compile_bytes

MOST_DETECTORS: Final = 200
"""Each costs memory in every compiled set."""


def _expression(text: str) -> str:
    compile_bytes(text)
    return text


def _check(name: str) -> str:
    if name not in CHECKS:
        raise ValueError(f"there is no check {name!r}; one of {', '.join(sorted(CHECKS))}")
    return name


Expression = Annotated[str, Field(min_length=1, max_length=2000), AfterValidator(_expression)]
Texts = Annotated[tuple[str, ...], Field(min_length=1, max_length=100)]


class DetectorExamples(Section):
    """What it must and must not find. `match` is the whole text; of each something is masked."""

    match: Texts
    no_match: Texts


class DetectorSection(Section):
    """One detector; see `bastion.tap.detect`."""

    about: Annotated[str, Field(min_length=1)]
    trigger: Expression
    value: Expression
    end: Expression | None = None
    unfinished: Expression | None = None
    between: Expression | None = None
    opens: Expression | None = None
    sign: Expression | None = None
    leads: bool = False
    kind: str = ""
    check: Annotated[str, AfterValidator(_check)] | None = None
    sieve: bool = False
    late: Late = Late.MASK
    always: bool = True
    examples: DetectorExamples


class DetectorsFile(Section):
    """The whole file."""

    version: Literal[1]
    detectors: Annotated[dict[str, DetectorSection], Field(min_length=1, max_length=MOST_DETECTORS)]


def parse_detectors(text: str, name: str) -> tuple[Detector, ...]:
    """Read a file of detectors, called `name` in messages; ConfigError tells all its faults."""
    document = Document(text, name)
    faults: list[Fault] = []
    detectors = []
    for kind, section in document.read(DetectorsFile).detectors.items():
        path = ("detectors", kind)
        if NAME.fullmatch(kind) is None:
            message = "a name is lower-case letters, digits, dots, dashes and underscores"
            faults.append(document.fault(message, *path, key=True))
            continue
        try:
            detector = _detector(kind, section)
        except ValueError as error:
            faults.append(document.fault(str(error), *path))
            continue
        detectors.append(detector)
        faults += _failing(detector, section.examples, document, path)
    if faults:
        raise ConfigError(in_file_order(faults))
    return tuple(detectors)


def combine(shipped: Iterable[Detector], own: Iterable[Detector]) -> Detectors:
    """Own detectors beside the shipped ones, and instead of those of the same name or kind."""
    theirs = tuple(own)
    names = {detector.name for detector in theirs}
    kept = (one for one in shipped if not names & {one.name, one.kind})
    return Detectors((*kept, *theirs))


def _detector(name: str, section: DetectorSection) -> Detector:
    return Detector(
        name=name,
        about=section.about,
        trigger=section.trigger,
        value=section.value,
        end=section.end or "",
        unfinished=section.unfinished or r"\S*",
        between=section.between or "",
        opens=section.opens or "",
        sign=section.sign or "",
        check=section.check or "",
        sieve=section.sieve,
        late=section.late,
        leads=section.leads,
        kind=section.kind,
        always=section.always,
    )


def _failing(
    detector: Detector, examples: DetectorExamples, document: Document, path: Path
) -> Iterable[Fault]:
    for index, text in enumerate(examples.match):
        place = (*path, "examples", "match", index)
        data = text.encode()
        found = list(detector.find(data))
        if not Detectors([detector]).looking(data):
            yield document.fault(f"`sign` is not in {_shown(text)}", *place)
        elif not found:
            yield document.fault(f"must match {_shown(text)}, but does not", *place)
        elif not Detectors([detector]).opening(data) and not detector.many_lines:
            yield document.fault(f"`opens` is not in {_shown(text)}", *place)
        elif (cut := _leaks_at(detector, data, found[0].start, found[0].end)) is not None:
            beginning = _shown(data[:cut].decode("utf-8", "replace"))
            yield document.fault(f"`unfinished` does not match after {beginning}", *place)
    for index, text in enumerate(examples.no_match):
        if any(detector.find(text.encode())):
            place = (*path, "examples", "no_match", index)
            yield document.fault(f"must not match {_shown(text)}, but does", *place)


def _leaks_at(detector: Detector, data: bytes, start: int, end: int) -> int | None:
    """Where a stream could be cut so that the beginning of this secret would be shown."""
    signs = Detectors([detector])
    for cut in range(start + 1, end + 1):
        opened = detector.unfinished_at(data[:cut])
        seen = not detector.many_lines or signs.looking(data[:cut])
        if opened is None or opened.start > start or not seen:
            return cut
    return None


def _shown(text: str) -> str:
    return f"`{visible(text, limit=80)}`"
