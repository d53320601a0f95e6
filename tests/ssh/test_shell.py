"""Gated shells over real OpenSSH, bash, zsh and dash: what a person sees, and what runs."""

from __future__ import annotations

import asyncio
import glob
import json

import pytest

from tests.harness.running import bastion
from tests.harness.terminal import at_terminal

pytestmark = pytest.mark.story

SESSION = "{shell: gated, pty: true}"


@pytest.fixture(scope="module", params=["bash", "zsh", "sh"])
def dialect(request):
    return request.param


@pytest.fixture
async def running(tmp_path, dialect):
    async with bastion(
        tmp_path, session=SESSION, target_extra=f"\n    dialect: {dialect}"
    ) as running:
        yield running


@pytest.fixture
async def bash(tmp_path):
    async with bastion(tmp_path, session=SESSION) as running:
        yield running


def verdicts(running):
    return [(v["request"], v["action"]) for v in running.audited("verdict")]


async def test_lines_run_in_one_shell(running):
    async with at_terminal(running) as person:
        await person.prompt("#")
        assert await person.line("echo hello") == ["hello"]
        await person.line("cd /etc; x='a b'")
        assert person.rows[-1].endswith(":/etc#")
        assert await person.line('echo "$x"; pwd') == ["a b", "/etc"]
        await person.line("false")
        assert await person.line("echo $?") == ["1"]
        person.type("exit 7\r")
        assert await person.status() == 7
    assert ("echo hello", "allow") in verdicts(running)


async def test_a_denied_line_does_not_run_and_can_be_mended(running):
    async with at_terminal(running) as person:
        await person.prompt("#")
        person.type("echo before; shutdown --help\r")
        await person.sees("denied by rule no-reboot: production does not reboot. ask the on-call.")
        await person.until(lambda screen: screen.splitlines()[-1].endswith("ask the on-call."))
        assert "before\n" not in person.screen
        person.type("\x15")
        assert await person.line("echo after") == ["after"]


async def test_a_held_line_runs_when_it_is_granted(running):
    async with at_terminal(running) as person:
        await person.prompt("#")
        person.type(f"touch {running.directory}/made\r")
        held = await running.pending()
        await person.sees(f"held for approval {held}")
        assert not (running.directory / "made").exists()
        running.answer(held, grant=True)
        await person.prompt("#")
        assert (running.directory / "made").exists()


async def test_ctrl_c_withdraws_a_held_line(running):
    async with at_terminal(running) as person:
        await person.prompt("#")
        person.type(f"touch {running.directory}/made\r")
        await person.sees(f"held for approval {await running.pending()}")
        person.type("\x03")
        await person.sees("withdrawn; nothing was run.")
        assert not running.services.approvals.pending()
        person.type("\x15")
        assert await person.line("echo after") == ["after"]
        assert not (running.directory / "made").exists()


async def test_keys_are_the_programs_while_it_runs(running):
    async with at_terminal(running) as person:
        await person.prompt("#")
        person.type("cat\r")
        person.type("shutdown now\r")
        await person.until(lambda screen: screen.count("shutdown now") >= 2)
        person.type("\x04")
        await person.prompt("#")
        assert verdicts(running)[-1] == ("cat", "allow")


async def test_what_was_typed_ahead_waits_in_the_line(running):
    async with at_terminal(running) as person:
        await person.prompt("#")
        person.type("read first; echo got $first\rone\rshutdown now\r")
        await person.sees("got one")
        await person.until(lambda screen: screen.splitlines()[-2].endswith("# shutdown now"))
        assert verdicts(running)[-1][0].startswith("read first")


async def test_job_control_is_as_people_know_it(running):
    async with at_terminal(running) as person:
        await person.prompt("#")
        person.type("sleep 100\r")
        await person.insist("\x1a", lambda screen: "topped" in screen or "suspended" in screen)
        assert "sleep 100" in " ".join(await person.line("jobs"))
        person.type("fg; echo back\r")
        await person.until(lambda screen: screen.rstrip().endswith("sleep 100"))
        await person.insist("\x03", lambda screen: screen.endswith("#"))
        assert await person.line("echo alive") == ["alive"]


