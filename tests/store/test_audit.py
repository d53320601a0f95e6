import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from bastion.cli.main import bastion
from bastion.errors import StoreError
from bastion.store import auditfile, chain
from bastion.store.audit import AuditLog
from bastion.store.auditfile import Head, Report
from bastion.store.signing import read_public_key
from bastion.store.state import StateDirectory


def write(folder: Path, count: int, *, head_every: int = 4, close: bool = True) -> AuditLog:
    log = AuditLog(folder, head_every=head_every)
    for number in range(count):
        log.append("session-started", 1000.0 + number, session=f"s{number}", roles={"b", "a"})
    if close:
        log.close(2000.0)
    return log


def check(folder: Path, *kept: Head) -> Report:
    key = read_public_key(folder / auditfile.PUBLIC_KEY)
    return auditfile.verify(folder, key, kept=kept)


def messages(report: Report) -> str:
    return "\n".join(str(finding) for finding in report.findings)


def test_what_was_written_holds_and_comes_back_exactly(tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    text = 'rm "\udc80\x1b[2J\u202e\n'
    log.append("verdict", 1.5, request=text, rule=None, count=3, parse=["a", "b"])
    log.close(2.0)
    report = check(tmp_path)
    assert (report.ok, report.entries, report.heads, report.unsigned) == (True, 1, 1, 0)
    [(number, entry)] = auditfile.read_entries(tmp_path / auditfile.LOG)
    assert isinstance(entry, auditfile.Entry)
    assert (number, entry.seq, entry.at, entry.kind) == (1, 0, 1.5, "verdict")
    assert entry.fields == {"request": text, "rule": None, "count": 3, "parse": ["a", "b"]}
    assert (tmp_path / auditfile.LOG).read_bytes().isascii()


def test_the_chain_goes_on_after_a_restart(tmp_path: Path) -> None:
    for _ in range(3):
        write(tmp_path, 5)
    report = check(tmp_path)
    assert (report.ok, report.entries, report.unsigned) == (True, 15, 0)


def test_files_are_for_nobody_else_and_an_open_key_is_refused(tmp_path: Path) -> None:
    write(tmp_path, 1)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
    (tmp_path / auditfile.KEY).chmod(0o640)
    with pytest.raises(StoreError, match="chmod 600"):
        AuditLog(tmp_path)


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    log = write(tmp_path, 1, close=False)
    with pytest.raises(StoreError, match="Another bastion"):
        AuditLog(tmp_path)
    log.close(1.0)


def edit(lines: list[bytes]) -> list[bytes]:
    return [*lines[:3], lines[3].replace(b"s3", b"sX"), *lines[4:]]


def edit_and_hash(lines: list[bytes]) -> list[bytes]:
    entry = json.loads(lines[3])
    del entry["hash"]
    entry["fields"]["session"] = "sX"
    body = json.dumps(entry, sort_keys=True, separators=(",", ":")).encode()
    return [*lines[:3], chain.seal_line(body)[0], *lines[4:]]


def rewrite_all(lines: list[bytes]) -> list[bytes]:
    """What a thief without the key can do: a chain that is whole, but is not ours."""
    made: list[bytes] = []
    prev = chain.GENESIS
    for line in lines:
        entry: dict[str, Any] = json.loads(line)
        del entry["hash"]
        entry |= {"prev": prev, "kind": "nothing-happened"}
        body = json.dumps(entry, sort_keys=True, separators=(",", ":")).encode()
        sealed, prev = chain.seal_line(body)
        made.append(sealed)
    return made


DAMAGE: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "edit": edit,
    "edit with a new hash": edit_and_hash,
    "rewrite": rewrite_all,
    "swap": lambda lines: [*lines[:3], lines[4], lines[3], *lines[5:]],
    "remove": lambda lines: [*lines[:3], *lines[4:]],
    "remove the first": lambda lines: lines[1:],
    "repeat": lambda lines: [*lines[:4], lines[3], *lines[4:]],
    "insert": lambda lines: [*lines[:4], b"{}\n", *lines[4:]],
    "blank line": lambda lines: [*lines[:4], b"\n", *lines[4:]],
    "one space": lambda lines: [*lines[:3], lines[3].replace(b",", b", ", 1), *lines[4:]],
    "cut tail": lambda lines: lines[:-1],
    "cut to nothing": lambda _lines: [],
    "torn tail": lambda lines: [*lines[:-1], lines[-1][:-5]],
    "garbage": lambda lines: [*lines, b"\xff\x00[[[[\n"],
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_verify_finds(tmp_path: Path, damage: str) -> None:
    write(tmp_path, 10)
    path = tmp_path / auditfile.LOG
    path.write_bytes(b"".join(DAMAGE[damage](path.read_bytes().splitlines(keepends=True))))
    report = check(tmp_path)
    assert not report.ok
    assert len(report.findings) < 10, messages(report)


@given(st.data())
@settings(deadline=None)
def test_no_single_byte_can_change_unseen(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.getbasetemp() / "one-byte"
    if not folder.exists():
        folder.mkdir()
        write(folder, 6)
        (folder / "original").write_bytes((folder / auditfile.LOG).read_bytes())
    original = bytearray((folder / "original").read_bytes())
    place = data.draw(st.integers(0, len(original) - 1))
    original[place] ^= data.draw(st.integers(1, 255))
    (folder / auditfile.LOG).write_bytes(original)
    assert not check(folder).ok


def test_a_log_that_is_gone_is_missed(tmp_path: Path) -> None:
    write(tmp_path, 6)
    (tmp_path / auditfile.LOG).unlink()
    assert "entry 5 is missing" in messages(check(tmp_path))
    with pytest.raises(StoreError, match="lost entries 0 to 5"):
        AuditLog(tmp_path)


def test_heads_of_another_key_and_broken_heads_are_found(tmp_path: Path) -> None:
    write(tmp_path, 6)
    heads = tmp_path / auditfile.HEADS
    first, *rest = heads.read_bytes().splitlines(keepends=True)
    forged = json.loads(first) | {"seq": 2}
    heads.write_bytes(b"".join([json.dumps(forged).encode() + b"\n", b"x\n", *rest]))
    assert "signature over entry 2 does not hold" in messages(check(tmp_path))
    assert "heads.jsonl:2: this is no signed head" in messages(check(tmp_path))


def test_a_tail_cut_together_with_its_heads_is_found_by_a_head_kept_elsewhere(
    tmp_path: Path,
) -> None:
    log = write(tmp_path, 10, close=False)
    kept = log.sign_head(1500.0)
    assert kept is not None
    log.close(2000.0)
    for name, count in ((auditfile.LOG, 5), (auditfile.HEADS, 1)):
        path = tmp_path / name
        path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:count]))
    assert check(tmp_path).ok, "this is the limit that the docstring confesses"
    assert "entry 9 is missing" in messages(check(tmp_path, Head.parse(kept.line())))


