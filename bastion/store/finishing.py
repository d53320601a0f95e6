"""Finishes, at a start, the recordings that a crash left: truthfully, and only what holds."""

from __future__ import annotations

import contextlib
import fcntl
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bastion.store import seal
from bastion.store.appendfile import AppendFile
from bastion.store.recording import EVENTS, SEAL_SUFFIX, SUFFIXES
from bastion.store.seal import FINAL, Extent, Rolling, Seal, SealLine
from bastion.store.sealfile import read_seal

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
        # What was packed away had its end verified before.
        if any(Path(f"{stem}{suffix}").exists() for suffix in SUFFIXES.values()):
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
    _check_there(stem, lines)
    rolling = {name: Rolling() for name in SUFFIXES}
    for name in SUFFIXES:
        _check_sealed(stem, name, lines, rolling[name])
    # Nothing was changed so far: what is damaged stays as it was found.
    removed = len(file.cut_torn_line())
    writer = Seal(file, key, after=lines[-1] if lines else None)
    session, channel = stem.parent.name, stem.name
    if not lines:
        name = seal.fingerprint(key.public_key())
        empty = {name: Extent() for name in SUFFIXES}
        writer.append(
            "open", at, empty, session=session, channel=channel, key=name, format=seal.FORMAT
        )
    with contextlib.ExitStack() as opened:
        files = {}
        for name, suffix in SUFFIXES.items():
            files[name] = AppendFile.reopen(Path(f"{stem}{suffix}"))
            opened.callback(files[name].close)
            removed += len(files[name].cut_torn_line())
        unsealed = 0
        for name in SUFFIXES:
            unsealed += _take_rest(stem, name, rolling, writer, at)
        started_at = lines[0].at if lines else at
        fields = {"reason": REASON, "unsealed_lines": unsealed, "removed_bytes": removed}
        event = _event(started_at, at, fields)
        files[EVENTS].append(event)
        rolling[EVENTS].feed(event)
        for one in files.values():
            one.sync()
    writer.append(
        "finished", at, {name: roll.take() for name, roll in rolling.items()}, reason=REASON
    )
    writer.sync()
    return Finished(session, channel, writer.last_hash, unsealed, removed)


def _sealed_lines(stem: Path, key: Ed25519PrivateKey) -> list[SealLine]:
    public = key.public_key()
    lines: list[SealLine] = []
    for line in read_seal(Path(f"{stem}{SEAL_SUFFIX}")):
        if isinstance(line, ValueError) or not line.is_signed_by(public):
            raise _Damage("its seal does not hold")
        lines.append(line)
    return lines


def _check_there(stem: Path, lines: list[SealLine]) -> None:
    """Nothing is made in the place of what is gone."""
    for name, suffix in SUFFIXES.items():
        path = Path(f"{stem}{suffix}")
        if not lines and path.exists() and path.stat().st_size:
            raise _Damage("its seal is empty")
        if lines and lines[-1].files[name].size and not path.exists():
            raise _Damage(f"{path.name} is missing")


def _check_sealed(stem: Path, name: str, lines: list[SealLine], rolling: Rolling) -> None:
    """Read as far as the seal vouches, and hold the bytes against it."""
    points = {line.files[name].size: line.files[name].sha256 for line in lines}
    end = max(points, default=0)
    if not end:
        return
    with Path(f"{stem}{SUFFIXES[name]}").open("rb") as file:
        for line in _lines(file, end):
            rolling.feed(line)
            if rolling.size in points and points[rolling.size] != rolling.take().sha256:
                raise _Damage(f"{stem.name}{SUFFIXES[name]} was changed")
    if rolling.size != end:
        raise _Damage(f"{stem.name}{SUFFIXES[name]} is shorter than what was sealed")
    rolling.take()


def _take_rest(stem: Path, name: str, rolling: dict[str, Rolling], writer: Seal, at: float) -> int:
    """Read on to the end; give how many lines nothing vouched for."""
    count = 0
    with Path(f"{stem}{SUFFIXES[name]}").open("rb") as file:
        file.seek(rolling[name].size)
        for line in file:
            rolling[name].feed(line)
            count += 1
            if rolling[name].lines_since >= MAX_TAGS:
                writer.append("checkpoint", at, {one: r.take() for one, r in rolling.items()})
    return count


def _lines(file: BinaryIO, end: int) -> Iterator[bytes]:
    size = 0
    while size < end and (line := file.readline()):
        size += len(line)
        yield line


def _event(started_at: float, at: float, fields: dict[str, object]) -> bytes:
    time = round(max(0.0, at - started_at), 6)
    line = {"time": time, "at": at, "kind": "finished", "fields": fields}
    return json.dumps(line).encode() + b"\n"
