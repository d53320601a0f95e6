"""Who may start a handshake."""

from __future__ import annotations

import itertools

from bastion.ssh.admission import MAX_TRACKED, Admission, AdmissionLimits


def NOTHING():
    """Drops a connection."""


def test_a_typing_error_costs_nothing():
    admission = Admission()
    for at in range(3):
        assert admission.admit("192.0.2.1", at, NOTHING) == ""
        admission.settle("192.0.2.1", at, NOTHING, authenticated=False)
    assert admission.admit("192.0.2.1", 4, NOTHING) == ""


def test_failures_in_a_row_are_penalised_and_the_penalty_grows():
    admission = Admission()
    refused_until = []
    at = 0.0
    for _ in range(8):
        while admission.admit("192.0.2.1", at, NOTHING):
            at += 1
        refused_until.append(at)
        admission.settle("192.0.2.1", at, NOTHING, authenticated=False)
    waits = [b - a for a, b in itertools.pairwise(refused_until)]
    assert waits[-1] > waits[0]
    assert "wait" in admission.admit("192.0.2.1", at, NOTHING)
    assert admission.admit("192.0.2.2", at) == ""


def test_a_success_forgives():
    admission = Admission()
    for _ in range(3):
        admission.admit("192.0.2.1", 0, NOTHING)
        admission.settle("192.0.2.1", 0, NOTHING, authenticated=False)
    admission.admit("192.0.2.1", 0, NOTHING)
    admission.settle("192.0.2.1", 0, NOTHING, authenticated=True)
    assert admission.admit("192.0.2.1", 0, NOTHING) == ""


def test_an_ipv6_network_is_one_source():
    admission = Admission(AdmissionLimits(per_address=2))
    assert admission.admit("2001:db8::1", 0) == ""
    assert admission.admit("2001:db8::2", 0) == ""
    assert "too many" in admission.admit("2001:db8::ffff", 0)
    assert admission.admit("2001:db8:0:1::1", 0) == ""


def test_where_too_many_wait_the_oldest_of_the_most_crowded_source_makes_room():
    admission = Admission(AdmissionLimits(unauthenticated=4))
    dropped = []
    for number, address in enumerate(["192.0.2.9", "192.0.2.1", "192.0.2.1", "192.0.2.1"]):
        assert admission.admit(address, 0, lambda number=number: dropped.append(number)) == ""
    assert dropped == []
    assert admission.admit("192.0.2.2", 0) == ""
    assert dropped == [1]
    assert admission._waiting == 4
    assert admission.admit("192.0.2.3", 0) == ""
    assert dropped == [1, 2]


def test_who_was_dropped_is_not_counted_out_twice():
    admission = Admission(AdmissionLimits(unauthenticated=1))
    drops = [lambda: None, lambda: None]
    for drop in drops:
        admission.admit("192.0.2.1", 0, drop)
    for drop in drops:
        admission.settle("192.0.2.1", 0, drop, authenticated=False)
    assert admission._waiting == 0


def test_a_spray_of_addresses_stays_bounded():
    admission = Admission()
    for n in range(MAX_TRACKED + 100):
        address = f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}"
        assert admission.admit(address, 0, NOTHING) == ""
        admission.settle(address, 0, NOTHING, authenticated=False)
    assert len(admission._sources) <= MAX_TRACKED
