"""What a scraper is told of a day at the bastion: break-glass above all."""

import stat
from pathlib import Path

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from bastion.demo.child import free_port
from bastion.errors import ConfigError
from tests.harness.running import POLICY, Bastion, bastion

pytestmark = pytest.mark.story

GLASS = POLICY.replace(
    "    approval: {approvers: [oncall], wait: 30s}\n    examples: {match: [touch x]",
    "    approval: {approvers: [oncall], wait: 10m, break_glass: [dev]}\n"
    "    examples: {match: [touch x]",
)
Sample = tuple[str, frozenset[tuple[str, str]]]


def parsed(text: str) -> dict[Sample, float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def key(name: str, **labels: str) -> Sample:
    return name, frozenset(labels.items())


async def scraped(url: str, socket: Path | None = None) -> str:
    transport = httpx2.AsyncHTTPTransport(uds=str(socket) if socket else None)
    async with httpx2.AsyncClient(transport=transport) as client:
        answer = await client.get(url)
    assert answer.status_code == 200, answer.text
    return answer.text


async def break_the_glass(running: Bastion) -> None:
    process = await running.start("ssh", *running.to_target("direct"), "touch /dev/null")
    approval = await running.pending()
    broken = await running.run("ssh", "bastion", "break-glass", approval, "--reason", "it burns")
    assert broken.status == 0, broken.stderr
    await process.communicate()


async def test_a_broken_glass_is_counted_where_it_is_seen(tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}/metrics"
    async with bastion(tmp_path, policy=GLASS, listen=f", metrics: '127.0.0.1:{port}'") as running:
        before = parsed(await scraped(url))
        assert before[key("bastion_break_glass_total")] == 0, "an alert needs the zero before"
        await break_the_glass(running)
        assert (await running.ssh("echo password=hunter2hunter2")).status == 0
        assert (await running.ssh("reboot")).status == 254
        held = await running.start("ssh", *running.to_target("direct"), "touch x")
        running.answer(await running.pending(), grant=False)
        await held.communicate()
        running.issue(lifetime=-1)
        assert (await running.ssh("ls")).status == 255
        running.services.ledger.add_lock("identity", "mallory", "x", None, "bob", 1.0)
        text = await scraped(url)
        now = parsed(text)
    expected = {
        key("bastion_break_glass_total"): 1,
        key("bastion_approvals_ended_total", end="break-glass"): 1,
        key("bastion_approvals_ended_total", end="refused"): 1,
        key("bastion_approval_wait_seconds_count", end="refused"): 1,
        key("bastion_verdicts_total", action="deny", request_kind="exec"): 1,
        key("bastion_verdicts_total", action="approve", request_kind="exec"): 2,
        key("bastion_login_failures_total", stage="certificate"): 1,
        key("bastion_masked_secrets_total", detector="password"): 1,
        key("bastion_locks", kind="identity"): 1,
        key("bastion_approvals_waiting"): 0,
        key("bastion_recordings_failed_total"): 0,
    }
    assert {name: now.get(name) for name in expected} == expected
    assert now[key("bastion_recordings_free_bytes")] > 0
    for name in ("alice", "mallory", "web1", "hunter2", "it burns", running.login + "@"):
        assert name not in text, "no label tells who, where or what"


async def test_a_socket_serves_a_group_and_a_place_that_is_taken_is_told(tmp_path: Path) -> None:
    socket = tmp_path / "metrics.sock"
    listen = ", metrics: 'unix:metrics.sock'"
    async with bastion(tmp_path, listen=listen) as running:
        assert stat.S_IMODE(socket.stat().st_mode) == 0o660
        async with running.connect() as client:
            await client.create_process("cat")
            url = "http://bastion/metrics"
            now = parsed(await scraped(url, socket))
            assert now[key("bastion_sessions")] == 1
            assert now[key("bastion_channels", request_kind="exec")] == 1
            assert now[key("bastion_recordings_open")] == 1
        async with httpx2.AsyncClient(
            transport=httpx2.AsyncHTTPTransport(uds=str(socket))
        ) as client:
            assert (await client.get("http://bastion/")).status_code == 404
    assert not socket.exists()
    socket.write_text("somebody's file")
    with pytest.raises(ConfigError, match=r"metrics\.sock: the metrics cannot be served there"):
        async with bastion(tmp_path, listen=listen):
            pass
    assert socket.read_text() == "somebody's file"
