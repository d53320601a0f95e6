"""Whether a recording is what was recorded: its files held against its seal and a public key."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from bastion.errors import CastFault
from bastion.store import chain
from bastion.store.comparison import describe_change
from bastion.store.recording import SEAL_SUFFIX, SUFFIXES
from bastion.store.seal import FINAL, MAX_LINE, TAG, SealLine, fingerprint, parse_seal_line, tag
from bastion.store.stored import find_stored, open_stored, stored_path
from bastion.wire import encrypted
from bastion.wire.packed import ENCRYPTED

MAX_FINDINGS: Final = 20
"""A recording that is wholly garbage must not become a report as long as itself."""


PIECE: Final = 1024 * 1024
"""Bytes that are read at once: a line without end must not be read into memory."""


class State(StrEnum):
    """What a recording is found to be."""

    WHOLE = "whole"
    """Closed in order, and all of it is there unchanged."""
    FAILED = "failed"
    """All of it is there unchanged; the bastion ended it because it could not be written."""
    FINISHED = "finished"
    """A later start of the bastion finished what a crash left; unchanged since then."""
    LIVE = "live"
    """It is being recorded; unchanged up to its last checkpoint."""
    UNFINISHED = "unfinished"
    """Unchanged up to its last checkpoint, but it has no end."""
    BROKEN = "broken"
    """It was changed, cut, or something of it is missing."""


@dataclass(slots=True)
class SealReport:
    """What was found of one channel's recording."""

    session: str
    channel: str
    state: State = State.WHOLE
    checkpoints: int = 0
    """Signed lines of the seal that hold."""
    lines: int = 0
    """Lines of its files that a signature vouches for."""
    unsealed: int = 0
    """Lines after the last checkpoint: a change there goes unseen."""
    hash: str = ""
    """Of the seal's last line."""
    findings: list[str] = field(default_factory=list)

    def add(self, finding: str) -> None:
        """Something does not hold."""
        self.state = State.BROKEN
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(finding)


def verify_recording(
    stem: Path, key: Ed25519PublicKey, *, forms: Mapping[str, str] | None = None
) -> SealReport:
    """Hold one channel's files (`stem` is their path without suffixes) against their seal.

    `forms`: in which form a file is to be looked at, where it lies in several.
    """
    report = SealReport(stem.parent.name, stem.name)
    path = Path(f"{stem}{SEAL_SUFFIX}")
    if not path.exists():
        report.add(f"{path.name}: this file is missing, so nothing vouches for the others")
        return report
    if not path.is_file():
        report.add(f"{path.name}: this is no file")
        return report
    lines = _check_seal(path, key, report)
    if not lines:
        _check_begun(stem, path, report)
        return report
    _check_names(lines[0], report)
    last = lines[-1]
    report.hash = last.hash
    final = last.kind in FINAL
    for name in SUFFIXES:
        form = (forms or {}).get(name)
        stored = find_stored(stem, name) if form is None else (stored_path(stem, name, form), form)
        _check_file(*stored, name, lines, final, report)
    if report.state is not State.BROKEN:
        report.state = _state(last.kind, path)
    return report


def _state(kind: str, path: Path) -> State:
    if kind not in FINAL:
        return State.LIVE if is_held(path) else State.UNFINISHED
    return {"end": State.WHOLE, "failed": State.FAILED, "finished": State.FINISHED}[kind]


def is_held(path: Path) -> bool:
    """Whether a running bastion has its lock on the seal."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def last_kind(path: Path) -> str:
    """The kind of a seal's last line, or "" where that is no line of a seal."""
    if not path.is_file():
        return ""
    size = path.stat().st_size
    with path.open("rb") as file:
        # Few last lines are long; those that are speak of very many lines at once.
        for length in (64 * 1024, MAX_LINE):
            file.seek(max(0, size - length))
            lines = file.read(length).split(b"\n")
            if len(lines) > 2:
                break
    try:
        return parse_seal_line(lines[-2]).kind if len(lines) > 1 else ""
    except ValueError:
        return ""


# --- the seal itself ------------------------------------------------------------------------


def read_seal(path: Path) -> Iterator[SealLine | ValueError]:
    """Every line of a seal, or what is wrong with it; a last line that is torn is left out."""
    with path.open("rb") as file:
        while line := file.readline(MAX_LINE):
            if not line.endswith(b"\n"):
                return
            try:
                yield parse_seal_line(line)
            except ValueError as error:
                yield error


def _check_seal(path: Path, key: Ed25519PublicKey, report: SealReport) -> list[SealLine]:
    """The lines that hold; what does not is found."""
    good: list[SealLine] = []
    prev = chain.GENESIS
    for number, line in enumerate(read_seal(path), 1):
        if isinstance(line, ValueError):
            report.add(f"{path.name}:{number}: {line}")
            prev = ""
            continue
        wrong = _wrong(line, number, prev, key, good)
        if wrong:
            report.add(f"{path.name}:{number}: {wrong}")
        else:
            good.append(line)
        prev = line.hash
    report.checkpoints = len(good)
    if good and good[-1].kind in FINAL and _is_torn(path):
        report.add(f"{path.name}: bytes were added after the last line")
    return good


