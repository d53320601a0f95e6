"""Command lines that are one end of a transfer, and those that only look like it."""

from __future__ import annotations

import pytest

from bastion.model import Direction, ExecRequest, Identity, Target
from bastion.policy.decide import decide
from bastion.policy.files import RsyncServer, ScpPath, ScpServer, read_transfer
from bastion.policy.parse import parse_policy
from bastion.policy.shell import reading


@pytest.mark.parametrize(
    ("line", "direction", "paths", "recursive"),
    [
        ("scp -t /x/y", Direction.UPLOAD, [ScpPath("/x/y")], False),
        ("scp -r -t d", Direction.UPLOAD, [ScpPath("~/d")], True),
        ("scp -v -r -p -d -t d", Direction.UPLOAD, [ScpPath("~/d", directory=True)], True),
        ("scp -t /x/", Direction.UPLOAD, [ScpPath("/x", directory=True)], False),
        ("scp -t .", Direction.UPLOAD, [ScpPath("~", directory=True)], False),
        ("scp -t -- -x", Direction.UPLOAD, [ScpPath("~/-x")], False),
        ("scp -t ~/x", Direction.UPLOAD, [ScpPath("~/x")], False),
        ("scp -qrf /a//b/../c", Direction.DOWNLOAD, [ScpPath("/a/c")], True),
        ("scp -f /a/*.txt", Direction.DOWNLOAD, [ScpPath("/a/*.txt", glob=True)], False),
        ("scp -f ~/a*", Direction.DOWNLOAD, [ScpPath("~/a*", glob=True)], False),
        ("scp -f /a b", Direction.DOWNLOAD, [ScpPath("/a"), ScpPath("~/b")], False),
        ("/usr/bin/scp -f 'x'", Direction.DOWNLOAD, [ScpPath("~/x")], False),
    ],
)
def test_scp(line: str, direction: Direction, paths: list[ScpPath], recursive: bool) -> None:
    assert read_transfer(reading.read(line)) == ScpServer(direction, tuple(paths), recursive)


@pytest.mark.parametrize(
    "line",
    [
        "scp /a /b",
        "scp -t",
        "scp -f",
        "scp -t -f /x",
        "scp -t /x /y",
        "scp -t /x*",
        "scp -f /x -S evil",
        "scp -S evil -f /x",
        "scp -f -oProxyCommand=evil /x",
        "scp -f /a*/b",
        "scp -f ~",
        "scp -f ~eve/x",
        "scp -f /[a]*",
        "scp -f ../../etc/shadow",
        "/tmp/scp -f /x",
        "./scp -f /x",
        "rsync -a /x /y",
        "rsync -e evil x: /y",
        "rsync --daemon",
        "rsync --server",
        "rsync --server -logDtpre.iLsfxCIvu /x",
        "rsync --server -slogDtpre.iLsfxCIvu . /x",
        "rsync --server -logDtpre.iLsfxCIvu . /x --log-file=/etc/x",
        "rsync --server --config=/x . /x",
        "rsync --server --daemon . /x",
        "rsync --server --sender -e evil . /x",
        "rsync --server --sender -e.evil . /x",
        "rsync --server --sender -re.iLsfxCIvu . /a*",
        "rsync --server -re.iLsfxCIvu . /a /b",
        "rsync --server -re.iLsfxCIvu .",
        "rsync --server --suffix=/../x . /a",
        "rsync --server --temp-dir . /a",
        "rsync --server --log-file=~/x . /a",
        "rsync --server --write-devices . /dev/sda",
        "rsync --server --copy-devices --sender . /dev/sda",
        "rsync --server --partial-dir ../../../etc -re.iLsfxCIvu . a",
        "rsync -v --server . /a",
        "cat /x",
        "scp -t /x > /y",
        "scp -t /x < /y",
        "scp -t /x 2>&1",
        "scp -t /x <<< y",
        "scp -t /x; id",
        "scp -t /x && id",
        "scp -t /x &",
        "scp -t /x | id",
        "scp -t /x # y",
        "scp -t $x",
        'scp -t "$(id)"',
        "scp -f /x{y,z}",
        "scp -f @(x|y)",
        "X=1 scp -t /x",
        "sudo scp -t /x",
        "sh -c 'scp -t /x'",
        "cd /y && scp -t x",
        "(scp -t /x)",
        "{ scp -t /x; }",
        "! scp -t /x",
        "time scp -t /x",
        "scp() { id; }; scp -t /x",
        "scp -t /x\nid",
    ],
)
def test_what_stays_an_ordinary_command(line: str) -> None:
    assert read_transfer(reading.read(line)) is None


