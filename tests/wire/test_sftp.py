"""The SFTP codec: nothing but ProtocolFault ever comes out of hostile bytes."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bastion.errors import ClientFault, TargetFault
from bastion.wire import sftp
from bastion.wire.sftp_packets import (
    Code,
    Identified,
    Init,
    Names,
    OnPath,
    OnTwoPaths,
    Open,
    Reply,
    Status,
    Unknown,
    Version,
)
from tests.harness.sftppackets import (
    EXTENDED,
    INIT,
    OPEN,
    REALPATH,
    SETSTAT,
    STATUS,
    SYMLINK,
    VERSION,
    Long,
    attributes,
    names,
    packet,
    status,
)

NUMBERS = st.integers(0, 2**32 - 1)
FIELDS = st.lists(
    st.one_of(NUMBERS, st.binary(max_size=40), st.integers(0, 2**64 - 1).map(Long)), max_size=6
)
KINDS = st.sampled_from([*range(1, 23), *range(100, 106), 200, 201, 255])
SHAPED = st.builds(lambda kind, fields: packet(kind, *fields), KINDS, FIELDS)
EXTENSIONS = st.sampled_from(sorted(sftp.EXTENSIONS))
EXTENDED_PACKETS = st.builds(
    lambda ident, name, fields: packet(EXTENDED, ident, name, *fields), NUMBERS, EXTENSIONS, FIELDS
)
RAW = st.binary(min_size=1, max_size=60).map(lambda body: packet(body[0])[:4] + body)


@given(st.one_of(SHAPED, EXTENDED_PACKETS, RAW))
def test_a_request_decodes_or_faults(frame: bytes) -> None:
    with contextlib.suppress(ClientFault):
        assert isinstance(sftp.decode_request(frame), Init | Identified)


@given(st.one_of(SHAPED, RAW))
def test_a_reply_decodes_or_faults(frame: bytes) -> None:
    with contextlib.suppress(TargetFault):
        assert isinstance(sftp.decode_reply(frame), Reply)


@given(st.lists(SHAPED, max_size=5), st.lists(st.integers(0, 300), max_size=6))
def test_frames_come_out_whole_however_they_are_cut(frames: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(frames)
    cutter = sftp.Frames(ClientFault)
    found, at = [], 0
    for cut in [*sorted(cut for cut in cuts if cut < len(stream)), len(stream)]:
        cutter.add(stream[at:cut])
        at = cut
        while (frame := cutter.next()) is not None:
            found.append(frame)
    assert found == frames
    assert len(cutter) == 0


def test_a_huge_length_faults_before_anything_is_kept() -> None:
    cutter = sftp.Frames(TargetFault)
    cutter.add(b"\x00\x10\x00\x00")
    with pytest.raises(TargetFault, match="1048576"):
        cutter.next()


def test_decoded_requests() -> None:
    assert sftp.decode_request(packet(OPEN, 7, b"/a", 26, *attributes(permissions=1))) == Open(
        7, b"/a", 26
    )
    assert sftp.decode_request(packet(SETSTAT, 7, b"/a", *attributes(size=2**40))) == OnPath(
        7, "setstat", b"/a", 2**40
    )
    assert sftp.decode_request(packet(SYMLINK, 7, b"to", b"/l")) == OnTwoPaths(
        7, "symlink", b"to", b"/l"
    )
    assert sftp.decode_request(packet(EXTENDED, 7, b"evil@x", b"rest")) == Unknown(7, "evil@x")
    assert sftp.decode_request(packet(STATUS, 7)) == Unknown(7, "status")


def test_decoded_replies() -> None:
    assert sftp.decode_reply(names(3, b"a", b"b")) == Names(3, (b"a", b"b"))
    assert sftp.decode_reply(status(3, 4, b"no")) == Status(3, 4, b"no")
    assert sftp.decode_reply(packet(STATUS, 3, 4)) == Status(3, 4)
    assert sftp.decode_reply(packet(VERSION, 3, b"a", b"1")) == Version(3, ((b"a", b"1"),))


def test_a_count_of_names_that_cannot_be_true_faults() -> None:
    with pytest.raises(TargetFault, match="4000000000"):
        sftp.decode_reply(packet(104, 3, 4_000_000_000))


def test_encoded_packets() -> None:
    assert sftp.encode_init() == packet(INIT, 3)
    assert sftp.encode_version(((b"a", b"1"),)) == packet(VERSION, 3, b"a", b"1")
    assert sftp.encode_realpath(0, b".") == packet(REALPATH, 0, b".")
    assert sftp.encode_status(3, Code.PERMISSION_DENIED, "nö") == status(3, 3, "nö".encode())
