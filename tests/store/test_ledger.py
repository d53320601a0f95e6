import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bastion.errors import StoreError
from bastion.events import FileDone
from bastion.model import CertificateFacts, Direction, FileOperation, FileRequest, Identity
from bastion.policy.rules import Action, Verdict
from bastion.store.ledger import Ledger

ALICE = Identity("https://idp", "17", "Alice", roles=frozenset({"ops", "dev"}), expires_at=99.0)
BOB = Identity("https://idp", "18", "bob")
VERDICT = Verdict(Action.DENY, "no-rm", "rm is not for here", opaque=("a variable",))


Open = Callable[..., Ledger]


@pytest.fixture
def open_ledger(tmp_path: Path) -> Iterator[Open]:
    """Open the test's one ledger, as often as it likes."""
    with contextlib.ExitStack() as opened:

        def opener(**options: bool) -> Ledger:
            ledger = Ledger(tmp_path / "bastion.db", **options)
            opened.callback(ledger.close)
            return ledger

        yield opener


@pytest.fixture
def ledger(open_ledger: Open) -> Ledger:
    return open_ledger()


def begin(ledger: Ledger, session_id: str = "s1", at: float = 1.0) -> None:
    ledger.session_started(session_id, ALICE, "192.0.2.1", "OpenSSH_9.2", "direct", at)


def test_a_session_with_all_that_hangs_on_it(ledger: Ledger) -> None:
    begin(ledger)
    request = 'rm "\udc80\0\n'
    ledger.channel_opened("s1", "c1", "exec", "web", "root", request, "x/c1.cast", 2.0)
    ledger.verdict("s1", "c1", request, VERDICT, 3.0)
    operation = FileRequest(FileOperation.WRITE, "/a", direction=Direction.UPLOAD)
    ledger.file_done("s1", "c1", FileDone(operation, ok=True, size=2**40, sha256="ab"), 4.0)
    ledger.channel_ended("s1", "c1", "finished", 3, 10, 5.0)
    ledger.session_ended("s1", "client-left", 6.0)
    ledger.session_ended("s1", "killed", 7.0)
    session = ledger.session("s1")
    assert session is not None
    assert (session["identity"], session["roles"]) == ("https://idp#17", '["dev", "ops"]')
    assert (session["reason"], session["ended_at"]) == ("client-left", 6.0)
    assert session["channels"][0]["request"] == session["verdicts"][0]["request"] == request
    assert session["channels"][0]["exit_status"] == 3
    assert session["verdicts"][0]["opaque"] == '["a variable"]'
    assert session["file_operations"][0]["size"] == 2**40
    [listed] = ledger.sessions()
    assert (listed["channels"], listed["targets"]) == (1, "web")
    assert ledger.sessions(open_only=True) == []
    assert ledger.session("s2") is None


@given(st.text())
@settings(deadline=None, max_examples=50)
def test_every_text_comes_back_exactly(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    ledger = Ledger(tmp_path_factory.getbasetemp() / "exact.db")
    before = len(ledger.certificates(limit=10_000))
    facts = CertificateFacts(before, text, (), 0, 0, "")
    ledger.certificate_issued(facts, ALICE, "s", 1.0)
    kept = {row["serial"]: row["key_id"] for row in ledger.certificates(limit=10_000)}
    assert kept[str(before)] == text
    ledger.close()


def test_what_a_crash_left_open_is_closed_and_says_so(open_ledger: Open) -> None:
    ledger = open_ledger()
    begin(ledger, "s1")
    begin(ledger, "s2")
    ledger.session_ended("s2", "client-left", 2.0)
    ledger.channel_opened("s1", "c1", "exec", "web", "root", "true", "", 2.0)
    ledger.approval_asked("k7f3", "s1", "c1", "{}", "00", 2.0, 900.0)
    again = open_ledger()
    assert again.close_leftovers(50.0) == 1
    session = again.session("s1")
    assert session is not None
    for row in (session, session["channels"][0], session["approvals"][0]):
        assert (row["reason"], row["ended_at"]) == ("bastion stopped", 50.0)
    assert session["approvals"][0]["state"] == "withdrawn"
    assert again.close_leftovers(51.0) == 0


def test_a_serial_is_used_once_and_a_revoked_one_stays_revoked(open_ledger: Open) -> None:
    ledger = open_ledger()
    serial = 2**64 - 1
    facts = CertificateFacts(serial, "alice", ("root",), 1, 600, "SHA256:x")
    ledger.certificate_issued(facts, ALICE, "s1", 1.0)
    with pytest.raises(StoreError):
        ledger.certificate_issued(facts, BOB, "s2", 1.0)
    assert not ledger.is_revoked(serial)
    ledger.revoke(serial, "lost laptop", 2.0)
    ledger.revoke(serial, "again", 3.0)
    assert ledger.revoked_serials() == open_ledger().revoked_serials() == {serial}
    [row] = ledger.certificates()
    assert (row["revoked_at"], row["revoked_reason"]) == (2.0, "lost laptop")


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("identity", "https://idp#17"),
        ("identity", "aLICE"),
        ("target", "web"),
        ("session", "s1"),
        ("certificate", "7"),
    ],
)
def test_a_lock_stands_in_the_way_of_what_it_names_alone(
    ledger: Ledger, kind: str, value: str
) -> None:
    lock = ledger.add_lock(kind, value, "incident", 100.0, "carol", 1.0)
    assert ledger.lock_on(ALICE, "web", "s1", 7, 99.9) == lock
    assert ledger.lock_on(BOB, "db", "s2", 8, 99.9) is None
    assert ledger.lock_on(BOB, "", "", None, 99.9) is None
    assert ledger.lock_on(ALICE, "web", "s1", 7, 100.0) is None
    assert ledger.remove_lock(lock.id)
    assert ledger.lock_on(ALICE, "web", "s1", 7, 99.9) is None
    assert not ledger.remove_lock(lock.id)


