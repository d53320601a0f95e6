"""The corpora's runner: it counts honestly, and the exec corpus holds."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests import corpora, shellcorpus

VECTORS = Path(corpora.__file__).parent / "vectors"


def run(directory: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["corpora", str(directory)])
    return corpora.main()


@pytest.mark.parametrize(
    ("expected", "answered", "wrong"),
    [
        ("deny", "deny", ""),
        ("deny", "opaque", "weak"),
        ("deny", "allow", "bypass"),
        ("opaque", "opaque", ""),
        ("opaque", "deny", ""),
        ("opaque", "allow", "bypass"),
        ("allow", "allow", ""),
        ("allow", "opaque", "false positive"),
        ("allow", "deny", "false positive"),
    ],
)
def test_judging(expected, answered, wrong):
    assert corpora.judge(expected, answered) == wrong


def test_a_bypass_ends_with_a_failure(tmp_path, monkeypatch, capsys):
    (tmp_path / "exec.tsv").write_text(
        "# command\texpected\ttechnique\tsource\n"
        "ls\tdeny\tplain\tx\n"
        "# a comment␤ls\tallow\tplain\tx\n"
        "rm -rf /\tallow\tplain\tx\n"
        "adduser x\tdeny\text/equivalent-command\tx\n"
    )
    (tmp_path / "sql.tsv").write_text("")
    (tmp_path / "http.tsv").write_text("")
    assert run(tmp_path, monkeypatch) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("exec.tsv:2: bypass: expected deny, was allow")
    assert lines[1].startswith("exec.tsv:4: false positive: expected allow, was deny")
    assert lines[2:] == [
        "exec: 3 cases, bypass 1, weak 0, false positive 1",
        "sql: 0 cases, bypass 0, weak 0, false positive 0",
        "http.tsv: no gate yet",
    ]


def test_a_directory_without_corpora_is_said_to_be_one(tmp_path, monkeypatch):
    assert run(tmp_path, monkeypatch) == 2


@pytest.mark.parametrize(
    ("expected", "answered", "wrong"),
    [
        ("deny", "deny", ""),
        ("deny", "approve", "weak"),
        ("deny", "allow", "bypass"),
        ("approve", "approve", ""),
        ("approve", "deny", ""),
        ("approve", "allow", "bypass"),
        ("allow", "allow", ""),
        ("allow", "approve", "false positive"),
        ("allow", "deny", "false positive"),
    ],
)
def test_judging_sql(expected, answered, wrong):
    assert corpora.judge_sql(expected, answered) == wrong


def test_the_corpora_hold(tmp_path, monkeypatch, capsys):
    for name in ("exec.tsv", "sql.tsv"):
        (tmp_path / name).symlink_to(VECTORS / name)
    assert run(tmp_path, monkeypatch) == 0
    scores = {line.partition(":")[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "bypass 0" in scores["exec"]
    assert "bypass 0, weak 0, false positive 0" in scores["sql"]


@pytest.mark.story
@pytest.mark.parametrize(("name", "every"), [("shell.yaml", 6), ("shell_attacks.yaml", 6)])
async def test_a_part_of_the_shell_scenarios_holds(name, every):
    """All of them are `make corpora`'s; these are as many as a suite has time for."""
    chosen = shellcorpus.scenarios(VECTORS / name)[::every]
    outcomes = await shellcorpus.run(chosen)
    found = shellcorpus.count(outcomes)
    assert (found["bypass"], found["desync"]) == (0, 0)
