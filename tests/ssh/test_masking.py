"""No secret reaches a screen, a disk or a watcher: each way it can come, each place it could go."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import Path

import asyncssh
import pytest

from tests.harness.running import POLICY, Bastion, bastion

pytestmark = pytest.mark.story

SESSION = """{pty: true, exec: true, files: true, shell: ungated, subsystems: [greet]}"""


def secret(number: int) -> str:
    """A GitHub token; the way it comes is told by its number."""
    return f"ghp_{number:02d}A2b3C4d5E6f7G8h9I0jK1l2M3n4O5p6Q7r"


WAYS = {
    name: secret(number)
    for number, name in enumerate(
        [
            "exec stdout",
            "exec stderr",
            "exec in pieces",
            "pty",
            "shell",
            "subsystem",
            "command line",
            "denied command",
            "held command",
            "sftp path",
            "sftp missing path",
            "scp path",
            "reason of a refusal",
            "log line",
            "traceback",
        ]
    )
}


async def read_all(connection: asyncssh.SSHClientConnection, command: str | None, **options) -> str:
    stdin = options.pop("stdin", "")
    process = await connection.create_process(command, **options)
    if stdin:
        process.stdin.write(stdin)
    process.stdin.write_eof()
    out, err = await asyncio.gather(process.stdout.read(), process.stderr.read())
    return str(out) + str(err)


async def busy(running: Bastion, folder: Path) -> str:
    """Send every secret its way; give all that any client saw."""
    log = logging.getLogger("bastion.story")
    seen = []
    async with running.connect() as client:
        pty = {"term_type": "xterm", "request_pty": "force"}
        halves = WAYS["exec in pieces"]
        # Quotes, so that the secret stands in no command line but that of "command line".
        for way, command, options in [
            ("exec stdout", "cat FILE", {}),
            ("exec stderr", "cat FILE >&2", {}),
            ("pty", "cat FILE", pty),
            ("shell", None, {"stdin": "cat FILE\nexit\n", **pty}),
            ("subsystem", None, {"subsystem": "greet"}),
            ("command line", f"echo {WAYS['command line']}", {}),
            ("denied command", f"reboot {WAYS['denied command']}", {}),
        ]:
            (folder / "content").write_text(f"before {WAYS[way]} after\n")
            line = command.replace("FILE", f"{folder}/content") if command else None
            if options.get("stdin"):
                options["stdin"] = options["stdin"].replace("FILE", f"{folder}/content")
            seen.append(await read_all(client, line, **options))
        (folder / "one").write_text(halves[:20])
        (folder / "two").write_text(f"{halves[20:]}\n")
        pieces = f"cat {folder}/one; read x; cat {folder}/two"
        process = await client.create_process(pieces)
        seen.append(await process.stdout.read(4))
        process.stdin.write("\n")
        seen.append(await process.stdout.read())
        seen.append(await held(running, client))
        async with client.start_sftp_client() as sftp:
            await sftp.mkdir(str(folder / f"d-{WAYS['sftp path']}"))
            with contextlib.suppress(asyncssh.SFTPError):
                await sftp.remove(str(folder / WAYS["sftp missing path"]))
        (folder / "upload").write_text("content")
        with contextlib.suppress(asyncssh.Error, OSError):
            await asyncssh.scp(
                str(folder / "upload"), (client, str(folder / f"s-{WAYS['scp path']}"))
            )
    log.error("the token is %s", WAYS["log line"])
    try:
        raise RuntimeError(f"could not use {WAYS['traceback']}")
    except RuntimeError:
        log.exception("failed")
    return "".join(seen)


async def held(running: Bastion, client: asyncssh.SSHClientConnection) -> str:
    waiting = asyncio.create_task(read_all(client, f"touch /tmp/{WAYS['held command']}"))
    approval = await running.pending()
    [question] = [one.question for one in running.services.approvals.pending()]
    assert WAYS["held command"] not in repr(question)
    assert b"[masked:github-token:" in question.request
    assert any(label == "exact bytes" for label, _ in question.facts)
    reason = f"not with {WAYS['reason of a refusal']}"
    running.answer(approval, grant=False, reason=reason)
    return await waiting


async def test_no_secret_reaches_a_screen_a_disk_a_watcher_or_the_log(tmp_path, caplog):
    script = tmp_path / "greet"
    script.write_text(f"#!/bin/sh\ncat {tmp_path}/content\n")
    script.chmod(0o755)
    told: list[object] = []
    async with bastion(
        tmp_path,
        session=SESSION,
        policy=POLICY,
        opaque="allow",
        sshd_extra=[f"Subsystem greet {script}"],
    ) as running:
        running.services.feed.listen(told.append)
        seen = await busy(running, tmp_path)
        log = "\n".join(handler.format(record) for record in caplog.records
                        for handler in [caplog.handler])  # fmt: skip
        state = tmp_path / "state"
        kept = {
            path: path.read_bytes()
            for path in state.rglob("*")
            if path.is_file() and path.suffix != ".sock"
        }
    kept |= {path: path.read_bytes() for path in state.rglob("*") if path.is_file()}
    assert any(path.suffix == ".cast" for path in kept)
    assert seen.count("[masked:github-token:") >= 7
    assert log.count("[masked:github-token:") >= 2
    for way, value in WAYS.items():
        core = value[4:]
        if way != "command line":
            assert core not in seen, f"{way}: the client saw it"
        assert core not in log, f"{way}: the log has it"
        assert core not in repr(told), f"{way}: a watcher was told"
        for path, content in kept.items():
            assert core.encode() not in content, f"{way}: {path} has it"
            assert core.encode().hex().encode() not in content


async def test_every_masking_leaves_an_event_with_no_value(tmp_path):
    (tmp_path / "content").write_text(f"x {WAYS['exec stdout']} y\n")
    async with bastion(tmp_path, opaque="allow") as running:
        ran = await running.ssh(f"cat {tmp_path}/content")
        assert b"x ghp_[masked:github-token:" in ran.stdout
        [noted] = running.audited("masked")
        [fact] = noted["secrets"]
        assert (fact["detector"], fact["length"], fact["where"]) == ("github-token", 36, 6)
        assert fact["mark"].encode() in ran.stdout
        assert noted["stream"] == "stdout"


async def test_the_timer_shows_a_prompt_and_masks_what_trickles(tmp_path):
    script = tmp_path / "slow"
    script.write_text("#!/bin/sh\nprintf 'PASSWORD=hunt'; read x; printf 'er22 done\\n'\n")
    script.chmod(0o755)
    async with bastion(tmp_path, opaque="allow") as running, running.connect() as client:
        process = await client.create_process(str(script))
        assert await process.stdout.readexactly(len("PASSWORD=****")) == "PASSWORD=****"
        process.stdin.write("\n")
        rest = await process.stdout.read()
        assert rest == "**** done\n"


WAYS_TO_COPY = ["sftp", "scp", "scp -O", "rsync"]


async def copied(running: Bastion, way: str, file: Path, to: Path, *, up: bool) -> tuple[int, str]:
    remote, local = f"{running.login}@web1@bastion:{to if up else file}", str(file if up else to)
    words = [local, remote] if up else [remote, local]
    if way == "sftp":
        batch = f"put {file} {to}\n" if up else f"get {file} {to}\n"
        ran = await running.run(
            "sftp", "-b", "-", f"{running.login}@web1@bastion", stdin=batch.encode()
        )
    elif way == "rsync":
        shell = f"ssh -F {running.ssh_config}"
        ran = await running.run("rsync", "-e", shell, *words)
    else:
        ran = await running.run(*way.split(), *words)
    return ran.status, ran.stderr


@pytest.mark.parametrize("up", [True, False], ids=["upload", "download"])
@pytest.mark.parametrize("way", WAYS_TO_COPY)
async def test_a_copied_file_with_secrets_is_blocked_or_told_and_never_changed(tmp_path, way, up):
    content = b"x" * 70_000 + f"\nkey: {WAYS['exec stdout']}".encode()
    (tmp_path / "file").write_bytes(content)
    block = POLICY.replace("    requests:\n", "    mask: {files: block}\n    requests:\n", 1)
    (tmp_path / "b").mkdir()
    async with bastion(tmp_path / "b", policy=block, opaque="allow") as running:
        status, said = await copied(running, way, tmp_path / "file", tmp_path / "to", up=up)
        assert status != 0
        assert "secrets" in said
        here = tmp_path / "to"
        assert not here.exists() or WAYS["exec stdout"].encode() not in here.read_bytes()
        (tmp_path / "clean").write_bytes(b"nothing here")
        if way != "rsync":
            status, said = await copied(running, way, tmp_path / "clean", tmp_path / "ok", up=up)
            assert (status, (tmp_path / "ok").read_bytes()) == (0, b"nothing here"), said
    if way == "rsync":
        return  # its stream is not looked into
    (tmp_path / "l").mkdir()
    (tmp_path / "to").unlink(missing_ok=True)
    async with bastion(tmp_path / "l", opaque="allow") as running:
        status, said = await copied(running, way, tmp_path / "file", tmp_path / "to", up=up)
        assert (status, said) == (0, "")
        assert (tmp_path / "to").read_bytes() == content
        [noted] = [one for one in running.audited("file") if one["sha256"]]
        assert "holds secrets: github-token" in noted["note"]


async def test_strokes_of_a_full_screen_program_do_not_make_a_secret(tmp_path):
    program = tmp_path / "draw"
    program.write_text(
        "#!/bin/sh\n"
        "printf '\\033[?1049h\\033[2J\\033[5;13H7EXAMPLE\\033[9;9H'; read x\n"
        "printf '\\033[5;1HAKIAIOSFODNN\\033[9;9Hdrawn'; read x\n"
        "printf '\\033[?1049l'\n"
    )
    program.chmod(0o755)
    async with bastion(tmp_path, opaque="allow") as running, running.connect() as client:
        process = await client.create_process(
            str(program), term_type="xterm", request_pty="force", encoding=None
        )
        seen = await process.stdout.readuntil(b"7EXAMPLE\x1b[9;9H")
        process.stdin.write(b"\r")
        seen += await process.stdout.readuntil(b"drawn")
        process.stdin.write(b"\r")
        seen += await process.stdout.read()
        assert b"\x1b[5;1HAKIA********" in seen
        [cast] = running.casts()
        assert "IOSFODNN" not in cast.read_text()
        facts = [fact for noted in running.audited("masked") for fact in noted["secrets"]]
        assert [fact["detector"] for fact in facts] == ["aws-key"]


UNMASK = POLICY.replace(
    "    requests:\n", "    mask: {unmask: {approvers: [oncall], wait: 30s}}\n    requests:\n", 1
)


async def test_secrets_are_shown_to_whom_people_grant_it_and_recorded_masked(tmp_path):
    (tmp_path / "content").write_text(f"x {WAYS['exec stdout']} y\n")
    async with (
        bastion(tmp_path, policy=UNMASK, opaque="allow") as running,
        running.connect() as client,
    ):
        env = {"BASTION_UNMASK": "1"}
        reading = asyncio.create_task(read_all(client, f"cat {tmp_path}/content", env=env))
        approval = await running.pending()
        [question] = [one.question for one in running.services.approvals.pending()]
        assert ("rule", "unmask") in question.facts
        running.answer(approval, grant=True)
        seen = await reading
        assert f"x {WAYS['exec stdout']} y\n" in seen
        [cast] = running.casts()
        assert "x ghp_[masked:github-token:" in cast.read_text()
        assert WAYS["exec stdout"] not in cast.read_text()
        assert running.audited("masked")
        masked = await read_all(client, f"cat {tmp_path}/content")
        assert "ghp_[masked:" in masked


async def test_without_a_grant_for_it_nobody_sees_secrets(tmp_path):
    async with bastion(tmp_path, opaque="allow") as running, running.connect() as client:
        ran = await client.run("echo x", env={"BASTION_UNMASK": "1"})
        assert ran.exit_status == 254
        assert "shown in clear to nobody here" in ran.stderr
