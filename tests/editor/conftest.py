"""A busy machine must not cut a burst of keys in two where a test looks right after it."""

from __future__ import annotations

import pytest

from bastion.editor import drawn


@pytest.fixture(autouse=True)
def whole_bursts(monkeypatch):
    """All keys of a feed are handled in it; tests of floods set it back."""
    monkeypatch.setattr(drawn, "SLICE", 60.0)
