"""The SFTP gate, packet by packet: what reaches the target, and what does not."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bastion.events import (
    Ask,
    ClientEof,
    Decided,
    Dial,
    Dialled,
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
    Tell,
    ToClient,
    ToTarget,
    Transcript,
    Withdraw,
)
from bastion.gate.sftp import HELD_LIMIT, OUTSTANDING_LIMIT, SftpGate
from bastion.gate.sftp_files import HANDLE_LIMIT
from bastion.model import EXIT_REFUSED, Direction, FileOperation, FileRequest, SubsystemRequest
from tests.harness.filerules import FileRules
from tests.harness.sftppackets import (
    APPEND,
    ATTRS,
    CLOSE,
    CREAT,
    DATA,
    EXTENDED,
    FSETSTAT,
    FSTAT,
    HANDLE,
    INIT,
    MKDIR,
    OPEN,
    OPENDIR,
    READ,
    READDIR,
    REALPATH,
    REMOVE,
    RENAME,
    SETSTAT,
    STAT,
    SYMLINK,
    TRUNC,
    VERSION,
    WRITE,
    Long,
    R,
    W,
    attributes,
    names,
    packet,
    status,
)

SFTP = SubsystemRequest("sftp")
ETC = [("deny", "no-etc", "*", "/etc")]


class Bench:
    """A gate that has said hello on both sides."""

    def __init__(self, *, home: bytes | None = b"/home/me", **rules: object) -> None:
        self.rules = FileRules(**rules)  # type: ignore[arg-type]
        self.gate = SftpGate(self.rules)
        self.effects: list[Effect] = []
        self.feed(Opened(0, SFTP), Dialled(0))
        assert self.client(packet(INIT, 3)) == [ToTarget(packet(INIT, 3))]
        hello = self.target(packet(VERSION, 3, b"copy-data", b"1", b"evil@x", b"1"))
        assert hello == [
            ToTarget(packet(REALPATH, 0, b".")),
            ToClient(packet(VERSION, 3, b"copy-data", b"1")),
        ]
        assert self.target(status(0, 4) if home is None else names(0, home)) == []

    def feed(self, *events: Event) -> list[Effect]:
        effects = [effect for event in events for effect in self.gate.feed(event)]
        self.effects += effects
        return effects

    def client(self, *packets: bytes) -> list[Effect]:
        return self.feed(*(FromClient(0, data) for data in packets))

    def target(self, *packets: bytes) -> list[Effect]:
        return self.feed(*(FromTarget(0, data) for data in packets))

    def open(self, path: bytes = b"/srv/f", flags: int = R, handle: bytes = b"h") -> None:
        self.client(packet(OPEN, 99, path, flags, 0))
        self.target(packet(HANDLE, 99, handle))

    def done(self) -> list[FileDone]:
        return [effect for effect in self.effects if isinstance(effect, FileDone)]

    def exits(self) -> list[Exit]:
        return [effect for effect in self.effects if isinstance(effect, Exit)]


def sent(effects: Sequence[Effect]) -> list[bytes]:
    """What reached the target."""
    return [effect.data for effect in effects if isinstance(effect, ToTarget)]


def decided(effects: Sequence[Effect]) -> list[tuple[str, str, str]]:
    """Which file requests were decided: operation, path, other path."""
    return [
        (effect.request.operation.value, effect.request.path, effect.request.other_path)
        for effect in effects
        if isinstance(effect, Decided) and isinstance(effect.request, FileRequest)
    ]


# --- the channel -----------------------------------------------------------------------------


def test_a_denied_channel_is_never_dialled() -> None:
    gate = SftpGate(FileRules(channel="deny"))
    effects = gate.feed(Opened(0, SFTP))
    assert not any(isinstance(effect, Dial) for effect in effects)
    assert effects[-1] == Exit(EndReason.DENIED, EXIT_REFUSED)
    assert any(isinstance(effect, Tell) and "channel-rule" in effect.text for effect in effects)
    assert gate.feed(FromClient(0, packet(INIT, 3))) == []


@pytest.mark.parametrize("outcome", list(Outcome))
def test_a_held_channel_waits_with_its_early_bytes(outcome: Outcome) -> None:
    gate = SftpGate(FileRules(channel="approve"))
    effects = gate.feed(Opened(0, SFTP)) + gate.feed(FromClient(0, packet(INIT, 6)))
    assert sent(effects) == []
    assert HoldClient(True) in effects
    ask = next(effect.ask for effect in effects if isinstance(effect, Ask))
    after = gate.feed(Resolved(0, ask, outcome))
    if outcome is Outcome.GRANTED:
        assert after == [Dial(SFTP), ToTarget(packet(INIT, 3)), HoldClient(False)]
    else:
        assert isinstance(after[-1], Exit)
        assert after[-1].status == EXIT_REFUSED
        assert sent(after) == []


def test_the_target_must_speak_version_3() -> None:
    gate = SftpGate(FileRules())
    gate.feed(Opened(0, SFTP))
    gate.feed(FromClient(0, packet(INIT, 6)))
    effects = gate.feed(FromTarget(0, packet(VERSION, 6)))
    assert effects[-1] == Exit(EndReason.PROTOCOL_FAULT, EXIT_REFUSED)


def test_eof_and_exit_pass() -> None:
    bench = Bench()
    assert bench.feed(ClientEof(0)) == [EofToTarget()]
    assert bench.feed(TargetExit(0, 3, "TERM", True, "x")) == [
        Exit(EndReason.FINISHED, 3, "TERM", True, "x")
    ]


def test_eof_waits_for_what_is_held() -> None:
    bench = Bench(rules=[("approve", "ask", "*", "/srv")])
    remove = packet(REMOVE, 1, b"/srv/x")
    later = packet(STAT, 2, b"/tmp")
    held = bench.client(remove, later) + bench.feed(ClientEof(0))
    assert sent(held) == []
    assert EofToTarget() not in held
    ask = next(effect.ask for effect in held if isinstance(effect, Ask))
    after = bench.feed(Resolved(0, ask, Outcome.GRANTED))
    assert sent(after) == [remove, later]
    assert after[-1] == EofToTarget()


# --- what a packet means ---------------------------------------------------------------------

MEANINGS = [
    (packet(OPEN, 1, b"f", R, 0), [("read", "/home/me/f", "")]),
    (packet(OPEN, 1, b"/f", 0, 0), [("read", "/f", "")]),
    (packet(OPEN, 1, b"/f", W, 0), [("write", "/f", "")]),
    (packet(OPEN, 1, b"/f", R | W, 0), [("read", "/f", ""), ("write", "/f", "")]),
    (packet(OPEN, 1, b"/f", R | TRUNC, 0), [("read", "/f", ""), ("write", "/f", "")]),
    (packet(OPEN, 1, b"/f", R | CREAT, 0), [("read", "/f", ""), ("write", "/f", "")]),
    (packet(OPEN, 1, b"/f", APPEND, 0), [("read", "/f", ""), ("write", "/f", "")]),
    (packet(OPENDIR, 1, b"//a/./b/.."), [("list", "/a", "")]),
    (packet(STAT, 1, b""), [("stat", "/home/me", "")]),
    (packet(SETSTAT, 1, b"/f", *attributes(permissions=0o600)), [("setstat", "/f", "")]),
    (
        packet(SETSTAT, 1, b"/f", *attributes(size=0)),
        [("setstat", "/f", ""), ("write", "/f", "")],
    ),
    (packet(REMOVE, 1, b"/f"), [("remove", "/f", "")]),
    (packet(MKDIR, 1, b"/d", 0), [("mkdir", "/d", "")]),
    (packet(15, 1, b"/d"), [("rmdir", "/d", "")]),
    (packet(REALPATH, 1, b"../x"), [("realpath", "/home/x", "")]),
    (packet(RENAME, 1, b"/a", b"b"), [("rename", "/a", "/home/me/b")]),
    (packet(19, 1, b"/l"), [("readlink", "/l", "")]),
    (packet(SYMLINK, 1, b"../x", b"/d/l"), [("symlink", "/d/l", "/x")]),
    (packet(EXTENDED, 1, b"posix-rename@openssh.com", b"/a", b"/b"), [("rename", "/a", "/b")]),
    (packet(EXTENDED, 1, b"hardlink@openssh.com", b"/a", b"/b"), [("hardlink", "/a", "/b")]),
    (packet(EXTENDED, 1, b"statvfs@openssh.com", b"/a"), [("statvfs", "/a", "")]),
    (
        packet(EXTENDED, 1, b"lsetstat@openssh.com", b"/a", *attributes(permissions=1)),
        [("setstat", "/a", "")],
    ),
    (packet(EXTENDED, 1, b"expand-path@openssh.com", b"~/a"), [("realpath", "/home/me/a", "")]),
    (packet(EXTENDED, 1, b"expand-path@openssh.com", b"~eve/a"), [("realpath", "~eve/a", "")]),
    (packet(EXTENDED, 1, b"home-directory", b"eve"), [("realpath", "~eve", "")]),
    (packet(EXTENDED, 1, b"limits@openssh.com"), []),
    (packet(EXTENDED, 1, b"users-groups-by-id@openssh.com", b"\0" * 4, b""), []),
]


@pytest.mark.parametrize(("data", "meaning"), MEANINGS)
def test_what_a_packet_means(data: bytes, meaning: list[tuple[str, str, str]]) -> None:
    bench = Bench()
    effects = bench.client(data)
    assert decided(effects) == meaning
    assert sent(effects) == [data]


@pytest.mark.parametrize("data", [data for data, meaning in MEANINGS if meaning])
def test_nothing_denied_reaches_the_target(data: bytes) -> None:
    bench = Bench(default="deny")
    effects = bench.client(data)
    assert sent(effects) == []
    answer = next(effect.data for effect in effects if isinstance(effect, ToClient))
    assert answer[4:13] == packet(101, 1, 3)[4:13]
    assert b"denied by rule default" in answer


@pytest.mark.parametrize(
    "data",
    [
        packet(OPEN, 1, b"/etc/shadow", R, 0),
        packet(OPEN, 1, b"/srv/../etc/shadow", R, 0),
        packet(OPEN, 1, b"//etc/./shadow", R, 0),
        packet(OPEN, 1, b"../../etc/shadow", R, 0),
        packet(OPEN, 1, b"/proc/self/root/etc/shadow", R, 0),
        packet(RENAME, 1, b"/srv/x", b"/etc/shadow"),
        packet(RENAME, 1, b"/etc/shadow", b"/srv/x"),
        packet(SYMLINK, 1, b"/etc/shadow", b"/srv/x"),
        packet(SYMLINK, 1, b"../etc/shadow", b"/srv/x"),
        packet(EXTENDED, 1, b"hardlink@openssh.com", b"/etc/shadow", b"/srv/x"),
        packet(EXTENDED, 1, b"posix-rename@openssh.com", b"/srv/x", b"/etc/shadow"),
        packet(EXTENDED, 1, b"lsetstat@openssh.com", b"/etc/x", 0),
    ],
)
def test_the_ways_around_a_path_rule(data: bytes) -> None:
    bench = Bench(rules=ETC)
    assert sent(bench.client(data)) == []


@pytest.mark.parametrize(
    "data",
    [
        packet(RENAME, 1, b"/srv/x", b"/etc/cron.d/x"),
        packet(SYMLINK, 1, b"/etc/cron.d/x", b"/srv/x"),
        packet(EXTENDED, 1, b"hardlink@openssh.com", b"/etc/cron.d/x", b"/srv/x"),
        packet(SETSTAT, 1, b"/etc/cron.d/x", *attributes(size=0)),
        packet(OPEN, 1, b"/etc/cron.d/x", R | TRUNC, 0),
    ],
)
def test_a_rule_about_writing_alone_holds_for_all_that_writes(data: bytes) -> None:
    bench = Bench(rules=[("deny", "no-write", "write", "/etc")])
    assert sent(bench.client(data)) == []


def test_a_default_says_nothing_about_consequences() -> None:
    rules = [("allow", "renaming", "rename", "/srv")]
    bench = Bench(rules=rules, default="deny")
    assert len(sent(bench.client(packet(RENAME, 1, b"/srv/a", b"/srv/b")))) == 1


@pytest.mark.parametrize(
    "data",
    [
        packet(OPEN, 1, b"/srv/f\0/etc/shadow", R, 0),
        packet(OPEN, 1, b"/srv/f", R | 0x40, 0),
        packet(RENAME, 1, b"/a", b"/b\0"),
        packet(OPEN, 1, b"/proc/1/task/1/cwd/x", R, 0),
        packet(OPEN, 1, b"/dev/fd/3", R, 0),
        packet(SYMLINK, 1, b"/proc/self/cwd", b"/srv/x"),
        packet(REMOVE, 1, b"/" + b"x" * 5000),
    ],
)
def test_what_cannot_be_told_is_refused(data: bytes) -> None:
    effects = Bench().client(data)
    assert sent(effects) == []
    assert any(isinstance(effect, Decided) and effect.verdict.opaque for effect in effects)


def test_without_a_home_relative_paths_are_refused_and_absolute_ones_pass() -> None:
    bench = Bench(home=None)
    assert sent(bench.client(packet(STAT, 1, b"f"))) == []
    assert len(sent(bench.client(packet(STAT, 1, b"/f")))) == 1


@pytest.mark.parametrize(
    "data", [packet(200, 1, b"shell@evil", b"x"), packet(42, 1), packet(21, 1, b"/a")]
)
def test_unknown_requests_are_answered_and_not_forwarded(data: bytes) -> None:
    effects = Bench().client(data)
    assert sent(effects) == []
    answer = next(effect.data for effect in effects if isinstance(effect, ToClient))
    assert answer[4:13] == packet(101, 1, 8)[4:13]
    assert any(isinstance(effect, Decided) for effect in effects)


def test_a_rule_is_told_once() -> None:
    bench = Bench(rules=ETC)
    effects = bench.client(*(packet(REMOVE, n, b"/etc/%d" % n) for n in range(9)))
    assert len([effect for effect in effects if isinstance(effect, Tell)]) == 1
    assert len([effect for effect in effects if isinstance(effect, Transcript)]) == 9
    assert Transcript("denied remove /etc/3 (rule no-etc)") in effects


# --- handles ---------------------------------------------------------------------------------


def _on_handle(kind: int, handle: bytes = b"h") -> bytes:
    fields: dict[int, tuple[int | bytes, ...]] = {
        READ: (Long(0), 10),
        WRITE: (Long(0), b"x"),
        FSETSTAT: attributes(permissions=0o777),
    }
    return packet(kind, 7, handle, *fields.get(kind, ()))


COPY = (EXTENDED, 7, b"copy-data")


@pytest.mark.parametrize("kind", [READ, WRITE, CLOSE, FSTAT, FSETSTAT, READDIR])
def test_a_handle_that_was_not_granted_is_refused(kind: int) -> None:
    bench = Bench()
    assert sent(bench.client(_on_handle(kind))) == []
    bench.open()
    bench.client(packet(CLOSE, 8, b"h"))
    assert sent(bench.client(_on_handle(kind))) == []


@pytest.mark.parametrize(
    ("flags", "kind", "passes"),
    [
        (R, READ, True),
        (R, WRITE, False),
        (W, WRITE, True),
        (W, READ, False),
        (R, READDIR, False),
        (R | W, READ, True),
        (R | W, WRITE, True),
        (R, FSTAT, True),
        (W, FSETSTAT, True),
    ],
)
def test_a_handle_is_good_for_what_it_was_granted_for(flags: int, kind: int, passes: bool) -> None:
    bench = Bench()
    bench.open(flags=flags)
    assert bool(sent(bench.client(_on_handle(kind)))) is passes


def test_attributes_over_a_reading_handle_are_decided_anew() -> None:
    bench = Bench(rules=[("deny", "no-chmod", "setstat,write", "/srv")])
    bench.open()
    assert sent(bench.client(_on_handle(FSETSTAT))) == []
    size = packet(FSETSTAT, 8, b"h", *attributes(size=0))
    assert sent(bench.client(size)) == []


def test_a_rule_about_attributes_holds_over_a_writing_handle_too() -> None:
    bench = Bench(rules=[("deny", "no-chmod", "setstat", "/srv")])
    bench.open(flags=W)
    assert sent(bench.client(_on_handle(FSETSTAT))) == []
    silent = Bench(rules=[("allow", "writing", "write", "/srv")], default="deny")
    silent.open(flags=W)
    assert len(sent(silent.client(_on_handle(FSETSTAT)))) == 1


def test_copy_data_needs_both_handles() -> None:
    bench = Bench()
    bench.open(b"/a", R, b"r")
    bench.open(b"/b", W, b"w")
    good = packet(*COPY, b"r", Long(0), Long(0), b"w", Long(0))
    for source, sink in ((b"w", b"r"), (b"r", b"r"), (b"w", b"w"), (b"r", b"x")):
        bad = packet(*COPY, source, Long(0), Long(0), sink, Long(0))
        assert sent(bench.client(bad)) == []
    assert sent(bench.client(good)) == [good]
    bench.client(packet(CLOSE, 8, b"w"))
    bench.target(status(7), status(8))
    assert bench.done()[-1].note == "it was copied on the target from /a"
    assert bench.done()[-1].sha256 == ""


def test_one_handle_for_two_files_is_a_lie() -> None:
    bench = Bench()
    bench.open(b"/a", R)
    bench.open(b"/b", W)
    assert bench.exits() == [Exit(EndReason.PROTOCOL_FAULT, EXIT_REFUSED)]


def test_too_many_open_files_end_the_channel() -> None:
    bench = Bench()
    for n in range(HANDLE_LIMIT + 1):
        bench.open(handle=b"%d" % n)
    assert bench.exits()[0].reason is EndReason.PROTOCOL_FAULT


# --- approvals -------------------------------------------------------------------------------


def test_both_halves_of_an_open_are_asked_for() -> None:
    bench = Bench(rules=[("approve", "ask", "read,write", "/srv")])
    data = packet(OPEN, 1, b"/srv/f", R | W, 0)
    effects = bench.client(data)
    asks = [effect for effect in effects if isinstance(effect, Ask)]
    assert [ask.request.operation for ask in asks] == [FileOperation.READ]  # type: ignore[union-attr]
    second = bench.feed(Resolved(0, asks[0].ask, Outcome.GRANTED))
    assert sent(second) == []
    ask = next(effect for effect in second if isinstance(effect, Ask))
    assert ask.ask != asks[0].ask
    assert sent(bench.feed(Resolved(0, asks[0].ask, Outcome.GRANTED))) == []
    assert sent(bench.feed(Resolved(0, ask.ask, Outcome.GRANTED))) == [data]


@pytest.mark.parametrize("outcome", [Outcome.REFUSED, Outcome.EXPIRED, Outcome.WITHDRAWN])
def test_an_ungranted_request_is_answered_and_the_rest_goes_on(outcome: Outcome) -> None:
    bench = Bench(rules=[("approve", "ask", "*", "/srv")])
    later = packet(STAT, 2, b"/tmp")
    held = bench.client(packet(REMOVE, 1, b"/srv/x"), later)
    ask = next(effect.ask for effect in held if isinstance(effect, Ask))
    after = bench.feed(Resolved(0, ask, outcome, ("bob",), "no"))
    assert sent(after) == [later]
    assert status(1, 3)[4:13] in [e.data[4:13] for e in after if isinstance(e, ToClient)]
    assert HoldClient(False) in after
    assert bench.done() == [
        FileDone(
            FileRequest(FileOperation.REMOVE, "/srv/x"), False, note=f"approval {outcome.value}"
        )
    ]


def test_answers_go_on_while_a_request_is_held() -> None:
    bench = Bench(rules=[("approve", "ask", "*", "/srv")])
    bench.client(packet(STAT, 1, b"/tmp"), packet(REMOVE, 2, b"/srv/x"))
    reply = packet(ATTRS, 1, 0)
    assert bench.target(reply) == [ToClient(reply)]


def test_a_question_is_withdrawn_when_the_target_ends() -> None:
    bench = Bench(rules=[("approve", "ask", "*", "/srv")])
    bench.client(packet(REMOVE, 2, b"/srv/x"))
    effects = bench.feed(TargetExit(0))
    assert isinstance(effects[0], Withdraw)
    assert isinstance(effects[-1], Exit)


# --- bounds and lies -------------------------------------------------------------------------


def test_a_client_that_ignores_back_pressure_is_ended() -> None:
    bench = Bench(rules=[("approve", "ask", "*", "/srv")])
    bench.client(packet(REMOVE, 2, b"/srv/x"))
    block = b"\0\0\x80\0" + b"x" * 32768
    effects = bench.client(*[block] * (HELD_LIMIT // len(block) + 2))
    assert isinstance(effects[-1], Exit)
    assert any(isinstance(effect, Withdraw) for effect in effects)


def test_requests_beyond_the_limit_wait() -> None:
    bench = Bench()
    data = b"".join(packet(STAT, n, b"/f") for n in range(OUTSTANDING_LIMIT + 5))
    effects = bench.client(data)
    assert len(sent(effects)) == OUTSTANDING_LIMIT
    assert effects[-1] == HoldClient(True)
    after = bench.target(*(packet(ATTRS, n, 0) for n in range(6)))
    assert len(sent(after)) == 5
    assert HoldClient(False) in after


def test_an_id_is_not_used_twice_at_once() -> None:
    bench = Bench()
    bench.client(packet(STAT, 1, b"/a"), packet(STAT, 1, b"/b"))
    assert bench.exits()[0].reason is EndReason.PROTOCOL_FAULT
    assert sent(bench.effects)[-1] == packet(STAT, 1, b"/a")


@pytest.mark.parametrize(
    "data",
    [
        b"\0\0\0\0",
        b"\xff\xff\xff\xff",
        b"\0\x04\x80\x00",
        packet(STAT, 1, b"/a", b"more"),
        packet(STAT, 1)[:4] + b"\x11\0\0\0\1",
        b"\0\0\0\x0d\x11\0\0\0\1\xff\xff\xff\xff/etc",
        packet(OPEN, 1, b"/a", R, 0x10),
        packet(OPEN, 1, b"/a", R, 0x80000000, 0xFFFFFFFF),
        packet(INIT, 3),
        packet(READ, 1, b"h" * 257, Long(0), 1),
    ],
)
def test_broken_packets_end_the_channel_and_reach_nobody(data: bytes) -> None:
    bench = Bench()
    before = len(sent(bench.effects))
    bench.client(data)
    assert len(sent(bench.effects)) == before
    assert bench.exits() == [Exit(EndReason.PROTOCOL_FAULT, EXIT_REFUSED)]


@pytest.mark.parametrize(
    "lie",
    [
        status(5),
        packet(HANDLE, 1, b"h"),
        packet(DATA, 1, b"x"),
        packet(VERSION, 3),
        packet(77, 1),
        names(1, b"x"),
        packet(ATTRS, 1, 0, 0),
        b"\xff\xff\xff\xff",
    ],
)
def test_a_lying_target_ends_the_channel(lie: bytes) -> None:
    bench = Bench()
    bench.client(packet(STAT, 1, b"/a"))
    effects = bench.target(lie)
    assert effects[-1] == Exit(EndReason.PROTOCOL_FAULT, EXIT_REFUSED)
    assert not any(isinstance(effect, ToClient) for effect in effects)


@pytest.mark.parametrize("name", [b"../x", b"a/b", b"", b"a\0"])
def test_names_that_lead_elsewhere_are_not_listed(name: bytes) -> None:
    bench = Bench()
    bench.client(packet(OPENDIR, 1, b"/d"))
    bench.target(packet(HANDLE, 1, b"d"))
    bench.client(packet(READDIR, 2, b"d"))
    assert bench.target(names(2, b"..", b"fine", name))[-1] == Exit(
        EndReason.PROTOCOL_FAULT, EXIT_REFUSED
    )


def test_more_content_than_asked_for_is_a_lie() -> None:
    bench = Bench()
    bench.open()
    bench.client(packet(READ, 1, b"h", Long(0), 3))
    assert isinstance(bench.target(packet(DATA, 1, b"abcd"))[-1], Exit)


# --- what is said of a file ------------------------------------------------------------------


@given(st.permutations(range(8)), st.binary(min_size=1, max_size=40))
def test_a_download_is_hashed_in_whatever_order_it_comes(order: list[int], seed: bytes) -> None:
    content = hashlib.shake_128(seed).digest(75)
    bench = Bench()
    bench.open()
    for n in range(8):
        bench.client(packet(READ, n, b"h", Long(n * 10), 10))
    for n in order:
        bench.target(packet(DATA, n, content[n * 10 : n * 10 + 10]))
    bench.client(packet(READ, 8, b"h", Long(75), 10), packet(CLOSE, 9, b"h"))
    bench.target(status(8, 1), status(9))
    digest = hashlib.sha256(content).hexdigest()
    request = FileRequest(FileOperation.READ, "/srv/f", direction=Direction.DOWNLOAD)
    assert bench.done() == [FileDone(request, True, 75, digest)]
    assert Transcript(f"download /srv/f 75 bytes sha256={digest}") in bench.effects


@pytest.mark.parametrize(
    ("flags", "writes", "size", "hashed", "note"),
    [
        (W | TRUNC, [(0, b"ab"), (2, b"c")], 3, True, ""),
        (W | TRUNC, [(2, b"c"), (0, b"ab")], 3, True, ""),
        (W | TRUNC, [], 0, True, ""),
        (W, [(0, b"abc")], 3, True, "written over what was there"),
        (W | APPEND, [(0, b"abc")], 3, False, "it was appended to what was there"),
        (W | TRUNC, [(0, b"abc"), (1, b"x")], 4, False, "parts of it travelled more than once"),
        (W | TRUNC, [(5, b"abc")], 3, False, "parts of it did not travel"),
    ],
)
def test_what_is_said_of_an_upload(
    flags: int, writes: list[tuple[int, bytes]], size: int, hashed: bool, note: str
) -> None:
    bench = Bench()
    bench.open(flags=flags)
    for n, (offset, data) in enumerate(writes):
        bench.client(packet(WRITE, n, b"h", Long(offset), data))
        bench.target(status(n))
    bench.client(packet(CLOSE, 9, b"h"))
    bench.target(status(9))
    done = bench.done()[-1]
    assert (done.ok, done.size, done.note) == (True, size, note)
    content = b"".join(data for _, data in sorted(writes))
    assert done.sha256 == (hashlib.sha256(content).hexdigest() if hashed else "")


def test_a_size_set_by_path_is_no_upload() -> None:
    bench = Bench()
    bench.client(packet(SETSTAT, 1, b"/srv/f", *attributes(size=1)))
    bench.target(status(1))
    assert bench.done() == [FileDone(FileRequest(FileOperation.SETSTAT, "/srv/f"), True)]


@pytest.mark.parametrize(("size", "note"), [(3, ""), (1, "its size was then set to 1")])
def test_a_size_that_is_set_after_writing(size: int, note: str) -> None:
    bench = Bench()
    bench.open(flags=W)
    resize = packet(FSETSTAT, 2, b"h", *attributes(size=size))
    bench.client(packet(WRITE, 1, b"h", Long(0), b"abc"), resize, packet(CLOSE, 3, b"h"))
    bench.target(status(1), status(2), status(3))
    assert bench.done()[-1].note == note
    assert bool(bench.done()[-1].sha256) is not bool(note)


def test_a_failed_write_is_not_called_done() -> None:
    bench = Bench()
    bench.open(flags=W | TRUNC)
    bench.client(packet(WRITE, 1, b"h", Long(0), b"abc"), packet(CLOSE, 2, b"h"))
    bench.target(status(1, 4, b"No space left\x1b[2J"), status(2))
    done = bench.done()[-1]
    assert not done.ok
    assert done.sha256 == ""
    assert done.note == "the target refused: No space left␛[2J"


def test_a_cut_channel_says_so_of_every_open_file() -> None:
    bench = Bench()
    bench.open(b"/a", W | TRUNC, b"a")
    bench.open(b"/b", R, b"b")
    bench.client(packet(WRITE, 1, b"a", Long(0), b"abc"), packet(CLOSE, 2, b"a"))
    effects = bench.feed(TargetExit(0))
    done = [effect for effect in effects if isinstance(effect, FileDone)]
    assert {(one.request.path, one.ok, one.sha256) for one in done} == {
        ("/a", False, ""),
        ("/b", False, ""),
    }
    assert isinstance(effects[-1], Exit)


# --- any chunking ----------------------------------------------------------------------------


def _joined(effects: list[Effect]) -> list[Effect]:
    joined: list[Effect] = []
    for effect in effects:
        last = joined[-1] if joined else None
        if isinstance(effect, ToTarget) and isinstance(last, ToTarget):
            joined[-1] = ToTarget(last.data + effect.data)
        elif isinstance(effect, ToClient) and isinstance(last, ToClient):
            joined[-1] = ToClient(last.data + effect.data, effect.stream)
        else:
            joined.append(effect)
    return joined


SCRIPT: list[tuple[type[FromClient] | type[FromTarget], bytes]] = [
    (FromClient, packet(INIT, 3)),
    (FromTarget, packet(VERSION, 3)),
    (FromTarget, names(0, b"/home/me")),
    (
        FromClient,
        packet(OPEN, 1, b"f", W | TRUNC, 0)
        + packet(REMOVE, 2, b"/etc/x")
        + packet(EXTENDED, 3, b"evil"),
    ),
    (FromTarget, packet(HANDLE, 1, b"h")),
    (
        FromClient,
        packet(WRITE, 4, b"h", Long(0), b"abc" * 30)
        + packet(READ, 5, b"h", Long(0), 1)
        + packet(CLOSE, 6, b"h"),
    ),
    (FromTarget, status(4) + status(6)),
    (FromClient, packet(STAT, 7, b"/a") + packet(STAT, 7, b"/b")),
]


@given(st.data())
def test_any_chunking_gives_the_same_effects(data: st.DataObject) -> None:
    whole, cut = SftpGate(FileRules(rules=ETC)), SftpGate(FileRules(rules=ETC))
    expected = whole.feed(Opened(0, SFTP))
    effects = cut.feed(Opened(0, SFTP))
    for event, stream in SCRIPT:
        expected += whole.feed(event(0, stream))
        marks = data.draw(st.sets(st.integers(0, len(stream)), max_size=6)) | {0, len(stream)}
        for a, b in itertools.pairwise(sorted(marks)):
            effects += cut.feed(event(0, stream[a:b]))
    assert _joined(effects) == _joined(expected)
    assert isinstance(effects[-1], Exit)
