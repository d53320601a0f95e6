"""Tell other programs what happens: one signed POST an event, retried, and never in anybody's way.

    POST URL
    content-type: application/json
    x-bastion-event: approval-asked
    x-bastion-delivery: 9f3c…            the same at every try, to be told apart by
    x-bastion-timestamp: 1790000000
    x-bastion-signature: sha256=…        hex HMAC-SHA256 of TIMESTAMP + "." + body, with the secret

The body is the event as the control socket has it, with `id` and one line of `summary`. A receiver
answers 2xx; what it answers else is tried again, but for a 4xx that no further try will change.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, urlsplit

import httpx2

from bastion.errors import StoreError
from bastion.identity.fetch import TIMEOUT, transport
from bastion.model import Secret, visible
from bastion.store.audit import AuditLog
from bastion.store.feed import Feed, Happening

log = logging.getLogger(__name__)

MAX_WAITING: Final = 500
"""Events that wait for one receiver: one that is down for a day must not fill the memory."""

GIVE_UP: Final = 600.0
"""Seconds after which an event is news no more."""

PAUSES: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0)
"""Seconds between two tries; the last one again and again."""

EXCHANGE: Final = 15.0
"""Seconds for one try, whatever the receiver does."""

SHORTEST_TOKEN: Final = 16
SHORTEST_VALUE: Final = 8
"""Letters of a part of a URL's path, and of a value behind its `?`, that may be a token: a shorter
one is a word, and would be masked wherever somebody writes it."""

_TRY_AGAIN: Final = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True)
class Hook:
    """One receiver. `events` are kinds; empty for all."""

    url: str
    secret: Secret
    events: frozenset[str] = frozenset()
    ca_file: str = ""

    def credentials(self) -> list[Secret]:
        """What must be in no log: the secret, and what of the URL may be a token."""
        parts = urlsplit(self.url)
        long = [part for part in parts.path.split("/") if len(part) >= SHORTEST_TOKEN]
        values = [value for _, value in parse_qsl(parts.query) if len(value) >= SHORTEST_VALUE]
        words = [*long, *values, *([parts.password] if parts.password else [])]
        return [self.secret, *(Secret(word.encode()) for word in words)]


@dataclass(frozen=True, slots=True)
class _Delivery:
    id: str
    kind: str
    body: bytes
    at: float


def sign(secret: Secret, timestamp: int, body: bytes) -> str:
    """The signature's header: the timestamp is in it, so that an old event cannot be sent again."""
    digest = hmac.new(secret.reveal(), b"%d." % timestamp + body, hashlib.sha256)
    return f"sha256={digest.hexdigest()}"


class Webhooks:
    """Posts what the feed tells. `pauses` and `clock` are the tests' to change."""

    def __init__(
        self,
        hooks: Sequence[Hook],
        feed: Feed,
        audit: AuditLog,
        clock: Callable[[], float],
        pauses: Sequence[float] = PAUSES,
    ) -> None:
        self._hooks = tuple(hooks)
        self._feed = feed
        self._audit = audit
        self._clock = clock
        self._pauses = tuple(pauses)
        self._queues = {hook: asyncio.Queue[_Delivery](MAX_WAITING) for hook in self._hooks}
        self._tasks: list[asyncio.Task[None]] = []
        self._stop_listening: Callable[[], None] = lambda: None

    def start(self) -> None:
        """From now on."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._serve(hook)) for hook in self._hooks]
        self._stop_listening = self._feed.listen(self._happened)

    async def stop(self) -> None:
        """What was not delivered by now is not."""
        self._stop_listening()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _happened(self, happening: Happening) -> None:
        wanting = [hook for hook in self._hooks if not hook.events or happening.kind in hook.events]
        if not wanting:
            return
        delivery = _delivery(happening)
        for hook in wanting:
            try:
                self._queues[hook].put_nowait(delivery)
            except asyncio.QueueFull:
                self._dropped(hook, delivery, "too many events wait for it")

    async def _serve(self, hook: Hook) -> None:
        queue = self._queues[hook]
        async with httpx2.AsyncClient(
            transport=transport(hook.ca_file), timeout=TIMEOUT, follow_redirects=False
        ) as client:
            while True:
                delivery = await queue.get()
                try:
                    await self._deliver(client, hook, delivery)
                except Exception:
                    log.exception("webhook %s failed", hook.url)

    async def _deliver(self, client: httpx2.AsyncClient, hook: Hook, delivery: _Delivery) -> None:
        tries = 0
        while why := await self._try(client, hook, delivery):
            pause = self._pauses[min(tries, len(self._pauses) - 1)]
            if why.startswith("!") or self._clock() + pause > delivery.at + GIVE_UP:
                self._dropped(hook, delivery, why.lstrip("!"))
                return
            tries += 1
            await asyncio.sleep(pause)

    async def _try(self, client: httpx2.AsyncClient, hook: Hook, delivery: _Delivery) -> str:
        """Nothing where it was taken, else why not; `!` before it where no try will change it."""
        timestamp = int(self._clock())
        headers = {
            "content-type": "application/json",
            "x-bastion-event": delivery.kind,
            "x-bastion-delivery": delivery.id,
            "x-bastion-timestamp": str(timestamp),
            "x-bastion-signature": sign(hook.secret, timestamp, delivery.body),
        }
        try:
            async with asyncio.timeout(EXCHANGE):
                answer = await client.post(hook.url, content=delivery.body, headers=headers)
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, TimeoutError) as error:
            return f"it cannot be reached ({type(error).__name__})"
        if answer.is_success:
            return ""
        why = f"it answered {answer.status_code}"
        final = 300 <= answer.status_code < 500 and answer.status_code not in _TRY_AGAIN
        return f"!{why}" if final else why

    def _dropped(self, hook: Hook, delivery: _Delivery, why: str) -> None:
        log.warning("webhook %s was not told of %s: %s", hook.url, delivery.kind, why)
        with contextlib.suppress(StoreError):
            self._audit.append(
                "webhook-dropped",
                self._clock(),
                url=hook.url,
                event=delivery.kind,
                delivery=delivery.id,
                why=why,
            )


def _delivery(happening: Happening) -> _Delivery:
    delivery_id = secrets.token_hex(12)
    body = {
        "id": delivery_id,
        "kind": happening.kind,
        "at": happening.at,
        "summary": summary(happening),
        **happening.fields,
    }
    encoded = json.dumps(body, separators=(",", ":"), default=str).encode()
    return _Delivery(delivery_id, happening.kind, encoded, happening.at)


def summary(happening: Happening) -> str:
    """One line for people, for receivers that only pass it on."""
    fields = happening.fields
    held, lock, grant = (_mapping(fields.get(key)) for key in ("approval", "lock", "grant"))
    if held:
        where = f"{held.get('login')}@{held.get('target')}"
        words = f"{held.get('name')} on {where}" if held.get("login") else str(held.get("name"))
        words = f"{held.get('id')}: {words}"
    elif lock:
        words = f"{lock.get('kind')} {lock.get('value')}"
    elif grant:
        words = f"{grant.get('name')}: {grant.get('what')}"
    else:
        words = " ".join(
            str(fields[key]) for key in ("name", "target", "request") if fields.get(key)
        )
    why = f": {fields['reason']}" if fields.get("reason") else ""
    return visible(f"{happening.kind} {words}{why}", limit=500)


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}