def test_entries_after_the_last_head_are_counted_as_unsigned(tmp_path: Path) -> None:
    log = write(tmp_path, 10, close=False)
    assert check(tmp_path).unsigned == 2
    log.close(1.0)
    assert check(tmp_path).unsigned == 0


def test_a_torn_line_is_cut_off_at_the_next_start_and_an_entry_says_so(tmp_path: Path) -> None:
    write(tmp_path, 3)
    path = tmp_path / auditfile.LOG
    with path.open("ab") as file:
        file.write(b'{"at":5.0,"fields":{"request":"rm')
    AuditLog(tmp_path, clock=lambda: 7.0).close(8.0)
    *_, (_, entry) = auditfile.read_entries(path)
    assert isinstance(entry, auditfile.Entry)
    assert (entry.kind, entry.at) == ("audit-repaired", 7.0)
    assert entry.fields["removed_text"] == '{"at":5.0,"fields":{"request":"rm'
    assert check(tmp_path).ok


@pytest.mark.parametrize("damage", ["edit the last", "cut tail", "cut to nothing"])
def test_a_log_with_a_damaged_end_is_not_gone_on_with(tmp_path: Path, damage: str) -> None:
    write(tmp_path, 10)
    path = tmp_path / auditfile.LOG
    lines = path.read_bytes().splitlines(keepends=True)
    lines[-1] = lines[-1].replace(b"s9", b"sX")
    path.write_bytes(b"".join(lines if damage == "edit the last" else DAMAGE[damage](lines)))
    before = path.read_bytes()
    with pytest.raises(StoreError, match="bastion audit verify"):
        AuditLog(tmp_path)
    assert path.read_bytes() == before


KILLED = """
import sys
from pathlib import Path
from bastion.store.audit import AuditLog
log = AuditLog(Path(sys.argv[1]), head_every=16)
number = 0
while True:
    log.append("thing", 1.0, number=number)
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
    number += 1
"""


