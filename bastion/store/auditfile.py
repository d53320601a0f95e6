"""The audit log as files: what a line looks like, where it ends, and whether all of it holds."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, cast

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from bastion.errors import StoreError
from bastion.store import chain

LOG: Final = "audit.jsonl"
HEADS: Final = "heads.jsonl"
HEAD_EVERY: Final = 16
"""Entries between two signed heads: what a thief of the tail can hide, against 40 µs and a sync."""

MAX_UNSIGNED: Final = 2 * HEAD_EVERY
"""Entries after the last head that a crash can leave; with more, heads have been taken away."""

KEY: Final = "ed25519"
PUBLIC_KEY: Final = "ed25519.pub"
MAX_LINE: Final = 16 * 1024 * 1024
"""Bytes of one line; a longer one is no entry of ours, and is not read into memory."""

MAX_SEQUENCE: Final = 2**63
MAX_TIME: Final = 1e11
"""Seconds since the epoch: what no calendar can show is damage, or made to stop who reads it."""

MAX_FINDINGS: Final = 50
"""A log that is wholly garbage must not become a report as long as itself."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line, as it was written."""

    seq: int
    at: float
    kind: str
    fields: dict[str, Any]
    prev: str
    hash: str


@dataclass(frozen=True, slots=True)
class Head:
    """A signed statement: entry `seq` had this hash at this time. `signature` is hex."""

    seq: int
    hash: str
    at: float
    signature: str

    def line(self) -> bytes:
        """The line of heads.jsonl, which is also what is kept elsewhere."""
        return json.dumps(asdict(self), separators=(",", ":")).encode() + b"\n"

    @classmethod
    def parse(cls, line: str | bytes) -> Head:
        """Read one; ValueError if it is none."""
        try:
            raw = json.loads(line)
            head = cls(raw["seq"], raw["hash"], float(raw["at"]), raw["signature"])
            bytes.fromhex(head.hash + head.signature)
        except (KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise ValueError("this is no signed head") from error
        if not _is_sequence(head.seq):
            raise ValueError("this is no signed head")
        return head

    def is_signed_by(self, key: Ed25519PublicKey) -> bool:
        """Whether `key` vouches for it."""
        try:
            key.verify(bytes.fromhex(self.signature), head_message(self.seq, self.hash, self.at))
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that does not hold: `place` is a line (1-based) of the file named in `file`."""

    file: str
    place: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.place}: {self.message}"


@dataclass(slots=True)
class Report:
    """What `verify` saw. `unsigned` entries stand after the last head: a cut there goes unseen."""

    entries: int = 0
    heads: int = 0
    unsigned: int = 0
    last_hash: str = chain.GENESIS
    findings: list[Finding] = field(default_factory=list)
    more: int = 0
    """Findings that were counted but not kept."""

    @property
    def ok(self) -> bool:
        """True if nothing was found."""
        return not self.findings

    def add(self, file: str, place: int, message: str) -> None:
        """Note a finding, up to a bound."""
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(Finding(file, place, message))
        else:
            self.more += 1


def head_message(seq: int, digest: str, at: float) -> bytes:
    """What a head's signature is over."""
    return b"bastion audit head v1\0" + struct.pack(">Q32sd", seq, bytes.fromhex(digest), at)


def parse_line(line: bytes) -> Entry:
    """Read one entry and check its own hash; ValueError says what is wrong."""
    try:
        raw, digest = chain.open_line(line)
        entry = Entry(raw["seq"], raw["at"], raw["kind"], raw["fields"], raw["prev"], digest)
    except KeyError as error:
        raise ValueError("this is no audit entry") from error
    shape = [type(entry.kind), type(entry.fields), type(entry.prev)]
    if not _is_sequence(entry.seq) or not _is_time(entry.at) or shape != [str, dict, str]:
        raise ValueError("this is no audit entry")
    return entry


def _is_sequence(number: object) -> bool:
    return type(number) is int and 0 <= number < MAX_SEQUENCE


def _is_time(at: object) -> bool:
    return type(at) in (int, float) and abs(cast("float", at)) < MAX_TIME


def read_entries(path: Path) -> Iterator[tuple[int, Entry | ValueError]]:
    """Every line of the log with its number (1-based), and what it holds or what is wrong."""
    if not path.exists():
        return
    with path.open("rb") as file:
        number = 0
        while line := file.readline(MAX_LINE):
            number += 1
            try:
                if not line.endswith(b"\n"):
                    raise ValueError("this line is not whole")
                yield number, parse_line(line)
            except ValueError as error:
                yield number, error


def read_heads(path: Path) -> Iterator[tuple[int, Head | ValueError]]:
    """Every head with its line number."""
    if not path.exists():
        return
    with path.open("rb") as file:
        number = 0
        while line := file.readline(4096):
            number += 1
            try:
                yield number, Head.parse(line)
            except ValueError as error:
                yield number, error


def read_tail(descriptor: int, size: int) -> bytes:
    """The last bytes of a file, enough to hold its last two lines."""
    start = max(0, size - 2 * MAX_LINE)
    chunks = []
    while chunk := os.pread(descriptor, size - start, start):
        chunks.append(chunk)
        start += len(chunk)
    return b"".join(chunks)


def read_end(folder: Path) -> tuple[int, str, int]:
    """Where the chain goes on: the next sequence number, the last hash, and how many are signed.

    StoreError if the last entry is damaged, or a signed head knows more entries than there are.
    """
    mend = f"Run `bastion audit verify`, keep {folder} as evidence, and move it aside to go on."
    path = folder / LOG
    with path.open("rb") as file:
        lines = read_tail(file.fileno(), path.stat().st_size).split(b"\n")[:-1]
    try:
        last = parse_line(lines[-1]) if lines else None
    except ValueError as error:
        raise StoreError(f"The audit log is damaged at its end ({error}). {mend}") from error
    heads = [head for _, head in read_heads(folder / HEADS) if isinstance(head, Head)]
    known = max((head.seq for head in heads), default=-1)
    seq = last.seq if last else -1
    if known > seq:
        raise StoreError(f"The audit log has lost entries {seq + 1} to {known}. {mend}")
    return seq + 1, last.hash if last else chain.GENESIS, known + 1


def verify(folder: Path, key: Ed25519PublicKey, *, kept: Sequence[Head] = ()) -> Report:
    """Hold the whole log against its chain, its heads, and heads that were `kept` elsewhere.

    Reads line by line: memory does not grow with the log, only with the number of heads.
    """
    report = Report()
    heads = _trusted_heads(folder, key, kept, report)
    seen = _check_chain(folder / LOG, heads, report)
    for seq in sorted(set(heads) - seen):
        report.add(LOG, report.entries, f"entry {seq} is missing, and a signed head knows it")
    report.unsigned = max(0, report.entries - 1 - max(heads, default=-1))
    if report.unsigned > MAX_UNSIGNED:
        message = "entries have no head after them, and one is signed every"
        text = f"{report.unsigned} {message} {HEAD_EVERY}: heads are missing"
        report.add(HEADS, report.heads, text)
    return report


def _trusted_heads(
    folder: Path, key: Ed25519PublicKey, kept: Sequence[Head], report: Report
) -> dict[int, set[str]]:
    heads: dict[int, set[str]] = {}
    for number, head in [*read_heads(folder / HEADS), *((0, head) for head in kept)]:
        if isinstance(head, ValueError):
            report.add(HEADS, number, "this is no signed head")
        elif not head.is_signed_by(key):
            report.add(HEADS, number, f"the signature over entry {head.seq} does not hold")
        else:
            report.heads += 1
            heads.setdefault(head.seq, set()).add(head.hash)
    return heads


def _check_chain(path: Path, heads: dict[int, set[str]], report: Report) -> set[int]:
    """Walk the log; give the sequence numbers of heads that were met."""
    seen: set[int] = set()
    expected = 0
    for number, entry in read_entries(path):
        if isinstance(entry, ValueError):
            report.add(LOG, number, str(entry))
            # What follows is judged on its own: one broken line is one finding, not thousands.
            report.last_hash = ""
            report.entries += 1
            expected += 1
            continue
        if entry.seq != expected:
            report.add(LOG, number, f"entry {entry.seq} stands where entry {expected} belongs")
        if report.last_hash and entry.prev != report.last_hash:
            report.add(LOG, number, "this entry does not follow the one before it")
        if entry.seq in heads:
            seen.add(entry.seq)
            if heads[entry.seq] != {entry.hash}:
                report.add(LOG, number, "this is not the entry that the signed head vouches for")
        report.last_hash = entry.hash
        report.entries += 1
        expected = entry.seq + 1
    return seen
