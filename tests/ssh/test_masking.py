"""No secret reaches a screen, a disk or a watcher: each way it can come, each place it could go."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.harness.running import POLICY, Bastion, bastion

pytestmark = pytest.mark.story

TOKEN = "ghp_00A2b3C4d5E6f7G8h9I0jK1l2M3n4O5p6Q7r"


async def test_every_masking_leaves_an_event_with_no_value(tmp_path):
    (tmp_path / "content").write_text(f"x {TOKEN} y\n")
    async with bastion(tmp_path, opaque="allow") as running:
        ran = await running.ssh(f"cat {tmp_path}/content")
        assert b"x ghp_[masked:github-token:" in ran.stdout
        [noted] = running.audited("masked")
        [fact] = noted["secrets"]
        assert (fact["detector"], fact["length"], fact["where"]) == ("github-token", 36, 6)
        assert fact["mark"].encode() in ran.stdout
        assert noted["stream"] == "stdout"


async def test_values_in_json_that_the_policy_names_are_masked_by_their_paths(tmp_path):
    people = {"people": [{"name": "Ann", "ssn": "078-05-1120"}, {"pin": 4711, "note": "[x]"}]}
    (tmp_path / "content").write_text(
        json.dumps(people, indent=2) + '\nweb-1 | {"ssn": "078-05-1120", "n": 1} [ok]\n'
    )
    named = POLICY.replace(
        "    requests:\n", '    mask: {json: ["$..ssn", "people[*].pin"]}\n    requests:\n', 1
    )
    async with bastion(tmp_path, policy=named, opaque="allow") as running:
        ran = await running.ssh(f"cat {tmp_path}/content")
        text, _, line = ran.stdout.decode().rstrip("\n").rpartition("\n")
        shown = json.loads(text)["people"]
        assert re.fullmatch(r"\[masked:json:[0-9a-f]{4}\]", shown[0]["ssn"])
        assert (shown[0]["name"], shown[1]) == ("Ann", {"pin": None, "note": "[x]"})
        assert line == f'web-1 | {{"ssn": "{shown[0]["ssn"]}", "n": 1}} [ok]'
        [cast] = running.casts()
        assert "078-05-1120" not in cast.read_text()
        facts = [fact for noted in running.audited("masked") for fact in noted["secrets"]]
        assert [fact["detector"] for fact in facts] == ["json", "json", "json"]


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
    content = b"x" * 70_000 + f"\nkey: {TOKEN}".encode()
    (tmp_path / "file").write_bytes(content)
    block = POLICY.replace("    requests:\n", "    mask: {files: block}\n    requests:\n", 1)
    (tmp_path / "b").mkdir()
    async with bastion(tmp_path / "b", policy=block, opaque="allow") as running:
        status, said = await copied(running, way, tmp_path / "file", tmp_path / "to", up=up)
        assert status != 0
        assert "secrets" in said
        here = tmp_path / "to"
        assert not here.exists() or TOKEN.encode() not in here.read_bytes()
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
