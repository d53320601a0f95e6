"""A slice of the fuzz of the PostgreSQL gate: it answers as the server itself does."""

from __future__ import annotations

import pytest

from tests.fuzz.postgres_fuzz import LOG, fuzz
from tests.harness.database import database


@pytest.mark.story
async def test_the_gate_answers_as_the_server_does(tmp_path):
    async with database(tmp_path, settings=LOG) as stage:
        assert await fuzz(stage, range(60)) == []
