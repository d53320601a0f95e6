"""Recordings as evidence: which there are, which there should be, and whether they hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from bastion.errors import StoreError
from bastion.store import auditfile
from bastion.store.sealfile import SealReport, State, verify_recording
from bastion.store.signing import read_public_key
from bastion.store.state import StateDirectory
from bastion.store.stored import stem_of

EXIT_BROKEN: Final = 1
EXIT_UNFINISHED: Final = 3


def verify_paths(paths: Sequence[Path], key_file: Path) -> Iterator[SealReport]:
    """Hold files, or all that lies in folders, against a public key and nothing else."""
    key = read_public_key(key_file)
    for path in paths:
        stems = _stems_below(path) if path.is_dir() else {stem_of(path)}
        if not stems:
            raise StoreError(f"{path} holds no recording.")
        yield from (verify_recording(stem, key) for stem in sorted(stems))


def verify_state(
    state: StateDirectory, sessions: Sequence[str], key_file: Path | None
) -> Iterator[SealReport]:
    """Hold the recordings of some sessions, or of all, against their seals and the audit log.

    The audit log knows every recording that was begun, and the end of every seal: what is gone as
    a whole, or was cut together with its seal, is found here.
    """
    key = read_public_key(key_file or state.audit / auditfile.PUBLIC_KEY)
    # Looked for before the log is read and after, so that one which begins meanwhile is neither
    # unknown nor missing.
    before = _stems_below(state.recordings)
    known = _known(state.audit / auditfile.LOG)
    stems = {(stem.parent.name, stem.name): stem for stem in _stems_below(state.recordings)}
    wanted = {name for name in {*stems, *known} if not sessions or name[0] in sessions}
    for session in set(sessions) - {name[0] for name in wanted}:
        raise StoreError(
            f"No recording of {session!r} is here; name a session of the list, or give --key to "
            "verify files by themselves."
        )
    for name in sorted(wanted):
        if name in stems:
            report = verify_recording(stems[name], key)
            _check_audited(report, known.get(name, "" if stems[name] not in before else UNKNOWN))
            yield report
        elif known[name] != DELETED:
            report = SealReport(*name)
            report.add("the audit log knows this recording, and nothing of it is here")
            yield report


DELETED: Final = "deleted"
UNKNOWN: Final = "unknown"


def _known(log: Path) -> dict[tuple[str, str], str]:
    """What the audit log says of each recording: the last hash of its seal, "", or DELETED."""
    known: dict[tuple[str, str], str] = {}
    for _, entry in auditfile.read_entries(log):
        if isinstance(entry, ValueError):
            continue  # `bastion audit verify` tells that
        name = (str(entry.fields.get("session", "")), str(entry.fields.get("channel", "")))
        if entry.kind == "channel-opened":
            known.setdefault(name, "")
        elif entry.kind in {"recording-sealed", "recording-finished"}:
            known[name] = str(entry.fields.get("hash", ""))
        elif entry.kind == "recording-deleted":
            known[name] = DELETED
    return known


def _check_audited(report: SealReport, known: str) -> None:
    if known == UNKNOWN:
        # What a crash left is told to the log by the next start.
        if report.state not in {State.LIVE, State.UNFINISHED}:
            report.add("the audit log does not know it: the log was cut, or an older one put back")
    elif known == DELETED:
        report.add("the audit log says that it was deleted")
    elif known and known != report.hash:
        report.add("the seal does not end as the audit log says: it was cut, or replaced")


def _stems_below(folder: Path) -> set[Path]:
    """Paths without suffixes of all channels that have left anything below a folder."""
    return {stem_of(path) for path in folder.rglob("*") if path.is_file() and stem_of(path) != path}


def describe(report: SealReport) -> str:
    """A line for people."""
    said = f"{report.session}/{report.channel}  {report.lines} lines, {report.checkpoints} seals"
    return f"{said}, {report.unsealed} lines after the last" if report.unsealed else said


def exit_status(reports: Iterable[SealReport]) -> int:
    """0, or what is worst among them."""
    states = {report.state for report in reports}
    if State.BROKEN in states:
        return EXIT_BROKEN
    return EXIT_UNFINISHED if states & {State.LIVE, State.UNFINISHED} else 0
