"""Who may start a handshake."""

from __future__ import annotations

import itertools

from bastion.ssh.admission import MAX_TRACKED, Admission, AdmissionLimits


def test_a_typing_error_costs_nothing():
    admission = Admission()
    for at in range(3):
        assert admission.admit("192.0.2.1", at) == ""
        admission.settle("192.0.2.1", at, authenticated=False)
    assert admission.admit("192.0.2.1", 4) == ""


def test_failures_in_a_row_are_penalised_and_the_penalty_grows():
    admission = Admission()
    refused_until = []
    at = 0.0
    for _ in range(8):
        while admission.admit("192.0.2.1", at):
            at += 1
        refused_until.append(at)
        admission.settle("192.0.2.1", at, authenticated=False)
    waits = [b - a for a, b in itertools.pairwise(refused_until)]
    assert waits[-1] > waits[0]
    assert "wait" in admission.admit("192.0.2.1", at)
    assert admission.admit("192.0.2.2", at) == ""


def test_a_success_forgives():
    admission = Admission()
    for _ in range(3):
        admission.admit("192.0.2.1", 0)
        admission.settle("192.0.2.1", 0, authenticated=False)
    admission.admit("192.0.2.1", 0)
    admission.settle("192.0.2.1", 0, authenticated=True)
    assert admission.admit("192.0.2.1", 0) == ""


def test_an_ipv6_network_is_one_source():
    admission = Admission(AdmissionLimits(per_address=2))
    assert admission.admit("2001:db8::1", 0) == ""
    assert admission.admit("2001:db8::2", 0) == ""
    assert "too many" in admission.admit("2001:db8::ffff", 0)
    assert admission.admit("2001:db8:0:1::1", 0) == ""


def test_the_limit_in_all_holds():
    admission = Admission(AdmissionLimits(unauthenticated=3))
    assert [admission.admit(f"192.0.2.{n}", 0) for n in range(3)] == ["", "", ""]
    assert "too many" in admission.admit("192.0.2.9", 0)
    admission.settle("192.0.2.1", 0, authenticated=True)
    assert admission.admit("192.0.2.9", 0) == ""


def test_a_spray_of_addresses_stays_bounded():
    admission = Admission()
    for n in range(MAX_TRACKED + 100):
        address = f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}"
        assert admission.admit(address, 0) == ""
        admission.settle(address, 0, authenticated=False)
    assert len(admission._sources) <= MAX_TRACKED
