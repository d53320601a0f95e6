"""A busy machine must not put off what a test looks at right after the keys."""

from __future__ import annotations

import pytest

from bastion.editor import drawn


@pytest.fixture(autouse=True)
def whole_bursts(monkeypatch):
    """All keys of a feed are handled in it; tests of floods set it back."""
    monkeypatch.setattr(drawn, "SLICE", 60.0)
    monkeypatch.setattr(drawn, "DEAR", 60.0)
