"""Commands on the stdin of a gated shell: whole ones only, however long, over real OpenSSH."""

from __future__ import annotations

import pytest

from tests.harness.running import bastion

pytestmark = pytest.mark.story

SESSION = "{shell: gated, pty: true}"


@pytest.fixture
async def running(tmp_path):
    async with bastion(tmp_path, session=SESSION) as running:
        yield running


async def test_a_long_here_document_is_one_command_not_many(running):
    """Its lines are content: cut off somewhere they would run as commands."""
    body = b"shutdown --help\n" * 150
    ran = await running.ssh("-T", stdin=b"wc -l <<'EOF'\n" + body + b"EOF\necho after\n")
    assert (ran.status, ran.stdout) == (0, b"150\nafter\n")


async def test_a_here_document_too_long_to_be_read_is_refused_whole(running):
    body = b"echo cut off\n" * 1000
    ran = await running.ssh("-T", stdin=b"echo before\ncat <<'EOF'\n" + body + b"EOF\n")
    assert (ran.status, ran.stdout) == (254, b"before\n")
    assert [v["request"] for v in running.audited("verdict")][-1].startswith("cat <<'EOF'")


@pytest.mark.parametrize(
    ("stdin", "told"),
    [
        (b"echo before\nfor i in 1 2; do echo $i\n", "in the middle of a command"),
        (b"echo before\nec\0ho x\n", "holds a NUL byte"),
    ],
)
async def test_what_is_no_command_ends_the_shell_and_is_not_run(running, stdin, told):
    ran = await running.ssh("-T", stdin=stdin)
    assert (ran.status, ran.stdout) == (254, b"before\n")
    assert told in ran.stderr
