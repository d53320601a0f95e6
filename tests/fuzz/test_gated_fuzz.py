"""A slice of the fuzz of gated shells, through the real gate, relay and start-up files."""

from __future__ import annotations

import shutil

import pytest

from bastion.model import Dialect
from tests.fuzz.gated_fuzz import fuzz

SECONDS = 6.0


@pytest.mark.story
@pytest.mark.parametrize("dialect", [Dialect.BASH, Dialect.ZSH])
async def test_nothing_runs_in_a_gated_shell_that_was_not_decided(dialect):
    if shutil.which(dialect.value) is None:
        pytest.skip(f"{dialect.value} is not installed")
    trial = await fuzz(10_000, 7, dialect, SECONDS)
    assert trial.wrong == []
    assert trial.figures.executing > 0, "a shell in which nothing runs proves nothing"
    assert trial.figures.watched > 0
