"""The scp gate, byte by byte: the sides are kept in step, whatever one of them tries."""

from __future__ import annotations

import hashlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bastion.events import (
    Ask,
    ClientEof,
    Decided,
    Dial,
    Effect,
    EndReason,
    EofToTarget,
    Event,
    Exit,
    FileDone,
    FromClient,
    FromTarget,
    HoldClient,
    Opened,
    Outcome,
    Resolved,
    TargetExit,
    ToClient,
    ToTarget,
    Withdraw,
)
from bastion.gate.scp import AHEAD_LIMIT, ScpGate
from bastion.model import EXIT_REFUSED, Direction, ExecRequest, FileOperation, FileRequest
from bastion.policy.files import ScpPath, ScpServer
from tests.harness.filerules import FileRules

UP = ScpServer(Direction.UPLOAD, (ScpPath("/srv", directory=True),), recursive=True)
DOWN = ScpServer(Direction.DOWNLOAD, (ScpPath("/srv/f"), ScpPath("/srv/d")), recursive=True)


class Bench:
    def __init__(self, transfer: ScpServer, **rules: object) -> None:
        self.rules = FileRules(**rules)  # type: ignore[arg-type]
        self.gate = ScpGate(self.rules, transfer)
        self.effects: list[Effect] = []
        self.feed(Opened(0, ExecRequest("scp …")))

    def feed(self, *events: Event) -> list[Effect]:
        effects = [effect for event in events for effect in self.gate.feed(event)]
        self.effects += effects
        return effects

    def client(self, data: bytes) -> bytes:
        """What reaches the target of it."""
        return _to_target(self.feed(FromClient(0, data)))

    def target(self, data: bytes) -> bytes:
        """What reaches the client of it."""
        return _to_client(self.feed(FromTarget(0, data)))

    def faulted(self) -> bool:
        return self.effects[-1] == Exit(EndReason.PROTOCOL_FAULT, EXIT_REFUSED)

    def done(self) -> list[FileDone]:
        return [effect for effect in self.effects if isinstance(effect, FileDone)]


def _to_target(effects: list[Effect]) -> bytes:
    return b"".join(effect.data for effect in effects if isinstance(effect, ToTarget))


def _to_client(effects: list[Effect]) -> bytes:
    return b"".join(effect.data for effect in effects if isinstance(effect, ToClient))


def test_an_upload_step_by_step() -> None:
    bench = Bench(UP)
    assert bench.client(b"C0644 3 f\n") == b""  # the target is not ready yet
    assert bench.target(b"\0") == b"\0"
    assert _to_target(bench.effects) == b"C0644 3 f\n"
    assert bench.target(b"\0") == b"\0"
    assert bench.client(b"ab") == b"ab"
    assert bench.client(b"c\0") == b"c\0"
    assert bench.target(b"\0") == b"\0"
    digest = hashlib.sha256(b"abc").hexdigest()
    request = FileRequest(FileOperation.WRITE, "/srv/f", direction=Direction.UPLOAD, protocol="scp")
    assert bench.done() == [FileDone(request, True, 3, digest)]
    assert bench.feed(ClientEof(0)) == [EofToTarget()]


def test_content_that_the_target_did_not_take_is_never_sent() -> None:
    """Else the target would read the content as records that nobody decided."""
    bench = Bench(UP, rules=[("deny", "no-evil", "*", "/srv/evil")])
    bench.target(b"\0")
    hidden = b"C0644 1 evil\n"
    assert bench.client(b"C0644 %d f\n" % len(hidden) + hidden) == b"C0644 13 f\n"
    bench.target(b"\x01scp: f: Permission denied\n")
    assert _to_target(bench.effects) == b"C0644 13 f\n"
    assert b"no-evil" in _to_client(bench.effects)


def test_an_answer_out_of_turn_ends_the_channel() -> None:
    bench = Bench(UP)
    bench.target(b"\0\0")
    assert bench.faulted()


def test_times_reach_the_target_only_with_a_file() -> None:
    bench = Bench(UP)
    bench.target(b"\0")
    times = b"T1 0 1 0\n"
    assert bench.client(times) == b""
    assert _to_client(bench.effects) == b"\0\0"
    assert bench.client(b"D0755 0 d\n") == b"D0755 0 d\n"
    bench.target(b"\0")
    bench.client(times)
    assert bench.client(b"C0644 0 f\n") == times
    shown = len(_to_client(bench.effects))
    assert _to_target(bench.feed(FromTarget(0, b"\0"))) == b"C0644 0 f\n"
    assert len(_to_client(bench.effects)) == shown  # the client had its answer before
    assert bench.target(b"\0") == b"\0"


