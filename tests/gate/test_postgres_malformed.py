"""No bytes of a client or a server do more than end their own session, with a sentence."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bastion.errors import ProtocolFault, TargetFault
from bastion.events import FromClient, FromTarget
from bastion.wire import postgres as wire
from tests.fuzz.postgres_bytes import (
    CLIENT_MESSAGES,
    COLUMNS,
    SERVER_MESSAGES,
    malformed,
    one_input,
    opened,
    run,
    survives,
)


def named(message):
    return chr(message[0])


@pytest.mark.parametrize("message", CLIENT_MESSAGES, ids=named)
def test_every_field_of_a_clients_message_malformed(message):
    for wrong in malformed(message):
        said = survives(wrong, server=False, masked=False)
        assert "\n" not in said
        assert len(said) < 200


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("message", SERVER_MESSAGES, ids=named)
def test_every_field_of_a_servers_message_malformed(message, masked):
    for before in (b"", COLUMNS):
        for wrong in malformed(message):
            said = survives(before + wrong, server=True, masked=masked)
            assert "\n" not in said
            assert len(said) < 200


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from(CLIENT_MESSAGES + SERVER_MESSAGES), max_size=12),
    st.binary(min_size=2, max_size=2),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=3),
)
def test_any_messages_in_any_order_with_bytes_changed(messages, head, changes):
    data = bytearray(b"".join(messages))
    for place, value in changes if data else ():
        data[place % len(data)] = value
    one_input(head + bytes(data))


@pytest.mark.parametrize("length", [0, 3, 2**26 + 5, 2**31 - 1, 2**32 - 1])
@pytest.mark.parametrize("server", [False, True])
def test_a_length_that_cannot_be_ends_the_session_at_once(length, server):
    """1 GB must not be waited for, nor kept."""
    gate = opened()
    kind = b"T" if server else b"Q"
    data = kind + length.to_bytes(4, "big")
    with pytest.raises(ProtocolFault, match=f"claims {length} bytes"):
        run(gate, (FromTarget if server else FromClient)(1.0, data))


def test_a_server_that_reports_settings_without_end_is_not_remembered():
    gate = opened()
    for name in ("TimeZone", *(f"name {number}" for number in range(50))):
        run(gate, FromTarget(1.0, wire.setting(name, "x" * 1000)))
    assert "xxx" not in repr(gate.server)


def test_what_only_a_login_has_is_a_fault_afterwards():
    for message in (
        wire.encode(b"R", b"\0\0\0\0"),
        wire.backend_key(1, b"key1"),
        wire.encode(b"v", bytes(8)),
        wire.encode(b"W", b"\0\0\0"),
        wire.encode(b"\x7f"),
    ):
        with pytest.raises(TargetFault):
            run(opened(), FromTarget(1.0, message))


def test_answers_that_nobody_asked_for_are_faults():
    for message in (b"1", b"2", b"3", b"C"):
        with pytest.raises(TargetFault):
            run(opened(), FromTarget(1.0, wire.encode(message, b"SELECT 1\0" * (message == b"C"))))
    for message in (wire.encode_row([b"x"]), wire.encode(b"d", b"x")):
        with pytest.raises(TargetFault):
            run(opened(), FromTarget(1.0, message))


def test_a_row_of_another_shape_is_not_shown_where_columns_are_masked():
    gate = opened(masked=True)
    run(gate, FromClient(1.0, wire.query("SELECT 1")))
    run(gate, FromTarget(1.0, COLUMNS))
    with pytest.raises(TargetFault):
        run(gate, FromTarget(1.0, wire.encode_row([b"x", b"123-45-6789"])))
