"""Command lines that are one end of a transfer, and those that only look like it."""

from __future__ import annotations

import pytest

from bastion.model import Direction
from bastion.policy import shell
from bastion.policy.files import RsyncServer, ScpPath, ScpServer, read_transfer


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
    assert read_transfer(shell.read(line)) == ScpServer(direction, tuple(paths), recursive)


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
    assert read_transfer(shell.read(line)) is None


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
    transfer = read_transfer(shell.read(line))
    assert isinstance(transfer, RsyncServer)
    assert transfer.sender is sender
    assert [f"{r.operation.value} {r.path}" for r in transfer.requests] == requests
    for request in transfer.requests:
        ways = {"read": Direction.DOWNLOAD, "write": Direction.UPLOAD}
        assert request.direction is ways.get(request.operation.value, Direction.NONE)
        assert request.protocol == "rsync"