@pytest.mark.parametrize(
    ("sink", "records", "paths"),
    [
        (ScpPath("/srv", directory=True), [b"C0644 0 f\n"], ["/srv/f"]),
        (ScpPath("/srv"), [b"C0644 0 f\n"], ["/srv/f", "/srv"]),
        (ScpPath("~"), [b"C0644 0 f\n"], ["~/f", "~"]),
        (ScpPath("/srv"), [b"D0755 0 d\n", b"C0644 0 f\n"], ["/srv/d/f", "/srv/f"]),
    ],
)
def test_every_path_that_a_record_may_mean_is_decided(
    sink: ScpPath, records: list[bytes], paths: list[str]
) -> None:
    bench = Bench(ScpServer(Direction.UPLOAD, (sink,), recursive=True))
    bench.target(b"\0")
    for record in records:
        bench.rules.asked.clear()
        bench.client(record)
        bench.target(b"\0")
    assert [r.path for r in bench.rules.asked if isinstance(r, FileRequest)] == paths


def test_directories_are_left_again() -> None:
    bench = Bench(UP)
    bench.target(b"\0")
    for record in (b"D0755 0 a\n", b"D0755 0 b\n", b"E\n", b"C0644 0 f\n"):
        bench.client(record)
        bench.target(b"\0")
    bench.client(b"\0")
    bench.target(b"\0")
    assert [done.request.path for done in bench.done()] == ["/srv/a", "/srv/a/b", "/srv/a/f"]
    bench.client(b"E\n")
    bench.target(b"\0")
    bench.client(b"E\n")
    assert bench.faulted()


def test_a_tree_deeper_than_any_path_is_refused() -> None:
    bench = Bench(UP)
    bench.target(b"\0")
    for _ in range(17):
        bench.client(b"D0755 0 " + b"x" * 250 + b"\n")
        bench.target(b"\0")
    assert b"longer than 4096" in _to_client(bench.effects)
    assert _to_target(bench.effects).count(b"D0755") == 16


def test_a_download_step_by_step() -> None:
    bench = Bench(DOWN)
    assert bench.target(b"C0644 3 f\n") == b""
    assert bench.client(b"\0") == b"\0"
    assert _to_client(bench.effects) == b"C0644 3 f\n"
    assert bench.client(b"\0") == b"\0"
    assert bench.target(b"abc\0") == b"abc\0"
    assert bench.client(b"\0") == b"\0"
    assert bench.done()[0].sha256 == hashlib.sha256(b"abc").hexdigest()


def test_a_denied_record_of_a_download_is_refused_on_both_sides() -> None:
    bench = Bench(DOWN, rules=[("deny", "no-x", "*", "/srv/d/x")])
    bench.client(b"\0")
    bench.target(b"D0755 0 d\n")
    bench.client(b"\0")
    effects = bench.feed(FromTarget(0, b"C0644 3 x\n"))
    assert _to_target(effects) == b"\x01refused by the bastion\n"
    assert _to_client(effects).startswith(b"\x01bastion: download /srv/d/x: denied by rule no-x")
    assert bench.target(b"C0644 0 y\n") == b"C0644 0 y\n"


@pytest.mark.parametrize("record", [b"C0644 1 other\n", b"C0644 1 ..\n", b"D0755 0 a/b\n", b"E\n"])
def test_a_target_that_sends_what_nobody_asked_for_is_ended(record: bytes) -> None:
    bench = Bench(DOWN)
    bench.client(b"\0")
    assert b"C" not in bench.target(record)
    assert bench.faulted()


GLOB = ScpServer(Direction.DOWNLOAD, (ScpPath("/srv/*.txt", glob=True),), recursive=True)


@pytest.mark.parametrize(
    ("name", "asked_for"), [(b"a.txt", True), (b".txt", True), (b"a.tx", False), (b"shadow", False)]
)
def test_a_pattern_brings_only_what_it_matches(name: bytes, asked_for: bool) -> None:
    bench = Bench(GLOB)
    bench.client(b"\0")
    bench.target(b"C0644 1 " + name + b"\n")
    assert bench.faulted() is not asked_for


def test_a_grant_for_one_source_is_none_for_another() -> None:
    rules = [("approve", "ask", "*", "/srv/f"), ("approve", "ask", "*", "/srv/d/x")]
    bench = Bench(DOWN, rules=rules)
    first = next(effect for effect in bench.effects if isinstance(effect, Ask))
    bench.feed(Resolved(0, first.ask, Outcome.GRANTED))
    bench.client(b"\0")
    bench.target(b"D0755 0 d\n")
    bench.client(b"\0")
    assert bench.target(b"C0644 1 x\n") == b""
    assert isinstance(bench.effects[-1], HoldClient | Ask)


def test_a_grant_for_a_pattern_holds_for_what_it_brings() -> None:
    bench = Bench(GLOB, rules=[("approve", "ask", "*", "/srv")])
    first = next(effect for effect in bench.effects if isinstance(effect, Ask))
    bench.feed(Resolved(0, first.ask, Outcome.GRANTED))
    bench.client(b"\0")
    for record in (b"D0755 0 d.txt\n", b"C0644 1 x\n"):
        assert bench.target(record) == record
        bench.client(b"\0")


@pytest.mark.parametrize("transfer", [UP, DOWN])
def test_a_denied_command_is_denied_whatever_the_files_are(transfer: ScpServer) -> None:
    bench = Bench(transfer, channel="deny")
    assert bench.effects[-1] == Exit(EndReason.DENIED, EXIT_REFUSED)
    assert not any(isinstance(effect, Dial) for effect in bench.effects)


