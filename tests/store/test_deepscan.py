"""The second scanner finds what no masker took out, and tells no value."""

from __future__ import annotations

import io

import pytest

from bastion.errors import CastFault
from bastion.events import Stream
from bastion.store import deepscan
from bastion.tap.cast import CastTap
from bastion.tap.marks import Marks

TOKEN = "ghp_1A2b3C4d5E6f7G8h9I0jK1l2M3n4O5p6Q7r8"


@pytest.fixture(scope="module")
def scan():
    return deepscan.second_scanner()


def cast(*outputs: tuple[float, str]) -> io.BytesIO:
    tap = CastTap(100.0)
    lines = [tap.header(columns=80, rows=24)]
    lines += [tap.output(100 + at, text.encode(), Stream.STDOUT) for at, text in outputs]
    return io.BytesIO(b"".join([*lines, tap.close(200)]))


def test_what_was_missed_is_told_with_time_and_mark(scan):
    shown = cast((1.0, "hello\r\n"), (2.5, f"key: {TOKEN[:9]}\x1b[0m{TOKEN[9:]}\r\n"), (3.0, "bye"))
    [missed] = deepscan.look_again(shown, scan, Marks(b"k"))
    assert (missed.time, missed.length) == (2.5, len(TOKEN))
    assert "github" in missed.rule
    assert TOKEN not in repr(missed)
    assert missed.mark.startswith("[masked:missed:")


def test_what_was_masked_is_not_missed(scan):
    shown = cast((1.0, "ghp_[masked:github-token:7f3a] password=[masked:password:1234] AKIA****"))
    assert list(deepscan.look_again(shown, scan, Marks(b"k"))) == []


def test_a_secret_across_two_pieces_is_found(scan, monkeypatch):
    monkeypatch.setattr(deepscan, "PIECE", 200)
    monkeypatch.setattr(deepscan, "OVERLAP", 100)
    shown = cast((1.0, "x" * 190 + " " + TOKEN[:20]), (2.0, TOKEN[20:] + " y" * 300))
    assert [missed.length for missed in deepscan.look_again(shown, scan, Marks(b"k"))] == [40]


def test_what_is_no_cast_is_said_to_be_none(scan):
    with pytest.raises(CastFault):
        list(deepscan.look_again(io.BytesIO(b"no\n"), scan, Marks(b"k")))
