"""The commands that ask and order a running bastion, against a real service on real stores."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bastion.cli.main import bastion
from bastion.errors import BastionError
from bastion.events import FileDone, Outcome
from bastion.model import FileOperation, FileRequest, Identity
from bastion.policy.rules import Action, Verdict
from bastion.store import auditfile
from bastion.store.recordings import Recordings
from tests.control.desk import ME, QUESTION, Desk

ALICE = Identity("https://idp", "17", "alice\x1b[2J", roles=frozenset({"dev"}))


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    desk = Desk(tmp_path, ())
    await desk.service.start()
    yield desk
    await desk.close()


async def run(desk: Desk, *words: str) -> Result:
    def once() -> Result:
        environment = {"BASTION_STATE": str(desk.state.path)}
        return CliRunner().invoke(bastion, words, env=environment)

    result = await asyncio.to_thread(once)
    assert "\x1b" not in result.output
    return result


async def refusal(desk: Desk, *words: str) -> str:
    result = await run(desk, *words)
    assert isinstance(result.exception, BastionError), result.output
    return str(result.exception)


async def test_a_held_request_is_listed_with_all_that_counts(desk: Desk) -> None:
    approval_id = desk.ask(approvers=("lead",), count=2, reason_required=True)
    result = await run(desk, "approvals")
    for part in (
        approval_id,
        "alice",
        "web as root",
        "rm \\u{dcff}␛[2J",
        "2 of lead",
        QUESTION.hash,
    ):
        assert part in result.output
    [plain] = json.loads((await run(desk, "approvals", "list", "--json")).output)
    assert plain["request"].encode("utf-8", "surrogateescape") == QUESTION.request
    assert (plain["id"], plain["hash"]) == (approval_id, QUESTION.hash)
    assert (await run(desk, "approvals", "show", approval_id)).output == result.output


async def test_a_grant_shows_what_it_grants(desk: Desk) -> None:
    approval_id = desk.ask()
    result = await run(desk, "approvals", "grant", approval_id, "--reason", "INC-1")
    assert "rm \\u{dcff}␛[2J" in result.output
    assert result.output.endswith("Granted.\n")
    assert desk.ends == [(Outcome.GRANTED, (ME,), "INC-1")]
    assert "pending" in await refusal(desk, "approvals", "grant", approval_id)


async def test_a_grant_that_is_not_the_last_says_so(desk: Desk) -> None:
    result = await run(desk, "approvals", "grant", desk.ask(count=3))
    assert "2 more must grant it" in result.output
    assert desk.ends == []


async def test_a_refusal_needs_a_reason(desk: Desk) -> None:
    approval_id = desk.ask()
    assert (await run(desk, "approvals", "refuse", approval_id)).exit_code == 2
    await run(desk, "approvals", "refuse", approval_id, "--reason", "no")
    assert desk.ends == [(Outcome.REFUSED, (ME,), "no")]


async def test_sessions_are_listed_shown_and_killed(desk: Desk) -> None:
    assert (await run(desk, "sessions")).stdout == ""
    desk.ledger.session_started("s1", ALICE, "192.0.2.1", "OpenSSH_9", "direct", 1.0)
    desk.ledger.channel_opened("s1", "c1", "exec", "web", "root", "rm \x1b[2J", "c1.cast", 2.0)
    desk.ledger.verdict("s1", "c1", "rm", Verdict(Action.DENY, "no-rm", "not here"), 2.0)
    done = FileDone(FileRequest(FileOperation.READ, "/etc/a\n"), ok=True, size=3, sha256="ab")
    desk.ledger.file_done("s1", "c1", done, 3.0)
    assert "s1\talice␛[2J\t192.0.2.1" in (await run(desk, "sessions")).output
    shown = (await run(desk, "sessions", "show", "s1")).output
    for part in ("rm ␛[2J", "deny by no-rm: not here", "/etc/a␊", "3 bytes ab"):
        assert part in shown
    assert json.loads((await run(desk, "sessions", "show", "s1", "--json")).output)["id"] == "s1"
    assert "no-such" in await refusal(desk, "sessions", "show", "no-such")
    await run(desk, "sessions", "kill", "s1", "--reason", "incident")
    assert desk.live.ended == [f"{ME}: incident"]
    desk.ledger.session_ended("s1", "killed", 5.0)
    assert (await run(desk, "sessions")).stdout == ""
    assert "killed" in (await run(desk, "sessions", "list", "--all")).output


async def test_locks_are_set_listed_and_removed(desk: Desk) -> None:
    result = await run(desk, "lock", "identity", "bob", "--reason", "left", "--until", "2h")
    lock_id = result.output.split()[1]
    [plain] = json.loads((await run(desk, "lock", "--json")).output)
    assert (plain["kind"], plain["value"], plain["by"]) == ("identity", "bob", ME)
    assert f"{lock_id}\tidentity\tbob\tleft" in (await run(desk, "lock", "list")).output
    await run(desk, "lock", "remove", lock_id)
    assert (await run(desk, "lock", "list")).stdout == ""
    assert "sessions ended: 1" in (await run(desk, "lock", "session", "s2", "--reason", "x")).output
    assert (await run(desk, "lock", "target", "w", "--reason", "x", "--until", "so")).exit_code == 2
    past = ("lock", "target", "w", "--reason", "x", "--until", "1970-01-01T00:01")
    assert "over already" in await refusal(desk, *past)


async def test_the_audit_log_is_shown_and_verified(desk: Desk, tmp_path: Path) -> None:
    assert "No head is signed" in await refusal(desk, "audit", "head")
    desk.audit.append("verdict", 0.0, request="rm \x1b[2J\n")
    desk.audit.sign_head(1.0)
    shown = (await run(desk, "audit", "show")).output
    assert shown == '0 1970-01-01 00:00:00 UTC verdict request="rm \\u001b[2J\\n"\n'
    head = tmp_path / "head"
    head.write_text((await run(desk, "audit", "head")).output)
    result = await run(desk, "audit", "verify", "--head", str(head))
    assert (result.exit_code, result.output[:5]) == (0, "holds")
    log = desk.state.audit / auditfile.LOG
    log.write_bytes(log.read_bytes().replace(b"verdict", b"verdicT"))
    result = await run(desk, "audit", "verify", "--head", str(head))
    assert (result.exit_code, "BROKEN" in result.output) == (1, True)
    assert not json.loads((await run(desk, "audit", "verify", "--json")).output)["ok"]


async def test_recordings_are_listed_and_found(desk: Desk) -> None:
    recordings = Recordings(desk.state.recordings, floor_bytes=0)
    cast = recordings.open("s1", "c1", at=1.0, title="ls\x1b on web").path
    assert (await run(desk, "recordings", "path", "s1", "c1")).output == f"{cast}\n"
    [plain] = json.loads((await run(desk, "recordings", "--json")).output)
    assert (plain["session"], plain["channel"], plain["title"]) == ("s1", "c1", "ls␛ on web")
    cast.write_bytes(b"\x1b[2J")
    assert "no asciicast header" in (await run(desk, "recordings")).output
    assert "No recording" in await refusal(desk, "recordings", "path", "s1", "c2")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("approvals", "Nothing is held."),
        ("grants", "Nothing is granted now."),
        ("lock list", "No lock is in force."),
        ("sessions", "No session is live (--all shows those that ended)."),
        ("sessions list --all", "There are no sessions."),
        ("recordings", "There are no recordings."),
        ("recordings search nothing", "Nothing is found."),
        ("recordings holds", "No recording is held."),
    ],
)
async def test_an_empty_list_says_so_on_stderr(desk: Desk, words: str, sentence: str) -> None:
    result = await run(desk, *words.split())
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", f"{sentence}\n")


def test_no_bastion_is_one_sentence_and_exit_status_1(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    words = [sys.executable, "-m", "bastion", "approvals", "--state", str(tmp_path)]
    ran = subprocess.run(words, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith("bastion: The bastion does not answer at")
    assert ran.stderr.count("\n") == 1
