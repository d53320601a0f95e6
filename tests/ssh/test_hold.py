"""What could be the start of a secret waits, and never longer than the timer says.

The way of every byte (`Taps`) runs on a loop whose clock is the test's: time passes only where
everybody waits.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bastion.events import Stream
from bastion.ssh.taps import HOLD_SECONDS, Taps
from bastion.tap.detect import Late
from bastion.tap.mask import Masking
from tests.tap.masking import ALL, DEFAULT, MARKS, SECRETS, core

PIECES = st.sampled_from(
    [
        *(text.encode()[:30] for text in SECRETS.values()),
        *(b"password: ", b"token=", b"x", b"hunter2", b" ", b"\r\n", b"4111 1", b"\x1b[1m", b"\r"),
        *(b" 42% [####    ]", b"-----BEGIN RSA PRIVATE KEY-----\r\n", b"user@web1:~$ ", b"AKIA"),
    ]
)


class Waiting(selectors.DefaultSelector):  # type: ignore[misc,valid-type]
    """A selector that waits by moving the clock."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        """Nothing ever happens but time."""
        self.now += timeout or 0.0
        return super().select(0)


class Loop(asyncio.SelectorEventLoop):
    """A loop in which an hour takes no time."""

    def __init__(self) -> None:
        self._waiting = Waiting()
        super().__init__(self._waiting)

    def time(self) -> float:
        """Seconds."""
        return float(self._waiting.now)


def run(story: Callable[[Loop], Coroutine[Any, Any, None]]) -> None:
    loop = Loop()
    try:
        loop.run_until_complete(story(loop))
    finally:
        loop.close()


class Client:
    """Keeps what is shown, and when."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self.data = b""
        self.shown: list[tuple[float, int]] = []

    def show(self, data: bytes, stream: Stream) -> None:
        """Sent to the client."""
        self.data += data
        self.shown.append((self._loop.time(), len(self.data)))


def taps(loop: Loop, masking: Masking) -> tuple[Taps, Client]:
    record: Any = SimpleNamespace(text=True, output=lambda *_: None, masked=lambda *_: None)
    client = Client(loop)
    made = Taps(
        masking=masking, record=record, client=client, clock=loop.time, guarded=lambda step: step()
    )
    return made, client


@pytest.mark.parametrize(
    "prompt", ["Password: ", "token: ", ">>> ", "card 4111 ", "mysql -p", "AKIA"]
)
def test_a_prompt_is_there_within_the_timer(prompt: str) -> None:
    async def story(loop: Loop) -> None:
        way, client = taps(loop, DEFAULT)
        way.show(b"x\r\n" + prompt.encode(), Stream.STDOUT)
        await asyncio.sleep(HOLD_SECONDS)
        await asyncio.sleep(0)
        assert client.data == b"x\r\n" + prompt.encode()

    run(story)


def test_a_progress_bar_is_never_late() -> None:
    async def story(loop: Loop) -> None:
        way, client = taps(loop, DEFAULT)
        for percent in range(0, 101, 5):
            bar = f"\r{percent:3d}% [{'#' * (percent // 4):25}] key=abc 12.5 MB/s".encode()
            way.show(bar, Stream.STDOUT)
            await asyncio.sleep(0.2)
            assert client.data.endswith(bar)
            assert loop.time() - client.shown[-1][0] >= 0.2 - HOLD_SECONDS - 0.001

    run(story)


@settings(max_examples=25)
@given(st.lists(st.tuples(PIECES, st.sampled_from([0.0, 0.001, 0.02, 0.049, 0.06])), max_size=7))
def test_nothing_waits_longer_than_the_timer(steps: list[tuple[bytes, float]]) -> None:
    async def story(loop: Loop) -> None:
        way, _ = taps(loop, Masking(ALL, MARKS, Late.RELEASE))
        waiting = None
        for piece, pause in steps:
            way.show(piece, Stream.STDOUT)
            for masker in way._maskers.values():
                if not masker.held:
                    waiting = None
                elif waiting is None or waiting[0] != masker.held_from:
                    waiting = (masker.held_from, loop.time())
                assert waiting is None or loop.time() - waiting[1] <= HOLD_SECONDS + 0.001
            await asyncio.sleep(pause)
        await asyncio.sleep(HOLD_SECONDS + 0.001)
        assert all(not masker.held for masker in way._maskers.values())
        way.close()

    run(story)


@pytest.mark.parametrize("late", [Late.MASK, Late.RELEASE])
@pytest.mark.parametrize("kind", ["aws-key", "github-token", "password", "jwt"])
def test_what_trickles_is_masked_or_released_as_the_policy_says(kind: str, late: Late) -> None:
    text = b"\r\n" + SECRETS[kind].encode() + b" \r\n"

    async def story(loop: Loop) -> None:
        way, client = taps(loop, Masking(DEFAULT.detectors, MARKS, late))
        for at in range(len(text)):
            way.show(text[at : at + 1], Stream.STDOUT)
            await asyncio.sleep(HOLD_SECONDS * 2)
        way.finish()
        assert core(kind) not in client.data
        stars = client.data.count(b"*")
        assert stars >= len(core(kind)) - 3 if late is Late.MASK else stars < len(core(kind))

    run(story)
