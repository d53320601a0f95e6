"""Secrets are shown to whom people grant it: to the client alone, and one thing at a time."""

from __future__ import annotations

import asyncio

import asyncssh
import pytest

from tests.harness.running import POLICY, bastion

pytestmark = pytest.mark.story

TOKEN = "ghp_00A2b3C4d5E6f7G8h9I0jK1l2M3n4O5p6Q7r"
UNMASK = POLICY.replace(
    "    requests:\n", "    mask: {unmask: {approvers: [oncall], wait: 30s}}\n    requests:\n", 1
)
ENV = {"BASTION_UNMASK": "1"}
UNGATED = "{pty: true, exec: true, files: true, shell: ungated}"


@pytest.fixture
def content(tmp_path):
    (tmp_path / "content").write_text(f"x {TOKEN} y\n")
    return tmp_path / "content"


async def read_all(connection, command=None, stdin="", **options):
    process = await connection.create_process(command, **options)
    if stdin:
        process.stdin.write(stdin)
    process.stdin.write_eof()
    out, err = await asyncio.gather(process.stdout.read(), process.stderr.read())
    return str(out) + str(err)


async def granted(running, reading):
    """What comes once somebody has granted that secrets are shown."""
    approval = await running.pending()
    [question] = [one.question for one in running.services.approvals.pending()]
    assert ("rule", "unmask") in question.facts
    running.answer(approval, grant=True)
    return await reading


@pytest.mark.parametrize("way", ["exec", "terminal", "shell"])
async def test_what_people_grant_is_shown_once_and_recorded_masked(tmp_path, content, way):
    command, stdin = (None, f"cat {content}\nexit\n") if way == "shell" else (f"cat {content}", "")
    pty = {} if way == "exec" else {"term_type": "xterm", "request_pty": "force"}
    async with (
        bastion(tmp_path, policy=UNMASK, session=UNGATED, opaque="allow") as running,
        running.connect() as client,
    ):
        seen = await granted(
            running, asyncio.create_task(read_all(client, command, stdin, env=ENV, **pty))
        )
        assert f"x {TOKEN} y" in seen
        [cast] = running.casts()
        assert "x ghp_[masked:github-token:" in cast.read_text()
        assert TOKEN[4:] not in cast.read_text()
        assert running.audited("masked")
        masked = await read_all(client, command, stdin, **pty)
        assert "ghp_[masked:" in masked
        assert TOKEN[4:] not in masked


async def test_without_a_grant_for_it_nobody_sees_secrets(tmp_path):
    async with bastion(tmp_path, opaque="allow") as running, running.connect() as client:
        ran = await client.run("echo x", env=ENV)
        assert ran.exit_status == 254
        assert "shown in clear to nobody here" in ran.stderr


async def test_a_refused_grant_shows_and_runs_nothing(tmp_path, content):
    async with (
        bastion(tmp_path, policy=UNMASK, opaque="allow") as running,
        running.connect() as client,
    ):
        reading = asyncio.create_task(read_all(client, f"cat {content}", env=ENV))
        running.answer(await running.pending(), grant=False)
        seen = await reading
        assert TOKEN[4:] not in seen
        assert "x ghp_" not in seen


async def test_a_gated_shell_shows_no_secrets_and_says_how_else(tmp_path):
    session = "{pty: true, exec: true, shell: gated}"
    async with (
        bastion(tmp_path, policy=UNMASK, session=session) as running,
        running.connect() as client,
    ):
        seen = await read_all(client, env=ENV, term_type="xterm", request_pty="force")
        assert "a gated shell shows no secrets; ask for one command" in seen
        assert "#" not in seen


async def test_copies_are_as_ever_whatever_is_asked_to_be_shown(tmp_path, content):
    blocking = UNMASK.replace("unmask:", "files: block, unmask:")
    async with (
        bastion(tmp_path, policy=blocking, opaque="allow") as running,
        running.connect(env=ENV) as client,
        client.start_sftp_client() as sftp,
    ):
        with pytest.raises(asyncssh.Error):
            await sftp.get(str(content), str(tmp_path / "got"))
        assert not running.services.approvals.pending()
        assert not (tmp_path / "got").read_bytes()