def test_killed_at_any_moment_it_holds_all_that_was_promised(tmp_path: Path) -> None:
    words = [sys.executable, "-c", KILLED, str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        head = writer.stdout.read(5000)
        writer.send_signal(signal.SIGKILL)
        promised = (head + writer.stdout.read()).count(b"\n")
    AuditLog(tmp_path).close(5.0)
    report = check(tmp_path)
    assert report.ok, messages(report)
    assert report.entries >= promised


FULL = """
import resource
import sys
from pathlib import Path
from bastion.store.audit import AuditLog
from bastion.cli.main import bastion
from bastion.errors import StoreError
log = AuditLog(Path(sys.argv[1]))
count = 0
try:
    while True:
        log.append("thing", 1.0, text="x" * 500)
        count += 1
except StoreError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
log.append("thing", 1.0)
log.close(2.0)
print(count + 1)
"""


def test_a_log_that_cannot_grow_refuses_stays_whole_and_goes_on_when_there_is_room(
    tmp_path: Path,
) -> None:
    limit = "--fsize=40000:unlimited"
    words = ["prlimit", limit, sys.executable, "-c", FULL, str(tmp_path)]
    ran = subprocess.run(words, check=True, capture_output=True, text=True)
    sentence, count = ran.stdout.splitlines()
    assert "File too large" in sentence
    report = check(tmp_path)
    assert (report.ok, report.entries) == (True, int(count))


def test_a_huge_text_is_kept_as_a_digest(tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    log.append("verdict", 1.0, request="x" * 1_000_000)
    log.close(1.0)
    assert os.path.getsize(tmp_path / auditfile.LOG) < 3000
    assert check(tmp_path).ok


def test_a_listener_that_fails_undoes_no_entry(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = AuditLog(tmp_path)

    def fail(kind: str, fields: object) -> None:
        raise KeyError(kind)

    log.listen(fail)
    log.append("verdict", 1.0, rule="r")
    assert "a listener failed on verdict" in caplog.text
    assert len((tmp_path / "audit.jsonl").read_text().splitlines()) == 1


HEAD = '"hash":"' + "0" * 64 + '","signature":"' + "0" * 128 + '"}'


@pytest.mark.parametrize(
    "line",
    [
        "[" * 4000,
        '{"seq":18446744073709551616,"at":1,' + HEAD,
        '{"seq":1,"at":1' + "0" * 400 + "," + HEAD,
    ],
)
def test_no_head_that_somebody_made_stops_who_reads_it(tmp_path: Path, line: str) -> None:
    write(tmp_path, 6)
    heads = tmp_path / auditfile.HEADS
    heads.write_bytes(line.encode() + b"\n" + heads.read_bytes())
    assert messages(check(tmp_path)) == "heads.jsonl:1: this is no signed head"
    AuditLog(tmp_path).close(1.0)


@pytest.mark.parametrize(
    "odd",
    [
        {"at": "now"},
        {"at": [1]},
        {"at": None},
        {"at": 1e300},
        {"at": 10**400},
        {"kind": 5},
        {"kind": ["x"]},
        {"prev": None},
        {"seq": True},
        {"seq": -1},
        {"seq": 10**30},
        {"fields": []},
    ],
)
def test_no_entry_that_somebody_made_stops_who_reads_it(
    tmp_path: Path, odd: dict[str, object]
) -> None:
    state = StateDirectory(tmp_path / "state")
    write(state.audit, 6)
    entry = {"at": 1.0, "fields": {}, "kind": "x", "prev": "0" * 64, "seq": 6, **odd}
    with (state.audit / auditfile.LOG).open("ab") as file:
        file.write(chain.seal_line(chain.canonical(entry))[0])
    assert "audit.jsonl:7: this is no audit entry" in messages(check(state.audit))
    for words in (["audit", "show"], ["recordings", "verify"]):
        result = CliRunner().invoke(bastion, [*words, "--state", str(state.path)])
        assert result.exit_code == 0, result.exception
    with pytest.raises(StoreError, match="damaged at its end"):
        AuditLog(state.audit)


def test_heads_that_were_taken_away_are_missed(tmp_path: Path) -> None:
    write(tmp_path, 40, head_every=16)
    heads = tmp_path / auditfile.HEADS
    kept = heads.read_bytes().splitlines(keepends=True)
    assert len(kept) == 3
    heads.write_bytes(kept[0])
    assert check(tmp_path).ok, "a crash can leave so many"
    heads.unlink()
    assert "heads.jsonl:0: 40 entries have no head after them" in messages(check(tmp_path))


def test_a_head_that_a_crash_prevented_is_signed_by_the_next_entry(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    log = write(tmp_path / "log", 16, head_every=100, close=False)
    shutil.copytree(tmp_path / "log", tmp_path / "found")
    log.close(1.0)
    found = AuditLog(tmp_path / "found")
    found.append("bastion-started", 2000.0)
    assert (check(tmp_path / "found").heads, check(tmp_path / "found").unsigned) == (1, 0)
    found.close(1.0)