async def test_a_passwords_echo_stays_off(running):
    async with at_terminal(running) as person:
        await person.prompt("#")
        person.type("stty -echo; printf Word:; read word; stty echo; echo; echo done\r")
        await person.until(lambda screen: screen.endswith("\nWord:"))
        person.type("hunter2\r")
        await person.sees("\ndone")
        assert b"hunter2" not in person.received
        assert await person.line("echo shown") == ["shown"]


async def test_a_full_screen_program_has_the_window(running):
    async with at_terminal(running) as person:
        await person.prompt("#")
        person.resize(90, 20)
        assert await person.line("stty size") == ["20 90"]
        person.type("less /etc/services\r")
        running.answer(await running.pending(), grant=True)
        await person.sees("/etc/services")
        person.type("q")
        await person.prompt("#")
        assert await person.line("echo after") == ["after"]


async def test_all_of_it_is_on_record(running):
    async with at_terminal(running) as person:
        await person.prompt("#")
        await person.line("echo one")
        person.type("shutdown --help\r")
        await person.sees("denied by rule")
        person.type("\x15exit\r")
        await person.status()
    (cast,) = running.casts()
    text = cast.read_text()
    assert "echo one" in text
    assert "denied by rule" in text
    markers = [json.loads(line)[2] for line in text.splitlines()[1:] if '"m"' in line]
    assert "allow default: echo one" in markers
    assert "deny no-reboot: shutdown --help" in markers


async def test_nothing_is_left_on_the_target(running):
    async with at_terminal(running) as person:
        await person.prompt("#")
        directory = (await person.line("ls -d /tmp/.bastion-shel[l].*"))[0:1]
        person.type("sleep 1000\r")
    before = set(directory)
    async with asyncio.timeout(10):
        while before & set(glob.glob("/tmp/.bastion-shell.*")):
            await asyncio.sleep(0.01)


async def test_commands_on_standard_input(running):
    """`ssh -T`: every command is decided, and a script does not go on without one it lost."""
    ran = await running.ssh(
        "-T", stdin=b"echo hi\ncd /etc\npwd\nfalse\necho $?\ncat <<X\nhome $HOME\nX\n(exit 3)\n"
    )
    assert ran.stdout == b"hi\n/etc\n1\nhome /root\n"
    assert (ran.status, ran.stderr) == (3, "")
    ran = await running.ssh("-T", stdin=b"echo one\nshutdown --help\necho two\n")
    assert (ran.status, ran.stdout) == (254, b"one\n")
    assert "denied by rule no-reboot" in ran.stderr


async def test_a_lock_ends_a_shell_in_the_middle_of_a_line(bash):
    async with at_terminal(bash) as person:
        await person.prompt("#")
        person.type("sleep 1000\r")
        await person.until(lambda screen: screen.rstrip().endswith("sleep 1000"))
        (session,) = bash.sessions.live()
        bash.sessions.kill(session.id, "enough")
        await person.sees("this session was ended by an operator")


async def test_a_terminal_that_cannot_be_drawn_on(bash):
    async with at_terminal(bash, term="dumb") as person:
        await person.prompt("#")
        assert await person.line("echo plaim\x7fn") == ["plain"]
        assert b"\x1b" not in person.received


async def test_a_target_without_fifos_says_so(tmp_path):
    """No shell that would be decided by its screen instead."""
    options = ["ForceCommand echo no shell here >&2"]
    async with (
        bastion(tmp_path, session=SESSION, sshd_extra=options) as running,
        at_terminal(running) as person,
    ):
        await person.sees("cannot hold a gated shell: no shell here")
        assert await person.status() == 254
