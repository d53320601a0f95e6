"""The records of scp: strict about names and sizes, and nothing but ProtocolFault comes out."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bastion.errors import ClientFault, TargetFault
from bastion.wire import scp


@pytest.mark.parametrize(
    ("line", "record"),
    [
        (b"C0644 5 a b\n", scp.File("a b", 5)),
        (b"C0644 0 \xff\n", scp.File("\udcff", 0)),
        (b"D0755 0 dir\n", scp.Directory("dir")),
        (b"E\n", scp.End()),
        (b"T1183828267 0 1183828267 0\n", scp.Times()),
        (b"\x01scp: no\n", scp.Message("scp: no", fatal=False)),
        (b"\x02scp: no\n", scp.Message("scp: no", fatal=True)),
    ],
)
def test_records(line: bytes, record: scp.Record) -> None:
    assert scp.decode_record(line, TargetFault) == record


@pytest.mark.parametrize(
    "line",
    [
        b"C0644 5 ..\n",
        b"C0644 5 .\n",
        b"D0755 0 .\n",
        b"C0644 5 a/b\n",
        b"C0644 5 /etc/passwd\n",
        b"C0644 5 \n",
        b"C0644 5 a\x1b[2J\n",
        b"C0644 5 a\0\n",
        b"C0644 -5 a\n",
        b"C0644 99999999999999999999 a\n",
        b"C0644 9999999999999999999 a\n",
        b"C0944 5 a\n",
        b"C644 5 a\n",
        b"C0644  5 a\n",
        b"E \n",
        b"T1 2 3\n",
        b"\n",
        b"hello\n",
    ],
)
def test_what_is_no_record(line: bytes) -> None:
    with pytest.raises(ClientFault, match="scp"):
        scp.decode_record(line, ClientFault)


@given(st.binary(max_size=80))
def test_any_bytes_decode_or_fault(data: bytes) -> None:
    lines = scp.Lines(ClientFault)
    lines.add(data)
    with contextlib.suppress(ClientFault):
        while (line := lines.line()) is not None:
            assert isinstance(scp.decode_record(line, ClientFault), scp.Record)


def test_a_line_without_an_end_is_not_waited_for() -> None:
    lines = scp.Lines(TargetFault)
    lines.add(b"x" * (scp.LINE_LIMIT - 1))
    assert lines.line() is None
    lines.add(b"x")
    with pytest.raises(TargetFault, match="does not end"):
        lines.line()


def test_a_warning_is_one_line() -> None:
    assert scp.encode_warning("a\nb") == b"\x01a b\n"
    assert len(scp.encode_warning("x" * 100_000)) <= scp.LINE_LIMIT
