"""A few hundred lines of the differential fuzz; the script runs as many as one likes."""

from __future__ import annotations

import shutil

import pytest

from tests.fuzz.shell_fuzz import Sandbox, fuzz

pytestmark = pytest.mark.story

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")


def test_whatever_bash_ran_had_been_read() -> None:
    figures, wrong = fuzz(300, seed=7)
    assert wrong == []
    assert figures.understood > 100, "a reader that understands nothing misses nothing"


def test_the_oracle_sees_what_runs(tmp_path) -> None:
    sandbox = Sandbox(tmp_path)
    assert sandbox.run("c1 'a b' $(c2)") == [["c2"], ["c1", "a b"]]
    assert sandbox.run("false && c1") == []
