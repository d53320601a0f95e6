"""No input makes one piece of a stream cost more than its size allows. Work is counted, not timed:
bytes that detectors look at, and candidates that are weighed."""

from __future__ import annotations

import pytest

from bastion.tap import detect, terminal
from bastion.tap.mask import CONTEXT, MOST_HELD, Masker
from tests.tap.masking import DEFAULT

PIECE = 4096
HOSTILE = {
    "almost passwords": b"password=abc ",
    "triggers without values": b"password1 = ",
    "nested quotes": b'"password": "',
    "escaped quotes": b'\\\\\\"password\\\\\\": ',
    "beginnings of keys": b"-----BEGIN RSA PRIVATE KEY-----\n",
    "set-off beginnings of keys": b"> -----BEGIN RSA PRIVATE KEY-----\n> x\n",
    "hashes without an end": b"$1$",
    "colours": b"\x1b[1m\x1b[0m",
    "sequences without an end": b"\x1b[",
    "titles without an end": b"\x1b]0;password=",
    "addresses": b"\x1b[5;5Hpassword=",
    "carriage returns": b"a\r",
    "backspaces": b"ab\b",
    "to and fro": b"x" * 500 + b"\b" * 500,
    "cursor far right": b"\x1b[999Cx\x1b[1;1H",
    "one line": b"x",
    "digits": b"4111 ",
    "cards that are none": b"4111111111111112 ",
    "characters without width": "pass\u200bword\u200b=".encode(),
    "half characters": b"\xe2",
    "NUL": b"a\0",
    "a table's cells": b"| password ",
    "encoded names": b"password%3d",
    "echoes": b"echo a:b ",
}


class Counter:
    """How many bytes were looked at, and how many candidates weighed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.looked = self.texts = self.weighed = 0
        read, sight = terminal.read, detect._sight

        def reading(raw: bytes, columns: int = 0) -> list[terminal.Text]:
            texts = read(raw, columns)
            self.texts = max(self.texts, len(texts))
            self.looked = max(self.looked, sum(len(text.data) for text in texts) / len(raw))
            return texts

        def weighing(text: bytes, trigger: int, start: int, end: int) -> object:
            self.weighed += end - trigger + 1
            return sight(text, trigger, start, end)

        monkeypatch.setattr(terminal, "read", reading)
        monkeypatch.setattr(detect, "_sight", weighing)


@pytest.mark.parametrize("size", [97, PIECE])
@pytest.mark.parametrize("columns", [0, 80])
@pytest.mark.parametrize("name", HOSTILE)
def test_a_piece_costs_what_its_size_allows(monkeypatch, name, columns, size):
    data = HOSTILE[name] * (4 * size // len(HOSTILE[name]) + 1)
    masker = Masker(DEFAULT, columns=columns)
    counter = Counter(monkeypatch)
    for at in range(0, len(data), size):
        counter.weighed = 0
        masker.feed(data[at : at + size])
        seen = size + CONTEXT + MOST_HELD
        assert masker.held <= size + MOST_HELD
        assert counter.texts <= 16
        assert counter.weighed <= 60 * seen, "each detector may weigh what it finds, once"
    assert counter.looked <= 4 * (terminal.MOST_BLOWN_UP + 1) + 4 * terminal.MOST_LOOKED / size
