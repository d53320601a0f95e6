"""Rules against readings made by hand."""

from __future__ import annotations

import json

import pytest

from bastion.model import Direction, FileOperation, FileRequest, ForwardKind, ForwardRequest
from bastion.policy.facts import (
    Access,
    Opaque,
    OpaqueKind,
    PathUse,
    Reading,
    SimpleCommand,
    Word,
)
from bastion.policy.globs import Match
from bastion.policy.match import (
    covers_opaque,
    match_file,
    match_forward,
    match_reading,
)
from bastion.policy.rules import Rule
from bastion.policy.schema import (
    CommandPattern,
    FilePattern,
    ForwardPattern,
    OpaquePattern,
    OpenPattern,
    PathAccess,
    compile_text,
)

NO, COULD, YES = Match.NO, Match.COULD, Match.YES


def word(text: str) -> Word:
    return Word(None, text, "variable") if text.startswith("$") else Word(text, text)


def command(line: str, *, via: tuple[str, ...] = (), more: bool = False) -> SimpleCommand:
    argv = tuple(word(text) for text in line.split())
    program = (argv[0].text or "").rpartition("/")[2] if argv else ""
    return SimpleCommand(program, argv, via, extra_operands=more)


def reading(*lines: str, **facts: object) -> Reading:
    return Reading(
        "; ".join(lines),
        tuple(command(line) for line in lines),
        **facts,  # type: ignore[arg-type]
    )


def rule(**parts: object) -> Rule:
    return Rule("r", "because", **parts)  # type: ignore[arg-type]


def commands(**keys: object) -> Rule:
    return rule(command=(CommandPattern.model_validate(keys),))


RM = commands(program="rm", flags="-r, --recursive", operands=["/etc"])


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("rm -r /etc", YES),
        ("/bin/rm /etc -r", YES),
        ("rm -f /etc", NO),
        ("rmdir -r /etc", NO),
        ("rm -r /etc/x", NO),
        ("rm $x /etc", COULD),
        ("rm -r $x", COULD),
        ("rm $x", COULD),
        ("rm -f /tmp", NO),
        ("$x -r /etc", NO),
    ],
)
def test_all_keys_of_a_command_must_hold(line, expected):
    assert match_reading(RM, reading(line)).match is expected


def test_the_surest_command_of_a_line_counts():
    found = match_reading(RM, reading("ls", "rm -r $x", "rm -r /etc"))
    assert (found.match, found.what) == (YES, "rm -r /etc")
    assert match_reading(RM, reading("ls", "rm -r $x")).match is COULD


def test_operands_that_arrive_at_run_time_could_be_anything():
    line = Reading("", (command("rm -r", via=("xargs",), more=True),))
    assert match_reading(RM, line).match is COULD


def test_excepted_operands_do_not_count():
    dd = commands(program="dd", operands="of=/dev/**", operands_except=["of=/dev/null"])
    assert match_reading(dd, reading("dd of=/dev/null")).match is NO
    assert match_reading(dd, reading("dd of=/dev/null of=/dev/sda")).match is YES
    assert match_reading(dd, reading("dd $x")).match is COULD


def test_the_first_operand_is_not_the_second():
    chmod = commands(program="chmod", first_operand=["777"])
    assert match_reading(chmod, reading("chmod -v 777 x")).match is YES
    known = commands(program="chmod", first_operand=["777"], options={"switches": ["-v"]})
    assert match_reading(known, reading("chmod -v 700 777")).match is NO
    assert match_reading(chmod, reading("chmod 700 777")).match is NO


def test_a_program_may_be_a_path():
    own = commands(program=["/srv/*/tool"])
    assert match_reading(own, reading("/srv/x/../y/tool")).match is YES
    assert match_reading(own, reading("tool")).match is NO


def test_what_starts_a_command_can_be_asked_for():
    sudo = commands(program="*", via="sudo")
    assert match_reading(sudo, Reading("", (command("ls", via=("sudo", "env")),))).match is YES
    assert match_reading(sudo, reading("ls")).match is NO


# --- paths ------------------------------------------------------------------------------------


def opens(access: PathAccess = PathAccess.ANY, *excepted: str) -> Rule:
    pattern = OpenPattern(path=("/etc/*",), path_except=excepted, access=access)
    return rule(opens=(pattern,))


@pytest.mark.parametrize(
    ("access", "use", "expected"),
    [
        ("any", PathUse("/etc/x", Access.READ, "cat"), YES),
        ("any", PathUse("/etc/x", Access.WRITE, ">"), YES),
        ("any", PathUse("/etc/x", Access.METADATA, "ls"), NO),
        ("read", PathUse("/etc/x", Access.WRITE, "tee"), NO),
        ("write", PathUse("/etc/x", Access.WRITE, "tee"), YES),
        ("any", PathUse("/etc/ok", Access.READ, "cat"), NO),
        ("any", PathUse("/etc/*", Access.READ, "cat", "glob"), COULD),
        ("any", PathUse("/et", Access.READ, "cat", "variable"), COULD),
        ("any", PathUse("x", Access.READ, "cat", "directory"), COULD),
        ("any", PathUse("/etc", Access.READ, "tar"), COULD),
        ("any", PathUse("/", Access.READ, "cp"), COULD),
        ("any", PathUse("/etc", Access.READ, "cat"), NO),
        ("any", PathUse("/etc", Access.METADATA, "tar"), NO),
        ("any", PathUse("/usr", Access.READ, "tar"), NO),
    ],
)
def test_openings(access, use, expected):
    line = Reading("", (), (use,))
    assert match_reading(opens(PathAccess(access), "/etc/ok"), line).match is expected


