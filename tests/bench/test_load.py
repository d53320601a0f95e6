"""The load test of the suite: none of 200 sessions that are open at once is lost."""

from __future__ import annotations

import pytest

from tests.bench.load import SESSIONS, load
from tests.bench.stage import stage

MEMORY_KIB = 1024
"""A session that costs more than this has a buffer that nobody meant to keep."""


@pytest.mark.story
@pytest.mark.timeout(300)
async def test_two_hundred_sessions_at_once_are_recorded_whole(tmp_path, capsys):
    async with stage(tmp_path) as there:
        result = await load(there)
    with capsys.disabled():
        print(f"\n{result}")
    assert (result.answered, result.recorded) == (SESSIONS, SESSIONS)
    assert result.resident_kib <= MEMORY_KIB
