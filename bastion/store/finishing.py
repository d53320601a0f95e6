"""Finishes, at a start, the recordings that a crash left: truthfully, and only what holds."""

from __future__ import annotations

import contextlib
import fcntl
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bastion.store import seal
from bastion.store.appendfile import AppendFile
from bastion.store.recording import EVENTS, SEAL_SUFFIX, SUFFIXES
from bastion.store.seal import FINAL, Extent, Rolling, Seal, SealLine
from bastion.store.sealfile import last_kind, read_seal
from bastion.store.stored import find_stored, stored_path
from bastion.wire import encrypted
from bastion.wire.packed import ENCRYPTED, PLAIN

REASON: Final = "the bastion stopped before this channel ended"

MAX_TAGS: Final = 500_000
"""Lines that one line of the seal speaks of: it must stay readable."""


@dataclass(frozen=True, slots=True)
class Finished:
    """What became of a recording that had no end. `problem`: it was left as it is, and why."""

    session: str
    channel: str
    hash: str = ""
    unsealed_lines: int = 0
    """Lines that no checkpoint vouched for before."""
    removed_bytes: int = 0
    """Of lines that were not whole."""
    problem: str = ""


class _Damage(Exception):
    """What is there is not what was sealed: it must stay as it is, for whoever looks into it."""


def finish_all(root: Path, key: Ed25519PrivateKey, at: float) -> Iterator[Finished]:
    """Finish every recording below `root` that has no end and that nobody writes any more."""
    for path in sorted(root.glob(f"????-??-??/*/*{SEAL_SUFFIX}")):
        stem = Path(str(path).removesuffix(SEAL_SUFFIX))
        if last_kind(path) not in FINAL:
            finished = finish(stem, key, at)
            if finished is not None:
                yield finished


def finish(stem: Path, key: Ed25519PrivateKey, at: float) -> Finished | None:
    """Finish one recording; None where it has its end already, or is being written."""
    with contextlib.ExitStack() as opened:
        try:
            file = AppendFile.reopen(Path(f"{stem}{SEAL_SUFFIX}"))
            opened.callback(file.close)
            try:
                fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return None
            return _finish(stem, file, key, at)
        except (_Damage, OSError) as error:
            problem = error.strerror if isinstance(error, OSError) else str(error)
            return Finished(stem.parent.name, stem.name, problem=problem or str(error))


def _finish(stem: Path, file: AppendFile, key: Ed25519PrivateKey, at: float) -> Finished | None:
    lines = _sealed_lines(stem, key)
    if lines and lines[-1].kind in FINAL:
        return None
    form = str(lines[0].facts.get("form", PLAIN)) if lines else PLAIN
    paths = {name: stored_path(stem, name, form) for name in SUFFIXES}
    _check_there(stem, lines, paths)
    rolling = {name: Rolling() for name in SUFFIXES}
    for name, path in paths.items():
        _check_sealed(path, form, name, lines, rolling[name])
    # Nothing was changed so far: what is damaged stays as it was found.
    removed = len(file.cut_torn_line())
    writer = Seal(file, key, after=lines[-1] if lines else None)
    if not lines:
        _begin(stem, writer, key, at)
    unsealed = 0
    for name, path in paths.items():
        unsealed += _take_rest(path, form, name, rolling, writer, at)
        removed += _cut(path, rolling[name].size)
    facts = {"reason": REASON, "unsealed_lines": unsealed, "removed_bytes": removed}
    if form == PLAIN:
        _add_event(paths[EVENTS], rolling[EVENTS], lines[0].at if lines else at, at, facts)
    writer.append("finished", at, {name: roll.take() for name, roll in rolling.items()}, **facts)
    writer.sync()
    return Finished(stem.parent.name, stem.name, writer.last_hash, unsealed, removed)


def _begin(stem: Path, writer: Seal, key: Ed25519PrivateKey, at: float) -> None:
    writer.append(
        "open",
        at,
        {name: Extent() for name in SUFFIXES},
        session=stem.parent.name,
        channel=stem.name,
        key=seal.fingerprint(key.public_key()),
        format=seal.FORMAT,
        form=PLAIN,
    )


def _cut(path: Path, size: int) -> int:
    """Remove what stands after the last whole unit, wait for the disk; give how many bytes."""
    with contextlib.closing(AppendFile.reopen(path)) as file:
        removed = file.size - size
        if removed:
            file.cut(size)
        file.sync()
        return removed


def _add_event(
    path: Path, rolling: Rolling, started_at: float, at: float, facts: dict[str, object]
) -> None:
    event = _event(started_at, at, facts)
    with contextlib.closing(AppendFile.reopen(path)) as file:
        file.append(event)
        file.sync()
    rolling.feed(event)


def _sealed_lines(stem: Path, key: Ed25519PrivateKey) -> list[SealLine]:
    public = key.public_key()
    lines: list[SealLine] = []
    for line in read_seal(Path(f"{stem}{SEAL_SUFFIX}")):
        if isinstance(line, ValueError) or not line.is_signed_by(public):
            raise _Damage("its seal does not hold")
        lines.append(line)
    return lines


def _check_there(stem: Path, lines: list[SealLine], paths: dict[str, Path]) -> None:
    """Nothing is made in the place of what is gone."""
    if not lines and any(_size(find_stored(stem, name)[0]) for name in SUFFIXES):
        raise _Damage("its seal is empty")
    for name, path in paths.items():
        if lines and lines[-1].files[name].size and not path.exists():
            raise _Damage(f"{path.name} is missing")
        if path.exists() and not path.is_file():
            raise _Damage(f"{path.name} is no file")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _check_sealed(
    path: Path, form: str, name: str, lines: list[SealLine], rolling: Rolling
) -> None:
    """Read as far as the seal vouches, and hold the bytes against it."""
    points = {line.files[name].size: line.files[name].sha256 for line in lines}
    end = max(points, default=0)
    for unit in _units(path, form, 0):
        if rolling.size >= end:
            break
        _feed(rolling, unit, form)
        if rolling.size in points and points[rolling.size] != rolling.take().sha256:
            raise _Damage(f"{path.name} was changed")
    if rolling.size != end:
        raise _Damage(f"{path.name} is shorter than what was sealed")
    rolling.take()


def _take_rest(
    path: Path, form: str, name: str, rolling: dict[str, Rolling], writer: Seal, at: float
) -> int:
    """Read on to the last whole unit; give how many nothing vouched for."""
    count = 0
    for unit in _units(path, form, rolling[name].size):
        _feed(rolling[name], unit, form)
        count += 1
        if rolling[name].lines_since >= MAX_TAGS:
            writer.append("checkpoint", at, {one: r.take() for one, r in rolling.items()})
    return count


def _feed(rolling: Rolling, unit: bytes, form: str) -> None:
    if form == ENCRYPTED:
        rolling.feed_unit(unit)
    else:
        rolling.feed(unit)


def _units(path: Path, form: str, start: int) -> Iterator[bytes]:
    """Whole lines, or frames, from a place on where one begins."""
    if not path.exists():
        return
    with path.open("rb") as file:
        if form == ENCRYPTED:
            size = 0
            for unit, torn in encrypted.units(file):
                if not torn and size >= start:
                    yield unit
                size += len(unit)
            return
        file.seek(start)
        yield from (line for line in file if line.endswith(b"\n"))


def _event(started_at: float, at: float, fields: dict[str, object]) -> bytes:
    time = round(max(0.0, at - started_at), 6)
    line = {"time": time, "at": at, "kind": "finished", "fields": fields}
    return json.dumps(line).encode() + b"\n"