def test_downloads_and_text():
    assert match_reading(rule(downloads_run=True), Reading("", downloads_run=("x",))).match is YES
    assert match_reading(rule(downloads_run=True), Reading("")).match is NO
    text = rule(text=compile_text("a+b"))
    assert match_reading(text, Reading("x\naab\udcff")).match is YES
    assert match_reading(text, Reading("ab".replace("b", "c"))).match is NO


def test_opaque_kinds_may_be_tied_to_a_whole_line():
    script = Opaque(OpaqueKind.SCRIPT, "a script is run", "./deploy.sh")
    pattern = OpaquePattern(kinds=(OpaqueKind.SCRIPT,), text=r"\./deploy\.sh( [a-z]+)?")
    tied = rule(opaque=(pattern,))
    assert covers_opaque(tied, script, "./deploy.sh now")
    assert not covers_opaque(tied, script, "./deploy.sh now; ./other.sh")
    assert not covers_opaque(tied, Opaque(OpaqueKind.CODE, "x"), "./deploy.sh")
    assert match_reading(tied, Reading("./deploy.sh", opaque=(script,))).match is YES


# --- files and forwards -----------------------------------------------------------------------


def file(operation: str, path: str, other: str = "", way: str = "none") -> FileRequest:
    return FileRequest(FileOperation(operation), path, other, Direction(way))


KEEP = rule(file=(FilePattern(path=("/keep/**", "~/.ssh/**"), path_except=("/keep/open",)),))


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (file("write", "/keep/x"), YES),
        (file("read", "/tmp/../keep//x"), YES),
        (file("read", "/keep/open"), NO),
        (file("remove", "/other"), NO),
        (file("stat", "/keep/x"), NO),
        (file("list", "/keep"), YES),
        (file("rename", "/tmp/x", "/keep/x"), YES),
        (file("rename", "/keep/x", "/tmp/x"), YES),
        (file("symlink", "/tmp/l", "/"), COULD),
        (file("read", "/"), NO),
        (file("read", ".ssh/id"), YES),
        (file("read", "~/.ssh/id"), YES),
        (file("read", "../../keep/x"), COULD),
        (file("read", ""), NO),
    ],
)
def test_files(request_, expected):
    assert match_file(KEEP, request_).match is expected


def test_files_by_direction_and_operation():
    up = rule(file=(FilePattern(direction="upload"),))
    assert match_file(up, file("write", "/x", way="upload")).match is YES
    assert match_file(up, file("read", "/x", way="download")).match is NO
    asked = rule(file=(FilePattern(operation=(FileOperation.STAT,)),))
    assert match_file(asked, file("stat", "x")).match is YES
    assert match_file(asked, file("read", "x")).match is NO


@pytest.mark.parametrize(
    ("operation", "expected"),
    [("read", YES), ("write", NO), ("stat", NO), ("remove", NO), ("hardlink", YES)],
)
def test_an_opening_is_one_by_whatever_protocol(operation, expected):
    reads = opens(PathAccess.READ)
    assert match_file(reads, file(operation, "/etc/x", "/tmp/y")).match is expected


@pytest.mark.parametrize(
    ("operation", "expected"),
    [("read", NO), ("write", YES), ("remove", YES), ("setstat", YES), ("list", NO)],
)
def test_what_may_change_a_file_is_a_writing(operation, expected):
    assert match_file(opens(PathAccess.WRITE), file(operation, "/etc/x")).match is expected


@pytest.mark.parametrize(
    ("pattern", "request_", "expected"),
    [
        ({"kind": ["agent"]}, ForwardRequest(ForwardKind.AGENT), YES),
        ({"kind": ["agent"]}, ForwardRequest(ForwardKind.X11), NO),
        (
            {"kind": ["direct-tcpip"], "to": ["*.int:443"]},
            ForwardRequest(ForwardKind.DIRECT_TCPIP, "DB.int.", 443),
            YES,
        ),
        (
            {"kind": ["direct-tcpip"], "to": ["*.int:443"]},
            ForwardRequest(ForwardKind.DIRECT_TCPIP, "db.int", 80),
            NO,
        ),
        (
            {"kind": ["direct-streamlocal"], "to": ["/run/*.sock"]},
            ForwardRequest(ForwardKind.DIRECT_STREAMLOCAL, "/run/x/../docker.sock"),
            YES,
        ),
    ],
)
def test_forwards(pattern, request_, expected):
    forward = ForwardPattern.model_validate_json(json.dumps(pattern))
    assert match_forward(rule(forward=(forward,)), request_).match is expected