def test_a_lock_on_an_agent_leaves_its_person_alone(ledger: Ledger) -> None:
    lock = ledger.add_lock("agent", "Robot", "gone mad", None, "carol", 1.0)
    assert ledger.lock_on(replace(ALICE, agent="robot"), "web", "s1", 7, 2.0) == lock
    assert ledger.lock_on(ALICE, "web", "s1", 7, 2.0) is None
    assert ledger.lock_on(replace(ALICE, agent="other"), "web", "s1", 7, 2.0) is None


def test_locks_outlive_a_restart_and_an_unknown_kind_is_refused(open_ledger: Open) -> None:
    ledger = open_ledger()
    lock = ledger.add_lock("identity", "bob", "left", None, "carol", 1.0)
    assert open_ledger().locks(1e12) == (lock,)
    with pytest.raises(ValueError, match="planet"):
        ledger.add_lock("planet", "mars", "", None, "carol", 1.0)


def test_what_another_process_wrote_is_seen_at_the_next_look(open_ledger: Open) -> None:
    ledger, other = open_ledger(), open_ledger()
    lock = other.add_lock("target", "web", "incident", None, "carol", 1.0)
    other.revoke(7, "lost", 1.0)
    assert (ledger.locks(2.0), ledger.is_revoked(7)) == ((), False)
    ledger.refresh()
    assert (ledger.locks(2.0), ledger.is_revoked(7)) == ((lock,), True)


def test_files_are_for_nobody_else(tmp_path: Path, open_ledger: Open) -> None:
    ledger = open_ledger()
    begin(ledger)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.glob("bastion.db*")} == {0o600}
    (tmp_path / "bastion.db").chmod(0o644)
    with pytest.raises(StoreError, match="chmod 600"):
        open_ledger()


def test_a_ledger_that_cannot_be_used_is_a_store_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        Ledger(tmp_path / "none" / "bastion.db")
    with pytest.raises(StoreError):
        Ledger(tmp_path / "none.db", read_only=True)
    (tmp_path / "bad.db").write_bytes(b"no database at all" * 500)
    (tmp_path / "bad.db").chmod(0o600)
    with pytest.raises(StoreError):
        Ledger(tmp_path / "bad.db")


def test_a_ledger_of_a_newer_bastion_is_left_alone(tmp_path: Path, open_ledger: Open) -> None:
    open_ledger().close()
    with contextlib.closing(sqlite3.connect(tmp_path / "bastion.db")) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match="newer"):
        open_ledger()


def test_a_reader_sees_what_the_writer_wrote_and_cannot_write(open_ledger: Open) -> None:
    ledger = open_ledger()
    reader = open_ledger(read_only=True)
    begin(ledger)
    assert len(reader.sessions()) == 1
    with pytest.raises(StoreError):
        begin(reader, "s2")


def test_a_write_costs_less_than_a_millisecond(ledger: Ledger) -> None:
    began = time.process_time()
    for number in range(300):
        begin(ledger, f"s{number}")
        ledger.verdict(f"s{number}", "c", "ls", VERDICT, 1.0)
    assert (time.process_time() - began) / 600 < 0.001
