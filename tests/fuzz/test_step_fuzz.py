"""A few hundred lines of the fuzz of steps; the script runs as many as one likes."""

from __future__ import annotations

import shutil

import pytest

from tests.fuzz.step_fuzz import Watcher, fuzz

pytestmark = pytest.mark.story

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")


def test_what_no_step_may_do_did_not_run() -> None:
    figures, wrong = fuzz(300, seed=7)
    assert wrong == []
    assert figures.watched > 50, "what is never run misses nothing"
    assert figures.steps > 100


def test_the_hook_asks_and_skips(tmp_path) -> None:
    watcher = Watcher(tmp_path)
    assert watcher.run("c1 x; c2 $v; $v now; c3") == [["c1", "x"], ["c2", "reboot"], ["c3"]]
    assert watcher.run('f rm "$o" x | c1; l y c2') == [["c1"], ["c1", "y"], ["c2"]]
    assert watcher.figures.steps > 8


def test_the_oracle_sees_what_runs(tmp_path) -> None:
    assert Watcher(tmp_path).run_at_once("$v now") == [["reboot", "now"]]