@pytest.mark.parametrize("outcome", list(Outcome))
def test_a_held_download_is_not_dialled(outcome: Outcome) -> None:
    bench = Bench(DOWN, rules=[("approve", "ask", "*", "/srv/f")])
    bench.feed(FromClient(0, b"\0"))
    assert not any(isinstance(effect, Dial) for effect in bench.effects)
    ask = next(effect for effect in bench.effects if isinstance(effect, Ask))
    after = bench.feed(Resolved(0, ask.ask, outcome))
    if outcome is Outcome.GRANTED:
        assert after[0] == Dial(ExecRequest("scp …"))
        assert _to_target(after) == b"\0"
        assert bench.target(b"C0644 0 f\n") == b"C0644 0 f\n"  # covered by what was granted
    else:
        assert isinstance(after[-1], Exit)
        assert after[-1].status == EXIT_REFUSED


@pytest.mark.parametrize("granted", [True, False])
def test_a_held_upload_waits_between_its_records(granted: bool) -> None:
    bench = Bench(UP, rules=[("approve", "ask", "*", "/srv/f")])
    bench.target(b"\0")
    assert bench.client(b"C0644 3 f\n") == b""
    assert bench.effects[-1] == HoldClient(True)
    ask = next(effect for effect in bench.effects if isinstance(effect, Ask))
    outcome = Outcome.GRANTED if granted else Outcome.REFUSED
    after = bench.feed(Resolved(0, ask.ask, outcome, ("bob",), "no"))
    assert _to_target(after) == (b"C0644 3 f\n" if granted else b"")
    assert (b"refused by bob" in _to_client(after)) is not granted
    assert HoldClient(False) in after or granted


def test_a_question_is_withdrawn_when_the_target_ends() -> None:
    bench = Bench(UP, rules=[("approve", "ask", "*", "/srv/f")])
    bench.target(b"\0")
    bench.client(b"C0644 3 f\n")
    assert any(isinstance(effect, Withdraw) for effect in bench.feed(TargetExit(0)))


def test_what_is_sent_before_its_turn_is_bounded() -> None:
    bench = Bench(UP)
    bench.client(b"x" * (AHEAD_LIMIT + 1))
    assert bench.faulted()


def test_a_cut_upload_says_so() -> None:
    bench = Bench(UP)
    bench.target(b"\0")
    bench.client(b"C0644 3 f\n")
    bench.target(b"\0")
    bench.client(b"a")
    bench.feed(TargetExit(0, 1))
    done = bench.done()[0]
    assert (done.ok, done.size, done.sha256) == (False, 1, "")


def test_a_file_the_sender_could_not_read_has_no_hash() -> None:
    bench = Bench(UP)
    bench.target(b"\0")
    bench.client(b"C0644 3 f\n")
    bench.target(b"\0")
    bench.client(b"abc\x01f: I/O error\n")
    bench.target(b"\0")
    assert bench.done()[0].sha256 == ""
    assert "could not read" in bench.done()[0].note


SCRIPT: list[tuple[type[FromClient] | type[FromTarget], bytes]] = [
    (FromTarget, b"\0"),
    (FromClient, b"T1 0 1 0\n"),
    (FromClient, b"C0644 300 f\n"),
    (FromTarget, b"\0"),
    (FromTarget, b"\0"),
    (FromClient, b"abc" * 100 + b"\0"),
    (FromTarget, b"\x01f: set times\n"),
    (FromClient, b"D0755 0 d\n"),
    (FromTarget, b"\0"),
    (FromClient, b"C0644 1 secret\n"),
    (FromClient, b"E\n"),
    (FromTarget, b"\0"),
    (FromClient, b"nonsense\n"),
]


@given(st.data())
def test_any_chunking_gives_the_same_effects(data: st.DataObject) -> None:
    rules = [("deny", "no-secret", "*", "/srv/d/secret")]
    whole, cut = Bench(UP, rules=rules), Bench(UP, rules=rules)
    for event, stream in SCRIPT:
        whole.feed(event(0, stream))
        marks = data.draw(st.sets(st.integers(0, len(stream)), max_size=6)) | {0, len(stream)}
        for a, b in itertools.pairwise(sorted(marks)):
            cut.feed(event(0, stream[a:b]))
    assert _to_target(cut.effects) == _to_target(whole.effects)
    assert _to_client(cut.effects) == _to_client(whole.effects)
    rest = (Decided, FileDone, Exit)
    assert [e for e in cut.effects if isinstance(e, rest)] == [
        e for e in whole.effects if isinstance(e, rest)
    ]
    assert cut.faulted()


def test_an_approve_rule_for_scp_itself_was_not_heeded() -> None:
    bench = Bench(UP, channel="approve")
    asked = [effect for effect in bench.effects if isinstance(effect, Ask)]
    assert [effect.request for effect in asked] == [ExecRequest("scp …")]
    assert not any(isinstance(effect, Dial) for effect in bench.effects)
    effects = bench.feed(Resolved(0, asked[0].ask, Outcome.GRANTED))
    assert Dial(ExecRequest("scp …")) in effects
