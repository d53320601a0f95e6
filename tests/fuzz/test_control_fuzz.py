from pathlib import Path

from tests.fuzz.control_fuzz import fuzz


async def test_nonsense_from_somebody_without_rights_does_nothing(tmp_path: Path) -> None:
    score = await fuzz(tmp_path, 20261124, rounds=150)
    assert score.answered > 0
    assert score.refused > 100