@pytest.mark.parametrize(
    ("line", "sender", "requests"),
    [
        ("rsync --server -logDtpre.iLsfxCIvu . /x/dst", False, ["write /x/dst"]),
        ("rsync --server --sender -vlogDtprze.iLsfxCIvu . /src/", True, ["read /src"]),
        ("rsync --server --sender -logDtpre.iLsfxCIvu . /a b", True, ["read /a", "read ~/b"]),
        (
            "rsync --server -re.iLsfxCIvu --delete-excluded --numeric-ids . .",
            False,
            ["write ~", "remove ~"],
        ),
        (
            "rsync --server --sender -re.iLsfxCIvu --remove-source-files . /a /b",
            True,
            ["read /a", "remove /a", "read /b", "remove /b"],
        ),
        (
            "rsync --server -be.iLsfxCIvu --backup-dir /b --partial-dir .p --temp-dir ~/t . /d",
            False,
            ["write /d", "write /b", "write /d/.p", "write ~/t"],
        ),
        (
            "rsync --server --log-file=/l --link-dest ../prev --compress-level=3 -B700 . /d",
            False,
            ["write /d", "write /l", "read /prev"],
        ),
        (
            "rsync --server --sender -nrRe.iLsfxCIvu --files-from /list . /",
            True,
            ["read /", "read /list"],
        ),
        ("rsync --server --sender -re.iLsfxCIvu --files-from=- --from0 . /d", True, ["read /d"]),
        ("rsync --server --sender -e.LsfxCIvu . ~/d", True, ["read ~/d"]),
        ("rsync --server -re31.14iLsfxCIvu . d", False, ["write ~/d"]),
    ],
)
def test_rsync(line: str, sender: bool, requests: list[str]) -> None:
    transfer = read_transfer(reading.read(line))
    assert isinstance(transfer, RsyncServer)
    assert transfer.sender is sender
    assert [f"{r.operation.value} {r.path}" for r in transfer.requests] == requests
    for request in transfer.requests:
        ways = {"read": Direction.DOWNLOAD, "write": Direction.UPLOAD}
        assert request.direction is ways.get(request.operation.value, Direction.NONE)
        assert request.protocol == "rsync"


# --- trees ------------------------------------------------------------------------------------

TREES = """
version: 1
roles: {dev: {match: {g: dev}}}
rules:
  shadow: {reason: kept, opens: {path: [/etc/shadow, "~/.ssh/**"]},
       examples: {match: [cat /etc/shadow], no_match: [ls]}}
  srv: {reason: fine, file: {path: /srv/**, path_except: /srv/keys/**},
       examples: {match: [{file: read /srv/x}], no_match: [{file: read /etc/x}]}}
  one: {reason: fine, file: {path: /opt/*},
       examples: {match: [{file: read /opt/x}], no_match: [{file: read /opt/x/y}]}}
grants:
  - name: g
    roles: dev
    targets: {names: "*"}
    logins: app
    session: {files: true}
    requests: {deny: [shadow], allow: [srv, one], default: DEFAULT}
"""
DEV = Identity("https://id", "1", "ann", roles=frozenset({"dev"}))


def tree_rule(line: str, default: str) -> str:
    policy = parse_policy(TREES.replace("DEFAULT", default), "p.yaml")
    return decide(policy, DEV, Target("web"), "app", ExecRequest(line)).rule


@pytest.mark.parametrize("side", ["--sender ", ""])
@pytest.mark.parametrize(
    ("path", "rule"),
    [
        ("/etc", "opaque"),
        ("/etc/", "opaque"),
        ("/", "opaque"),
        ("/etc/../etc/shadow", "shadow"),
        ("", "opaque"),
        (".ssh", "shadow"),
        ("/home/ann", "opaque"),
        ("/srv", "files"),
        ("work", "files"),
        ("/etc/nginx", "files"),
    ],
)
def test_a_tree_may_hold_what_a_rule_denies(side, path, rule):
    line = f"rsync --server {side}-logDtpre.iLsfxCIvu . {path or '.'}"
    assert tree_rule(line, "allow") == rule


@pytest.mark.parametrize(
    ("path", "rule"),
    [("/srv/x", "files"), ("/srv", "default"), ("/opt/x", "default"), ("/srv/keys/x", "default")],
)
def test_a_tree_is_allowed_only_whole(path, rule):
    assert tree_rule(f"rsync --server --sender -logDtpre.iLsfxCIvu . {path}", "deny") == rule


def test_the_abilities_of_a_client_are_no_program():
    line = "rsync --server --sender -logDtpre.iLsfxCIvu . /x"
    assert [command.program for command in reading.read(line).commands] == ["rsync"]
    assert {one.program for one in reading.read("rsync -e'reboot -f' a h:b").commands} >= {"reboot"}


@pytest.mark.parametrize(
    "line",
    [
        "tar c /etc",
        "cd /etc && tar cf - .",
        "cp -r /etc x",
        "scp -r /etc h:/x",
        "rsync -a /etc/ h:x",
        "grep -r . /etc",
        "ack x /etc",
        "diff -r /etc /x",
        "git grep --no-index x /etc",
        "mount --bind /etc /x",
        "mount -o rbind /etc /x",
        "rclone copy /etc r:",
        "bsdtar c /etc",
    ],
)
def test_commands_that_reach_below_a_directory(line):
    assert tree_rule(line, "allow") == "opaque"