def _is_torn(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"


def _check_begun(stem: Path, path: Path, report: SealReport) -> None:
    """The seal's first line comes before all others: without it there is nothing, or a cut."""
    if report.findings or any(_size(find_stored(stem, name)[0]) for name in SUFFIXES):
        report.add(f"{path.name}: no line of it holds")
    else:
        report.state = State.LIVE if is_held(path) else State.UNFINISHED


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _wrong(
    line: SealLine, number: int, prev: str, key: Ed25519PublicKey, good: list[SealLine]
) -> str:
    """Why a line of the seal does not hold, or nothing."""
    if not line.is_signed_by(key):
        named = line.facts.get("key", "")
        if named and named != fingerprint(key):
            return f"it is signed by another key ({named})"
        return "the signature does not hold"
    if line.seq != number - 1:
        return f"line {line.seq} of the seal stands where line {number - 1} belongs"
    if prev and line.prev != prev:
        return "it does not follow the line before it"
    if good and good[-1].kind in FINAL:
        return "it stands after the end"
    return ""


def _check_names(first: SealLine, report: SealReport) -> None:
    named = (first.facts.get("session"), first.facts.get("channel"))
    if first.kind != "open":
        report.add("the seal has lost its beginning")
    elif named != (report.session, report.channel):
        report.add(f"this is the recording of {named[0]}/{named[1]}, under another name")


# --- the files ------------------------------------------------------------------------------


@dataclass(slots=True)
class _Walk:
    """A file that is read through once."""

    tags: bytearray = field(default_factory=bytearray)
    torn: bool = False
    bad: bool = False
    """A sealed point was passed where the bytes were not those that were sealed."""


def _check_file(
    path: Path, form: str, name: str, lines: list[SealLine], final: bool, report: SealReport
) -> None:
    points = [line.files[name] for line in lines if name in line.files]
    if not points:
        report.add(f"{path.name}: the seal does not name this file")
        return
    sealed = b"".join(point.tags for point in points)
    report.lines += points[-1].lines
    if not path.exists():
        if points[-1].size:
            report.add(f"{path.name}: this file is missing")
        return
    if not path.is_file():
        report.add(f"{path.name}: this is no file")
        return
    sealed_points = {point.size: point.sha256 for point in points}
    try:
        if form == ENCRYPTED:
            walk = _walk_frames(path, sealed_points)
        else:
            with open_stored(path, form) as file:
                walk = _walk(file, sealed_points, packed=bool(form))
    except CastFault as fault:
        report.add(f"{path.name}: {fault}")
        return
    known = bytes(walk.tags[: len(sealed)])
    beyond = len(walk.tags) - len(known)
    if known == sealed and not walk.bad and not final:
        report.unsealed += beyond // TAG + walk.torn
        return
    change = describe_change(sealed, bytes(walk.tags) if final else known, torn=walk.torn)
    if change or walk.bad:
        report.add(f"{path.name}: {change or 'it was changed: its hash does not fit'}")


def _walk(file: BinaryIO, points: dict[int, str], *, packed: bool) -> _Walk:
    """Read lines, and hold the hash so far against each sealed point that is passed.

    What is packed is read no further than it was sealed: a few bytes can unpack to a disk full.
    """
    walk = _Walk()
    digest = hashlib.sha256()
    size = 0
    met = {0} if points.get(0, "") in {"", digest.hexdigest()} else set()
    line = hashlib.sha256()
    end = max(points)
    while (piece := file.readline(PIECE)) and not (packed and size > end):
        digest.update(piece)
        size += len(piece)
        walk.torn = not piece.endswith(b"\n")
        line.update(piece.removesuffix(b"\n"))
        if not walk.torn:
            walk.tags += line.digest()[:TAG]
            line = hashlib.sha256()
        if size in points:
            met.add(size)
            walk.bad = walk.bad or points[size] != digest.hexdigest()
    walk.bad = walk.bad or bool(set(points) - met)
    return walk


def _walk_frames(path: Path, points: dict[int, str]) -> _Walk:
    """The same for an encrypted file, as it lies: its header and its frames are its lines."""
    walk = _Walk()
    digest = hashlib.sha256()
    size = 0
    met = {0} if points.get(0, "") in {"", digest.hexdigest()} else set()
    with path.open("rb") as file:
        for unit, torn in encrypted.units(file):
            digest.update(unit)
            size += len(unit)
            walk.torn = torn
            if not torn:
                walk.tags += tag(unit)
            if size in points:
                met.add(size)
                walk.bad = walk.bad or points[size] != digest.hexdigest()
    walk.bad = walk.bad or bool(set(points) - met)
    return walk
