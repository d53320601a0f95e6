"""What the bastion and a gated shell say to each other, beside the terminal (target/shell_scripts).

To the target: lines, each with a letter in front. From it: records that end with NUL,

    KIND PID SEQ DATA       `+…` where more of DATA follows in the next record of that PID,
                            `-…` where it goes on with the one before,
                            `~…` where DATA is escaped: 0x1F n is a newline, 0x1F u is 0x1F

The target is not trusted: what it says can only ask, never allow, and all of it is bounded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from bastion.errors import TargetFault

RECORD_LIMIT: Final = 65536
"""Bytes of one report with all its pieces: a shell that never ends one would fill the memory."""
PIECE_LIMIT: Final = 8192
"""Bytes of one record: the scripts cut at 1 KiB, or half of it and escape."""
TALKERS_LIMIT: Final = 64
"""Processes that may be in the middle of a report at once."""


class ReportKind(StrEnum):
    """What a report is."""

    DIRECTORY = "D"
    """The private directory was made; DATA is its path."""
    READY = "R"
    """The shell has started; DATA is its name and version."""
    BEGUN = "B"
    """The terminal is as the line to come will find it: keys may be sent."""
    STEP = "S"
    """A simple command is about to run: directory, tab, text. Waits for an answer."""
    VALUES = "V"
    """What the variables hold that the answer before asked for. Waits for an answer."""
    PROMPT = "P"
    """A line is over: mark, exit status, canary that ran, canary that was refused, directory."""
    TYPED = "T"
    """What was typed meanwhile and no program read."""
    DONE = "Q"
    """All about the line was said; DATA is the mark."""
    COMPLETIONS = "C"
    """Candidates, a line each, after the number of the question."""


@dataclass(frozen=True, slots=True)
class Report:
    """One whole report. `data` is decoded with surrogateescape, so that no byte is lost."""

    kind: ReportKind
    pid: int
    sequence: int
    data: str


class ReportDecoder:
    """Bytes in, whole reports out; TargetFault where the other side breaks the form."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._pieces: dict[int, bytearray] = {}

    def feed(self, data: bytes) -> list[Report]:
        """Take bytes as they come; give the reports that are whole now."""
        self._buffer += data
        *records, rest = self._buffer.split(b"\0")
        if len(rest) > PIECE_LIMIT:
            raise TargetFault("the shell on the target sends a report without an end.")
        self._buffer = rest
        found = (self._take(bytes(record)) for record in records)
        return [report for report in found if report is not None]

    def _take(self, record: bytes) -> Report | None:
        marks, rest = _marks(record)
        fields = rest.split(b" ", 3)
        try:
            kind, pid, sequence = ReportKind(fields[0].decode()), int(fields[1]), int(fields[2])
            data = _unescaped(fields[3]) if b"~" in marks else fields[3]
        except (ValueError, IndexError):
            raise TargetFault("the shell on the target sends reports that make no sense.") from None
        if b"-" in marks and pid not in self._pieces:
            raise TargetFault("the shell on the target goes on with a report that it never began.")
        if b"-" not in marks:  # what a killed process began is not of whoever has its number now
            self._pieces[pid] = bytearray()
        pieces = self._pieces.setdefault(pid, bytearray())
        pieces += data
        if len(pieces) > RECORD_LIMIT or len(self._pieces) > TALKERS_LIMIT:
            raise TargetFault("the shell on the target sends more than any report holds.")
        if b"+" in marks:
            return None
        del self._pieces[pid]
        return Report(kind, pid, sequence, pieces.decode("utf-8", "surrogateescape"))


def _marks(record: bytes) -> tuple[bytes, bytes]:
    rest = record.lstrip(b"+-~")
    return record[: len(record) - len(rest)], rest


def _unescaped(data: bytes) -> bytes:
    return data.replace(b"\x1fn", b"\n").replace(b"\x1fu", b"\x1f")


# --- to the target ----------------------------------------------------------------------------


class Answer(StrEnum):
    """What the shell is told about a step."""

    RUN = "a"
    CANARY = "c"
    """Refused, as it must be; the line goes on."""
    ABORT = "x"
    """Refused, and the whole line with it."""


def start_up(script: str) -> bytes:
    """The shell's start-up file, as the relay takes it."""
    return b"".join(b":%s\n" % line for line in _encode(script).split(b"\n")) + b".\n"


def read_lines(text: str) -> bytes:
    """`text` for the shell to read as commands; several lines arrive as several lines."""
    return b"".join(b"l%s\n" % line for line in _encode(text).split(b"\n"))


def answer(report: Report, shell: int, told: Answer | str) -> bytes:
    """The answer to `report`; `shell` is the process that is the shell itself, not a subshell."""
    if report.pid == shell:
        return _encode(f"v{report.sequence} {told}\n")
    return _encode(f"s{report.pid}.{report.sequence} {told}\n")


def ask_values(names: Sequence[str]) -> str:
    """An answer that asks what these variables hold, and puts the verdict off."""
    return f"v {' '.join(names)}"


FORGET_ANSWERS: Final = b"f\n"
"""Subshells' answers that they have read may go."""


def go_on(pid: int) -> bytes:
    """For the relay: wake the shell, if it was stopped (SIGCONT); nothing else notices."""
    return f"c{pid}\n".encode()


def quoted(text: str) -> str:
    """`text` as one word of any POSIX shell, whatever is in it (but NUL)."""
    return "'" + text.replace("'", "'\\''") + "'"


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
