"""Webhooks against a real HTTP server."""

import asyncio
import contextlib
import hashlib
import hmac
import json
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bastion.config import load_config
from bastion.control.webhooks import MAX_WAITING, Hook, Webhooks, summary
from bastion.errors import ConfigError
from bastion.model import Secret
from bastion.policy.rights import Subject
from bastion.store.audit import AuditLog
from bastion.store.feed import Feed, Happening
from bastion.store.logs import MaskingFormatter
from bastion.tap.detect import Detectors
from bastion.tap.marks import Marks
from bastion.tap.masks import Masks

KEY = Secret(b"hush")


@dataclass
class Receiver:
    """An HTTP server that answers by a list, then 204, and keeps what it got."""

    answers: list[int] = field(default_factory=list)
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    more: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                pairs = (line.split(": ", 1) for line in head[1:] if ": " in line)
                headers = {name.lower(): value for name, value in pairs}
                body = await reader.readexactly(int(headers["content-length"]))
                status = self.answers.pop(0) if self.answers else 204
                self.got.append((headers, body))
                self.more.set()
                writer.write(b"HTTP/1.1 %d x\r\ncontent-length: 0\r\n\r\n" % status)
                await writer.drain()
        writer.close()

    async def has(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.got) < count:
                self.more.clear()
                await self.more.wait()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]
    yield receiver
    server.close()
    await server.wait_closed()


@dataclass
class Setup:
    feed: Feed
    audit: AuditLog
    hooks: Webhooks
    folder: Path

    def publish(self, kind: str = "lock-set", **fields: object) -> None:
        self.feed.publish(Happening(kind, time.time(), Subject(), fields))

    def dropped(self) -> list[dict[str, object]]:
        lines = (self.folder / "audit.jsonl").read_text().splitlines()
        return [json.loads(line)["fields"] for line in lines]


@contextlib.asynccontextmanager
async def running(folder: Path, port: int, *events: str) -> AsyncIterator[Setup]:
    feed, audit = Feed(), AuditLog(folder)
    hook = Hook(f"http://127.0.0.1:{port}/in", KEY, frozenset(events))
    hooks = Webhooks([hook], feed, audit, time.time, pauses=[0.01])
    hooks.start()
    yield Setup(feed, audit, hooks, folder)
    await hooks.stop()
    audit.close(1.0)


async def test_an_event_comes_signed(tmp_path: Path, receiver: Receiver) -> None:
    async with running(tmp_path, receiver.port) as setup:
        setup.publish(lock={"kind": "identity", "value": "eve"}, reason="gone mad")
        await receiver.has(1)
    headers, body = receiver.got[0]
    signed = headers["x-bastion-timestamp"].encode() + b"." + body
    wanted = hmac.new(b"hush", signed, hashlib.sha256).hexdigest()
    assert headers["x-bastion-signature"] == f"sha256={wanted}"
    told = json.loads(body)
    assert told["summary"] == "lock-set identity eve: gone mad"
    assert (told["id"], told["kind"]) == (headers["x-bastion-delivery"], "lock-set")


async def test_what_fails_for_now_is_tried_again_and_keeps_its_name(
    tmp_path: Path, receiver: Receiver
) -> None:
    receiver.answers = [500, 429, 503]
    async with running(tmp_path, receiver.port) as setup:
        setup.publish()
        await receiver.has(4)
    assert len({headers["x-bastion-delivery"] for headers, _ in receiver.got}) == 1


async def test_what_fails_for_good_is_audited_and_the_next_one_goes_on(
    tmp_path: Path, receiver: Receiver
) -> None:
    receiver.answers = [404, 302]
    async with running(tmp_path, receiver.port) as setup:
        for number in range(3):
            setup.publish(name=f"n{number}")
        await receiver.has(3)
        assert [one["why"] for one in setup.dropped()] == ["it answered 404", "it answered 302"]


async def test_only_the_kinds_that_are_wanted(tmp_path: Path, receiver: Receiver) -> None:
    async with running(tmp_path, receiver.port, "break-glass") as setup:
        setup.publish("denied")
        setup.publish("break-glass")
        await receiver.has(1)
    assert [headers["x-bastion-event"] for headers, _ in receiver.got] == ["break-glass"]


async def test_a_receiver_that_is_away_blocks_nobody_and_fills_nothing(tmp_path: Path) -> None:
    async with running(tmp_path, 1) as setup:
        began = time.perf_counter()
        for _ in range(MAX_WAITING + 50):
            setup.publish()
        assert time.perf_counter() - began < 5
        assert [one["why"] for one in setup.dropped()] == ["too many events wait for it"] * 50


def test_a_summary_is_one_visible_line() -> None:
    held = {"id": "k7f3", "name": "eve\x1b[2J", "login": "root", "target": "web"}
    told = summary(Happening("approval-asked", 1.0, Subject(), {"approval": held}))
    assert told == "approval-asked k7f3: eve␛[2J on root@web"


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://hooks.example/x", "must be https"),
        ("ftp://x", "must be an https URL"),
        ("https://user:pw@x/", "without a user"),
    ],
)
def test_urls_that_would_tell_the_world(tmp_path: Path, url: str, told: str) -> None:
    file = tmp_path / "bastion.yaml"
    file.write_text(
        f"state: s\npolicy: p\nwebhooks: [{{url: '{url}', secret: 'env:X', events: denied}}]\n"
    )
    with pytest.raises(ConfigError, match=told):
        load_config(file)


async def test_a_token_in_the_url_is_in_no_log_and_not_in_the_audit(
    tmp_path: Path, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    token, value = "q7Zt-Wm3x_Rk9vLp2s", "k9.Xw-71bQ"
    hook = Hook(f"http://127.0.0.1:{receiver.port}/in/{token}?key={value}&v=1", KEY)
    masks = Masks(Detectors(()), Marks(b"k" * 32))
    masks.hold(hook.credentials())
    feed, audit = Feed(), AuditLog(tmp_path, masks=masks)
    receiver.answers = [404]
    hooks = Webhooks([hook], feed, audit, time.time, pauses=[0.01])
    formatter = MaskingFormatter(logging.Formatter(), masks)
    hooks.start()
    feed.publish(Happening("lock-set", time.time(), Subject(), {}))
    feed.publish(Happening("lock-set", time.time(), Subject(), {}))
    await receiver.has(2)
    await hooks.stop()
    audit.close(1.0)
    written = (tmp_path / "audit.jsonl").read_text()
    written += "".join(formatter.format(record) for record in caplog.records)
    assert written.count(f"http://127.0.0.1:{receiver.port}/in/[masked:credential:") >= 2
    assert token not in written
    assert value not in written
