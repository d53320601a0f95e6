"""Conditions are computed here as PostgreSQL computes them."""

from __future__ import annotations

from tests.fuzz.condition_fuzz import run


async def test_what_is_computed_for_a_row_is_what_the_server_computes():
    found = await run(300, seed=3)
    assert found.wrong == []
    assert found.told > found.tried * 30, "most values must be told, or nothing was compared"
    assert len(found.unseen) * 10 < found.always, found.unseen
